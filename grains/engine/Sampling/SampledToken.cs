namespace Granary.Engine.Sampling;

/// <summary>What the sampler chose for one sampled row.</summary>
internal readonly record struct SampledToken(int TokenId, LogprobRow? Logprobs = null);
