using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Granary.Client;
using Granary.Tests.Client.Support;

namespace Granary.Tests.Client.Http;

/// <summary>What goes to the gateway, and what is made of answers that are not streams.</summary>
public sealed class AnswerTests
{
    [Fact]
    public async Task EverySetting_GoesOutUnderItsName()
    {
        await using var server = await GatewayServer.StartAsync(GatewayServer.Says("ok"));
        await using var client = GranaryClient.Connect(new() { Endpoint = new Uri(server.Address, "/v1/"), ApiKey = "secret", DefaultModel = "other" });

        await client.ChatAsync(new ChatRequest
        {
            Model = "tiny",
            Messages =
            [
                new("system", "Be brief."),
                new("user", "Hi") { Name = "Ann" },
                new("assistant", "") { ToolCalls = [new JsonObject { ["id"] = "c1" }] },
                new("tool", "42") { ToolCallId = "c1" },
            ],
            Tools = [new JsonObject { ["type"] = "function" }],
            Documents = [new JsonObject { ["text"] = "d" }],
            TemplateVariables = new() { ["thinking"] = false },
            Settings = new()
            {
                Choices = 2,
                MaxTokens = 9,
                MinTokens = 3,
                Temperature = 0.1f,
                TopP = 0.5f,
                TopK = 40,
                MinP = 0.05f,
                RepetitionPenalty = 1.1f,
                PresencePenalty = -1,
                FrequencyPenalty = 2,
                LogitBias = new Dictionary<int, float> { [5] = -100 },
                Seed = -7,
                Stops = ["\n"],
                StopTokenIds = [2],
                IgnoreEos = true,
                CacheSalt = "s",
                SessionId = "c",
            },
        }).ReadAsync();

        var request = Assert.Single(server.Received);
        Assert.Equal(("POST", "/v1/chat/completions", "Bearer secret", "application/json"),
            (request.Method, request.Path, request.Headers["authorization"], request.Headers["content-type"]));
        var expected = JsonNode.Parse("""
            {
              "model": "tiny", "stream": true, "stream_options": {"include_usage": true}, "n": 2, "max_completion_tokens": 9, "min_tokens": 3,
              "temperature": 0.1, "top_p": 0.5, "top_k": 40, "min_p": 0.05, "repetition_penalty": 1.1, "presence_penalty": -1,
              "frequency_penalty": 2, "seed": -7, "ignore_eos": true, "cache_salt": "s", "session_id": "c", "stop_token_ids": [2], "stop": ["\n"],
              "logit_bias": {"5": -100},
              "messages": [
                {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi", "name": "Ann"},
                {"role": "assistant", "content": "", "tool_calls": [{"id": "c1"}]}, {"role": "tool", "content": "42", "tool_call_id": "c1"}],
              "tools": [{"type": "function"}], "documents": [{"text": "d"}], "chat_template_kwargs": {"thinking": false}
            }
            """);
        Assert.True(JsonNode.DeepEquals(expected, request.Body), request.Body!.ToJsonString());
    }

    [Fact]
    public async Task WhatIsNotSaid_IsLeftToTheGateway()
    {
        await using var server = await GatewayServer.StartAsync(GatewayServer.Frames("[DONE]"));
        await using var client = GranaryClient.Connect(new() { Endpoint = server.Address, DefaultModel = "other" });

        await client.CompleteAsync(new() { Prompt = "Once" }).ReadAsync();

        Assert.True(JsonNode.DeepEquals(
            JsonNode.Parse("""{"model":"other","stream":true,"stream_options":{"include_usage":true},"prompt":"Once"}"""), server.Received[0].Body));
        Assert.DoesNotContain("authorization", server.Received[0].Headers.Keys);
    }

    [Theory]
    [InlineData(400, "context_length_exceeded", typeof(GranaryRequestException))]
    [InlineData(401, "invalid_api_key", typeof(GranaryRequestException))]
    [InlineData(404, "model_not_found", typeof(GranaryRequestException))]
    [InlineData(413, "body_too_large", typeof(GranaryRequestException))]
    [InlineData(429, "too_many_requests", typeof(GranaryUnavailableException))]
    [InlineData(503, "model_not_ready", typeof(GranaryUnavailableException))]
    [InlineData(504, "deadline_exceeded", typeof(TimeoutException))]
    [InlineData(500, "generation_failed", typeof(GranaryGenerationException))]
    [InlineData(502, null, typeof(GranaryGenerationException))]
    public async Task Errors_AreTyped(int status, string? code, Type type)
    {
        await using var server = await GatewayServer.StartAsync(
            GatewayServer.Error(status, "In words.", "field", code, ("x-request-id", "id-1")), GatewayServer.Error(status, "In words.", "field", code));
        await using var client = GranaryClient.Connect(new() { Endpoint = server.Address, MaxRetries = 0 });

        var (_, error) = await client.ChatAsync(Updates.Ask()).ReadToErrorAsync<Exception>();

        Assert.IsType(type, error);
        Assert.Equal("In words.", error.Message);
        if (error is GranaryClientException granary) Assert.Equal("id-1", granary.RequestId);
        if (error is GranaryRequestException refused) Assert.Equal(("field", code), (refused.Parameter, refused.Code));
        Assert.IsType(type, await Assert.ThrowsAnyAsync<Exception>(() => client.GetModelsAsync()));
    }

