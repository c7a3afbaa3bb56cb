using Granary.Engine.Onnx.Execution;
using Granary.Engine.Onnx.Import;
using Granary.GrainInterfaces.Replicas;
using Granary.Silo.CommandLine;
using Granary.Silo.Hosting;
using Granary.Silo.Serving;
using Granary.Tests.Conformance.Clients;
using Granary.Tests.Support;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Options;

namespace Granary.Tests.Conformance;

/// <summary>The device that the settings name: what is refused, and what follows from it in the silo.</summary>
public sealed class DeviceTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("tpu", 0, null, 0, "Granary:Device:Provider is 'tpu'; it must be one of cpu, cuda, tensorrt, openvino, migraphx.")]
    [InlineData("CUDA", 0, null, 0, "Granary:Device:Provider is 'CUDA'; it must be one of")]
    [InlineData("cpu", 1, null, 0, "Granary:Device:Id is 1; of cpu it must be 0.")]
    [InlineData("cpu", 256, null, 0, "Granary:Device:Id is 256; it must be from 0 to 255.")]
    [InlineData("cpu", 0, DevicePrecision.BFloat16, 0, "Granary:Device:Precision is BFloat16; it goes with Granary:Device:Provider cuda")]
    [InlineData("tensorrt", 0, DevicePrecision.Float16, 0, "Granary:Device:Precision is Float16; it goes with Granary:Device:Provider cuda")]
    [InlineData("cuda", 0, (DevicePrecision)7, 1, "Granary:Device:Precision is 7; it must be Float16 or BFloat16.")]
    [InlineData("cpu", 0, null, -1, "Granary:Device:MemoryBytes is -1; it must be from 0 to 9223372036854775807.")]
    [InlineData("cpu", 0, null, 1 << 30, "Granary:Device:MemoryBytes is 1073741824; with provider 'cpu' models are in the machine's memory")]
    public void Check_OutOfBounds_NamesSettingValueAndBound(string provider, int id, DevicePrecision? precision, long memory, string expected)
    {
        var options = new GranaryOptions { Device = new() { Provider = provider, Id = id, Precision = precision, MemoryBytes = memory } };

        Assert.Contains(expected, new GranaryOptionsValidator().Validate(null, options).FailureMessage);
    }

    [Fact]
    public void Check_WhatCudaCannotDo_IsToldWithTheOtherSetting()
    {
        var options = Cuda();
        (options.Ranks, options.Quantize) = (2, WeightFormat.Int8);

        var failures = DeviceSettings.Check(options).ToList();

        Assert.Contains("Granary:Ranks is 2; with Granary:Device:Provider cuda it must be 1 (or 0): a graph for CudaFloat16 has no sums over ranks.", failures);
        Assert.Contains(failures, failure => failure.StartsWith("Granary:Quantize is Int8; with Granary:Device:Provider cuda it must be Float32", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("cuda")]
    [InlineData("tensorrt")]
    [InlineData("openvino")]
    [InlineData("migraphx")]
    public void Check_ProviderThatTheRuntimeLacks_IsToldWithThoseItHas(string provider)
    {
        var missing = DeviceSettings.Check(new GranaryOptions { Device = new() { Provider = provider } }).Where(failure => failure.Contains("which is not in the installed ONNX Runtime", StringComparison.Ordinal));

        if (ExecutionProviders.IsInstalled(provider))
            Assert.Empty(missing);
        else
            Assert.StartsWith($"Granary:Device:Provider is '{provider}', which is not in the installed ONNX Runtime", Assert.Single(missing));
    }

    /// <summary>One line on standard error, before anything is imported or listened on.</summary>
    [Fact]
    public async Task Serve_ProviderThatTheRuntimeLacks_ExitsWithOneAndALine()
    {
        if (ExecutionProviders.Names.FirstOrDefault(name => !ExecutionProviders.IsInstalled(name)) is not { } provider) return;

        var run = await RunAsync("--device", provider, "--urls", "http://127.0.0.1:0", "--cache", _folder.Path);

        Assert.Equal((GranaryCommand.Failed, ""), (run.ExitCode, run.Output));
        Assert.Matches($"^Granary:Device:Provider is '{provider}', which is not in the installed ONNX Runtime [^\n]+\n$", run.Errors);
        Assert.Empty(Directory.EnumerateFileSystemEntries(_folder.Path));
    }

    [Theory]
    [InlineData("gpu", "--device is 'gpu'; it must be cpu, cuda, tensorrt, openvino, migraphx, or one of them with :0 to :255.")]
    [InlineData("cuda:256", "--device is 'cuda:256'")]
    [InlineData("cuda:1:2", "--device is 'cuda:1:2'")]
    [InlineData("cuda:", "--device is 'cuda:'")]
    public async Task Serve_NoDevice_ExitsWithTwo(string device, string shown)
    {
        var run = await RunAsync("--device", device);

        Assert.Equal((GranaryCommand.WrongArguments, ""), (run.ExitCode, run.Output));
        Assert.Contains(shown, run.Errors);
    }

    [Fact]
    public void Read_DeviceSection_IsBound()
    {
        var configuration = new ConfigurationBuilder().AddInMemoryCollection(
            [new("Granary:Device:Provider", "cuda"), new("Granary:Device:Id", "3"), new("Granary:Device:Precision", "bfloat16"), new("Granary:Device:MemoryBytes", "5")]).Build();

        var device = GranaryHost.Read(configuration).Device;

        Assert.Equal(("cuda", 3, DevicePrecision.BFloat16, 5L), (device.Provider, device.Id, device.Precision, device.MemoryBytes));
    }

    [Fact]
    public void Worker_OfADevice_IsNamedByItAndIsOneCore()
    {
        var options = Cuda();
        (options.Silos, options.Threads, options.Cluster.SiloName, options.Device.MemoryBytes) = (2, 8, "here", 1 << 30);
        using var group = new SiloGroup(options);
        var identity = new SiloIdentity(Options.Create(options), new SiloPlace(group, 1));

        Assert.Equal("here-2/cuda", identity.WorkerKey);
        Assert.Equal((1, 1, 1), (group.CoresOf(0), group.CoresOf(1), group.Threads));
        Assert.Equal(1 << 29, group.MemoryOfEach);
    }

    [Fact]
    public void IsWhole_RanksLeftOpenOnCuda_HasOne()
    {
        var options = Cuda();
        options.Ranks = 0;

        Assert.True(options.IsWhole);
        Assert.False(new GranaryOptions { Ranks = 0 }.IsWhole);
    }

    [Theory]
    [InlineData("cpu", null, 16)]
    [InlineData("openvino", null, 16)]
    [InlineData("cuda", null, 256)]
    [InlineData("cuda", DevicePrecision.BFloat16, 256)]
    public void ToExecutor_Device_ReachesTheExecutor(string provider, DevicePrecision? precision, int blockTokens)
    {
        var settings = new GranaryOptions { Threads = 3, Device = new() { Provider = provider, Id = 2, Precision = precision } };

        var executor = EngineSettings.ToExecutor(settings, new ReplicaSpec("s/d/m/0", "m", 1, 7), kvMemoryBytes: 9);

        Assert.Equal((provider, 2, blockTokens, 7, 9L), (executor.Provider, executor.DeviceId, executor.KvBlockTokens, executor.KvBlockCount, executor.KvMemoryBytes));
        Assert.Equal(provider == "cpu" ? 1 : 3, executor.IntraOpThreads);
    }

    [Theory]
    [InlineData(DevicePrecision.Float16, ModelTarget.CudaFloat16)]
    [InlineData(DevicePrecision.BFloat16, ModelTarget.CudaBFloat16)]
    public async Task GetImportedAsync_Cuda_ImportsForItBesideTheCpus(DevicePrecision precision, ModelTarget target)
    {
        var forCpu = await CatalogOf(new GranaryOptions()).GetImportedAsync(ModelCatalog.DefaultModel);
        var options = Cuda();
        options.Device.Precision = precision;
        var catalog = CatalogOf(options);

        var forCuda = await catalog.GetImportedAsync(ModelCatalog.DefaultModel);

        Assert.Equal((ModelTarget.Cpu, target), (forCpu.Description.Target, forCuda.Description.Target));
        Assert.NotEqual(forCpu.Description.Fingerprint, forCuda.Description.Fingerprint);
        Assert.NotEqual(forCpu.Directory, forCuda.Directory);
        Assert.Equal(16, catalog.ReadShape(ModelCatalog.DefaultModel).WeightBits);
        Assert.True(ModelBytes.OfWeights(forCuda) < ModelBytes.OfWeights(forCpu));
    }

    [Fact]
    public async Task GetImportedAsync_ImportedForAnotherDevice_IsRefused()
    {
        var forCpu = await CatalogOf(new GranaryOptions()).GetImportedAsync(ModelCatalog.DefaultModel);
        var options = Cuda();
        options.Models.Add($"m={forCpu.Directory}");

        var refusal = await Assert.ThrowsAsync<ModelImportException>(() => CatalogOf(options).GetImportedAsync("m"));

        Assert.StartsWith("Model 'm' was imported for Cpu; Granary:Device:Provider 'cuda' needs it for CudaFloat16.", refusal.Message);
    }

    [Theory]
    [InlineData("--device cuda", "--device is 'cuda', of which nothing is measured here; describe workers with --worker.")]
    [InlineData("--device cuda --worker a:1:1GiB --ranks 2", "--ranks is 2; with --device cuda it must be 1")]
    [InlineData("--device cuda --worker a:1:1GiB --quantize int8", "--quantize is int8; with --device cuda weights have 16 bits.")]
    public async Task Plan_WhatTheDeviceCannotDo_ExitsWithTwo(string arguments, string shown)
    {
        var run = await RunAsync(["plan", "tiny-assistant", .. arguments.Split(' ')]);

        Assert.Equal((GranaryCommand.WrongArguments, ""), (run.ExitCode, run.Output));
        Assert.Contains(shown, run.Errors);
    }

    [Fact]
    public async Task Plan_Cuda_IsOfItsBlocksAndBits()
    {
        string[] plan = ["plan", "tiny-assistant", "--stages", "2", "--kv-tokens", "1000", "--json", "--worker", "a:1:1GiB", "--worker", "a:1:1GiB"];

        var cpu = await RunAsync([.. plan, "--ranks", "1"]);
        var cuda = await RunAsync([.. plan, "--device", "cuda"]);

        Assert.True(cpu.ExitCode == 0 && cuda.ExitCode == 0, cpu.Errors + cuda.Errors);
        var (forCpu, forCuda) = (System.Text.Json.Nodes.JsonNode.Parse(cpu.Output)!, System.Text.Json.Nodes.JsonNode.Parse(cuda.Output)!);
        Assert.Equal((1008, 1024), ((int)forCpu["kv_tokens"]!, (int)forCuda["kv_tokens"]!));
        Assert.Equal(["a-2/cuda", "a/cuda"], forCuda["shards"]!.AsArray().Select(shard => (string)shard!["worker"]!).Order(StringComparer.Ordinal));
        Assert.True(Sum(forCuda) < Sum(forCpu));

        static long Sum(System.Text.Json.Nodes.JsonNode plan) => plan["shards"]!.AsArray().Sum(shard => (long)shard!["weight_bytes"]!);
    }

    private static GranaryOptions Cuda() => new() { Device = new() { Provider = ExecutionProviders.Cuda } };

    private static Task<ProgramResult> RunAsync(params string[] arguments) =>
        OtherPrograms.RunAsync("dotnet", [Path.Combine(AppContext.BaseDirectory, "Granary.Silo.dll"), .. arguments]);

    private ModelCatalog CatalogOf(GranaryOptions options)
    {
        options.CacheDirectory = _folder.Path;
        return new ModelCatalog(Options.Create(options), new ImportProgressLog());
    }
}
