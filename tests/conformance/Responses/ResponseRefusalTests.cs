using System.Net;
using System.Runtime.CompilerServices;
using System.Text.Json.Nodes;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Errors;
using Granary.Tests.Conformance.Support;
using Granary.Tests.Support;

namespace Granary.Tests.Conformance.Responses;

/// <summary>What the Responses API refuses, and how it tells failures.</summary>
[Collection(ScriptedTests.Name)]
public sealed class ResponseRefusalTests(ScriptedSilo scripted)
{
    private const string Unknown = "resp_00000000000000000000000000000000";

    [Theory]
    [InlineData("input", "null", "input", "missing")]
    [InlineData("input", "5", "input", "5")]
    [InlineData("input", "[]", "input", "list of 0")]
    [InlineData("input", "[7]", "input", "input[0]")]
    [InlineData("input", "[{\"type\":\"reasoning\"}]", "input[0].type", "reasoning")]
    [InlineData("input", "[{\"content\":\"a\"}]", "input[0].role", "missing")]
    [InlineData("input", "[{\"role\":\"king\",\"content\":\"a\"}]", "input[0].role", "king")]
    [InlineData("input", "[{\"role\":\"user\"}]", "input[0].content", "missing")]
    [InlineData("input", "[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\"}]}]", "input[0].content[0].type", "input_image")]
    [InlineData("input", "[{\"role\":\"user\",\"content\":\"\\ud800\"}]", "input[0].content", "Unicode")]
    [InlineData("input", "[{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\"}]", "input[0].arguments", "missing")]
    [InlineData("background", "true", "background", "background")]
    [InlineData("conversation", "\"conv_1\"", "conversation", "conv_1")]
    [InlineData("prompt", "{\"id\":\"p\"}", "prompt", "object")]
    [InlineData("text", "{\"format\":{\"type\":\"json_object\"}}", "text.format.type", "json_object")]
    [InlineData("reasoning", "{\"effort\":\"high\"}", "reasoning.effort", "high")]
    [InlineData("service_tier", "\"flex\"", "service_tier", "flex")]
    [InlineData("tools", "[{\"type\":\"web_search\"}]", "tools[0].type", "web_search")]
    [InlineData("tools", "[{\"type\":\"function\"}]", "tools[0].name", "missing")]
    [InlineData("tool_choice", "\"required\"", "tool_choice", "force")]
    [InlineData("tool_choice", "7", "tool_choice", "7")]
    [InlineData("truncation", "\"some\"", "truncation", "some")]
    [InlineData("max_output_tokens", "0", "max_output_tokens", "0")]
    [InlineData("max_output_tokens", "5000", "max_output_tokens", "1024")]
    [InlineData("temperature", "3", "temperature", "3")]
    [InlineData("top_logprobs", "21", "top_logprobs", "21")]
    [InlineData("include", "[\"everything\"]", "include", "message.output_text.logprobs")]
    [InlineData("metadata", "{\"a\":1}", "metadata", "512")]
    [InlineData("metadata", "[]", "metadata", "list")]
    [InlineData("store", "\"yes\"", "store", "yes")]
    [InlineData("stream", "1", "stream", "1")]
    [InlineData("previous_response_id", "\"resp_x\"", "previous_response_id", "resp_x")]
    [InlineData("previous_response_id", "\"" + Unknown + "\"", "previous_response_id", Unknown)]
    public async Task WrongValue_Is400NamingIt(string field, string value, string parameter, string shown)
    {
        var body = new JsonObject { ["input"] = "Hi" };
        body.Remove(field);
        var rest = body.ToJsonString()[1..^1];
        scripted.Client.Script = (_, _) => throw new InvalidOperationException("A refused request generates nothing.");

        using var response = await scripted.Http.SendTextAsync(ResponsesApi.Path, $"{{{(rest.Length > 0 ? rest + "," : "")}\"{field}\":{value}}}");

        var error = await Api.ErrorAsync(response, HttpStatusCode.BadRequest);
        Assert.Equal(parameter, (string?)error["param"]);
        Assert.Contains(shown, (string)error["message"]!);
    }

