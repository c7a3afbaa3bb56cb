using System.Text.Json;
using System.Text.RegularExpressions;

namespace Granary.Silo.Gateway;

/// <summary>Remembers which fields a request's readers asked for, and refuses what is there and nobody asked for.</summary>
/// <remarks>So the fields that are known are those that are read, and no second list has to say the same.</remarks>
internal sealed partial class FieldRecord
{
    private const int MaxShown = 64;
    private readonly Dictionary<string, (JsonElement Body, HashSet<string> Asked)> _objects = new(StringComparer.Ordinal);

    /// <summary>Paths of all fields that were asked for, with <c>[]</c> for a place in a list.</summary>
    public IEnumerable<string> Asked => _objects
        .SelectMany(entry => entry.Value.Asked.Select(name => Place().Replace(entry.Key, "[]") + name)).Distinct(StringComparer.Ordinal);

    public void Ask(string prefix, JsonElement body, string name)
    {
        if (!_objects.TryGetValue(prefix, out var read)) _objects[prefix] = read = (body, new(StringComparer.Ordinal));
        read.Asked.Add(name);
    }

    /// <exception cref="ApiException">The body has a field that nobody asked for.</exception>
    public void RefuseUnknown()
    {
        foreach (var (prefix, (body, asked)) in _objects)
        {
            foreach (var field in body.EnumerateObject())
            {
                var name = NameOf(field);
                if (!asked.Contains(name)) throw ApiException.UnknownField(prefix + (name.Length <= MaxShown ? name : name[..MaxShown] + "…"));
            }
        }
    }

    private static string NameOf(JsonProperty field)
    {
        try
        {
            return field.Name;
        }
        catch (InvalidOperationException)
        {
            throw ApiException.InvalidBody("The body has a field whose name is not valid Unicode text.");
        }
    }

    [GeneratedRegex(@"\[\d+\]")]
    private static partial Regex Place();
}
