using System.Text.Json;

namespace Granary.Tests.Benchmarks.Gateway;

/// <summary>How the processes that answer take orders: a line of input each, a line of output for each.</summary>
internal static class ServerProcess
{
    /// <summary>Serves until the input ends.</summary>
    /// <param name="port">Where it answers HTTP.</param>
    public static async Task ObeyAsync(int port, StepLog log)
    {
        Console.WriteLine($"ready {port}");
        while (await Console.In.ReadLineAsync() is { } order)
        {
            if (order == "mark") Console.WriteLine($"mark {JsonSerializer.Serialize(ProcessMark.Now())}");
            if (order.Split(' ', 2) is not ["log", var path]) continue;
            log.Save(path);
            Console.WriteLine("logged");
        }
    }
}
