using Microsoft.Extensions.Logging;
using Orleans.Configuration;
using Orleans.Serialization;

namespace Orleans.Runtime;

/// <summary>One end of calls: a silo, or a client outside of the silos.</summary>
internal abstract partial class RuntimeClient : IReferenceBinder
{
    protected RuntimeClient(InProcessCluster cluster, string name, MessagingOptions messaging, TimeProvider time, ILogger logger, int seed)
    {
        Cluster = cluster;
        Name = name;
        Time = time;
        Logger = logger;
        ResponseTimeout = messaging.ResponseTimeout;
        CancelRequestOnTimeout = messaging.CancelRequestOnTimeout;
        WaitForCancellationAcknowledgement = messaging.WaitForCancellationAcknowledgement;
        Random = new Random(seed);
    }

    public InProcessCluster Cluster { get; }

    public string Name { get; }

    public TimeProvider Time { get; }

    public ILogger Logger { get; }

    public TimeSpan ResponseTimeout { get; }

    public bool CancelRequestOnTimeout { get; }

    public bool WaitForCancellationAcknowledgement { get; }

    public bool PropagateActivities { get; init; }

    /// <summary>Guarded by itself.</summary>
    public Random Random { get; }

    /// <summary>It is gone, and the membership has not found out yet.</summary>
    public virtual bool IsCrashed => false;

    /// <summary>The silo this is, or null for a client.</summary>
    public abstract SiloRuntime? Silo { get; }

    public abstract bool IsGone { get; }

    public GrainReference Bind(Type interfaceType, GrainId grainId) => InterfaceDescriptor.Of(interfaceType).CreateReference(this, grainId);

    public Task<T> Send<T>(GrainReference target, MethodDescriptor method, object?[] arguments)
    {
        var call = new UnaryCall<T>(this, target.GrainId, (UnaryMethod<T>)method);
        Send(call, arguments, default);
        return call.OneWay ? Task.FromResult(default(T)!) : call.Answer;
    }

    /// <summary>Sends a call; one that continues an enumeration has no arguments.</summary>
    public void Send(Call call, object?[]? arguments, CancellationToken token)
    {
        try
        {
            if (arguments is not null && call.Method.TokenIndex is >= 0 and var index) ((CancellationToken)arguments[index]!).ThrowIfCancellationRequested();
            if (IsGone) throw new SiloUnavailableException($"{Name} has stopped: it sends no more calls ({call}).");
            var known = Cluster.Find(call.Target);
            if (arguments is not null) call.TakeArguments(arguments, remote: known is not null && known.Host != this);
            if (PropagateActivities) call.Trace = System.Diagnostics.Activity.Current?.Context ?? default;
            call.Arm(token);
            Dispatch(call, known);
        }
        catch (Exception exception)
        {
            call.Reject(exception);
        }
    }

    /// <summary>Brings the call to its target, which is placed first where it has no activation.</summary>
    public void Dispatch(Call call, CallTarget? known)
    {
        if (known is not null && (!known.Host.IsGone || known.Host.IsCrashed)) Post(call, known);
        else _ = PlaceAsync(call);
    }

    /// <summary>A value on its way to another silo or client: written, and read there.</summary>
    public static T Cross<T>(Codec<T> codec, T value, RuntimeClient receiver)
    {
        var writer = MessageWriter.Rent();
        codec.Write(writer, value);
        return codec.Read(new MessageReader(writer.ToMessage(), receiver));
    }

    public static Exception Cross(Exception exception, RuntimeClient receiver) => Cross(Codecs.Slot<Exception>(), exception, receiver);

    public void LogOneWayFailure(Call call, Exception exception) => LogOneWayFailed(Logger, call.ToString(), exception);

    /// <summary>Sends the call to its target; where that has ended meanwhile, another is placed.</summary>
    private void Post(Call call, CallTarget target)
    {
        call.Holder = target;
        // Nobody listens at its address any more: who connects is told so, whoever is connected waits.
        if (target.Host.IsCrashed) throw new OrleansMessageRejectionException($"Unable to connect to {target.Host.Name}, will retry later: {call}");
        // A message that is lost on the way is not told of: the caller's clock runs on.
        Cluster.Network.Carry(this, target.Host, (Client: this, call, target), static message => message.Client.Deliver(message.call, message.target));
    }

    private void Deliver(Call call, CallTarget target)
    {
        try
        {
            if (!target.TryReceive(call)) _ = PlaceAsync(call);
        }
        catch (Exception exception)
        {
            call.Reject(exception);
        }
    }

    private async Task PlaceAsync(Call call)
    {
        try
        {
            if (IsGone) return;
            if (++call.Forwards > Call.MaxForwards) throw new OrleansMessageRejectionException($"{call} was forwarded {Call.MaxForwards} times and found no activation.");
            Post(call, await Cluster.GetOrPlaceAsync(call, this).ConfigureAwait(false));
        }
        catch (Exception exception)
        {
            call.Reject(exception);
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "One-way call {Call} failed")]
    private static partial void LogOneWayFailed(ILogger logger, string call, Exception exception);
}
