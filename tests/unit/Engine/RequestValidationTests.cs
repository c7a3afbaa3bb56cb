using Granary.Engine;
using Granary.Engine.Prompts;
using Granary.Engine.Sampling;
using Granary.Engine.Simulation;

namespace Granary.Tests.Unit.Engine;

public sealed class RequestValidationTests
{
    private static readonly EngineInfo Info = new(VocabularySize: 100, HiddenSize: 8, ContextLength: 64, KvBlockCount: 4, KvBlockTokens: 16, MaxQueuedSequences: 1);

    public static TheoryData<string, Func<SamplingParameters, SamplingParameters>, string> Faults => new()
    {
        { "max_tokens", s => s with { MaxTokens = 0 }, "max_tokens is 0; it must be at least 1." },
        { "min_tokens", s => s with { MinTokens = 6 }, "min_tokens is 6; it must be between 0 and max_tokens, 5." },
        { "temperature", s => s with { Temperature = -1 }, "temperature is -1; it must be between 0 and 100." },
        { "temperature", s => s with { Temperature = float.NaN }, "temperature is NaN; it must be between 0 and 100." },
        { "top_k", s => s with { TopK = -1 }, "top_k is -1; it must be at least 0 (0 keeps all)." },
        { "top_p", s => s with { TopP = 0 }, "top_p is 0; it must be above 0 and at most 1." },
        { "top_p", s => s with { TopP = 1.5f }, "top_p is 1.5; it must be above 0 and at most 1." },
        { "top_p", s => s with { TopP = float.NaN }, "top_p is NaN; it must be above 0 and at most 1." },
        { "min_p", s => s with { MinP = 2 }, "min_p is 2; it must be between 0 and 1." },
        { "repetition_penalty", s => s with { RepetitionPenalty = 0 }, "repetition_penalty is 0; it must be between 0.01 and 100." },
        { "presence_penalty", s => s with { PresencePenalty = float.PositiveInfinity }, "presence_penalty is Infinity; it must be between -2 and 2." },
        { "frequency_penalty", s => s with { FrequencyPenalty = -3 }, "frequency_penalty is -3; it must be between -2 and 2." },
        { "top_logprobs", s => s with { TopLogprobs = 21 }, "top_logprobs is 21; it must be between 0 and 20." },
        { "logit_bias", s => s with { LogitBias = new Dictionary<int, float> { [100] = 1 } }, "logit_bias names token id 100; ids must be between 0 and 99." },
        { "logit_bias", s => s with { LogitBias = new Dictionary<int, float> { [1] = 101 } }, "logit_bias is 101; it must be between -100 and 100." },
        { "stop_token_ids", s => s with { StopTokenIds = Enumerable.Range(0, 100).ToHashSet() }, "There are 100 stop token ids; there may be 99." },
    };

    [Theory, MemberData(nameof(Faults), DisableDiscoveryEnumeration = true)]
    public void TrySubmit_ParameterOutOfBounds_NamesParameterValueAndBound(
        string parameter, Func<SamplingParameters, SamplingParameters> change, string message)
    {
        var request = EngineHarness.Request([1, 2], 5);
        Assert.Null(RequestValidator.Check(request, Info));

        var refusal = RequestValidator.Check(request with { Sampling = change(request.Sampling) }, Info);

        Assert.Equal(new Refusal(RefusalReason.Invalid, parameter, message), refusal);
    }

    [Theory]
    [InlineData(0, 0, "The prompt has 0 tokens; it must have at least 1.")]
    [InlineData(64, 0, "The prompt has 64 tokens; with one generated token it must fit 64 tokens (it needs 5 KV blocks of 16 tokens, the replica has 4).")]
    [InlineData(5, 100, "The prompt has token id 100; ids must be between 0 and 99.")]
    [InlineData(5, -1, "The prompt has token id -1; ids must be between 0 and 99.")]
    public void TrySubmit_PromptOutOfBounds_NamesValueAndBound(int length, int id, string message)
    {
        var prompt = new int[length];
        Array.Fill(prompt, id);
        Assert.Equal(new(RefusalReason.Invalid, "prompt", message), RequestValidator.Check(EngineHarness.Request(prompt, 5), Info));
    }

