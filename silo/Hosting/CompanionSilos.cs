using Granary.Grains;

namespace Granary.Silo.Hosting;

/// <summary>Starts the further silos of this process, and stops them after the first one's engines and before its Orleans runtime.</summary>
/// <param name="build">Makes the host of one silo.</param>
internal sealed class CompanionSilos(SiloGroup group, Func<SiloPlace, IHost> build) : IHostedLifecycleService, IAsyncDisposable
{
    private readonly List<IHost> _hosts = [];

    /// <summary>Those that run, in order: the second silo first.</summary>
    public IReadOnlyList<IHost> Hosts => _hosts;

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        for (var index = 1; index < group.Count; index++)
        {
            var host = build(new SiloPlace(group, index));
            _hosts.Add(host);
            await host.StartAsync(cancellationToken);
        }
    }

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>All silos of the process stop: none of them takes anything new.</summary>
    public Task StoppingAsync(CancellationToken cancellationToken)
    {
        foreach (var host in _hosts) host.Services.GetRequiredService<EngineHost>().BeginDraining();
        return Task.CompletedTask;
    }

    /// <summary>One after the other, the last first.</summary>
    /// <remarks>A silo that leaves writes so into the first one's table, and tries once. Of two that leave at once one may fail, and the others would then wait half a minute for it.</remarks>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        var failures = new List<Exception>();
        foreach (var host in Enumerable.Reverse(_hosts))
        {
            try
            {
                await host.StopAsync(cancellationToken);
            }
            catch (Exception exception)
            {
                failures.Add(exception);
            }
        }

        if (failures.Count > 0) throw new AggregateException(failures);
    }

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        foreach (var host in _hosts)
        {
            if (host is IAsyncDisposable disposable) await disposable.DisposeAsync();
            else host.Dispose();
        }

        _hosts.Clear();
    }
}
