using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Routing;
using Granary.Grains;
using Granary.Grains.Models;
using Granary.Grains.Workers;
using Granary.Tests.Support;

namespace Granary.Tests.Cluster.Grains;

/// <summary>Rules that need neither grains nor engines.</summary>
public sealed class SmallRulesTests
{
    [Fact]
    public void PrefixHash_SameHead_HashesAlikeWhateverFollows()
    {
        var prompt = GrainsFixture.Prompt(1, 200);

        Assert.Equal(PrefixHash.Of(prompt.AsSpan(0, 64)), PrefixHash.Of(prompt));
        Assert.Equal(PrefixHash.Of(prompt.AsSpan(0, 48)), PrefixHash.Of(prompt.AsSpan(0, 63)));
        Assert.NotEqual(PrefixHash.Of(prompt.AsSpan(0, 15)), PrefixHash.Of(prompt.AsSpan(0, 14)));
        Assert.NotEqual(PrefixHash.Of(prompt), PrefixHash.Of(prompt, "salt"));
        Assert.NotEqual(PrefixHash.Of(prompt, "pepper"), PrefixHash.Of(prompt, "salt"));
    }

    /// <summary>Clients and silos of other builds must agree: the value is part of the contract.</summary>
    [Fact]
    public void PrefixHash_IsFnv1aOverLittleEndianIds() => Assert.Equal(0xFC179F83EE0724DD, PrefixHash.Of([0x64636261])); // The octets of "abcd".

    [Fact]
    public void RetryClock_ShortLives_AreSlowedDownUpToTheBound()
    {
        var time = new ManualTime();
        var clock = new RetryClock(new ModelGrainOptions { RetryPause = TimeSpan.FromSeconds(1), MaxRetryPause = TimeSpan.FromSeconds(5) }, time);
        var pauses = new List<double>();
        for (var life = 0; life < 6; life++)
        {
            clock.Loaded();
            clock.LifeEnded();
            pauses.Add(clock.Remaining.TotalSeconds);
            time.Advance(clock.Remaining);
        }

        Assert.Equal([0, 1, 2, 4, 5, 5], pauses);
        clock.Loaded();
        time.Advance(TimeSpan.FromSeconds(5));
        clock.LifeEnded();
        Assert.Equal(TimeSpan.Zero, clock.Remaining); // It had lasted.
        clock.LoadFailed();
        Assert.Equal(TimeSpan.FromSeconds(2), clock.Remaining);
    }

    [Fact]
    public void WorkerBudget_NoMemoryLeft_SaysHowMuchThereIs()
    {
        var budget = new WorkerBudget(Cores: 2, GivenCores: 0, MemoryBytes: 100L << 20, UsedBytes: 90L << 20, MinFreeBytes: 20L << 20);

        var error = Assert.Throws<ModelLoadException>(() => budget.Require("Replica 'm/0'", 1, 0, "s/cpu"));

        Assert.Contains("90 MiB of 100 MiB", error.Message);
        (budget with { UsedBytes = 80L << 20 }).Require("Replica 'm/0'", 2, 0, "s/cpu");
    }

    [Fact]
    public void WorkerBudget_CopiesMayTakeMoreThanThereIs_SaysByHowMuch()
    {
        var budget = new WorkerBudget(Cores: 2, GivenCores: 0, MemoryBytes: 100L << 20, UsedBytes: 130L << 20, MinFreeBytes: 0, CopyBytes: 50L << 20);

        var error = Assert.Throws<ModelLoadException>(() => budget.RequireKept("Replica 'm/0'", "s/cpu"));

        Assert.Contains("130 MiB (80 MiB now, 50 MiB that copies of KV caches may still take) of 100 MiB", error.Message);
        Assert.Contains("lower by 31 MiB", error.Message);
        (budget with { UsedBytes = 100L << 20 }).RequireKept("Replica 'm/0'", "s/cpu");
        (budget with { CopyBytes = 0 }).RequireKept("Replica 'm/0'", "s/cpu"); // Loaded, and nothing more to come.
    }
}
