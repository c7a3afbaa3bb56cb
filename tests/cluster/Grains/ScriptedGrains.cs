using System.Collections.Concurrent;
using System.Reflection;
using System.Threading.Channels;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Models;
using Granary.GrainInterfaces.Replicas;
using Granary.GrainInterfaces.Routing;
using Microsoft.Extensions.DependencyInjection;
using Orleans;

namespace Granary.Tests.Cluster.Grains;

/// <summary>Models and replicas that say what a test scripts, in the place of grains of those keys; all others are the silo's own.</summary>
internal sealed class ScriptedGrains
{
    private readonly ConcurrentDictionary<string, object> _scripts = new();

    /// <summary>What the silo's grains call goes through the scripts first.</summary>
    public void AddTo(IServiceCollection services)
    {
        var own = services.Last(service => service.ServiceType == typeof(IGrainFactory)).ImplementationFactory!;
        services.AddSingleton<IGrainFactory>(provider =>
        {
            var factory = DispatchProxy.Create<IGrainFactory, Factory>();
            var proxy = (Factory)(object)factory;
            (proxy.Own, proxy.Scripts) = ((IGrainFactory)own(provider), _scripts);
            return factory;
        });
    }

    public ScriptedModelGrain Model(string name) => (ScriptedModelGrain)_scripts.GetOrAdd(name, name => new ScriptedModelGrain(name));

    public ScriptedWatch Replica(string id) => (ScriptedWatch)_scripts.GetOrAdd(id, _ => new ScriptedWatch());

    /// <summary>Stands for <see cref="IGrainFactory"/>.</summary>
    [System.Diagnostics.CodeAnalysis.SuppressMessage("Performance", "CA1852", Justification = "The proxy derives from it at run time.")]
    private class Factory : DispatchProxy
    {
        public IGrainFactory Own { get; set; } = null!; // Set right after it is made: a proxy has no constructor of its own.

        public ConcurrentDictionary<string, object> Scripts { get; set; } = null!;

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) =>
            args is [string key, ..] && Scripts.TryGetValue(key, out var script) && targetMethod!.ReturnType.IsInstanceOfType(script) ? script : targetMethod!.Invoke(Own, args);
    }
}

/// <summary>A model that is what a test says.</summary>
internal sealed class ScriptedModelGrain(string name) : IModelGrain
{
    private readonly Lock _gate = new();
    private ModelStatus _status = new(name, 0, []) { Version = 1, Activation = 1 };
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Exception? _failure;

    /// <summary>Fingerprints that routers told it.</summary>
    public Channel<ulong> Quarantines { get; } = Channel.CreateUnbounded<ulong>();

    /// <summary>Every watcher hears it; the version counts up by itself.</summary>
    public void Say(Func<ModelStatus, ModelStatus> change)
    {
        lock (_gate)
        {
            _failure = null;
            _status = change(_status) with { Version = _status.Version + 1 };
            Changed();
        }
    }

    /// <summary>Nobody gets an answer until it says something again.</summary>
    public void Fail(Exception failure)
    {
        lock (_gate)
        {
            _failure = failure;
            Changed();
        }
    }

    public Task<ModelStatus> GetStatusAsync(CancellationToken cancellationToken = default)
    {
        lock (_gate) return _failure is null ? Task.FromResult(_status) : Task.FromException<ModelStatus>(_failure);
    }

    public async Task<ModelStatus> WatchAsync(long known, CancellationToken cancellationToken = default)
    {
        Task changed;
        lock (_gate)
        {
            if (_failure is not null) throw _failure;
            if (_status.Version != known) return _status;
            changed = _changed.Task;
        }

        await changed.WaitAsync(cancellationToken);
        return await GetStatusAsync(cancellationToken);
    }

    public Task QuarantineAsync(ulong fingerprint, string reason, CancellationToken cancellationToken = default)
    {
        Assert.True(Quarantines.Writer.TryWrite(fingerprint));
        return Task.CompletedTask;
    }

    public Task<ModelStatus> DeployAsync(DeploymentSpec spec, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public Task<ModelCard> GetCardAsync(CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public Task<ModelTextFiles> GetTextFilesAsync(CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public Task ReportDrainingAsync(ReplicaLife life, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public Task ReportEndedAsync(ReplicaLife life, string reason, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    private void Changed()
    {
        _changed.SetResult();
        _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}

/// <summary>A router's question to a replica; the test answers it.</summary>
internal sealed record WatchQuestion(long Epoch, long NextEvent, TaskCompletionSource<ReplicaNews> Answer, CancellationToken Ended)
{
    public void Tell(KvEvents? kv = null, ReplicaLoad? load = null) =>
        Answer.TrySetResult(new ReplicaNews(load ?? new ReplicaLoad { Epoch = Epoch }, kv ?? new KvEvents { First = NextEvent, Next = NextEvent }));
}

/// <summary>A replica of which only the watch is asked.</summary>
internal sealed class ScriptedWatch : IReplicaGrain
{
    private readonly Channel<WatchQuestion> _questions = Channel.CreateUnbounded<WatchQuestion>();

    public async Task<WatchQuestion> NextAsync()
    {
        using var patience = new CancellationTokenSource(GrainsFixture.Patience);
        return await _questions.Reader.ReadAsync(patience.Token);
    }

    public Task<ReplicaNews> WatchAsync(long epoch, long nextEvent, CancellationToken cancellationToken = default)
    {
        var question = new WatchQuestion(epoch, nextEvent, new(TaskCreationOptions.RunContinuationsAsynchronously), cancellationToken);
        Assert.True(_questions.Writer.TryWrite(question));
        return question.Answer.Task;
    }

    public Task OpenReaderAsync(Guid reader, long epoch) => throw new NotSupportedException();

    public Task SubmitAsync(GenerateRequest request, long epoch, Guid reader, long slot) => throw new NotSupportedException();

    public Task<StepTokens> TakeAsync(Guid reader, TokenCredit[] credits) => throw new NotSupportedException();

    public Task GrantAsync(Guid reader, TokenCredit credit) => throw new NotSupportedException();

    public Task CancelAsync(Guid reader, long slot) => throw new NotSupportedException();

    public Task<EmbedResult> EmbedAsync(EmbedRequest request, long epoch, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public Task<int> PinAsync(KvPin pin, long epoch) => throw new NotSupportedException();

    public Task UnpinAsync(string owner, long epoch) => throw new NotSupportedException();

    public Task<ReplicaLoad> GetLoadAsync(CancellationToken cancellationToken = default) => throw new NotSupportedException();
}
