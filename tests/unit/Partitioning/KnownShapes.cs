using Granary.Engine.Partitioning;

namespace Granary.Tests.Unit.Partitioning;

/// <summary>Sizes of models that exist, from their <c>config.json</c>, and of ones that do not.</summary>
internal static class KnownShapes
{
    public static ModelShape TinyLlama { get; } = Shape(22, 2048, 5632, 32, 4, 64, 32_000, 2048);

    public static ModelShape Qwen2Half { get; } = Shape(24, 896, 4864, 14, 2, 64, 151_936, 32_768, tied: true);

    public static ModelShape Phi3Mini { get; } = Shape(32, 3072, 8192, 32, 32, 96, 32_064, 4096);

    public static ModelShape Llama3Of8B { get; } = Shape(32, 4096, 14_336, 32, 8, 128, 128_256, 8192);

    public static ModelShape Llama3Of70B { get; } = Shape(80, 8192, 28_672, 64, 8, 128, 128_256, 8192);

    public static ModelShape Llama3Of405B { get; } = Shape(126, 16_384, 53_248, 128, 8, 128, 128_256, 131_072);

    public static ModelShape ByName(string name) => name switch
    {
        "TinyLlama" => TinyLlama,
        "Qwen2-0.5B" => Qwen2Half,
        "Phi-3-mini" => Phi3Mini,
        "Llama-3-8B" => Llama3Of8B,
        "Llama-3-70B" => Llama3Of70B,
        "Llama-3.1-405B" => Llama3Of405B,
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, "No such shape."),
    };

    /// <summary>Small enough for everything to be tried, odd enough for cuts to be uneven.</summary>
    public static ModelShape Random(Random random)
    {
        var kvHeads = random.Next(1, 9);
        return Shape(
            random.Next(1, 9), 32 * random.Next(1, 9), random.Next(64, 2048), kvHeads * random.Next(1, 9), kvHeads, 8 * random.Next(1, 9), random.Next(256, 8192),
            16 * random.Next(1, 65), random.Next(2) == 0, random.Next(4) switch { 0 => 32, 1 => 16, 2 => 8, _ => 4 });
    }

    /// <summary>A number of ranks that the model can be cut into.</summary>
    public static int RandomRanks(ModelShape model, Random random, int most = 32)
    {
        var possible = Enumerable.Range(1, most).Where(ranks => Slicing.CanCut(model, ranks)).ToArray();
        return possible[random.Next(possible.Length)];
    }

    private static ModelShape Shape(
        int layers, int hidden, int intermediate, int heads, int kvHeads, int headSize, int vocabulary, int context, bool tied = false, int bits = 32) => new()
        {
            LayerCount = layers,
            HiddenSize = hidden,
            IntermediateSize = intermediate,
            HeadCount = heads,
            KvHeadCount = kvHeads,
            HeadSize = headSize,
            VocabularySize = vocabulary,
            ContextLength = context,
            TiedEmbeddings = tied,
            WeightBits = bits,
        };
}
