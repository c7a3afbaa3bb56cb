using System.Buffers.Binary;
using System.Text.Json;
using Granary.Client;
using Granary.GrainInterfaces;
using Granary.Silo.Hosting;
using Microsoft.Extensions.Options;

namespace Granary.Silo.Gateway;

/// <summary>Answers requests for vectors: cut to the dimensions asked for, then of length 1.</summary>
internal sealed class EmbeddingEndpoint(
    RequestBody body, EmbeddingReader reader, IGenerationClient client, ConcurrencyLimit limit, IOptions<GranaryOptions> options, TimeProvider time)
{
    /// <summary>Texts of one request that are embedded side by side: enough to fill a step, and no more than a replica admits.</summary>
    private const int SideBySide = 16;

    private readonly TimeSpan _timeout = TimeSpan.FromSeconds(options.Value.Gateway.RequestTimeoutSeconds);

    public async Task PostAsync(HttpContext context)
    {
        using var place = limit.Enter();
        EmbeddingPlan plan;
        using (var document = await body.ReadAsync(context)) plan = reader.Read(document.RootElement);

        // The engine ends a text at its deadline; this ends a request whose engine does not answer at all.
        using var deadline = new CancellationTokenSource(_timeout, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, deadline.Token);
        float[][] vectors;
        try
        {
            vectors = await EmbedAsync(plan, context.TraceIdentifier, both.Token);
        }
        catch (Exception exception) when (
            exception is TimeoutException || (exception is OperationCanceledException && !context.RequestAborted.IsCancellationRequested && deadline.IsCancellationRequested))
        {
            throw ApiException.DeadlineExceeded(_timeout.TotalSeconds);
        }

        await Json.WriteAsync(context.Response, (plan, vectors), static (json, answer) => Write(json, answer.plan, answer.vectors));
    }

    private async Task<float[][]> EmbedAsync(EmbeddingPlan plan, string requestId, CancellationToken cancellationToken)
    {
        var id = $"{requestId}/embd-{Guid.NewGuid():N}";
        var until = time.GetUtcNow() + _timeout;
        var vectors = new float[plan.Inputs.Length][];
        await Parallel.ForAsync(0, vectors.Length, new ParallelOptions { MaxDegreeOfParallelism = SideBySide, CancellationToken = cancellationToken }, async (i, token) =>
        {
            var request = new EmbedRequest
            {
                RequestId = $"{id}/{i}",
                Model = plan.Model.Name,
                TokenIds = plan.Inputs[i].Ids,
                Pooling = plan.Pooling,
                Deadline = until,
                CacheSalt = plan.CacheSalt,
            };
            vectors[i] = (await client.EmbedAsync(request, token)).Normalize(plan.Dimensions) ?? throw ApiException.GenerationFailed();
        });
        return vectors;
    }

    private static void Write(Utf8JsonWriter json, EmbeddingPlan plan, float[][] vectors)
    {
        json.WriteStartObject();
        json.WriteString("object"u8, "list"u8);
        json.WriteStartArray("data"u8);
        for (var i = 0; i < vectors.Length; i++)
        {
            json.WriteStartObject();
            json.WriteString("object"u8, "embedding"u8);
            json.WriteNumber("index"u8, i);
            if (plan.IsBase64)
                json.WriteBase64String("embedding"u8, ToBytes(vectors[i]));
            else
                WriteNumbers(json, vectors[i]);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteString("model"u8, plan.Model.Name);
        var tokens = plan.Inputs.Sum(input => input.Ids.Length);
        json.WriteStartObject("usage"u8);
        json.WriteNumber("prompt_tokens"u8, tokens);
        json.WriteNumber("total_tokens"u8, tokens);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void WriteNumbers(Utf8JsonWriter json, float[] vector)
    {
        json.WriteStartArray("embedding"u8);
        foreach (var component in vector) json.WriteNumberValue(component);
        json.WriteEndArray();
    }

    /// <summary>32-bit floats, little-endian.</summary>
    private static byte[] ToBytes(float[] vector)
    {
        var bytes = new byte[vector.Length * sizeof(float)];
        for (var i = 0; i < vector.Length; i++) BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(i * sizeof(float)), vector[i]);
        return bytes;
    }
}
