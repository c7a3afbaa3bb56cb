using System.Text.Json;
using Granary.Client;
using Granary.GrainInterfaces;
using Granary.Silo.Hosting;
using Microsoft.Extensions.Options;

namespace Granary.Silo.Gateway;

/// <summary>A validated request for vectors.</summary>
/// <param name="Dimensions">Components to keep of each vector; null keeps all.</param>
internal sealed record EmbeddingPlan(TextModel Model, TextInput[] Inputs, PoolingMethod Pooling, int? Dimensions, bool IsBase64, string? CacheSalt);

/// <summary>Reads requests for vectors, or refuses them by field, value and bound.</summary>
internal sealed class EmbeddingReader(ModelField models, IOptions<GranaryOptions> options)
{
    private const string Input = "input";
    private readonly GatewayOptions _limits = options.Value.Gateway;

    /// <exception cref="ApiException">The request is refused.</exception>
    public EmbeddingPlan Read(JsonElement body) => Read(models.Open(body));

    internal EmbeddingPlan Read(RequestFields fields)
    {
        var model = models.Find(fields);
        fields.Ignore("user", "priority", "request_id");
        var inputs = TextInputs.Read(fields, Input, model, _limits.MaxEmbeddingInputs, fields.GetBoolean("add_special_tokens", true));
        CheckLengths(model, inputs);
        var plan = new EmbeddingPlan(
            model, inputs, ReadPooling(fields), fields.GetInteger("dimensions", 1, model.Card.HiddenSize), ReadIsBase64(fields), fields.GetString("cache_salt", 256));
        fields.RefuseUnknown();
        return plan;
    }

    private void CheckLengths(TextModel model, TextInput[] inputs)
    {
        var total = 0L;
        for (var i = 0; i < inputs.Length; i++)
        {
            var tokens = inputs[i].Ids.Length;
            if (tokens > model.ContextLength)
                throw ApiException.ContextLengthExceeded(Input, $"{Input}[{i}] has {tokens} tokens; the context holds {model.ContextLength}.");
            total += tokens;
        }

        if (total > _limits.MaxEmbeddingTokens)
            throw ApiException.Invalid(Input, $"{Input} has {total} tokens; at most {_limits.MaxEmbeddingTokens} are taken at once.");
    }

    private static bool ReadIsBase64(RequestFields fields) => fields.GetString("encoding_format", 16) switch
    {
        null or "float" => false,
        "base64" => true,
        var other => throw ApiException.Invalid("encoding_format", $"encoding_format is '{other}'; it must be 'float' or 'base64'."),
    };

    private PoolingMethod ReadPooling(RequestFields fields) => fields.GetString("pooling", 16) switch
    {
        null => _limits.EmbeddingPooling,
        "mean" => PoolingMethod.Mean,
        "last" => PoolingMethod.Last,
        var other => throw ApiException.Invalid("pooling", $"pooling is '{other}'; it must be 'mean' or 'last'."),
    };
}
