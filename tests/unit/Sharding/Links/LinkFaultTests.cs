using Granary.Sharding.Links;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Sharding.Links;

/// <summary>Whatever happens to a peer or the way to it, every wait ends, with the reason.</summary>
public sealed class LinkFaultTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly LinkOptions Strict = LinkPair.Options with { SilenceLimit = TimeSpan.FromSeconds(1) };

    public static TheoryData<string> Schemes => LinkPair.Schemes;

    public static TheoryData<string, int> SchemesAndSeeds
    {
        get
        {
            var data = new TheoryData<string, int>();
            foreach (var scheme in new[] { "memory", "unix", "tcp" })
            {
                for (var seed = 1; seed <= 3; seed++) data.Add(scheme, seed);
            }

            return data;
        }
    }

    [Theory, MemberData(nameof(Schemes))]
    public async Task Cut_BothEndsWait_BothEndClosed(string scheme)
    {
        await using var pair = await LinkPair.OpenAsync(scheme);
        var waiting = new[] { FailureOf(() => pair.Dialer.Receive()), FailureOf(() => pair.Acceptor.Receive()) };
        Assert.Equal(1, pair.Dialing.Cut(identity => identity == LinkPair.Identity));
        foreach (var failure in waiting) Assert.Equal(LinkFailure.Closed, (await failure.WaitAsync(Patience)).Failure);
        Assert.Equal(LinkFailure.Closed, (await pair.Acceptor.Ended.WaitAsync(Patience))!.Failure);
        Assert.Throws<LinkException>(() => pair.Dialer.Send(FrameKind.Plan, 1, []));
    }

    /// <summary>Nobody waits on the link, and still its end is known, with what the peer said last.</summary>
    [Theory, MemberData(nameof(Schemes))]
    public async Task Abort_PeerIsIdle_ItLearnsTheReason(string scheme)
    {
        await using var pair = await LinkPair.OpenAsync(scheme);
        pair.Dialer.Abort("the sky fell");
        var reason = await pair.Acceptor.Ended.WaitAsync(Patience);
        Assert.Equal(LinkFailure.Aborted, reason!.Failure);
        Assert.Contains("the sky fell", reason.Message, StringComparison.Ordinal);
        Assert.Equal(LinkFailure.Aborted, (await pair.Dialer.Ended)!.Failure);
    }

    [Theory, MemberData(nameof(Schemes))]
    public async Task Abort_BothEndsWaitForAFrame_BothGetTheReason(string scheme)
    {
        await using var pair = await LinkPair.OpenAsync(scheme);
        var waiting = new[] { FailureOf(() => pair.Dialer.Receive()), FailureOf(() => pair.Acceptor.Receive()) };
        pair.Dialer.Abort("the sky fell");
        foreach (var failure in waiting)
        {
            var reason = await failure.WaitAsync(Patience);
            Assert.Equal(LinkFailure.Aborted, reason.Failure);
            Assert.Contains("the sky fell", reason.Message, StringComparison.Ordinal);
        }
    }

    /// <summary>A shard says why it gives up and leaves; that must arrive however late the engine looks.</summary>
    [Theory, MemberData(nameof(Schemes))]
    public async Task Dispose_AfterALastFrame_PeerStillReadsTheFrame(string scheme)
    {
        await using var pair = await LinkPair.OpenAsync(scheme);
        pair.Acceptor.Send(FrameKind.Failure, 3, "out of memory"u8);
        pair.Acceptor.Dispose();
        Assert.Null(await pair.Acceptor.Ended);
        Assert.Equal(LinkFailure.Closed, (await pair.Dialer.Ended.WaitAsync(Patience))!.Failure);
        Assert.Throws<LinkException>(() => pair.Dialer.Send(FrameKind.Plan, 4, []));
        Assert.Equal(new FrameHeader(FrameKind.Failure, 3, 13), pair.Dialer.Receive());
        var text = new byte[13];
        pair.Dialer.ReadPayload(text);
        Assert.Equal("out of memory"u8, text);
        Assert.Equal(LinkFailure.Closed, Assert.Throws<LinkException>(() => pair.Dialer.Receive()).Failure);
    }

    [Theory, MemberData(nameof(Schemes))]
    public async Task Dispose_OwnThreadWaits_ItIsToldSo(string scheme)
    {
        await using var pair = await LinkPair.OpenAsync(scheme);
        var receiving = TensorLinkTests.Run(() => pair.Dialer.Receive());
        var sending = TensorLinkTests.Run(() =>
        {
            while (true) pair.Dialer.Send(FrameKind.Plan, 1, new byte[4 << 20]);
        });
        pair.Dialer.Dispose();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => receiving.WaitAsync(Patience));
        await Assert.ThrowsAsync<ObjectDisposedException>(() => sending.WaitAsync(Patience));
    }

    /// <summary>Every byte of a frame counts, the header's as the payload's: one flipped bit ends the link as corrupt, and no caller gets the payload.</summary>
    [Theory, MemberData(nameof(SchemesAndSeeds))]
    public async Task Receive_AnyBitOfAFrameIsFlipped_EndsCorrupt(string scheme, int seed)
    {
        var random = new Random(seed);
        for (var round = 0; round < 8; round++)
        {
            var payload = TensorLinkTests.Payload(seed, random.Next(1, 300));
            var offset = round == 0 ? random.Next(Frame.HeaderBytes) : random.Next(Frame.HeaderBytes + payload.Length);
            await using var pair = await LinkPair.OpenAsync(scheme);
            pair.Dialing.CorruptNextFrame(_ => true, offset, random.Next(8));
            pair.Dialer.Send(FrameKind.Activations, 1, payload);
            var failure = await FailureOf(() =>
            {
                pair.Acceptor.Receive();
                pair.Acceptor.ReadPayload(payload);
            }).WaitAsync(Patience);
            Assert.True(failure.Failure == LinkFailure.Corrupt, $"byte {offset}: {failure.Failure}");
            Assert.Equal(LinkFailure.Aborted, (await FailureOf(() => pair.Dialer.Receive()).WaitAsync(Patience)).Failure);
        }
    }

    [Theory, MemberData(nameof(Schemes))]
    public async Task Freeze_PeerWaitsForAFrame_EndsSilent(string scheme)
    {
        var time = new ManualTime();
        await using var pair = await LinkPair.OpenAsync(scheme, Strict, time);
        var failure = FailureOf(() => pair.Acceptor.Receive());
        pair.Dialing.Freeze(_ => true);
        await time.AdvanceUntilAsync(pair.Acceptor.Ended, Strict.PulsePeriod);
        Assert.Equal(LinkFailure.Silent, (await failure.WaitAsync(Patience)).Failure);
        Assert.True(time.GetUtcNow() - ManualTime.Start <= Strict.SilenceLimit + (2 * Strict.PulsePeriod), $"silent at {time.GetUtcNow() - ManualTime.Start}");
    }

    [Theory, MemberData(nameof(Schemes))]
    public async Task Freeze_PeerWaitsForACredit_EndsSilent(string scheme)
    {
        var time = new ManualTime();
        await using var pair = await LinkPair.OpenAsync(scheme, Strict, time);
        var failure = FailureOf(() =>
        {
            while (true) pair.Acceptor.Send(FrameKind.Plan, 1, [1]);
        });
        pair.Dialing.Freeze(_ => true);
        await time.AdvanceUntilAsync(pair.Acceptor.Ended, Strict.PulsePeriod);
        Assert.Equal(LinkFailure.Silent, (await failure.WaitAsync(Patience)).Failure);
    }

    /// <summary>A peer that computes for long neither reads nor sends, and yet lives: its pulses are its own.</summary>
    [Theory, MemberData(nameof(Schemes))]
    public async Task Receive_PeerComputesForLong_IsNotSilent(string scheme)
    {
        var time = new ManualTime();
        await using var pair = await LinkPair.OpenAsync(scheme, Strict, time);
        var received = TensorLinkTests.Run(() =>
        {
            Assert.Equal(FrameKind.Result, pair.Acceptor.Receive().Kind);
        });
        // A real socket carries a pulse in real time: what was written by one tick is in the other end's buffer at the next.
        for (var passed = TimeSpan.Zero; passed < TimeSpan.FromSeconds(10); passed += Strict.PulsePeriod / 2) time.Advance(Strict.PulsePeriod / 2);
        Assert.False(pair.Acceptor.Ended.IsCompleted);
        pair.Dialer.Send(FrameKind.Result, 1, []);
        await received.WaitAsync(Patience);
    }

    /// <summary>A process that was stopped could not hear its peer: it does not take its own absence for the peer's.</summary>
    [Theory, MemberData(nameof(Schemes))]
    public async Task Receive_OwnProcessWasStopped_PeerIsNotSilent(string scheme)
    {
        var time = new ManualTime();
        await using var pair = await LinkPair.OpenAsync(scheme, Strict, time);
        time.Advance(10 * Strict.SilenceLimit);
        for (var looks = 0; looks < 20; looks++) time.Advance(Strict.PulsePeriod / 2);
        Assert.False(pair.Acceptor.Ended.IsCompleted);
        Assert.False(pair.Dialer.Ended.IsCompleted);
    }

    /// <summary>However seldom this process runs, a dead peer is found after as many looks as the limit has pulses.</summary>
    [Theory, MemberData(nameof(Schemes))]
    public async Task Freeze_OwnProcessIsStoppedAgainAndAgain_EndsSilent(string scheme)
    {
        var time = new ManualTime();
        await using var pair = await LinkPair.OpenAsync(scheme, Strict, time);
        pair.Dialing.Freeze(_ => true);
        for (var looks = 0; looks <= Strict.SilenceLimit / Strict.PulsePeriod + 1; looks++) time.Advance(10 * Strict.SilenceLimit);
        Assert.Equal(LinkFailure.Silent, (await pair.Acceptor.Ended.WaitAsync(Patience))!.Failure);
    }

    /// <summary>A sender gets no further ahead of the reader than its credits, and goes on with each frame that is read.</summary>
    [Theory, MemberData(nameof(Schemes))]
    public async Task Send_NobodyReads_StopsAtTheCredits(string scheme)
    {
        var options = LinkPair.Options with { Credits = 4 };
        await using var pair = await LinkPair.OpenAsync(scheme, options);
        var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        const int Frames = 40;
        var read = 0;
        var sending = TensorLinkTests.Run(() =>
        {
            for (var i = 0; i < Frames; i++)
            {
                if (i == options.Credits) reached.SetResult();
                pair.Dialer.Send(FrameKind.Plan, i, [1, 2, 3]);
                var ahead = i + 1 - Volatile.Read(ref read);
                Assert.True(ahead <= options.Credits + 1, $"{ahead} frames ahead"); // One more may be read and not yet counted.
            }
        });
        await reached.Task.WaitAsync(Patience);
        Assert.Equal(options.Credits, pair.Dialer.Counters.FramesSent);
        var payload = new byte[3];
        for (var i = 0; i < Frames; i++)
        {
            Assert.Equal(i, pair.Acceptor.Receive().Step);
            Volatile.Write(ref read, i + 1);
            pair.Acceptor.ReadPayload(payload);
        }

        await sending.WaitAsync(Patience);
    }

    /// <summary>Credits come behind frames that the waiting sender's side has not read: it looks past them, and they stay to be read.</summary>
    [Theory, MemberData(nameof(Schemes))]
    public async Task Send_CreditsComeBehindUnreadFrames_GoesOn(string scheme)
    {
        var options = LinkPair.Options with { Credits = 2 };
        await using var pair = await LinkPair.OpenAsync(scheme, options);
        var large = TensorLinkTests.Payload(5, 3 << 20);
        var sending = TensorLinkTests.Run(() =>
        {
            for (var i = 0; i < 10; i++) pair.Dialer.Send(FrameKind.Plan, i, [1]);
        });
        var answering = TensorLinkTests.Run(() =>
        {
            pair.Acceptor.Send(FrameKind.Result, 0, large);
            pair.Acceptor.Send(FrameKind.Result, 1, [7]);
            for (var i = 0; i < 10; i++)
            {
                pair.Acceptor.Receive();
                pair.Acceptor.ReadPayload(new byte[1]);
            }
        });
        await Task.WhenAll(sending, answering).WaitAsync(Patience);
        var payload = new byte[large.Length];
        Assert.Equal(large.Length, pair.Dialer.Receive().Length);
        pair.Dialer.ReadPayload(payload);
        Assert.True(payload.AsSpan().SequenceEqual(large));
        Assert.Equal(new FrameHeader(FrameKind.Result, 1, 1), pair.Dialer.Receive());
    }

    [Fact]
    public async Task Send_PayloadOverTheBound_IsRefusedHere()
    {
        var options = LinkPair.Options with { MaxFrameBytes = 100 };
        await using var pair = await LinkPair.OpenAsync("memory", options);
        Assert.Contains("at most 100", Assert.Throws<ArgumentException>(() => pair.Dialer.Send(FrameKind.Plan, 1, new byte[60], new byte[41])).Message, StringComparison.Ordinal);
        Assert.False(pair.Dialer.Ended.IsCompleted);
    }

    /// <summary>Neither links that ended well nor those that did not leave anything behind: links under watch, sockets, files.</summary>
    [Theory, InlineData("unix"), InlineData("tcp")]
    public async Task Dispose_ManyLinksInAnyState_LeavesNothingOpen(string scheme)
    {
        await OpenAndCloseAsync(scheme, 5); // What the runtime opens once, it has opened now.
        var before = OpenFiles();
        var leftOpen = await OpenAndCloseAsync(scheme, 40);
        Assert.Equal(0, leftOpen);
        Assert.True(OpenFiles() - before < 20, $"{before} files were open before, {OpenFiles()} are now"); // Other tests open some.
    }

    private static async Task<int> OpenAndCloseAsync(string scheme, int count)
    {
        var open = 0;
        for (var i = 0; i < count; i++)
        {
            await using var pair = await LinkPair.OpenAsync(scheme);
            if (i % 3 == 0) pair.Dialing.Cut(_ => true);
            if (i % 3 == 1) pair.Acceptor.Abort("enough");
            pair.Dialer.Dispose();
            pair.Acceptor.Dispose();
            open += pair.Dialing.OpenLinks + pair.Accepting.OpenLinks;
        }

        return open;
    }

    private static int OpenFiles() => OperatingSystem.IsLinux() ? Directory.GetFiles("/proc/self/fd").Length : 0;

    private static Task<LinkException> FailureOf(Action action) => Task.Factory.StartNew(
        () => Assert.Throws<LinkException>(action), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
}
