using Granary.Engine.Onnx.Import.Configuration;
using Granary.Engine.Partitioning;

namespace Granary.Engine.Onnx.Import;

/// <summary>Refuses a slice that does not fit its model, before it makes a graph that computes something else.</summary>
internal static class SliceCheck
{
    /// <returns>The options, without a slice where it is all of the model.</returns>
    /// <exception cref="ModelImportException">The slice does not fit the model, or its configuration is refused.</exception>
    public static ImportOptions Checked(SourceFolder source, ImportOptions options)
    {
        if (options.Slice is not { } slice) return options;
        Check(slice, ModelConfigurationReader.Read(source, options).Shape(options), nameof(ImportOptions));
        return slice.IsWhole ? options with { Slice = null } : options;
    }

    /// <param name="where">Named by the message: the file or option that the slice comes from.</param>
    /// <exception cref="ModelImportException">Names the field, its value and its bounds.</exception>
    public static void Check(ShardSlice slice, ModelShape model, string where)
    {
        Bound("Stages", slice.Stages, 1, model.LayerCount);
        Bound("Ranks", slice.Ranks, 1, model.HeadCount);
        Bound("Place.Stage", slice.Place.Stage, 0, slice.Stages - 1);
        Bound("Place.Rank", slice.Place.Rank, 0, slice.Ranks - 1);
        Cut("Layers", slice.Layers, model.LayerCount, slice.Place.Stage, slice.Stages);
        Cut("Heads", slice.Heads, model.HeadCount, slice.Place.Rank, slice.Ranks);
        Cut("Intermediate", slice.Intermediate, model.IntermediateSize, slice.Place.Rank, slice.Ranks);
        Cut("Vocabulary", slice.Vocabulary, model.VocabularySize, slice.Place.Rank, slice.Ranks);

        // Attention gives every KV head of a shard equally many query heads, in order.
        var group = model.HeadCount / model.KvHeadCount;
        var expected = new Slice(slice.Heads.First / group, (slice.Heads.End - 1) / group - slice.Heads.First / group + 1);
        if (slice.KvHeads != expected) throw Refuse("KvHeads", slice.KvHeads, $"heads {Text(slice.Heads)} attend to {Text(expected)}");
        if (expected.Count > 1 && (slice.Heads.First % group != 0 || slice.Heads.Count % group != 0))
            throw Refuse("Heads", slice.Heads, $"more than one KV head takes whole groups of {group}");

        void Cut(string field, Slice cut, int whole, int place, int places)
        {
            if (cut.First < 0 || cut.Count < 1 || cut.First > whole - cut.Count) throw Refuse(field, cut, $"bounds [0, {whole})");
            if (place == 0 && cut.First != 0) throw Refuse(field, cut, "the first begins at 0");
            if (place == places - 1 && cut.End != whole) throw Refuse(field, cut, $"the last ends at {whole}");
        }

        void Bound(string field, int value, int least, int most)
        {
            if (value < least || value > most) throw new ModelImportException($"{where}: Slice.{field} is {value}, bounds {least} … {most}.");
        }

        ModelImportException Refuse(string field, Slice cut, string bound) => new($"{where}: Slice.{field} is {Text(cut)}: {bound}.");
    }

    private static string Text(Slice slice) => $"[{slice.First}, {(long)slice.First + slice.Count})";
}
