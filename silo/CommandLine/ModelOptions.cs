using System.CommandLine;
using System.Globalization;
using Granary.Engine.Onnx.Execution;
using Granary.Engine.Onnx.Import;
using Granary.Silo.Hosting;

namespace Granary.Silo.CommandLine;

/// <summary>Options of what is served and with what. They set the same values as configuration does, and win over it.</summary>
internal sealed class ModelOptions
{
    private readonly Option<string[]> _model = new("--model")
    {
        Description = "Model to serve: one that came with the binary, a folder, or NAME=FOLDER. May be given several times. Default: tiny-assistant.",
        HelpName = "NAME|DIR",
        AllowMultipleArgumentsPerToken = false,
    };

    private readonly Option<int?> _replicas = Integer("--replicas", "Replicas of each model.", 1, 64);
    private readonly Option<int?> _stages = CountOrAuto("--stages", "Pipeline stages of each replica, on silos that have room. Default: 1.");
    private readonly Option<int?> _ranks = CountOrAuto("--ranks", "Tensor ranks of each stage. Default: 1.");
    private readonly Option<int?> _silos = Integer("--silos", "Silos in this process, a cluster of their own. Default: 1.", 1, 16);
    private readonly Option<string?> _device = Device("Device to compute with: cpu (default), or what the installed ONNX Runtime has of cuda, tensorrt, openvino and migraphx; with its number where there are several.");
    private readonly Option<int?> _threads = Integer("--threads", "Cores of each replica's engine, or of each of its shards. Default: the machine's, divided by them.", 1, 1024);
    private readonly Option<string?> _quantize = Quantize();
    private readonly Option<int?> _context = Integer("--context", "Most tokens of prompt and answer together. Default: the model's own.", 16, 1 << 20);
    private readonly Option<int?> _kvBlocks = Integer("--kv-blocks", "KV blocks of each replica. Default: from the memory there is.", 1, 1 << 24);
    private readonly Option<string?> _cache = new("--cache") { Description = "Where imported models are kept.", HelpName = "DIR" };

    public void AddTo(Command command)
    {
        foreach (var option in (ReadOnlySpan<Option>)[_model, _replicas, _stages, _ranks, _silos, _device, _threads, _quantize, _context, _kvBlocks, _cache]) command.Options.Add(option);
    }

    /// <summary>What was given, by configuration key.</summary>
    public Dictionary<string, string?> Read(ParseResult result)
    {
        var settings = new Dictionary<string, string?>();
        var models = result.GetValue(_model) ?? [];
        for (var i = 0; i < models.Length; i++) settings[$"Granary:Models:{i}"] = models[i];
        Set("Replicas", result.GetValue(_replicas));
        Set("Stages", result.GetValue(_stages));
        Set("Ranks", result.GetValue(_ranks));
        Set("Silos", result.GetValue(_silos));
        if (result.GetValue(_device) is { } device)
        {
            var parts = device.Split(':');
            Set("Device:Provider", parts[0]);
            Set("Device:Id", parts.Length == 1 ? "0" : parts[1]); // One in the configuration is another provider's.
        }

        Set("Threads", result.GetValue(_threads));
        Set("Quantize", result.GetValue(_quantize));
        Set("ContextLength", result.GetValue(_context));
        Set("KvBlocks", result.GetValue(_kvBlocks));
        Set("CacheDirectory", result.GetValue(_cache));
        return settings;

        void Set<T>(string key, T? value)
        {
            if (value is not null) settings[$"Granary:{key}"] = Convert.ToString(value, CultureInfo.InvariantCulture);
        }
    }

    public static Option<int?> Integer(string name, string description, int min, int max)
    {
        var option = new Option<int?>(name) { Description = description, HelpName = "N" };
        option.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int?>() is { } value && (value < min || value > max))
                result.AddError($"{name} is {value}; it must be from {min} to {max}.");
        });
        return option;
    }

    /// <summary>How weights are stored.</summary>
    public static Option<string?> Quantize()
    {
        var option = new Option<string?>("--quantize") { Description = "Weights as float32 (default), int8 or int4.", HelpName = "FORMAT" };
        option.AcceptOnlyFromAmong("float32", "int8", "int4");
        return option;
    }

    /// <summary>What <see cref="Quantize"/> was given.</summary>
    public static WeightFormat WeightsOf(string? format) => format is null ? WeightFormat.Float32 : Enum.Parse<WeightFormat>(format, ignoreCase: true);

    /// <summary>A provider's name, and a number behind a colon.</summary>
    public static Option<string?> Device(string description)
    {
        var option = new Option<string?>("--device") { Description = description, HelpName = "NAME[:ID]" };
        option.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<string?>() is not { } text) return;
            var parts = text.Split(':');
            var isId = parts.Length == 1 || (parts.Length == 2 && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out var id) && id <= DeviceSettings.MaxId);
            if (!isId || !ExecutionProviders.Names.Contains(parts[0]))
                result.AddError($"--device is '{text}'; it must be {string.Join(", ", ExecutionProviders.Names)}, or one of them with :0 to :{DeviceSettings.MaxId}.");
        });
        return option;
    }

    /// <summary>A number, or <c>auto</c>, which is 0.</summary>
    public static Option<int?> CountOrAuto(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "N|auto",
        CustomParser = result =>
        {
            var text = result.Tokens[0].Value;
            if (text == "auto") return 0;
            if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var value) && value is >= 1 and <= 1024) return value;
            result.AddError($"{name} is '{text}'; it must be auto, or from 1 to 1024.");
            return null;
        },
    };
}
