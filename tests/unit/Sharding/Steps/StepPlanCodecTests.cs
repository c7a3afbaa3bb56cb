using System.Buffers.Binary;
using Granary.Engine.Execution;
using Granary.Sharding.Links;
using Granary.Sharding.Steps;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Sharding.Steps;

/// <summary>A plan arrives as it was sent, and what is no plan arrives as an error.</summary>
public sealed class StepPlanCodecTests
{
    private static readonly SimulatedModel Model = new() { ContextLength = 400, KvBlockCount = 64, MaxTokensPerStep = 128, MaxSequencesPerStep = 8, MaxLogitRows = 16 };

    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, 20)];

    private static ShardShape Shape => new(Model.Cut(1, 1)[0], Model.Shape(1), Model.MaxTokensPerStep, Model.MaxSequencesPerStep);

    /// <summary>Whatever sequences come, grow, shrink and go, every decoded plan equals the one encoded.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void Decode_AnyHistoryOfPlans_GivesThePlansBack(int seed)
    {
        var random = new Random(seed);
        var encoder = NewEncoder();
        var decoder = new StepPlanDecoder(Shape);
        var sequences = new List<FakeSequence>();
        var decoded = new StepPlan();
        for (var step = 1; step <= 300; step++)
        {
            sequences.RemoveAll(_ => random.Next(12) == 0);
            while (sequences.Count < random.Next(1, 12)) sequences.Add(new(random));
            var plan = FakeSequence.Plan(step, [.. sequences.Where(_ => random.Next(3) > 0).DefaultIfEmpty(sequences[0]).Take(Model.MaxSequencesPerStep)], random);

            decoder.Decode(step, encoder.Encode(plan), decoded);

            AssertEqual(plan, decoded);
        }
    }

    [Fact]
    public void Encode_SequencesThatGoOn_SendsOnlyNewBlocks()
    {
        var encoder = NewEncoder();
        var plan = Decode(step: 1, past: 320, blocks: 21);
        var whole = encoder.Encode(plan).Length;

        var again = encoder.Encode(Decode(step: 2, past: 321, blocks: 21)).Length;
        var grown = encoder.Encode(Decode(step: 3, past: 322, blocks: 22)).Length;

        Assert.Equal(whole - 21 * sizeof(int), again);
        Assert.Equal(again + sizeof(int), grown);
    }

    /// <summary>Any word of a plan may be anything: it is refused with a typed error, or it is a plan within the device's bounds.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void Decode_WordsReplaced_RefusesOrStaysWithinBounds(int seed)
    {
        var random = new Random(seed);
        var refused = 0;
        for (var round = 0; round < 300; round++)
        {
            var payload = NewEncoder().Encode(FakeSequence.Plan(1, [new(random), new(random), new(random)], random)).ToArray();
            for (var changes = random.Next(1, 4); changes > 0; changes--)
            {
                var value = random.Next(4) switch { 0 => random.Next(-2, 3), 1 => int.MaxValue, 2 => random.Next(), _ => int.MinValue };
                BinaryPrimitives.WriteInt32LittleEndian(payload.AsSpan(random.Next(payload.Length / sizeof(int)) * sizeof(int)), value);
            }

            var plan = new StepPlan();
            try
            {
                new StepPlanDecoder(Shape).Decode(1, payload, plan);
            }
            catch (LinkException error)
            {
                Assert.Equal(LinkFailure.Corrupt, error.Failure);
                refused++;
                continue;
            }

            AssertWithinBounds(plan);
        }

        Assert.True(refused > 150, $"Only {refused} of 300 were refused.");
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    [InlineData(19)]
    [InlineData(20)]
    [InlineData(44)]
    public void Decode_CutShort_IsRefused(int length)
    {
        var payload = NewEncoder().Encode(Decode(1, 320, 21))[..length].ToArray();

        var error = Assert.Throws<LinkException>(() => new StepPlanDecoder(Shape).Decode(1, payload, new()));

        Assert.Contains("step 1", error.Message);
    }

    [Fact]
    public void Decode_WordsTooMany_IsRefused()
    {
        byte[] payload = [.. NewEncoder().Encode(Decode(1, 320, 21)), 0, 0, 0, 0];

        Assert.Throws<LinkException>(() => new StepPlanDecoder(Shape).Decode(1, payload, new()));
    }

    private static StepPlanEncoder NewEncoder() => new(Model.KvBlockTokens, StepPlanEncoder.SlotsFor(Model.MaxSequencesPerStep));

    private static StepPlan Decode(long step, int past, int blocks) => new()
    {
        Step = step,
        TokenCount = 1,
        SequenceCount = 1,
        BlockTableWidth = blocks,
        HiddenCount = 1,
        LogitCount = 1,
        TokenIds = [3],
        CumulativeSequenceLengths = [0, 1],
        PastLengths = [past],
        BlockTable = [.. Enumerable.Range(7, blocks)],
        HiddenRows = [0],
        LogitRows = [0],
        RowTemperatures = [RowWants.Whole],
    };

    private static void AssertEqual(StepPlan expected, StepPlan actual)
    {
        Assert.Equal(expected.Step, actual.Step);
        Assert.Equal(expected.TokenIds[..expected.TokenCount], actual.TokenIds[..actual.TokenCount]);
        Assert.Equal(expected.CumulativeSequenceLengths[..(expected.SequenceCount + 1)], actual.CumulativeSequenceLengths[..(actual.SequenceCount + 1)]);
        Assert.Equal(expected.PastLengths[..expected.SequenceCount], actual.PastLengths[..actual.SequenceCount]);
        Assert.Equal(expected.BlockTableWidth, actual.BlockTableWidth);
        Assert.Equal(expected.BlockTable[..(expected.SequenceCount * expected.BlockTableWidth)], actual.BlockTable[..(actual.SequenceCount * actual.BlockTableWidth)]);
        Assert.Equal(expected.HiddenRows[..expected.HiddenCount], actual.HiddenRows[..actual.HiddenCount]);
        Assert.Equal(expected.LogitRows[..expected.LogitCount], actual.LogitRows[..actual.LogitCount]);
        Assert.Equal(expected.RowTemperatures[..expected.LogitCount], actual.RowTemperatures[..actual.LogitCount]);
    }

    private static void AssertWithinBounds(StepPlan plan)
    {
        Assert.InRange(plan.TokenCount, 1, Model.MaxTokensPerStep);
        Assert.InRange(plan.SequenceCount, 1, Model.MaxSequencesPerStep);
        Assert.Equal(plan.TokenCount, plan.CumulativeSequenceLengths[plan.SequenceCount]);
        Assert.All(plan.TokenIds[..plan.TokenCount], id => Assert.InRange(id, 0, Model.VocabularySize - 1));
        Assert.All(plan.HiddenRows[..plan.HiddenCount], row => Assert.InRange(row, 0, plan.TokenCount - 1));
        Assert.All(plan.LogitRows[..plan.LogitCount], row => Assert.InRange(row, 0, plan.HiddenCount - 1));
        for (var b = 0; b < plan.SequenceCount; b++)
        {
            var length = plan.PastLengths[b] + plan.CumulativeSequenceLengths[b + 1] - plan.CumulativeSequenceLengths[b];
            Assert.InRange(length, 1, Model.ContextLength);
            for (var position = 0; position < length; position++)
                Assert.InRange(plan.BlockTable[b * plan.BlockTableWidth + position / Model.KvBlockTokens], 0, Model.KvBlockCount - 1);
        }
    }

    /// <summary>A sequence that grows by random pieces, and now and then begins anew: preempted, or another's.</summary>
    private sealed class FakeSequence(Random random)
    {
        private readonly List<int> _blocks = [];
        private int _past;

        public static StepPlan Plan(long step, FakeSequence[] sequences, Random random)
        {
            var lengths = sequences.Select(sequence => sequence.Advance()).ToArray();
            var rows = sequences.Select((_, b) => b).Where(_ => random.Next(2) == 0).ToArray();
            var width = sequences.Max(sequence => sequence._blocks.Count) + random.Next(2);
            width = Math.Min(width, Model.ContextLength / Model.KvBlockTokens);
            var cumulative = new int[sequences.Length + 1];
            for (var b = 0; b < sequences.Length; b++) cumulative[b + 1] = cumulative[b] + lengths[b].Tokens;
            return new()
            {
                Step = step,
                TokenCount = cumulative[^1],
                SequenceCount = sequences.Length,
                BlockTableWidth = width,
                HiddenCount = rows.Length,
                LogitCount = rows.Length / 2,
                TokenIds = [.. Enumerable.Range(0, cumulative[^1]).Select(_ => random.Next(Model.VocabularySize))],
                CumulativeSequenceLengths = cumulative,
                PastLengths = [.. lengths.Select(length => length.Past)],
                BlockTable = [.. sequences.SelectMany(sequence => sequence._blocks.Concat(Enumerable.Repeat(-1, width - sequence._blocks.Count)))],
                HiddenRows = [.. rows.Select(b => cumulative[b + 1] - 1)],
                LogitRows = [.. Enumerable.Range(0, rows.Length / 2).Select(s => 2 * s)],
                RowTemperatures = [.. Enumerable.Range(0, rows.Length / 2).Select(_ => random.Next(3) switch { 0 => RowWants.Whole, 1 => RowWants.Highest, _ => 0.7f })],
            };
        }

        private (int Past, int Tokens) Advance()
        {
            if (_past > 0 && random.Next(20) == 0)
            {
                _past = random.Next(_past + 1);
                _blocks.RemoveRange(random.Next(_blocks.Count), 1);
                while (_blocks.Count > 0 && _blocks.Count * Model.KvBlockTokens >= _past + Model.KvBlockTokens) _blocks.RemoveAt(_blocks.Count - 1);
            }

            var tokens = random.Next(3) == 0 ? random.Next(1, 16) : 1;
            if (_past + tokens > Model.ContextLength)
            {
                _past = 0;
                _blocks.Clear();
            }

            while (_blocks.Count * Model.KvBlockTokens < _past + tokens) _blocks.Add(random.Next(Model.KvBlockCount));
            _past += tokens;
            return (_past - tokens, tokens);
        }
    }
}
