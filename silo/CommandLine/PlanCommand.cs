using System.CommandLine;
using Granary.Engine.Onnx.Execution;
using Granary.Engine.Onnx.Import;
using Granary.Engine.Partitioning;
using Granary.Silo.Hosting;
using Granary.Silo.Serving;

namespace Granary.Silo.CommandLine;

/// <summary>Tells how a replica of a model would be cut and placed, without loading anything.</summary>
internal static class PlanCommand
{
    public static Command Create()
    {
        var model = new Argument<string>("MODEL") { Description = "A model that came with the binary, a folder, or NAME=FOLDER; only its config.json is read." };
        var stages = ModelOptions.CountOrAuto("--stages", "Pipeline stages. Default: auto.");
        var ranks = ModelOptions.CountOrAuto("--ranks", "Tensor ranks of each stage. Default: auto.");
        var threads = ModelOptions.Integer("--threads", "Cores of each shard. Default: those of the smallest worker.", 1, 1024);
        var kvTokens = ModelOptions.Integer("--kv-tokens", "Tokens of the KV cache. Default: from the memory there is.", 1, 1 << 28);
        var context = ModelOptions.Integer("--context", "Most tokens of prompt and answer together. Default: the model's own.", 16, 1 << 20);
        var quantize = ModelOptions.Quantize();
        var device = ModelOptions.Device("Kind of device that the workers are; what is not a cpu needs --worker. Default: cpu.");
        var worker = new Option<string[]>("--worker")
        {
            Description = "A worker to plan for: its cores (of a device: shards it may hold), free memory (as 64GiB), and how many GB of it are read a second. May be given several times. Default: this machine.",
            HelpName = PlanWorkers.Form,
            AllowMultipleArgumentsPerToken = false,
        };
        worker.Validators.Add(result =>
        {
            if (PlanWorkers.Parse([.. result.Tokens.Select(token => token.Value)], ExecutionProviders.Cpu, out var error) is null) result.AddError(error!);
        });
        var json = new Option<bool>("--json") { Description = "One line of JSON instead of a table." };
        var command = new Command("plan", "Shows how a replica of a model would be cut over workers.") { model, stages, ranks, threads, kvTokens, context, quantize, device, worker, json };
        command.Validators.Add(result =>
        {
            var kind = KindOf(result.GetValue(device));
            if (kind != ExecutionProviders.Cpu && result.GetValue(worker) is not { Length: > 0 }) result.AddError($"--device is '{kind}', of which nothing is measured here; describe workers with --worker.");
            if (kind != ExecutionProviders.Cuda) return;
            if (result.GetValue(ranks) > 1) result.AddError($"--ranks is {result.GetValue(ranks)}; with --device cuda it must be 1: its graph has no sums over ranks.");
            if (result.GetValue(quantize) is { } format and not "float32") result.AddError($"--quantize is {format}; with --device cuda weights have 16 bits.");
        });
        command.SetAction((result, _) => Task.FromResult(Run(
            result.GetRequiredValue(model),
            new ImportOptions
            {
                Weights = ModelOptions.WeightsOf(result.GetValue(quantize)),
                ContextLength = result.GetValue(context) ?? 0,
                Target = TargetOf(result.GetValue(device)),
            },
            result.GetValue(worker) is { Length: > 0 } described ? PlanWorkers.Parse(described, KindOf(result.GetValue(device)), out var _)! : [PlanWorkers.ThisMachine()],
            new PartitionRequest
            {
                Stages = result.GetValue(stages) ?? 0,
                Ranks = TargetOf(result.GetValue(device)) == ModelTarget.Cpu ? result.GetValue(ranks) ?? 0 : 1,
                ThreadsPerShard = result.GetValue(threads) ?? 0,
                KvTokens = result.GetValue(kvTokens) ?? 0,
                KvBlockTokens = OnnxExecutorOptions.DefaultKvBlockTokens(TargetOf(result.GetValue(device))),
            },
            result.GetValue(json))));
        return command;
    }

    private static string KindOf(string? device) => device?.Split(':')[0] ?? ExecutionProviders.Cpu;

    /// <summary>Either type of 16 bits takes the same memory.</summary>
    private static ModelTarget TargetOf(string? device) => new DeviceOptions { Provider = KindOf(device) }.Target;

    private static int Run(string model, ImportOptions import, WorkerInventory[] workers, PartitionRequest request, bool json)
    {
        if (request.ThreadsPerShard == 0) request = request with { ThreadsPerShard = workers.Min(worker => worker.FreeCores) };
        var source = ModelSource.Parse(model);
        var shape = ModelShapes.Read(source.Directory, import);
        // Of an imported folder the context is the model's own; a smaller one is the replica's choice.
        if (import.ContextLength > 0) shape = shape with { ContextLength = Math.Min(shape.ContextLength, import.ContextLength) };
        var result = PartitionPlanner.Plan(shape, workers, request);
        if (json)
            Console.Out.WriteLine(PlanJson.Format(source.Name, result, workers));
        else if (result.Plan is { } plan)
            Console.Out.WriteLine(PlanTable.Format(plan, workers));
        else
            Console.Error.WriteLine(result.Refusal);
        return result.Plan is null ? GranaryCommand.Failed : 0;
    }
}