    [Fact]
    public async Task ErrorThatIsNoJson_TellsTheStatus()
    {
        await using var server = await GatewayServer.StartAsync(GatewayServer.Json(418, "<html>"));
        await using var client = GranaryClient.Connect(new() { Endpoint = server.Address });

        var (_, error) = await client.ChatAsync(Updates.Ask()).ReadToErrorAsync<GranaryRequestException>();

        Assert.Contains("418", error.Message, StringComparison.Ordinal);
        Assert.Equal(server.Received[0].Headers["x-request-id"], error.RequestId);
    }

    [Fact]
    public async Task Models_AreListedByName()
    {
        await using var server = await GatewayServer.StartAsync(GatewayServer.Json(
            200, """{"object":"list","data":[{"id":"b","created":2,"max_model_len":20},{"id":"a","created":1,"max_model_len":10}]}"""));
        await using var client = GranaryClient.Connect(new() { Endpoint = server.Address });

        Assert.Equal(
            [new ModelInfo("a", DateTimeOffset.FromUnixTimeSeconds(1), 10), new("b", DateTimeOffset.FromUnixTimeSeconds(2), 20)], await client.GetModelsAsync());
        Assert.Equal(("GET", "/v1/models"), (server.Received[0].Method, server.Received[0].Path));
    }

    [Fact]
    public async Task Embeddings_AreReadFromBase64AndFromNumbers_InTheirOrder()
    {
        var base64 = Convert.ToBase64String(MemoryMarshal.AsBytes<float>([0.5f, -1]));
        await using var server = await GatewayServer.StartAsync(GatewayServer.Json(
            200, $$$"""{"model":"tiny","data":[{"index":1,"embedding":[2,3]},{"index":0,"embedding":"{{{base64}}}"}],"usage":{"prompt_tokens":6}}"""));
        await using var client = GranaryClient.Connect(new() { Endpoint = server.Address });

        var response = await client.EmbedAsync(new() { Inputs = ["x", "y"], Dimensions = 2 });

        Assert.Equal(("tiny", 6), (response.Model, response.PromptTokens));
        Assert.Equal([0.5f, -1], response.Vectors[0].ToArray());
        Assert.Equal([2f, 3], response.Vectors[1].ToArray());
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse("""{"input":["x","y"],"dimensions":2,"encoding_format":"base64"}"""), server.Received[0].Body));
    }

    [Theory]
    [InlineData("""{"model":"m","data":[],"usage":{"prompt_tokens":1}}""")]
    [InlineData("""{"model":"m","data":[{"index":7,"embedding":[1]}],"usage":{"prompt_tokens":1}}""")]
    [InlineData("""{"model":"m","data":[{"index":0,"embedding":"AAA="}],"usage":{"prompt_tokens":1}}""")]
    [InlineData("""{"model":"m"}""")]
    [InlineData("nothing")]
    public async Task EmbeddingsThatAreNone_Fail(string body)
    {
        await using var server = await GatewayServer.StartAsync(GatewayServer.Json(200, body));
        await using var client = GranaryClient.Connect(new() { Endpoint = server.Address });

        await Assert.ThrowsAsync<GranaryGenerationException>(() => client.EmbedAsync(new() { Inputs = ["x"] }));
    }

    [Fact]
    public async Task TokenizingAndBack_AskTheGateway()
    {
        await using var server = await GatewayServer.StartAsync(
            GatewayServer.Json(200, """{"count":2,"max_model_len":9,"tokens":[4,5]}"""), GatewayServer.Json(200, """{"prompt":"Hi"}"""));
        await using var client = GranaryClient.Connect(new() { Endpoint = server.Address });

        Assert.Equal((int[])[4, 5], await client.TokenizeAsync("tiny", "Hi", addSpecialTokens: false));
        Assert.Equal("Hi", await client.DetokenizeAsync("tiny", [4, 5]));
        Assert.Equal(["/tokenize", "/detokenize"], server.Received.Select(request => request.Path));
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse("""{"model":"tiny","prompt":"Hi","add_special_tokens":false}"""), server.Received[0].Body));
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse("""{"model":"tiny","tokens":[4,5]}"""), server.Received[1].Body));
    }
}
