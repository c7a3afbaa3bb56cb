using System.CommandLine;
using Granary.Client.Cli.CommandLine;

namespace Granary.Client.Cli.Load;

/// <summary>Loads a server of the OpenAI API and tells what it did.</summary>
internal static class LoadCommand
{
    private static readonly TimeSpan ProgressEvery = TimeSpan.FromSeconds(10);

    public static Command Create(CliContext context)
    {
        var command = new Command("load", "Loads a server of the OpenAI API and measures its answers.");
        var connection = new ConnectionOptions();
        connection.AddTo(command);
        var load = new LoadOptions();
        load.AddTo(command);
        var output = new OutputOptions();
        output.AddTo(command);
        command.SetAction((result, cancellationToken) => RunAsync(context, load.Read(result, connection, context), output.Read(result), cancellationToken));
        return command;
    }

    private static async Task<int> RunAsync(CliContext context, LoadSettings settings, OutputFiles files, CancellationToken cancellationToken)
    {
        files.Check();
        using var http = new HttpMessageInvoker(context.Http ?? CreateHandler(settings), disposeHandler: context.Http is null);
        if (settings.Model.Length == 0) settings = settings with { Model = await ServedModel.FindAsync(http, settings, context.Time, cancellationToken) };

        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var interrupt = context.OnInterrupt(Stop);
        LoadResult? watched = null;
        using var progress = context.Time.CreateTimer(_ => Tell(), null, ProgressEvery, ProgressEvery);
        var result = await new LoadRunner(settings with { Rows = files.Rows }, http, context.Time).RunAsync(begun => watched = begun, stop.Token);

        await using var output = context.OpenText();
        LoadTable.Write(output, result);
        files.Write(result);
        return result.Succeeded > 0 && !result.Interrupted ? 0 : GranaryCli.Failed;

        bool Stop()
        {
            if (stop.IsCancellationRequested) return false; // The second time, the program ends.
            stop.Cancel();
            return true;
        }

        void Tell()
        {
            if (watched is { } under) context.Error.WriteLine($"{under.Requests} requests measured.");
        }
    }

    private static SocketsHttpHandler CreateHandler(LoadSettings settings) => new()
    {
        MaxConnectionsPerServer = settings.Concurrency ?? settings.MaxConnections,
        PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan, // A connection made anew would count as latency.
        AllowAutoRedirect = false,
        UseCookies = false,
        UseProxy = false, // It is the server that is measured.
        ActivityHeadersPropagator = null,
    };
}
