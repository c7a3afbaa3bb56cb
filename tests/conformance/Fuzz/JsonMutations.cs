using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Granary.Tests.Conformance.Fuzz;

/// <summary>Changes a JSON body by its structure; what no JSON tree can hold is put in as text afterwards.</summary>
internal sealed class JsonMutations(Random random, JsonObject body, IReadOnlyList<string> names)
{
    private static readonly JsonSerializerOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, MaxDepth = 512 };
    private readonly List<(string Placeholder, string Text)> _texts = [];

    /// <returns>The changed body, and what was done to it.</returns>
    public (string Text, List<string> Mutations) Apply(int count)
    {
        var done = new List<string>();
        for (var i = 0; i < count; i++) done.Add(ApplyOne());
        var text = body.ToJsonString(Readable);
        foreach (var (placeholder, replacement) in _texts) text = text.Replace(placeholder, replacement, StringComparison.Ordinal);
        return (text, done);
    }

    private string ApplyOne()
    {
        var places = Places(body).ToList();
        if (places.Count == 0) return AddField();
        var (parent, key) = places[random.Next(places.Count)];
        var where = Name(parent, key);
        switch (random.Next(10))
        {
            case < 5:
                Set(parent, key, HostileText());
                return $"{where} replaced";
            case 5 when parent is JsonObject fields:
                fields.Remove((string)key);
                return $"{where} removed";
            case 6 when parent is JsonObject fields:
                AddText(fields, $"\"{key}\":{HostileValues.Next(random)}");
                return $"{where} given twice";
            case 7 when parent is JsonArray list:
                for (var copies = random.Next(1, 40); copies > 0; copies--) list.Add(list[(int)key]?.DeepClone());
                return $"{where} repeated";
            case 8:
                var inner = random.Next(2) == 0 ? (JsonNode)new JsonArray(Get(parent, key)?.DeepClone()) : new JsonObject { ["type"] = "text", ["text"] = Get(parent, key)?.DeepClone() };
                Set(parent, key, inner);
                return $"{where} wrapped";
            default:
                return AddField();
        }
    }

    private string AddField()
    {
        var name = random.Next(4) == 0 ? "unknown_field" : names[random.Next(names.Count)];
        AddText(body, $"{JsonSerializer.Serialize(name)}:{HostileValues.Next(random)}");
        return $"{name} added";
    }

    private JsonNode HostileText()
    {
        var placeholder = string.Create(CultureInfo.InvariantCulture, $"%{_texts.Count}%");
        _texts.Add(($"\"{placeholder}\"", HostileValues.Next(random)));
        return placeholder;
    }

    private void AddText(JsonObject fields, string text)
    {
        var placeholder = string.Create(CultureInfo.InvariantCulture, $"%{_texts.Count}%");
        _texts.Add(($"\"{placeholder}\":0", text));
        fields[placeholder] = 0;
    }

    private static JsonNode? Get(JsonNode parent, object key) => key is string name ? parent[name] : parent[(int)key];

    private static void Set(JsonNode parent, object key, JsonNode? value)
    {
        if (key is string name)
            parent[name] = value;
        else
            parent[(int)key] = value;
    }

    private static string Name(JsonNode parent, object key) =>
        (parent.GetPath() + (key is string name ? $".{name}" : $"[{key}]")).Replace("$.", "", StringComparison.Ordinal);

    /// <summary>Every value below a node, by its parent and its key there.</summary>
    private static IEnumerable<(JsonNode Parent, object Key)> Places(JsonNode node)
    {
        if (node is JsonObject fields)
        {
            foreach (var (name, value) in fields)
            {
                yield return (node, name);
                if (value is not null) foreach (var place in Places(value)) yield return place;
            }
        }
        else if (node is JsonArray list)
        {
            for (var i = 0; i < list.Count; i++)
            {
                yield return (node, i);
                if (list[i] is { } value) foreach (var place in Places(value)) yield return place;
            }
        }
    }
}
