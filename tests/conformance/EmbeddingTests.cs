using System.Net;
using System.Text.Json.Nodes;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Errors;
using Granary.Tests.Conformance.Support;
using Microsoft.Extensions.DependencyInjection;

namespace Granary.Tests.Conformance;

/// <summary>The embedding endpoint over a scripted client.</summary>
[Collection(ScriptedTests.Name)]
public sealed class EmbeddingTests(ScriptedSilo scripted)
{
    private readonly HttpClient _http = scripted.Http;

    [Theory]
    [InlineData("\"Hello\"", 1)]
    [InlineData("[\"Hello\",\"world\",\"Hello world\"]", 3)]
    [InlineData("[1,2,3]", 1)]
    [InlineData("[[1,2,3],[4]]", 2)]
    public async Task Vectors_AreInOrder_AndOfLengthOne(string input, int count)
    {
        Answer(request => [request.TokenIds.Length, request.TokenIds[0], -2]);

        var answer = await AskAsync(("input", JsonNode.Parse(input)));

        var asked = scripted.Client.TakeEmbeds();
        var data = answer["data"]!.AsArray();
        Assert.Equal(count, data.Count);
        Assert.Equal("list", (string?)answer["object"]);
        Assert.Equal(Api.Model, (string?)answer["model"]);
        for (var i = 0; i < count; i++)
        {
            Assert.Equal(i, (int)data[i]!["index"]!);
            Assert.Equal("embedding", (string?)data[i]!["object"]);
            var vector = Floats(data[i]!["embedding"]!);
            Assert.Equal(1, Length(vector), 5);
            Assert.Equal((float)asked[i].TokenIds.Length / asked[i].TokenIds[0], vector[0] / vector[1], 3);
        }

        Assert.Equal(asked.Sum(request => request.TokenIds.Length), (int)answer["usage"]!["prompt_tokens"]!);
        Assert.Equal((int)answer["usage"]!["prompt_tokens"]!, (int)answer["usage"]!["total_tokens"]!);
        if (input.StartsWith("[1", StringComparison.Ordinal)) Assert.Equal([1, 2, 3], asked[0].TokenIds);
    }

    [Fact]
    public async Task Dimensions_CutBeforeTheLengthIsMadeOne()
    {
        Answer(_ => [3, 4, 12, 0]);

        var whole = Floats((await AskAsync(("input", "a")))["data"]![0]!["embedding"]!);
        var cut = Floats((await AskAsync(("input", "a"), ("dimensions", 2)))["data"]![0]!["embedding"]!);

        Assert.Equal([3 / 13f, 4 / 13f, 12 / 13f, 0], whole);
        Assert.Equal([0.6f, 0.8f], cut);
    }

    [Fact]
    public async Task Base64_IsTheSameNumbers()
    {
        Answer(_ => [1, -2, 3.5f]);

        var floats = Floats((await AskAsync(("input", "a"), ("encoding_format", "float")))["data"]![0]!["embedding"]!);
        var text = (string)(await AskAsync(("input", "a"), ("encoding_format", "base64")))["data"]![0]!["embedding"]!;

        var bytes = Convert.FromBase64String(text);
        Assert.Equal(floats, Enumerable.Range(0, bytes.Length / 4).Select(i => BitConverter.UInt32BitsToSingle(
            bytes[4 * i] | (uint)bytes[(4 * i) + 1] << 8 | (uint)bytes[(4 * i) + 2] << 16 | (uint)bytes[(4 * i) + 3] << 24)));
    }

