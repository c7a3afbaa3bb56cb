using Granary.Silo.Gateway;

namespace Granary.Silo.Hosting;

/// <summary>The silo with its HTTP gateway.</summary>
internal static class WebHost
{
    /// <param name="configure">Services that replace those added here.</param>
    public static WebApplication Build(IReadOnlyDictionary<string, string?> settings, string[] urls, LogLevel quietest = LogLevel.Information, Action<IServiceCollection>? configure = null)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
        GranaryHost.Configure(builder, settings, quietest);
        builder.Services.AddGranaryGateway();
        ListenAddresses.RefuseOpen(urls, GranaryHost.Read(builder.Configuration).Gateway);
        configure?.Invoke(builder.Services);
        builder.WebHost.UseKestrelCore().UseUrls(urls);
        // Frames go out on the thread that wrote them, and requests begin on the one that read them: no second queue. Nothing of the gateway blocks a thread.
        builder.WebHost.UseSockets(sockets => sockets.UnsafePreferInlineScheduling = true);
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.AddServerHeader = false);
        var app = builder.Build();
        app.MapGranaryGateway();
        return app;
    }
}
