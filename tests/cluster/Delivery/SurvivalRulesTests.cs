using System.Diagnostics.Metrics;
using Granary.Client;

namespace Granary.Tests.Cluster.Delivery;

/// <summary>Bounds, pauses and names of what keeps streams alive.</summary>
public sealed class SurvivalRulesTests
{
    public static TheoryData<SurvivalOptions, string> OutOfBounds() => new()
    {
        { new() { MaxLives = 0 }, "SurvivalOptions.MaxLives is 0; it must be from 1 to 64." },
        { new() { MaxWait = TimeSpan.FromTicks(-1) }, "SurvivalOptions.MaxWait is -00:00:00.0000001; it must be from 00:00:00 to 1.00:00:00." },
        { new() { StallSteps = double.NaN }, "SurvivalOptions.StallSteps is NaN; it must be from 1.5 to 1000." },
        { new() { SilenceLimit = default }, "SurvivalOptions.SilenceLimit is 00:00:00; it must be from 00:00:00.0500000 to 00:01:00." },
    };

    [Theory, MemberData(nameof(OutOfBounds), DisableDiscoveryEnumeration = true)]
    public void Validate_OutOfBounds_NamesOptionValueAndBound(SurvivalOptions options, string message) =>
        Assert.Equal([message], new SurvivalOptionsValidator().Validate(null, options).Failures);

    [Fact]
    public void Validate_Defaults_AreWithinBounds() => Assert.True(new SurvivalOptionsValidator().Validate(null, new()).Succeeded);

    [Fact]
    public void CopyTo_CopiesEveryOption()
    {
        var from = new SurvivalOptions
        {
            MaxLives = 1,
            MaxWait = TimeSpan.FromSeconds(1),
            SilenceLimit = TimeSpan.FromSeconds(2),
            StallLimit = TimeSpan.FromSeconds(3),
            StallSteps = 4,
            WarmUpLimit = TimeSpan.FromSeconds(5),
            AnswerLimit = TimeSpan.FromSeconds(6),
        };
        var to = new SurvivalOptions();

        from.CopyTo(to);

        Assert.All(typeof(SurvivalOptions).GetProperties(), property =>
        {
            Assert.NotEqual(property.GetValue(new SurvivalOptions()), property.GetValue(from));
            Assert.Equal(property.GetValue(from), property.GetValue(to));
        });
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(1, 0)]
    [InlineData(2, 50)]
    [InlineData(4, 200)]
    [InlineData(7, 1000)]
    [InlineData(int.MaxValue, 1000)]
    public void After_SoManyFailures_PausesWithinAHalf(int failures, double mostMilliseconds)
    {
        const int Seed = 3;
        var pause = new RetryPauses(new Random(Seed)).After(failures);

        Assert.True(pause.TotalMilliseconds >= mostMilliseconds / 2 && pause.TotalMilliseconds <= mostMilliseconds, $"{pause}, seed {Seed}");
    }

    [Fact]
    public void Continued_IsCountedByModelAndReason()
    {
        var seen = new List<(string Name, double Value, string Tags)>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, listener) =>
            {
                if (instrument.Meter.Name == GrainGenerationClient.MeterName) listener.EnableMeasurementEvents(instrument);
            },
        };
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Note(instrument.Name, value, tags));
        listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Note(instrument.Name, value, tags));
        listener.Start();

        new SurvivalMetrics(null).Continued("counted", LossReason.Stall, TimeSpan.FromSeconds(0.5));

        Assert.Equal(
            [("granary.stream.continuations", 1, "model_name=counted,reason=stall"), ("granary.stream.continuation.pause", 0.5, "model_name=counted,reason=stall")],
            seen.Where(measurement => measurement.Tags.Contains("=counted,", StringComparison.Ordinal)));

        void Note(string name, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            lock (seen) seen.Add((name, value, string.Join(',', tags.ToArray().Select(tag => $"{tag.Key}={tag.Value}"))));
        }
    }
}