    [Theory]
    [InlineData("GET", "/resp_x", HttpStatusCode.NotFound, "response_id")]
    [InlineData("GET", "/" + Unknown, HttpStatusCode.NotFound, "response_id")]
    [InlineData("DELETE", "/" + Unknown, HttpStatusCode.NotFound, "response_id")]
    [InlineData("POST", "/" + Unknown + "/cancel", HttpStatusCode.NotFound, "response_id")]
    [InlineData("GET", "/" + Unknown + "/input_items", HttpStatusCode.NotFound, "response_id")]
    [InlineData("GET", "/" + Unknown + "/input_items?limit=101", HttpStatusCode.BadRequest, "limit")]
    [InlineData("GET", "/" + Unknown + "/input_items?order=up", HttpStatusCode.BadRequest, "order")]
    [InlineData("GET", "/" + Unknown + "?stream=true", HttpStatusCode.BadRequest, "stream")]
    public async Task WhatIsNotThere_IsToldByName(string method, string path, HttpStatusCode status, string parameter)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), ResponsesApi.Path + path);
        using var response = await scripted.Http.SendAsync(request);

        Assert.Equal(parameter, (string?)(await Api.ErrorAsync(response, status))["param"]);
    }

    [Fact]
    public async Task Cancel_OfAnAnsweredResponse_IsRefused()
    {
        scripted.Client.Script = (request, _) => ScriptedClient.TokensAsync(request, FinishReason.Stop, (100, -1), (101, -2));
        var answer = await scripted.Http.AskAsync(ResponsesApi.Path, ResponsesApi.Body("Hi"));

        using var response = await scripted.Http.SendTextAsync($"{ResponsesApi.Path}/{ResponsesApi.IdOf(answer)}/cancel", "");

        Assert.Contains("background", (string)(await Api.ErrorAsync(response, HttpStatusCode.BadRequest))["message"]!);
    }

    [SharedDataFact]
    public async Task FailureInTheMiddle_IsAnEvent_AndNothingIsStored()
    {
        scripted.Client.Script = (_, token) => OneThenAsync(new ReplicaFailedException("device lost"), token);

        using var response = await scripted.Http.SendAsync(ResponsesApi.Path, ResponsesApi.Body("Hi", ("stream", true)));
        var events = ResponsesApi.ReadEvents(await response.Content.ReadAsStringAsync());

        Assert.All(events, OpenApiDescription.CheckEvent);
        Assert.Equal("response.failed", (string?)events[^1]["type"]);
        var failed = events[^1]["response"]!;
        Assert.Equal(("failed", "server_error"), ((string?)failed["status"], (string?)failed["error"]!["code"]));
        Assert.Equal("incomplete", (string?)failed["output"]![0]!["status"]);
        Assert.Null(await scripted.Http.FindAsync(ResponsesApi.IdOf(failed)));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task FailureBeforeTheFirstToken_HasItsStatus(bool stream)
    {
        scripted.Client.Script = (_, _) => throw new ReplicaSaturatedException("full", TimeSpan.FromSeconds(3));

        using var response = await scripted.Http.SendAsync(ResponsesApi.Path, ResponsesApi.Body("Hi", ("stream", stream)));

        Assert.Equal("too_many_requests", (string?)(await Api.ErrorAsync(response, HttpStatusCode.TooManyRequests))["code"]);
        Assert.Equal(TimeSpan.FromSeconds(3), response.Headers.RetryAfter!.Delta);
    }

    [Fact]
    public async Task TooLargeAConversation_Is400_BeforeItIsAnswered()
    {
        scripted.Client.Script = (_, _) => throw new InvalidOperationException("A refused request generates nothing.");

        using var response = await scripted.Http.SendAsync(ResponsesApi.Path, ResponsesApi.Body(new string('a', 1 << 20)));

        var error = await Api.ErrorAsync(response, HttpStatusCode.BadRequest);
        Assert.Equal("input", (string?)error["param"]);
        Assert.Contains($"{1 << 20}", (string)error["message"]!);
    }

    private static async IAsyncEnumerable<TokenChunk> OneThenAsync(Exception failure, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        yield return new TokenChunk { TokenId = 100 };
        await Task.Yield();
        cancellationToken.ThrowIfCancellationRequested();
        throw failure;
    }
}
