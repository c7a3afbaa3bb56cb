namespace Orleans.Runtime;

/// <summary>What receives calls: an activation, or an observer.</summary>
internal abstract class CallTarget
{
    /// <summary>The silo or client it lives in.</summary>
    public abstract RuntimeClient Host { get; }

    public abstract object? Instance { get; }

    /// <summary>Takes the call over; false when the target is gone and the call has to go elsewhere.</summary>
    public abstract bool TryReceive(Call call);

    /// <summary>On the target's scheduler: the call's code has ended and its answer is sent.</summary>
    public abstract void Ended(Call call);

    /// <summary>The caller has cancelled: drops the call while it waits, fires its token while it runs.</summary>
    public abstract void Cancel(Call call);
}
