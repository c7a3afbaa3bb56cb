using System.CommandLine;
using System.Runtime.InteropServices;
using Granary.Engine.Onnx.Import;
using Granary.Silo.Serving;

namespace Granary.Silo.CommandLine;

/// <summary>Imports a model's folder explicitly; serving does it on first use.</summary>
internal static class ImportCommand
{
    public static Command Create()
    {
        var source = new Argument<string>("DIR") { Description = "A Hugging Face folder: config.json, *.safetensors, tokenizer.json." };
        var output = new Argument<string>("OUT") { Description = "The folder to make." };
        var quantize = ModelOptions.Quantize();
        var target = new Option<string?>("--target") { Description = "What it is for: cpu (default), cuda-float16 or cuda-bfloat16.", HelpName = "TARGET" };
        target.AcceptOnlyFromAmong("cpu", "cuda-float16", "cuda-bfloat16");
        var command = new Command("import", "Turns a Hugging Face folder into the form that engines load.") { source, output, quantize, target };
        command.SetAction((result, _) => Task.FromResult(Run(
            result.GetRequiredValue(source), result.GetRequiredValue(output),
            new ImportOptions
            {
                Weights = ModelOptions.WeightsOf(result.GetValue(quantize)),
                Target = result.GetValue(target) is { } device ? Enum.Parse<ModelTarget>(device.Replace("-", "", StringComparison.Ordinal), ignoreCase: true) : ModelTarget.Cpu,
            })));
        return command;
    }

    private static int Run(string source, string output, ImportOptions options)
    {
        using var stop = new CancellationTokenSource();
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Cancel);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Cancel);
        try
        {
            ModelDescription description;
            using (var progress = new ImportProgressLog().Begin(Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(source)))))
                description = ModelImporter.Import(source, output, options, progress, stop.Token);
            Console.Out.WriteLine($"{description.Architecture}, {description.ParameterCount:N0} parameters, {description.Weights} → {Path.GetFullPath(output)}");
            return 0;
        }
        catch (OperationCanceledException)
        {
            return GranaryCommand.Failed;
        }

        void Cancel(PosixSignalContext context)
        {
            context.Cancel = true; // The importer cleans up what it began.
            stop.Cancel();
        }
    }
}