    [Fact]
    public async Task Pooling_IsTheRequests_OrTheSettings()
    {
        Answer(_ => [1]);
        scripted.Client.TakeEmbeds();
        foreach (var (field, method) in new (string?, PoolingMethod)[] { (null, PoolingMethod.Mean), ("mean", PoolingMethod.Mean), ("last", PoolingMethod.Last) })
        {
            await AskAsync(("input", "a"), ("pooling", field));
            Assert.Equal(method, Assert.Single(scripted.Client.TakeEmbeds()).Pooling);
        }

        await using var silo = await RunningSilo.StartAsync(
            new() { ["Granary:Gateway:EmbeddingPooling"] = "Last" }, services => services.AddSingleton<Client.IGenerationClient>(scripted.Client));
        await silo.Http.AskAsync(Api.Embeddings, new JsonObject { ["input"] = "a" });
        Assert.Equal(PoolingMethod.Last, Assert.Single(scripted.Client.TakeEmbeds()).Pooling);
    }

    [Fact]
    public async Task VectorWithoutDirection_StaysZero()
    {
        Answer(_ => [0, 0]);
        var answer = await AskAsync(("input", "a"));
        Assert.Equal([0f, 0f], Floats(answer["data"]![0]!["embedding"]!));
    }

    [Fact]
    public async Task TooLong_IsRefusedBeforeAnybodyIsAsked()
    {
        scripted.Client.TakeEmbeds();
        var tooLong = new JsonArray([.. Enumerable.Repeat(1, 1025).Select(i => (JsonNode)i)]);
        var text = string.Join(' ', Enumerable.Repeat("word", 3000));
        foreach (var input in new JsonNode[] { tooLong, text, new JsonArray("a", text) })
        {
            using var response = await _http.SendAsync(Api.Embeddings, new JsonObject { ["input"] = input });
            var error = await Api.ErrorAsync(response, HttpStatusCode.BadRequest);
            Assert.Equal("context_length_exceeded", (string?)error["code"]);
            Assert.Equal("input", (string?)error["param"]);
        }

        using var many = await _http.SendAsync(Api.Embeddings, new JsonObject { ["input"] = new JsonArray([.. Enumerable.Repeat("a", 2049).Select(i => (JsonNode)i)]) });
        Assert.Contains("2048", (string?)(await Api.ErrorAsync(many, HttpStatusCode.BadRequest))["message"]);
        Assert.Empty(scripted.Client.TakeEmbeds());
    }

    [Fact]
    public async Task Failures_HaveTheirStatus()
    {
        foreach (var (exception, status, code) in new (Exception, HttpStatusCode, string)[]
        {
            (new ReplicaSaturatedException("full", TimeSpan.FromSeconds(2)), HttpStatusCode.TooManyRequests, "too_many_requests"),
            (new ModelNotReadyException("none", TimeSpan.FromSeconds(2)), HttpStatusCode.ServiceUnavailable, "model_not_ready"),
            (new ReplicaFailedException("lost"), HttpStatusCode.InternalServerError, "generation_failed"),
            (new RequestQuarantinedException("poison", 2), HttpStatusCode.InternalServerError, "request_quarantined"),
            (new TimeoutException("late"), HttpStatusCode.GatewayTimeout, "deadline_exceeded"),
        })
        {
            scripted.Client.EmbedScript = (_, _) => Task.FromException<EmbedResult>(exception);
            using var response = await _http.SendAsync(Api.Embeddings, new JsonObject { ["input"] = "a" });
            Assert.Equal(code, (string?)(await Api.ErrorAsync(response, status))["code"]);
        }
    }

    private void Answer(Func<EmbedRequest, float[]> vector)
    {
        scripted.Client.TakeEmbeds();
        scripted.Client.EmbedScript = (request, _) => Task.FromResult(new EmbedResult(vector(request), 0));
    }

    private Task<JsonNode> AskAsync(params (string Name, JsonNode? Value)[] fields)
    {
        var body = new JsonObject { ["model"] = Api.Model };
        foreach (var (name, value) in fields) body[name] = value;
        return _http.AskAsync(Api.Embeddings, body);
    }

    private static float[] Floats(JsonNode list) => [.. list.AsArray().Select(number => (float)number!)];

    private static double Length(float[] vector) => Math.Sqrt(vector.Sum(component => (double)component * component));
}
