using Granary.Tests.Benchmarks;

return args switch
{
    ["engine", .. var rest] => EngineBenchmark.Run(rest),
    ["http", .. var rest] => await HttpBenchmark.RunAsync(rest),
    ["startup", .. var rest] => await StartupBenchmark.RunAsync(rest),
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
          text [--output FILE]
        """);
    return 2;
}
