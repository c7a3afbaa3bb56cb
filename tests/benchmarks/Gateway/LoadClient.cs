using System.Collections.Concurrent;
using System.Net;
using System.Text.Json;

namespace Granary.Tests.Benchmarks.Gateway;

/// <summary>The process that sends a load over HTTP and stamps what comes back.</summary>
internal static class LoadClient
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    /// <summary>Arguments: port, file for the traces, load.</summary>
    public static int Run(string[] arguments)
    {
        var server = new IPEndPoint(IPAddress.Loopback, int.Parse(arguments[0], System.Globalization.CultureInfo.InvariantCulture));
        var load = Load.Parse(arguments.AsSpan(2));
        var free = new ConcurrentStack<StreamConnection>();
        var measured = new List<Trace>();
        using var idle = new CountdownEvent(1);
        load.Run(
            (number, isMeasured) =>
            {
                var trace = new Trace(number, load.MaxTokens);
                if (isMeasured) measured.Add(trace);
                idle.AddCount();
                if (!free.TryPop(out var connection)) connection = new StreamConnection(server, Completed, Failed);
                connection.Send(trace, load.MaxTokens);
            },
            what => Console.WriteLine($"{what} {JsonSerializer.Serialize(ProcessMark.Now(Interlocked.Read(ref StreamConnection.TokensArrived)))}"));
        idle.Signal();
        if (!idle.Wait(Patience)) throw new TimeoutException($"{idle.CurrentCount} answers are not whole after {Patience}.");
        Trace.Save(arguments[1], measured);
        return 0;

        void Completed(StreamConnection connection, Trace trace)
        {
            free.Push(connection);
            idle.Signal();
        }

        static void Failed(Exception exception)
        {
            Console.Error.WriteLine(exception.Message);
            Environment.Exit(1);
        }
    }
}
