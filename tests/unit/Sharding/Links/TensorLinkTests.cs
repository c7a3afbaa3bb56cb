using Granary.Sharding.Links;

namespace Granary.Tests.Unit.Sharding.Links;

/// <summary>What two ends can rely on, over every transport.</summary>
public sealed class TensorLinkTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    public static TheoryData<string> Schemes => LinkPair.Schemes;

    public static TheoryData<string, int> SchemesAndSeeds
    {
        get
        {
            var data = new TheoryData<string, int>();
            foreach (var scheme in new[] { "memory", "unix", "tcp" })
            {
                for (var seed = 1; seed <= 4; seed++) data.Add(scheme, seed);
            }

            return data;
        }
    }

    /// <summary>Whatever the sizes and the pieces a frame is sent and read in, what comes is what was sent, in order.</summary>
    [Theory, MemberData(nameof(SchemesAndSeeds))]
    public async Task Send_FramesOfAnySizeInAnyPieces_ArriveWholeAndInOrder(string scheme, int seed)
    {
        var options = LinkPair.Options with { MaxFrameBytes = 1 << 20 };
        await using var pair = await LinkPair.OpenAsync(scheme, options);
        var sizes = new Random(seed);
        int[] lengths = [0, 1, options.MaxFrameBytes, .. Enumerable.Range(0, 60).Select(_ => sizes.Next(3) == 0 ? sizes.Next(1 << 20) : sizes.Next(200))];
        var sending = Run(() =>
        {
            var random = new Random(seed);
            for (var i = 0; i < lengths.Length; i++)
            {
                var payload = Payload(seed + i, lengths[i]);
                var cut = random.Next(lengths[i] + 1);
                pair.Dialer.Send(FrameKind.Activations, i, payload.AsSpan(0, cut), payload.AsSpan(cut));
            }
        });
        var receiving = Run(() =>
        {
            var random = new Random(-seed);
            for (var i = 0; i < lengths.Length; i++)
            {
                Assert.Equal(new FrameHeader(FrameKind.Activations, i, lengths[i]), pair.Acceptor.Receive());
                var payload = new byte[lengths[i]];
                for (var at = 0; at < payload.Length;)
                {
                    var piece = Math.Min(payload.Length - at, 1 + random.Next(1 << random.Next(1, 20)));
                    pair.Acceptor.ReadPayload(payload.AsSpan(at, piece));
                    at += piece;
                }

                Assert.True(payload.AsSpan().SequenceEqual(Payload(seed + i, lengths[i])), $"frame {i}");
            }
        });
        await Task.WhenAll(sending, receiving).WaitAsync(Patience);
        Assert.Equal(lengths.Length, pair.Dialer.Counters.FramesSent);
        Assert.Equal(lengths.Length, pair.Acceptor.Counters.FramesReceived);
        Assert.Equal(lengths.Sum(length => (long)length), pair.Dialer.Counters.BytesSent);
        Assert.Equal(lengths.Sum(length => (long)length), pair.Acceptor.Counters.BytesReceived);
    }

    /// <summary>Both ends send more than the system's buffers hold before either reads.</summary>
    [Theory, MemberData(nameof(Schemes))]
    public async Task Send_BothEndsSendLargeFramesAtOnce_NeitherWaitsForTheOther(string scheme)
    {
        await using var pair = await LinkPair.OpenAsync(scheme);
        const int Frames = 6;
        const int Length = 5 << 20;
        var ends = new[] { (pair.Dialer, 1), (pair.Acceptor, 2) }.Select(end => Run(() =>
        {
            var (link, seed) = end;
            for (var i = 0; i < Frames; i++) link.Send(FrameKind.Partial, i, Payload(seed, Length));
            var payload = new byte[Length];
            for (var i = 0; i < Frames; i++)
            {
                Assert.Equal(new FrameHeader(FrameKind.Partial, i, Length), link.Receive());
                link.ReadPayload(payload);
                Assert.True(payload.AsSpan().SequenceEqual(Payload(3 - seed, Length)));
            }
        }));
        await Task.WhenAll(ends).WaitAsync(Patience);
    }

    internal static Task Run(Action action) => Task.Factory.StartNew(action, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    internal static byte[] Payload(int seed, int length)
    {
        var payload = new byte[length];
        new Random(seed).NextBytes(payload);
        return payload;
    }
}
