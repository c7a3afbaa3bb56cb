using Granary.Engine;
using Granary.Engine.Sampling;
using Granary.Engine.Scheduling;
using Granary.Engine.Simulation;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Engine;

/// <summary>A prefix that one sequence is computing is not computed by another, and nobody waits who could go on.</summary>
public sealed class PrefixWaitsTests
{
    private const int BlockTokens = 16;
    private const int Vocabulary = 100;

    private readonly Queue<ScheduledStep> _inFlight = new();
    private readonly Sampler _sampler = new(Vocabulary);
    private long _computed;

    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 80)];

    [Theory]
    [InlineData(64, 1)]
    [InlineData(2048, 1)]
    [InlineData(64, 3)]
    [InlineData(2048, 4)]
    public void EightOfOnePrompt_ComputeItOnce(int tokensPerStep, int depth)
    {
        var scheduler = Create(tokensPerStep, depth: depth);
        var prompt = Ids(1, 1000);
        var choices = Enumerable.Range(0, 8).Select(_ => Add(scheduler, prompt, limit: 5)).ToArray();

        RunToEnd(scheduler, depth, choices);

        Assert.Equal(1000 + 7 * (1000 % BlockTokens) + 8 * 4, _computed);
        Assert.Equal(7 * 992, scheduler.Counters.PrefixCacheHits);
    }

    /// <summary>What a follower will find in the cache is no work to come.</summary>
    [Fact]
    public void EightOfOnePrompt_PendingIsWhatWillBeComputed()
    {
        var scheduler = Create(tokens: 64);
        var prompt = Ids(1, 1000);
        for (var i = 0; i < 8; i++) Add(scheduler, prompt, limit: 5);
        Assert.Equal(1000 + 7 * 8, scheduler.PendingPromptTokens);
        Assert.Equal(1000 * 999 / 2 + 7 * (8 * 992 + 28), scheduler.PendingPromptContext);

        Complete(scheduler, scheduler.Schedule()!);

        Assert.Equal(1000 - 64 + 7 * 8, scheduler.PendingPromptTokens);
    }

    [Fact]
    public void OneWaits_ThoseBehindItDoNot()
    {
        var scheduler = Create(tokens: 128);
        var leader = Add(scheduler, Ids(1, 100));
        var follower = Add(scheduler, leader.Prompt.ToArray());
        var other = Add(scheduler, Ids(2, 20));
        Step(scheduler);

        Assert.Equal((SequenceState.Running, SequenceState.Waiting, SequenceState.Running), (leader.State, follower.State, other.State));
        Step(scheduler);
        Assert.Equal((SequenceState.Running, 96), (follower.State, follower.CachedPromptTokens));
    }

    [Theory]
    [InlineData("cancelled")]
    [InlineData("paused")]
    [InlineData("salted")]
    [InlineData("scored")]
    [InlineData("unlike")]
    [InlineData("short")]
    public void NobodyComputesItForHim_GoesOnByHimself(string why)
    {
        var scheduler = Create(tokens: 40);
        var prompt = Ids(1, 100);
        var leader = Add(scheduler, prompt, buffered: 1, request: why == "scored" ? request => request with { PromptLogprobs = 0 } : null);
        Step(scheduler);
        if (why == "cancelled") scheduler.Cancel(leader, SequenceEnd.Cancelled);
        if (why == "paused") leader.Handle.Write(new(0, 1, 0));
        int[] own = why switch
        {
            "unlike" => [prompt[0] + 1, .. prompt[1..]],
            "short" => prompt[..16],
            _ => prompt,
        };
        var sequence = Add(scheduler, own, request: why == "salted" ? request => request with { CacheSalt = "own" } : null);
        // The leader, where there is one, leaves room for others in its third step only.
        for (var step = 0; step < 3 && !sequence.Started; step++)
        {
            Step(scheduler);
            Assert.Null(sequence.Awaited);
        }

        Assert.True(sequence.Started);
        Assert.Equal(why is "cancelled" or "paused" ? 32 : why == "scored" ? 80 : 0, sequence.CachedPromptTokens);
    }

    [Fact]
    public void LeaderCancelledInFlight_WaiterGoesOnByItself()
    {
        var scheduler = Create(tokens: 40, depth: 2);
        var leader = Add(scheduler, Ids(1, 100));
        var follower = Add(scheduler, leader.Prompt.ToArray());
        var step = scheduler.Schedule()!;
        Assert.Null(scheduler.Schedule());
        Assert.Equal(leader, follower.Awaited);

        scheduler.Cancel(leader, SequenceEnd.Cancelled);
        Complete(scheduler, step);
        Step(scheduler);

        Assert.Equal((SequenceState.Ended, true, 32), (leader.State, follower.Started, follower.CachedPromptTokens));
    }

    [Fact]
    public void LeaderPreempted_WaiterGoesOnWhenItsTurnComes()
    {
        // Six blocks: the oldest decodes and grows into what the leader holds.
        var scheduler = Create(tokens: 18, blocks: 6);
        var oldest = Add(scheduler, Ids(3, 15), limit: 20);
        var leader = Add(scheduler, Ids(1, 75), limit: 5);
        var follower = Add(scheduler, leader.Prompt.ToArray(), limit: 5);

        RunToEnd(scheduler, depth: 1, oldest, leader, follower);

        Assert.True(scheduler.Counters.Preemptions > 0, "blocks never ran out");
    }

    /// <summary>Prompts of a tree of prefixes, arriving as they like: each block of the tree is computed once.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void AnyPromptsThatBranch_EachBlockIsComputedOnce(int seed)
    {
        var random = new Random(seed);
        var depth = 1 + seed % 4;
        var scheduler = Create(random.Next(1, 200), running: random.Next(1, 12), blocks: 4096, depth);
        var sequences = new List<Sequence>();
        var decoded = 0;
        for (var arrivals = 0; arrivals < 40 || sequences.Exists(sequence => sequence.State != SequenceState.Ended);)
        {
            for (var count = random.Next(4); count > 0 && arrivals < 40; count--, arrivals++)
            {
                var limit = random.Next(1, 4);
                decoded += limit - 1;
                sequences.Add(Add(scheduler, Branch(random), limit));
            }

            Step(scheduler, depth);
        }

        var prompts = sequences.Select(sequence => sequence.Prompt.ToArray()).ToArray();
        var blocks = prompts.SelectMany(prompt => Enumerable.Range(1, prompt.Length / BlockTokens).Select(n => string.Join(',', prompt[..(n * BlockTokens)]))).Distinct();
        Assert.Equal(blocks.Count() * BlockTokens + prompts.Sum(prompt => prompt.Length % BlockTokens) + decoded, _computed);
    }

    /// <summary>Whoever arrives, leaves, pauses and repeats prompts: while readers keep up the oldest that runs advances in every step, nobody waits for a younger one, and all end.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void AdversarialArrivals_StarveNobody(int seed)
    {
        var random = new Random(seed);
        var depth = 1 + seed % 4;
        var scheduler = Create(random.Next(1, 120), running: random.Next(1, 8), blocks: random.Next(12, 60), depth);
        var victim = Add(scheduler, Branch(random), limit: 10);
        var others = new List<Sequence>();
        var (steps, stalls) = (0, 0);
        while (victim.State != SequenceState.Ended)
        {
            // A stream without end of newcomers that begin as the victim does, and of which many leave in the middle.
            for (var count = random.Next(3); count > 0; count--)
            {
                var prompt = random.Next(2) == 0 ? victim.Prompt.ToArray() : Branch(random);
                others.Add(Add(scheduler, prompt, limit: random.Next(1, 30), request: random.Next(4) == 0 ? AsEmbedding : null));
            }

            foreach (var other in others.Where(_ => random.Next(6) == 0).ToArray()) scheduler.Cancel(other, SequenceEnd.Cancelled);
            others.RemoveAll(other => other.State == SequenceState.Ended);
            while (_inFlight.Count < depth && scheduler.Schedule() is { } step) _inFlight.Enqueue(step);
            Assert.All(others, other => Assert.True(other.Awaited is null || other.Awaited.Arrival < other.Arrival));
            // It may wait for the steps in flight to give their blocks up, and for those only.
            stalls = victim.Scheduled > 0 ? 0 : stalls + 1;
            Assert.True(stalls < depth, $"step {steps}: the oldest stands still");
            Complete(scheduler, _inFlight.Dequeue());
            Assert.True(++steps < 400 * depth, "No end in sight.");
        }
    }

    [Fact]
    public async Task EightChoicesAtOnce_EqualTheirSoloRuns()
    {
        var prompt = EngineHarness.RandomPrompt(new(5), 300);
        var executor = new RecordingExecutor(new SimulatedExecutor(new()));
        var held = new ScriptedExecutor(executor);
        held.Hold();
        await using var engine = InferenceEngine.Start(new() { MaxTokensPerStep = 50 }, held);
        var requests = Enumerable.Range(0, 8).Select(choice => EngineHarness.Request(prompt, 20) with { Choice = choice }).ToArray();
        var handles = requests.Select(engine.Submit).ToArray();
        held.Release();

        var choices = await Task.WhenAll(handles.Select(handle => handle.ReadAll()));

        for (var i = 0; i < 8; i++) Assert.Equal(await EngineHarness.Alone(requests[i]), EngineHarness.Ids(choices[i]));
        Assert.Equal(300 + 7 * (300 % BlockTokens) + 8 * 19, executor.Tokens);
    }

    private static EngineRequest AsEmbedding(EngineRequest request) =>
        request with { Sampling = SamplingParameters.None, Pooling = Granary.Engine.Prompts.Pooling.Mean };

    /// <summary>One of few beginnings, a middle of few, and an end; never a multiple of a block, whose last one would be computed again.</summary>
    private static int[] Branch(Random random)
    {
        int[] whole = [.. Part(random.Next(2), 40), .. Part(10 + random.Next(2), 50), .. Part(20 + random.Next(3), 60)];
        var length = random.Next(1, whole.Length);
        return whole[..(length % BlockTokens == 0 ? length + 1 : length)];

        static int[] Part(int kind, int length) => Ids(kind, length);
    }

    private static int[] Ids(int seed, int length) => EngineHarness.RandomPrompt(new(seed), length, Vocabulary - 1);

    private void RunToEnd(Scheduler scheduler, int depth, params Sequence[] sequences)
    {
        for (var steps = 0; sequences.Any(sequence => sequence.State != SequenceState.Ended); steps++)
        {
            Step(scheduler, depth);
            Assert.True(steps < 1000, "No end in sight.");
        }

        Assert.Equal(0, scheduler.Cache.UsedCount);
    }

    /// <summary>Begins as many steps as may be in flight, and ends the oldest.</summary>
    private void Step(Scheduler scheduler, int depth = 1)
    {
        while (_inFlight.Count < depth && scheduler.Schedule() is { } step) _inFlight.Enqueue(step);
        if (_inFlight.TryDequeue(out var oldest)) Complete(scheduler, oldest);
    }

    private void Complete(Scheduler scheduler, ScheduledStep step)
    {
        _computed += step.Plan.TokenCount;
        foreach (var sequence in step.Planned)
        {
            // The rows' content is of no interest here.
            for (var left = sequence.Reading?.RowsOf(sequence.Computed, sequence.Scheduled) ?? 0; left > 0; left--)
                sequence.Reading!.Take(new float[Vocabulary], _sampler);
        }

        scheduler.Complete(step, [.. step.Sampled.Select(_ => new SampledToken(Vocabulary - 1))]); // An id that no prompt has.
        foreach (var (handle, token) in scheduler.Outbox) handle.Write(token);
        scheduler.Outbox.Clear();
    }

    private static Scheduler Create(int tokens, int running = 16, int blocks = 1024, int depth = 1) =>
        new(new(Vocabulary, Vocabulary, 2048, blocks, BlockTokens, MaxLogitRows: 64, depth), new() { MaxTokensPerStep = tokens, MaxRunningSequences = running });

    private static Sequence Add(
        Scheduler scheduler, int[] prompt, int limit = 50, int buffered = 1000, Func<EngineRequest, EngineRequest>? request = null)
    {
        var made = EngineHarness.Request(prompt, limit);
        if (request is not null) made = request(made);
        var sequence = new Sequence(made, made.Sampling.MaxTokens, new(buffered));
        scheduler.Add(sequence);
        return sequence;
    }
}
