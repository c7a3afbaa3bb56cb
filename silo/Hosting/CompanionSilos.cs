namespace Granary.Silo.Hosting;

/// <summary>Starts the further silos of this process, and stops them after the first one's engines and before its Orleans runtime.</summary>
/// <param name="build">Makes the host of one silo.</param>
internal sealed class CompanionSilos(SiloGroup group, Func<SiloPlace, IHost> build) : IHostedService, IAsyncDisposable
{
    private readonly List<IHost> _hosts = [];

    /// <summary>Those that run, in order: the second silo first.</summary>
    public IReadOnlyList<IHost> Hosts => _hosts;

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        for (var index = 1; index < group.Count; index++)
        {
            var host = build(new SiloPlace(group, index));
            _hosts.Add(host);
            await host.StartAsync(cancellationToken);
        }
    }

    public async Task StopAsync(CancellationToken cancellationToken) => await Task.WhenAll(_hosts.Select(host => host.StopAsync(cancellationToken)));

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