    public static TheoryData<string, EngineRequest, string> ReadingFaults => new()
    {
        { "prompt_logprobs", EngineHarness.Request([1, 2], 5) with { PromptLogprobs = 21 }, "prompt_logprobs is 21; it must be between 0 and 20." },
        { "prompt_logprobs", EngineHarness.Request([1, 2], 5) with { PromptLogprobs = -1 }, "prompt_logprobs is -1; it must be between 0 and 20." },
        { "prompt_logprobs", EngineHarness.Request([1, 2], 0) with { PromptLogprobs = 1, Pooling = Pooling.Mean }, "prompt_logprobs is 1; it must be absent where the prompt is pooled." },
        { "pooling", EngineHarness.Request([1, 2], 0) with { Pooling = (Pooling)7 }, "pooling is 7; it must be Mean or Last." },
        { "max_tokens", EngineHarness.Request([1, 2], 5) with { Pooling = Pooling.Last }, "max_tokens is 5; it must be 0 where the prompt is pooled." },
        { "max_tokens", EngineHarness.Request([1, 2], -1) with { PromptLogprobs = 1 }, "max_tokens is -1; it must be at least 0." },
        { "prompt", EngineHarness.Request(new int[65], 0) with { Pooling = Pooling.Mean }, "The prompt has 65 tokens; it must fit 64 tokens (it needs 5 KV blocks of 16 tokens, the replica has 4)." },
    };

    [Theory, MemberData(nameof(ReadingFaults), DisableDiscoveryEnumeration = true)]
    public void TrySubmit_ReadingOutOfBounds_NamesParameterValueAndBound(string parameter, EngineRequest request, string message) =>
        Assert.Equal(new Refusal(RefusalReason.Invalid, parameter, message), RequestValidator.Check(request, Info));

    [Fact]
    public void TrySubmit_PromptFillsTheContextAndIsOnlyRead_IsTaken() =>
        Assert.Null(RequestValidator.Check(EngineHarness.Request(new int[64], 0) with { Pooling = Pooling.Mean }, Info));

    [Theory]
    [InlineData(-1)]
    [InlineData(2)]
    public void TrySubmit_ReplayedOutOfBounds_IsRefused(int replayed) =>
        Assert.Equal(RefusalReason.Invalid, RequestValidator.Check(EngineHarness.Request([1, 2], 5) with { ReplayedTokens = replayed }, Info)?.Reason);

    [Fact]
    public async Task Info_PoolSmallerThanContext_BoundsSequencesByThePool()
    {
        await using var engine = InferenceEngine.Start(new(), new SimulatedExecutor(new() { ContextLength = 1000, KvBlockCount = 4, KvBlockTokens = 16 }));
        Assert.Equal(64, engine.Info.ContextLength);

        Assert.Null(engine.TrySubmit(EngineHarness.Request(new int[64], 5), out var refusal));
        Assert.Contains("needs 5 KV blocks of 16 tokens, the replica has 4", refusal!.Message);
        Assert.Equal(14, (await engine.Submit(EngineHarness.Request(new int[50], 500)).ReadAll()).Count);
    }

    [Fact]
    public void Validate_OptionOutOfBounds_NamesItValueAndBounds()
    {
        var error = Assert.Throws<ArgumentOutOfRangeException>(() => new EngineOptions { MaxTokensPerStep = 0 }.Validate());
        Assert.Contains("MaxTokensPerStep is 0; it must be between 1 and 65536.", error.Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => new EngineOptions { MaxRunningSequences = -1 }.Validate());
        Assert.Throws<ArgumentOutOfRangeException>(() => new EngineOptions { MaxQueuedSequences = 0 }.Validate());
        Assert.Throws<ArgumentOutOfRangeException>(() => new EngineOptions { MaxBufferedTokens = 0 }.Validate());
        new EngineOptions().Validate();
    }
}
