using System.Text.Json;

namespace Granary.Engine.Onnx.Import.Configuration;

/// <summary>What <c>generation_config.json</c> recommends, and the ids that end a sequence.</summary>
internal static class GenerationConfiguration
{
    public const string FileName = "generation_config.json";
    private const int MaxEosTokens = 256;

    /// <summary>EOS ids from generation_config.json, or from config.json where that is absent or says nothing.</summary>
    /// <exception cref="ModelImportException">A value is refused.</exception>
    public static (int[] EosTokenIds, GenerationDefaults Defaults) Read(SourceFolder folder, int vocabularySize)
    {
        int[] eos = [];
        var defaults = new GenerationDefaults();
        if (folder.Exists(FileName))
        {
            using var document = folder.ReadJson(FileName);
            var settings = Settings(document, FileName);
            eos = settings.Integers("eos_token_id", 0, vocabularySize - 1, MaxEosTokens);
            defaults = Defaults(settings);
        }

        if (eos.Length == 0)
        {
            using var document = folder.ReadJson(ModelConfigurationReader.FileName);
            eos = Settings(document, ModelConfigurationReader.FileName).Integers("eos_token_id", 0, vocabularySize - 1, MaxEosTokens);
        }

        return ([.. eos.Distinct().Order()], defaults);
    }

    private static SettingsReader Settings(JsonDocument document, string file) =>
        document.RootElement.ValueKind == JsonValueKind.Object ? new SettingsReader(document.RootElement, file) : throw new ModelImportException($"{file}: is not an object.");

    /// <summary>With do_sample false the recommendation is greedy: temperature 0, whatever the other values say.</summary>
    private static GenerationDefaults Defaults(SettingsReader settings)
    {
        var penalty = Real("repetition_penalty", 0.01, 100);
        if (settings.Has("do_sample") && !settings.Flag("do_sample", false)) return new GenerationDefaults(Temperature: 0, RepetitionPenalty: penalty);
        var topK = settings.Has("top_k") ? settings.Integer("top_k", 0, ModelConfigurationReader.MaxVocabulary) : (int?)null;
        return new GenerationDefaults(Real("temperature", 0, 100), topK, Real("top_p", 0, 1), Real("min_p", 0, 1), penalty);

        float? Real(string name, double minimum, double maximum) => settings.Has(name) ? (float)settings.Number(name, minimum, maximum) : null;
    }
}
