using Orleans.Serialization;

namespace Orleans.Runtime;

internal enum StreamStatus : byte
{
    Active = 0,
    Completed,
    Error,
    Cancelled,
    Missing,
}

/// <summary>What one pull brought: an item, several, or none yet; and whether there is more.</summary>
internal struct StreamAnswer<T>
{
    public StreamStatus Status;
    public bool HasItem;
    public T? Item;
    public List<T>? Batch;
    public Exception? Error;
}

/// <summary>Starts an enumeration, or pulls its next items. Never blocks the grain.</summary>
internal sealed class StreamCall<T>(StreamRequest<T> request, Guid id, bool isStart)
    : Call<StreamAnswer<T>>(request.Target.Client, request.Target.GrainId, request.Method)
{
    public bool IsStart => isStart;

    public object?[] NoArguments => new object?[Method.Method.GetParameters().Length].WithToken(Method);

    public override bool AlwaysInterleave => true;

    public override bool OneWay => false;

    /// <summary>Fires when the caller cancels this pull.</summary>
    public CancellationToken PullToken => CalleeToken;

    protected override ValueTask<StreamAnswer<T>> Invoke(CallTarget target)
    {
        if (target is not Activation activation) throw new NotSupportedException("Observers have no streams.");
        return isStart
            ? activation.Streams.Start(id, request.MaxBatchSize, this, token => request.Method.Invoke(activation.Instance!, WithToken(OpenArguments(target), token)))
            : activation.Streams.MoveNext(id, this);
    }

    protected override StreamAnswer<T> Hand(StreamAnswer<T> answer, CallTarget from)
    {
        var codec = request.Method.ItemCodec;
        if (from.Host == Caller)
        {
            if (codec.IsImmutable) return answer;
            if (answer.HasItem) answer.Item = codec.Copy(answer.Item!);
            if (answer.Batch is { } items)
            {
                for (var i = 0; i < items.Count; i++) items[i] = codec.Copy(items[i]);
            }

            return answer;
        }

        if (answer.Error is { } error) answer.Error = RuntimeClient.Cross(error, Caller);
        if (answer.HasItem) answer.Item = RuntimeClient.Cross(codec, answer.Item!, Caller);
        if (answer.Batch is { } batch)
        {
            var writer = MessageWriter.Rent();
            foreach (var item in batch) codec.Write(writer, item);
            var reader = new MessageReader(writer.ToMessage(), Caller);
            for (var i = 0; i < batch.Count; i++) batch[i] = codec.Read(reader);
        }

        return answer;
    }

    private object?[] WithToken(object?[] arguments, CancellationToken token)
    {
        if (Method.TokenIndex is >= 0 and var index) arguments[index] = token;
        return arguments;
    }
}

/// <summary>Ends an enumeration.</summary>
internal sealed class StreamReleaseCall(GrainReference target, MethodDescriptor method, Guid id) : Call<VoidResult>(target.Client, target.GrainId, method)
{
    public override bool AlwaysInterleave => true;

    public override bool OneWay => false;

    protected override bool RunsWhenCancelled => true;

    protected override async ValueTask<VoidResult> Invoke(CallTarget target)
    {
        if (target is Activation activation) await activation.Streams.ReleaseAsync(id);
        return default;
    }

    protected override VoidResult Hand(VoidResult answer, CallTarget from) => default;
}

internal static class ArgumentArrays
{
    /// <summary>An argument list with nothing in it: value types by their defaults.</summary>
    public static object?[] WithToken(this object?[] arguments, MethodDescriptor method)
    {
        if (method.TokenIndex is >= 0 and var index) arguments[index] = CancellationToken.None;
        return arguments;
    }
}
