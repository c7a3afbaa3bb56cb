using System.Text.Json;

namespace Granary.Silo.Gateway;

/// <summary>Reads lists of token ids.</summary>
internal static class TokenIds
{
    /// <exception cref="ApiException">An entry is not an id of the vocabulary.</exception>
    public static int[] Read(string parameter, JsonElement list, int vocabulary)
    {
        var ids = new int[list.GetArrayLength()];
        var i = 0;
        foreach (var entry in list.EnumerateArray())
        {
            if (entry.ValueKind != JsonValueKind.Number || !entry.TryGetInt32(out var id) || id < 0 || id >= vocabulary)
                throw ApiException.Invalid(parameter, $"{parameter}[{i}] is not a token id; ids are 0 to {vocabulary - 1}.");
            ids[i++] = id;
        }

        return ids;
    }
}
