using System.Collections.Concurrent;
using Granary.Engine;
using Granary.Engine.Kv;

namespace Granary.Tests.Cluster.Grains;

/// <summary>A real engine that tells a test what it was asked and what it refused.</summary>
/// <param name="hostBytes">Memory that it says its copies of cached blocks may take; 0 for what is true.</param>
internal sealed class ScriptedEngine(IInferenceEngine inner, long hostBytes = 0) : IInferenceEngine
{
    private readonly ConcurrentDictionary<string, TaskCompletionSource> _submitted = new();
    private readonly ConcurrentDictionary<string, RefusalReason> _refused = new();

    public EngineInfo Info => inner.Info;

    public EngineLoad Load => hostBytes == 0 ? inner.Load : inner.Load with { KvHostBytes = hostBytes };

    public Task Completion => inner.Completion;

    /// <summary>Completes when the request has been submitted, admitted or not.</summary>
    public Task WhenSubmitted(string requestId) => Of(requestId).Task;

    public RefusalReason? RefusalOf(string requestId) => _refused.TryGetValue(requestId, out var reason) ? reason : null;

    public ISequenceHandle? TrySubmit(EngineRequest request, out Refusal? refusal)
    {
        var handle = inner.TrySubmit(request, out refusal);
        if (refusal is not null) _refused[request.RequestId] = refusal.Reason;
        Of(request.RequestId).TrySetResult();
        return handle;
    }

    public KvEventBatch ReadKvEvents(long from) => inner.ReadKvEvents(from);

    public Task<int> PinAsync(string owner, int[] tokenIds, string? salt, TimeSpan lease) => inner.PinAsync(owner, tokenIds, salt, lease);

    public void Unpin(string owner) => inner.Unpin(owner);

    public ValueTask DisposeAsync() => inner.DisposeAsync();

    private TaskCompletionSource Of(string requestId) =>
        _submitted.GetOrAdd(requestId, _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
}
