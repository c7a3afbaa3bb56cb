using Granary.Tests.Benchmarks;
using Granary.Tests.Benchmarks.Gateway;
using Granary.Tests.Benchmarks.Partition;
using Granary.Tests.Benchmarks.Replay;
using Granary.Tests.Benchmarks.Routing;

return args switch
{
    ["engine", .. var rest] => EngineBenchmark.Run(rest),
    ["http", .. var rest] => await HttpBenchmark.RunAsync(rest),
    ["startup", .. var rest] => await StartupBenchmark.RunAsync(rest),
    ["gateway", .. var rest] => await GatewayBenchmark.RunAsync(rest),
    // Processes that the gateway benchmark starts.
    ["gateway-silo", .. var rest] => await SimulatedSilo.RunAsync(rest),
    ["gateway-bare-server", .. var rest] => await BareServer.RunAsync(rest),
    ["gateway-bare-engine", .. var rest] => await BareEngine.RunAsync(rest),
    ["gateway-client", .. var rest] => LoadClient.Run(rest),
    ["links", .. var rest] => await LinksBenchmark.RunAsync(rest),
    ["links-load"] => LinksBenchmark.Load(), // A process that the links and partition benchmarks start.
    ["faults", .. var rest] => await FaultBenchmark.RunAsync(rest),
    ["partition", .. var rest] => await PartitionBenchmark.RunAsync(rest),
    ["routing", .. var rest] => RoutingBenchmark.Run(rest),
    ["replay", .. var rest] => ReplayBenchmark.Run(rest),
    ["text", .. var rest] => TextBenchmark.Run(rest),
    _ => Usage(),
};

static int Usage()
{
    Console.Error.WriteLine("""
        Usage: dotnet run -c Release --project tests/benchmarks -- COMMAND
          engine [--formats float32,int8,int4] [--threads 1,2] [--sequences 1,4,16,32] [--output FILE]
          http [--output FILE]
          startup [--output FILE]
          gateway [--sides engine,server,granary] [--rates 50,100,200,350,500] [--tokens 200] [--step-ms 10] [--warm-up 4] [--window 10] [--output FILE]
          links [--busy 0] [--output FILE]
          faults [--rounds 20] [--output FILE]
          partition [--models 110m,1b] [--layouts 1x1x2,2x1x1,1x2x1] [--sequences 1,4,16] [--busy false,true] [--windows 7] [--tokens 48] [--output FILE]
          routing [--replicas 8,64,256,1000] [--tokens 1000,10000,100000] [--rounds 400] [--output FILE]
          replay [--traces mooncake,azure] [--policies seconds,dynamo,…] [--restarts true] [--output FILE]
          text [--output FILE]
        """);
    return 2;
}
