using System.Collections.Frozen;
using Granary.Engine;
using Granary.Engine.Simulation;
using Granary.GrainInterfaces;
using Granary.Grains.Replicas;

namespace Granary.Tests.Chaos;

/// <summary>What an engine gives for a request with nothing between it and the caller: what every answer has to be.</summary>
internal sealed class Unfailed(ChaosOptions options) : IAsyncDisposable
{
    private readonly InferenceEngine _engine = InferenceEngine.Start(
        new EngineOptions { MaxQueuedSequences = 4096 }, options.Alone?.Invoke() ?? new SimulatedExecutor(options.Device with { PerStep = default, PerDecodingSequence = default, PerPrefillToken = default }));

    public async Task<GeneratedToken[]> AnswerAsync(GenerateRequest request)
    {
        await using var sequence = _engine.TrySubmit(ReplicaMapping.ToEngine(request with { Deadline = null }, FrozenSet<int>.Empty), out var refusal)
            ?? throw new InvalidOperationException(refusal?.Message);
        var tokens = new List<GeneratedToken>();
        do
        {
            while (sequence.TryRead(out var token)) tokens.Add(token);
        }
        while (await sequence.WaitToReadAsync());
        return [.. tokens];
    }

    public async Task<GeneratedToken[][]> AnswersAsync(IReadOnlyList<GenerateRequest> requests) => await Task.WhenAll(requests.Select(AnswerAsync));

    public ValueTask DisposeAsync() => _engine.DisposeAsync();
}
