using Orleans;
using Orleans.Serialization;

namespace Granary.Tests.Cluster.Runtime;

public sealed class IsolationTests(RuntimeCluster runtime) : IClassFixture<RuntimeCluster>
{
    public static readonly int[] Shared = [1, 2, 3];

    private readonly string _key = Guid.NewGuid().ToString("N");

    private static Everything Sample => new()
    {
        Text = "grün €",
        Numbers = [1, -2, int.MaxValue],
        Words = ["a", "b"],
        Map = new() { [5] = 1.5f },
        Color = Color.Green,
        Id = Guid.NewGuid(),
        When = new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.FromHours(2)),
        Span = TimeSpan.FromMilliseconds(12.5),
        Shape = new Circle("c", 2.5),
        Points = [new(1, 2), new(3, 4)],
        Fixed = [7, 8],
        Chain = new Node { Text = "one", Next = new Node { Text = "two" } },
        Pair = (3, "three"),
        Bytes = [0, 255],
        Large = ulong.MaxValue,
        Ratio = 0.25,
        Set = ["x", "y"],
        Local = "stays",
    };

    [Theory]
    [InlineData("Silo_0")]
    [InlineData("Silo_1")]
    public async Task Message_ArrivesWhole_FromTheClient(string silo)
    {
        var sent = Sample;
        var back = await runtime.Client.GetGrain<IPlacedGrain>($"{silo}/{_key}").EchoAsync(sent);
        Assert.NotSame(sent, back);
        Assert.Equal(sent.Text, back.Text);
        Assert.Equal(sent.Numbers, back.Numbers);
        Assert.Equal(sent.Words, back.Words);
        Assert.Equal(sent.Map, back.Map);
        Assert.Equal(sent.Color, back.Color);
        Assert.Equal(sent.Id, back.Id);
        Assert.Equal(sent.When, back.When);
        Assert.Equal(sent.When!.Value.Offset, back.When!.Value.Offset);
        Assert.Equal(sent.Span, back.Span);
        Assert.Equal(sent.Shape, back.Shape);
        Assert.Equal(sent.Points, back.Points);
        Assert.Equal(sent.Fixed.AsEnumerable(), back.Fixed);
        Assert.Equal(sent.Chain, back.Chain);
        Assert.Equal(sent.Pair, back.Pair);
        Assert.Equal(sent.Bytes, back.Bytes);
        Assert.Equal(sent.Large, back.Large);
        Assert.Equal(sent.Ratio, back.Ratio);
        Assert.Equal(sent.Set, back.Set);
        Assert.Equal("", back.Local);
    }

    [Fact]
    public async Task Argument_ChangedByTheGrain_IsUnchangedForTheCaller()
    {
        int[] numbers = [5, 6];
        // From within a silo to a grain of the same one.
        var factory = SiloFactory();
        await factory.GetGrain<IPlacedGrain>($"Silo_0/{_key}").MutateAsync(numbers);
        Assert.Equal([5, 6], numbers);
    }

    [Fact]
    public async Task ImmutableArgument_WithinASilo_IsPassedAsItIs()
    {
        var factory = SiloFactory();
        Assert.True(await factory.GetGrain<IPlacedGrain>($"Silo_0/{_key}").IsSameAsync(Shared));
        Assert.False(await factory.GetGrain<IPlacedGrain>($"Silo_1/{_key}").IsSameAsync(Shared));
    }

    [Theory]
    [InlineData("Silo_0", "Silo_0")]
    [InlineData("Silo_0", "Silo_1")]
    public async Task Result_ChangedByTheCaller_IsUnchangedForTheGrain(string caller, string callee)
    {
        var result = await runtime.Client.GetGrain<IPlacedGrain>($"{caller}/{_key}")
            .CallKeptOfAsync(runtime.Client.GetGrain<IPlacedGrain>($"{callee}/{_key}-kept"));
        Assert.Equal([1, 2, 3], result);
    }

    [Fact]
    public async Task TypeWithoutSerializer_IsRefused()
    {
        await Assert.ThrowsAsync<CodecNotFoundException>(() => runtime.Client.GetGrain<IPlacedGrain>($"Silo_1/{_key}").SendAsync(new Unmarked()));
    }

    [Fact]
    public async Task Reference_TravelsAndStaysTheSameGrain()
    {
        var grain = runtime.Client.GetGrain<IPlacedGrain>($"Silo_1/{_key}");
        Assert.True(await grain.IsMineAsync(grain));
    }

    [Fact]
    public async Task Exception_ReachesTheCaller_WithTypeMessageAndMembers()
    {
        foreach (var factory in new[] { runtime.Client, SiloFactory() })
        {
            var grain = factory.GetGrain<IProbeGrain>(_key, typeof(ProbeGrain).FullName);
            var thrown = await Assert.ThrowsAsync<MarkedException>(() => grain.ThrowAsync("no such thing"));
            Assert.Equal("no such thing", thrown.Message);
            Assert.Equal(42, thrown.Code);
            Assert.Contains(nameof(ProbeGrainBase.ThrowAsync), thrown.StackTrace);
            var platform = await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => grain.ThrowUnmarkedAsync());
            Assert.Contains("out of bounds", platform.Message);
        }
    }

    private IGrainFactory SiloFactory() =>
        (IGrainFactory)runtime.Cluster.GetSiloServiceProvider(runtime.Cluster.Silos.Single(silo => silo.Name == "Silo_0").SiloAddress).GetService(typeof(IGrainFactory))!;
}
