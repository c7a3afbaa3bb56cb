using Granary.Engine;
using Granary.GrainInterfaces.Replicas;

namespace Granary.Grains.Replicas;

/// <summary>One of the sequences whose tokens a <see cref="ReplicaReader"/> takes.</summary>
/// <param name="replica">Its life.</param>
/// <param name="stay">The sequence's part in its life, until nothing of it is left in the engine.</param>
internal sealed class ReadSequence(HostedReplica replica, long slot, ISequenceHandle handle, HostedReplica.Stay stay)
{
    private int _limit = TokenCredit.Window;
    private int _sent;

    public long Slot => slot;

    /// <summary>It stands among those that have something. Guarded by its reader.</summary>
    public bool IsQueued { get; set; }

    /// <summary>Its end is in a message, or it was cancelled. Set by its reader.</summary>
    public bool HasLeft { get; set; }

    /// <summary>Whether its reader has to grant more before anything of it can be moved.</summary>
    public bool IsOutOfCredit => Volatile.Read(ref _sent) >= Volatile.Read(ref _limit);

    /// <summary>Called by one thread at a time.</summary>
    /// <returns>Whether it may go on further than before.</returns>
    public bool Grant(int limit)
    {
        if (limit <= _limit) return false;
        Interlocked.Exchange(ref _limit, limit);
        return true;
    }

    /// <summary>Moves what is there into the message, as far as credit and room go. Called by one thread at a time.</summary>
    /// <returns>Whether that was the sequence's end.</returns>
    public bool MoveTo(StepTokensWriter message)
    {
        var failure = handle.Failure ?? replica.Abandoned; // Read first: all that was written before it is there then.
        while (!IsOutOfCredit && message.HasRoom)
        {
            if (handle.TryRead(out var token))
            {
                _sent++;
                message.Add(slot, token);
                if (token.End is not null) return true;
            }
            else
            {
                if (failure is null) return false;
                message.AddFailure(slot, _sent, failure.Message, handle.WasInFailedStep);
                return true;
            }
        }

        return false;
    }

    /// <summary>Cancels what still runs; its blocks are free when this returns.</summary>
    public async ValueTask EndAsync()
    {
        await replica.FreeAsync(handle).ConfigureAwait(false);
        Leave();
    }

    /// <summary>Of a sequence that has ended by itself: its blocks are free already.</summary>
    public void Leave() => stay.Dispose();
}
