using Orleans;

namespace Granary.GrainInterfaces.Models;

/// <summary>What a caller needs to know of a served model before it asks: its limits, its defaults, and what exactly it is.</summary>
[GenerateSerializer, Immutable, Alias("granary.model-card")]
public sealed record ModelCard
{
    /// <summary>The name requests call it by.</summary>
    [Id(0)]
    public required string Name { get; init; }

    /// <summary>Names the exact weights and text files, hex; two models with one fingerprint answer alike.</summary>
    [Id(1)]
    public required string Fingerprint { get; init; }

    /// <summary>Most tokens of prompt and answer together.</summary>
    [Id(2)]
    public required int ContextLength { get; init; }

    /// <summary>Ids are below it.</summary>
    [Id(3)]
    public required int VocabularySize { get; init; }

    /// <summary>Components of an embedding.</summary>
    [Id(4)]
    public required int HiddenSize { get; init; }

    /// <summary>When its files were made.</summary>
    [Id(5)]
    public required DateTimeOffset Created { get; init; }

    /// <summary>What a request that says nothing gets.</summary>
    [Id(6)]
    public SamplingDefaults Defaults { get; init; } = new();
}

/// <summary>Sampling values that a model recommends; null where it says nothing.</summary>
[GenerateSerializer, Immutable, Alias("granary.sampling-defaults")]
public sealed record SamplingDefaults(
    [property: Id(0)] float? Temperature = null, [property: Id(1)] int? TopK = null, [property: Id(2)] float? TopP = null,
    [property: Id(3)] float? MinP = null, [property: Id(4)] float? RepetitionPenalty = null);

/// <summary>The files that turn text into token ids and back: whoever has them can speak to the model in ids.</summary>
/// <param name="Fingerprint">Of the <see cref="ModelCard"/> they belong to.</param>
/// <param name="Files">Content by file name: <c>tokenizer.json</c> (or <c>vocab.json</c> and <c>merges.txt</c>), and of <c>tokenizer_config.json</c>, <c>chat_template.jinja</c> what there is.</param>
[GenerateSerializer, Immutable, Alias("granary.model-text-files")]
public sealed record ModelTextFiles([property: Id(0)] string Fingerprint, [property: Id(1)] Dictionary<string, byte[]> Files);
