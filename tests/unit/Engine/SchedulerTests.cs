using Granary.Engine;
using Granary.Engine.Execution;
using Granary.Engine.Sampling;
using Granary.Engine.Scheduling;

namespace Granary.Tests.Unit.Engine;

public sealed class SchedulerTests
{
    private const int Context = 256;

    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 80)];

    [Fact]
    public void Schedule_BudgetSmallerThanPrompt_ChunksPrefill()
    {
        var scheduler = Create(tokens: 4);
        scheduler.Add(Sequence(10, 1));

        var chunks = new List<(int Past, int Tokens, int Sampled)>();
        while (scheduler.Schedule() is { } step)
        {
            chunks.Add((step.Plan.PastLengths[0], step.Plan.TokenCount, step.Plan.LogitCount));
            Complete(scheduler, step);
        }

        Assert.Equal([(0, 4, 0), (4, 4, 0), (8, 2, 1)], chunks);
    }

    [Fact]
    public void Schedule_DecodingAndPrefilling_DecodesFirst()
    {
        var scheduler = Create(tokens: 6);
        scheduler.Add(Sequence(4, 9));
        Step(scheduler);
        scheduler.Add(Sequence(20, 9));
        var plan = scheduler.Schedule()!.Plan;

        Assert.Equal([0, 1, 6], plan.CumulativeSequenceLengths[..3]);
        Assert.Equal([4, 0], plan.PastLengths[..2]);
        Assert.Equal([0], plan.HiddenRows[..plan.HiddenCount]);
        Assert.Equal([0], plan.LogitRows[..plan.LogitCount]);
    }

    [Fact]
    public void Schedule_OutOfBlocks_PreemptsYoungest()
    {
        var scheduler = Create(blocks: 4, blockTokens: 4, prefixCaching: false);
        var (older, younger) = (Sequence(7, 20), Sequence(7, 20));
        scheduler.Add(older);
        scheduler.Add(younger);
        Step(scheduler); // Both have 2 blocks of 4 tokens and decode their 8th token next, then need a third.
        Step(scheduler);
        Step(scheduler);

        Assert.Equal(SequenceState.Running, older.State);
        Assert.Equal(SequenceState.Waiting, younger.State);
        Assert.Equal(0, younger.Blocks.Count);
        Assert.Equal(9, younger.Pending); // What it generated is prefilled with the prompt.
        Assert.Equal(1, scheduler.Counters.Preemptions);
    }

    [Fact]
    public void Schedule_PreemptedAndNewcomerWait_ResumesPreemptedFirst()
    {
        var scheduler = Create(blocks: 4, blockTokens: 4, prefixCaching: false);
        var (older, younger) = (Sequence(7, 9), Sequence(7, 20));
        scheduler.Add(older);
        scheduler.Add(younger);
        while (younger.State != SequenceState.Waiting || older.State == SequenceState.Waiting) Step(scheduler);
        var newcomer = Sequence(1, 1);
        scheduler.Add(newcomer);
        while (older.State != SequenceState.Ended)
        {
            Step(scheduler);
            Assert.False(newcomer.Started); // It would fit, but overtaking could starve a large one.
        }

        Step(scheduler);
        Assert.Equal(SequenceState.Running, younger.State);
    }

    [Fact]
    public void Schedule_MoreSequencesThanCap_RunsTheFirst()
    {
        var scheduler = Create(running: 2);
        for (var i = 0; i < 5; i++) scheduler.Add(Sequence(3, 2));
        Step(scheduler);

        Assert.Equal((2, 3), (scheduler.RunningCount, scheduler.WaitingCount));
    }

    [Fact]
    public void Schedule_ReaderBehind_PausesOnlyItsSequence()
    {
        var scheduler = Create();
        var (slow, quick) = (Sequence(3, 50, buffered: 4), Sequence(3, 50));
        scheduler.Add(slow);
        scheduler.Add(quick);
        for (var i = 0; i < 20; i++) Step(scheduler);

        Assert.Equal(4, slow.GeneratedCount);
        Assert.Equal(20, quick.GeneratedCount);

        while (slow.Handle.TryRead(out _))
        {
        }

        Step(scheduler);
        Assert.Equal(5, slow.GeneratedCount);
    }

    [Fact]
    public void Schedule_BlocksNeeded_TakesThemFromPausedFirst()
    {
        var scheduler = Create(blocks: 4, blockTokens: 4, prefixCaching: false);
        var (slow, quick) = (Sequence(4, 50, buffered: 2), Sequence(4, 12));
        scheduler.Add(slow); // The older, which would otherwise be last to go.
        scheduler.Add(quick);
        for (var i = 0; i < 12; i++) Step(scheduler);

        Assert.Equal(SequenceState.Ended, quick.State);
        Assert.Equal((2, SequenceState.Waiting), (slow.GeneratedCount, slow.State));
        Assert.Null(scheduler.Schedule()); // Nothing runs until the reader comes.

        while (slow.Handle.TryRead(out _))
        {
        }

        Assert.Equal(6, scheduler.Schedule()!.Plan.TokenCount); // Prompt and both tokens, computed again.
    }

    [Fact]
    public void Schedule_PausedFillTheCap_GivesTheirPlaceToWaiting()
    {
        var scheduler = Create(running: 1);
        var slow = Sequence(3, 50, buffered: 1);
        scheduler.Add(slow);
        Step(scheduler);
        var next = Sequence(3, 2);
        scheduler.Add(next);
        Step(scheduler);
        Step(scheduler);

        Assert.Equal(SequenceState.Ended, next.State);
        Assert.Equal(SequenceState.Waiting, slow.State);
    }

    [Fact]
    public void Complete_AfterCancel_DropsLateTokens()
    {
        var scheduler = Create();
        var sequence = Sequence(20, 5);
        scheduler.Add(sequence);
        var step = scheduler.Schedule()!;
        scheduler.Cancel(sequence, SequenceEnd.Cancelled);
        scheduler.Cancel(sequence, SequenceEnd.Deadline);
        Assert.Equal(2, scheduler.Cache.UsedCount); // The step writes into them.
        Complete(scheduler, step);

        Assert.True(sequence.Handle.TryRead(out var only));
        Assert.Equal(new GeneratedToken(0, -1, 0, SequenceEnd.Cancelled), only);
        Assert.False(sequence.Handle.TryRead(out _));
        Assert.Equal(0, scheduler.Cache.UsedCount);
    }

    [Fact]
    public void Complete_StopId_EndsWithStop()
    {
        var scheduler = Create();
        var sequence = Sequence(3, 5, stop: 7);
        scheduler.Add(sequence);
        Step(scheduler);
        scheduler.Complete(scheduler.Schedule()!, [new(7)]);

        Assert.Equal(SequenceEnd.Stop, scheduler.Outbox[^1].Token.End);
        Assert.Equal(7, scheduler.Outbox[^1].Token.TokenId);
        Assert.Equal(0, scheduler.Cache.UsedCount);
    }

    [Fact]
    public void Schedule_ManyPromptsAndSteps_SharesThemOut()
    {
        var scheduler = Create(tokens: 256, depth: 4);
        for (var i = 0; i < 8; i++) scheduler.Add(Sequence(3 + i, 2));

        var steps = Enumerable.Range(0, 4).Select(_ => scheduler.Schedule()!).ToArray();

        Assert.Equal([3 + 4, 5 + 6, 7 + 8, 9 + 10], steps.Select(step => step.Plan.TokenCount));
        Assert.Null(scheduler.Schedule());
        Complete(scheduler, steps[0]);
        Assert.Equal(steps[0].Plan.SequenceCount, scheduler.Schedule()!.Plan.SequenceCount);
    }

    [Fact]
    public void Schedule_BlocksHeldInFlight_WaitsForThemAndLetsNobodyPass()
    {
        var scheduler = Create(blocks: 5, blockTokens: 4, prefixCaching: false, depth: 3);
        var (older, younger, youngest) = (Sequence(7, 20), Sequence(7, 20), Sequence(2, 20));
        foreach (var sequence in (Sequence[])[older, younger, youngest]) scheduler.Add(sequence);
        var (first, second, third) = (scheduler.Schedule()!, scheduler.Schedule()!, scheduler.Schedule()!);
        Complete(scheduler, first);
        Complete(scheduler, scheduler.Schedule()!); // Its 8 tokens fill its blocks, and all five are taken.
        Complete(scheduler, third);
        Assert.Equal((0, 8), (scheduler.Cache.FreeCount, older.Computed));

        // The second is in flight; so the third gives its block.
        var step = scheduler.Schedule()!;
        Assert.Equal([older], step.Planned);
        Assert.Equal((SequenceState.Running, SequenceState.Waiting), (younger.State, youngest.State));
        for (; older.Computed < 12; step = scheduler.Schedule()!) Complete(scheduler, step);

        // Now there is nobody else: it waits for the second to come back, and then takes its blocks.
        Assert.Null(step);
        Assert.Equal(0, older.Scheduled);
        Complete(scheduler, second);
        Assert.Equal([older], scheduler.Schedule()!.Planned);
        Assert.Equal(SequenceState.Waiting, younger.State);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void Step_Decoding_AllocatesNothing(int depth)
    {
        var scheduler = new Scheduler(new(100, 8, 2048, 512, 16, 64, depth), new());
        var inFlight = new Queue<ScheduledStep>(depth);
        var sampler = new Sampler(100);
        var logits = new float[100];
        var sequences = Enumerable.Range(0, 8).Select(i => Sequence(3 + i, 2000)).ToArray();
        foreach (var sequence in sequences) scheduler.Add(sequence);
        var tokens = new SampledToken[8];
        long allocated = 0;
        for (var step = 0; step < 900 * depth; step++)
        {
            // The lists of tokens and blocks double now and then; none of them does in these steps.
            if (step == 700 * depth) allocated = GC.GetAllocatedBytesForCurrentThread();
            while (inFlight.Count < depth && scheduler.Schedule() is { } made) inFlight.Enqueue(made);
            var scheduled = inFlight.Dequeue();
            for (var i = 0; i < scheduled.Sampled.Count; i++)
            {
                var sequence = scheduled.Sampled[i];
                tokens[i] = sampler.Sample(logits, sequence.Sampling, sequence.Prompt, sequence.Output, i, i);
            }

            scheduler.Complete(scheduled, tokens);
            foreach (var (handle, token) in scheduler.Outbox)
            {
                handle.Write(token);
                handle.TryRead(out _);
            }

            scheduler.Outbox.Clear();
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - allocated);
    }

    /// <summary>Whatever arrives, leaves and is read when: budget and cap hold, each index comes once and in order, everything ends, all blocks return.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void AnyArrivalOrder_EverySequenceFinishes(int seed)
    {
        var random = new Random(seed);
        var (tokens, running, blocks) = (random.Next(1, 40), random.Next(1, 12), random.Next(8, 40));
        const int BlockTokens = 8;
        var depth = 1 + seed % 4;
        var scheduler = Create(tokens, running, blocks, BlockTokens, prefixCaching: random.Next(2) == 0, depth);
        var inFlight = new Queue<ScheduledStep>();
        var room = Math.Min(Context, blocks * BlockTokens);
        var all = new List<Sequence>();
        var read = new Dictionary<Sequence, List<GeneratedToken>>();
        var steps = 0;
        while (all.Count < 40 || all.Exists(sequence => sequence.State != SequenceState.Ended))
        {
            if (all.Count < 40 && random.Next(3) > 0)
            {
                var prompt = random.Next(1, room);
                var sequence = Sequence(prompt, Math.Min(random.Next(1, 40), room - prompt), buffered: random.Next(1, 20), kinds: 2, random: random, alone: random.Next(6) == 0);
                all.Add(sequence);
                read[sequence] = [];
                scheduler.Add(sequence);
            }

            if (random.Next(40) == 0 && all.Count > 0) scheduler.Cancel(all[random.Next(all.Count)], SequenceEnd.Cancelled);
            while (inFlight.Count < depth && scheduler.Schedule() is { } step)
            {
                CheckPlan(scheduler, step.Plan, tokens, running);
                Assert.Empty(inFlight.SelectMany(ahead => ahead.Planned).Intersect(step.Planned));
                if (inFlight.SelectMany(ahead => ahead.Planned).Concat(step.Planned).Any(sequence => sequence.IsAlone))
                    Assert.Equal((0, 1), (inFlight.Count, step.Planned.Count));
                inFlight.Enqueue(step);
            }

            if (inFlight.TryDequeue(out var oldest)) Complete(scheduler, oldest);
            else HandOut(scheduler);
            foreach (var sequence in all)
            {
                // Half of the readers look at any time, so that some are behind and none forever.
                while (random.Next(2) == 0 && sequence.Handle.TryRead(out var token)) read[sequence].Add(token);
            }

            Assert.True(++steps < 20_000, "No end in sight.");
        }

        foreach (var sequence in all)
        {
            while (sequence.Handle.TryRead(out var token)) read[sequence].Add(token);
            Assert.Equal(Enumerable.Range(0, read[sequence].Count), read[sequence].Select(token => token.Index));
            Assert.All(read[sequence].SkipLast(1), token => Assert.Null(token.End));
            Assert.NotNull(read[sequence][^1].End);
            if (read[sequence][^1].End == SequenceEnd.Length) Assert.Equal(sequence.Limit, read[sequence].Count);
        }

        Assert.Equal((0, 0), (scheduler.RunningCount, scheduler.WaitingCount));
        Assert.Equal(blocks, scheduler.Cache.FreeCount);
        Assert.Equal(40, scheduler.TakeNoLongerQueued());
    }

    private static void CheckPlan(Scheduler scheduler, StepPlan plan, int tokens, int running)
    {
        Assert.InRange(plan.TokenCount, 1, tokens);
        Assert.InRange(plan.SequenceCount, 1, running);
        Assert.Equal(plan.TokenCount, plan.CumulativeSequenceLengths[plan.SequenceCount]);
        Assert.Equal(plan.HiddenRows.Take(plan.HiddenCount).Distinct().Order(), plan.HiddenRows.Take(plan.HiddenCount));
        Assert.Equal(plan.LogitRows.Take(plan.LogitCount).Distinct().Order(), plan.LogitRows.Take(plan.LogitCount));
        var used = plan.BlockTable.Take(plan.SequenceCount * plan.BlockTableWidth).Where(block => block >= 0).Distinct().Count();
        Assert.True(used <= scheduler.Cache.UsedCount, "A plan names blocks that nobody holds.");
    }

    private static void Step(Scheduler scheduler)
    {
        if (scheduler.Schedule() is { } step) Complete(scheduler, step);
    }

    private static void Complete(Scheduler scheduler, ScheduledStep step)
    {
        var tokens = new SampledToken[step.Sampled.Count];
        for (var i = 0; i < tokens.Length; i++) tokens[i] = new(step.Sampled[i].TokenCount % 2);
        scheduler.Complete(step, tokens);
        HandOut(scheduler);
    }

    private static void HandOut(Scheduler scheduler)
    {
        foreach (var (handle, token) in scheduler.Outbox) handle.Write(token);
        scheduler.Outbox.Clear();
    }

    private static Scheduler Create(
        int tokens = 64, int running = 8, int blocks = 64, int blockTokens = 16, bool prefixCaching = true, int depth = 1) =>
        new(new(100, 8, Context, blocks, blockTokens, MaxLogitRows: 64, depth), new() { MaxTokensPerStep = tokens, MaxRunningSequences = running, PrefixCaching = prefixCaching });

    private static Sequence Sequence(
        int prompt, int limit, int buffered = 1000, int stop = -1, int kinds = 50, Random? random = null, bool alone = false)
    {
        var ids = new int[prompt];
        for (var i = 0; i < prompt; i++) ids[i] = random?.Next(kinds) ?? i % kinds;
        return new(
            new()
            {
                RequestId = "r",
                PromptTokenIds = ids,
                Sampling = new() { MaxTokens = limit, StopTokenIds = new HashSet<int> { stop } },
                Alone = alone,
            },
            limit,
            new(buffered));
    }
}
