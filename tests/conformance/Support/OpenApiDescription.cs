using System.Text.Json.Nodes;
using Granary.Tests.Support;

namespace Granary.Tests.Conformance.Support;

/// <summary>OpenAI's own description of its API, read once for all tests that ask for one answer at a time.</summary>
internal static class OpenApiDescription
{
    private static readonly Lazy<SchemaValidator> Schemas = new(() => new SchemaValidator(YamlDescription.Load(SharedData.Path("openai", "openapi.yaml"))));

    /// <summary>Fails, with every place and reason, where the value is not one of the named schema.</summary>
    public static void Check(string schema, JsonNode value) => Assert.Empty(Schemas.Value.Validate(value, schema));

    /// <summary>As above, where the schema of an event is that of its type: its alternatives are many, and a failure would not say which was meant.</summary>
    public static void CheckEvent(JsonNode value)
    {
        Check("ResponseStreamEvent", value);
        var name = ((string)value["type"]!)["response.".Length..];
        var schema = name switch
        {
            "output_text.delta" => "ResponseTextDeltaEvent",
            "output_text.done" => "ResponseTextDoneEvent",
            _ => $"Response{string.Concat(name.Split('.', '_').Select(word => char.ToUpperInvariant(word[0]) + word[1..]))}Event",
        };
        Check(schema, value);
    }
}
