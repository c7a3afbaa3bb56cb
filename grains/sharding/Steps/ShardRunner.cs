using System.Runtime.InteropServices;
using System.Text;
using Granary.Engine.Execution;
using Granary.Sharding.Links;
using Granary.Sharding.Reduction;

namespace Granary.Sharding.Steps;

/// <summary>Runs one shard: takes plans from the engine, the residual stream from the stage before, and passes on what it computes.</summary>
/// <remarks>
/// One thread runs steps, in the order of their plans; another reads the engine's frames, so that neither a plan nor a question for rows waits for
/// a step. Whatever goes wrong ends the shard's life: the engine gets the reason, all links end, which wakes whoever waits on them here and
/// at the peers, and the executor is disposed on its own thread.
/// </remarks>
public sealed class ShardRunner : IAsyncDisposable
{
    private const int ReaderStackBytes = 256 << 10;
    private const int MaxReasonChars = 500;

    private readonly IShardExecutor _executor;
    private readonly ShardLinks _links;
    private readonly LinkRankReducer? _reducer;
    private readonly WireFormat _format;
    private readonly TimeProvider _time;
    private readonly PlanQueue _plans;
    private readonly StepPlanDecoder _decoder;
    private readonly StepResults _results;
    private readonly CancellationTokenSource _engineLate;
    private readonly TaskCompletionSource<Exception?> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ManualResetEventSlim _told = new();
    private readonly object _gate = new();
    private byte[] _planPayload = [];
    private byte[] _wire = [];
    private ITensorLink? _control;
    private ShardTimes _times;
    private Exception? _error;
    private bool _over;
    private long _lastPlanned;

    private ShardRunner(IShardExecutor executor, ShardLinks links, ShardRunnerOptions options, TimeProvider time)
    {
        _executor = executor;
        _links = links;
        _format = options.WireFormat;
        _time = time;
        var slice = executor.Shape.Slice;
        var window = StepWindow.Of(slice.Stages);
        _plans = new(window);
        _decoder = new(executor.Shape);
        _results = new(executor, window);
        _engineLate = new(options.EngineLimit, time);
        if (slice.Ranks > 1)
        {
            _reducer = new(slice.Place.Rank, links.Ranks, options.WireFormat, time);
            options.Reducer!.Join(_reducer);
        }

        Thread = new(Run) { IsBackground = true, Name = $"Granary shard {slice.Place}" };
    }

    /// <summary>Completes when the shard runs no more and its memory is given back: with the error, or null where it was disposed or a peer ended the life they share. Never faults.</summary>
    public Task<Exception?> Ended => _ended.Task;

    public ShardTimes Times
    {
        get
        {
            lock (_gate) return _times;
        }
    }

    /// <summary>To its peers, and to the engine once that has dialed.</summary>
    public IReadOnlyList<ITensorLink> Links
    {
        get
        {
            lock (_gate) return _control is null ? _links.All : [_control, .. _links.All];
        }
    }

    internal Thread Thread { get; }

    /// <summary>Starts a shard. It owns executor and links from then on, waits for the engine to dial, and runs its steps.</summary>
    public static ShardRunner Start(IShardExecutor executor, ShardLinks links, ShardRunnerOptions options, TimeProvider? time = null)
    {
        var runner = new ShardRunner(executor, links, options, time ?? TimeProvider.System);
        foreach (var link in links.All) runner.Watch(link);
        runner.Thread.Start();
        return runner;
    }

    /// <summary>Ends the shard's life; a step in progress is given up at its next wait.</summary>
    public async ValueTask DisposeAsync()
    {
        End(null);
        await Ended.ConfigureAwait(false);
    }

    /// <summary>A link may end while the shard has nothing to do: it would find out only at its next step.</summary>
    private void Watch(ITensorLink link) => link.Ended.ContinueWith(
        ended => End(ended.Result ?? new LinkException(LinkFailure.Closed, $"The {link.Identity.Purpose} link was closed.")),
        CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);

    private void Run()
    {
        Thread? reader = null;
        try
        {
            var control = _links.AcceptControlAsync(_engineLate.Token).GetAwaiter().GetResult();
            if (Keep(control))
            {
                reader = new(() => ReadControl(control), ReaderStackBytes) { IsBackground = true, Name = $"{Thread.Name} control" };
                reader.Start();
                while (_plans.Take() is { } plan) Step(control, plan);
            }
        }
        catch (Exception error) // Whatever it is, the cache's content is unknown: this life is over, and the engine is told.
        {
            End(error);
        }

        reader?.Join();
        _told.Wait(); // Whoever ended this life may still be telling the peers.
        Dispose();
        _ended.SetResult(_error);
    }

    /// <returns><see langword="false"/> when the shard was ended meanwhile; the link is closed then.</returns>
    private bool Keep(ITensorLink control)
    {
        lock (_gate)
        {
            _control = control;
            if (!_over) return true;
        }

        control.Abort("The shard's life is over.");
        return false;
    }

    private void Step(ITensorLink control, StepPlan plan)
    {
        var started = _time.GetTimestamp();
        var reduced = _reducer?.Waited ?? TimeSpan.Zero;
        var waited = TimeSpan.Zero;
        if (_links.Before is { } before)
        {
            Await(before, plan);
            waited = _time.GetElapsedTime(started);
            ReadActivations(before, _executor.Input(plan.TokenCount));
        }

        _reducer?.BeginStep(plan.Step);
        _executor.Execute(plan);
        if (_links.Behind is { } behind) SendActivations(behind, plan.Step, _executor.Output);
        else _results.Send(control, plan);
        _plans.Release();

        if (_reducer is not null) waited += _reducer.Waited - reduced;
        lock (_gate) _times = _times.With(_time.GetElapsedTime(started), waited);
    }

    private void Await(ITensorLink before, StepPlan plan)
    {
        var frame = before.Receive();
        var expected = ActivationCodec.Bytes(_format, plan.TokenCount, _executor.Shape.Whole.HiddenSize);
        if (frame.Kind != FrameKind.Activations || frame.Step != plan.Step || frame.Length != expected)
        {
            throw new LinkException(LinkFailure.Corrupt,
                $"The stage before sent {frame.Kind} of step {frame.Step} with {frame.Length} bytes; expected were activations of step {plan.Step} with {expected} bytes.");
        }
    }

    private void ReadActivations(ITensorLink before, Span<float> input)
    {
        if (_format == WireFormat.Float32)
        {
            before.ReadPayload(MemoryMarshal.AsBytes(input));
            return;
        }

        var columns = _executor.Shape.Whole.HiddenSize;
        var wire = Wire(input.Length / columns, columns);
        before.ReadPayload(wire);
        ActivationCodec.Decode(_format, wire, columns, input);
    }

    private void SendActivations(ITensorLink behind, long step, ReadOnlySpan<float> output)
    {
        if (_format == WireFormat.Float32)
        {
            behind.Send(FrameKind.Activations, step, MemoryMarshal.AsBytes(output));
            return;
        }

        var columns = _executor.Shape.Whole.HiddenSize;
        var wire = Wire(output.Length / columns, columns);
        ActivationCodec.Encode(_format, output, columns, wire);
        behind.Send(FrameKind.Activations, step, wire);
    }

    private Span<byte> Wire(int rows, int columns)
    {
        var bytes = ActivationCodec.Bytes(_format, rows, columns);
        if (_wire.Length < bytes) _wire = GC.AllocateUninitializedArray<byte>(Math.Max(bytes, _wire.Length * 2));
        return _wire.AsSpan(0, bytes);
    }

    private void ReadControl(ITensorLink control)
    {
        Span<byte> requests = stackalloc byte[RowRequest.MaxRequests * RowRequest.Bytes];
        try
        {
            while (true)
            {
                var frame = control.Receive();
                switch (frame.Kind)
                {
                    case FrameKind.Plan:
                        ReadPlan(control, frame);
                        break;
                    case FrameKind.RowsWanted when frame.Length > 0 && frame.Length <= requests.Length && frame.Length % RowRequest.Bytes == 0:
                        control.ReadPayload(requests[..frame.Length]);
                        _results.Answer(control, frame.Step, requests[..frame.Length]);
                        break;
                    default:
                        throw new LinkException(LinkFailure.Corrupt, $"The engine sent {frame.Kind} of {frame.Length} bytes, which a shard does not expect.");
                }
            }
        }
        catch (Exception error)
        {
            End(error);
        }
    }

    private void ReadPlan(ITensorLink control, FrameHeader frame)
    {
        if (frame.Length > _decoder.MaxBytes)
            throw new LinkException(LinkFailure.Corrupt, $"The plan of step {frame.Step} has {frame.Length} bytes; this shard takes {_decoder.MaxBytes}.");
        if (frame.Step <= _lastPlanned)
            throw new LinkException(LinkFailure.Corrupt, $"The plan of step {frame.Step} came after that of step {_lastPlanned}.");
        if (_planPayload.Length < frame.Length) _planPayload = new byte[Math.Max(frame.Length, Math.Min(_decoder.MaxBytes, _planPayload.Length * 2))];

        var plan = _plans.Free()
            ?? throw new LinkException(LinkFailure.Corrupt, $"The plan of step {frame.Step} came while as many were under way as may be.");
        var payload = _planPayload.AsSpan(0, frame.Length);
        control.ReadPayload(payload);
        _decoder.Decode(frame.Step, payload, plan);
        _lastPlanned = frame.Step;
        _plans.Add();
    }

    /// <summary>Ends the shard's life, once: the first reason is the reason. Any thread may call it.</summary>
    private void End(Exception? error)
    {
        ITensorLink? control;
        lock (_gate)
        {
            if (_over) return;
            // A peer that ended its life told its own reason to whom it concerns: here nothing failed.
            (_over, _error, control) = (true, error is LinkException { Failure: LinkFailure.Aborted } ? null : error, _control);
        }

        _plans.Close();
        _engineLate.Cancel();
        var reason = error is null ? "The shard was unloaded." : ReasonOf(error);
        if (control is not null)
        {
            Tell(control, reason);
            control.Abort(reason);
        }

        _links.Abort(reason);
        _told.Set();
    }

    private void Tell(ITensorLink control, string reason)
    {
        try
        {
            _results.SendFailure(control, _lastPlanned, Encoding.UTF8.GetBytes(reason));
        }
        catch (LinkException)
        {
            // The engine is gone, or knows.
        }
    }

    private static string ReasonOf(Exception error)
    {
        var reason = error.InnerException is { } inner && !error.Message.Contains(inner.Message, StringComparison.Ordinal) ? $"{error.Message} {inner.Message}" : error.Message;
        return reason.Length <= MaxReasonChars ? reason : reason[..MaxReasonChars];
    }

    private void Dispose()
    {
        try
        {
            _executor.Dispose();
        }
        catch (Exception error)
        {
            _error ??= error;
        }

        _reducer?.Dispose();
        _links.Dispose();
        _control?.Dispose();
        _engineLate.Dispose();
    }
}
