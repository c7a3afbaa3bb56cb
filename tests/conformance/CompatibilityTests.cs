using System.Net;
using System.Text.Json.Nodes;
using Granary.GrainInterfaces;
using Granary.Tests.Conformance.Support;
using Microsoft.Extensions.DependencyInjection;

namespace Granary.Tests.Conformance;

/// <summary>What OpenAI takes and vLLM refuses: one switch decides.</summary>
public sealed class CompatibilityTests(CompatibilityTests.Silos silos) : IClassFixture<CompatibilityTests.Silos>
{
    [Theory]
    [InlineData(Api.Chat, "{\"stream_options\":{\"include_usage\":true,\"include_obfuscation\":true}}", "stream_options")]
    [InlineData(Api.Completions, "{\"stream_options\":{\"include_usage\":true}}", "stream_options")]
    [InlineData(Api.Chat, "{\"max_tokens\":0}", "max_tokens")]
    [InlineData(Api.Chat, "{\"max_completion_tokens\":0}", "max_completion_tokens")]
    [InlineData(Api.Completions, "{\"max_tokens\":0}", "max_tokens")]
    [InlineData(Api.Completions, "{\"best_of\":0}", "best_of")]
    [InlineData(Api.Chat, "{\"logit_bias\":{\"foo\":0}}", "logit_bias")]
    [InlineData(Api.Chat, "{\"not_a_field\":1}", "not_a_field")]
    [InlineData(Api.Completions, "{\"not_a_field\":1}", "not_a_field")]
    [InlineData(Api.Embeddings, "{\"not_a_field\":1}", "not_a_field")]
    [InlineData("/tokenize", "{\"not_a_field\":1}", "not_a_field")]
    [InlineData("/detokenize", "{\"not_a_field\":null}", "not_a_field")]
    [InlineData(Api.Chat, "{\"stream\":true,\"stream_options\":{\"extra\":1}}", "stream_options.extra")]
    [InlineData(Api.Chat, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"mood\":1}]}", "messages[0].mood")]
    [InlineData(Api.Chat, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\",\"mood\":1}]}]}", "messages[0].content[0].mood")]
    [InlineData(Api.Chat, "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"mood\":1}}]}", "tools[0].function.mood")]
    public async Task Lenient_Takes_WhatStrictRefuses(string path, string fields, string parameter)
    {
        var body = path switch
        {
            Api.Chat => Api.ChatBody("Hi"),
            Api.Completions => Api.CompletionBody("Hi"),
            Api.Embeddings => new JsonObject { ["input"] = "Hi" },
            "/tokenize" => new JsonObject { ["prompt"] = "Hi" },
            _ => new JsonObject { ["tokens"] = new JsonArray(1) },
        };
        foreach (var (name, value) in JsonNode.Parse(fields)!.AsObject()) body[name] = value?.DeepClone();

        using var lenient = await silos.Lenient.Http.SendAsync(path, body);
        using var strict = await silos.Strict.Http.SendAsync(path, body);

        Assert.True(lenient.StatusCode == HttpStatusCode.OK, await lenient.Content.ReadAsStringAsync());
        Assert.Equal(parameter, (string?)(await Api.ErrorAsync(strict, HttpStatusCode.BadRequest))["param"]);
    }

    /// <summary>What both take: vLLM's own fields and OpenAI's that have no effect, free-form objects, echo without tokens.</summary>
    [Theory]
    [InlineData(Api.Chat, "{\"user\":\"u\",\"store\":false,\"metadata\":{\"a\":\"b\"},\"seed\":-9007199254740991,\"top_k\":-1,\"parallel_tool_calls\":true,\"chat_template_kwargs\":{\"any\":1}}")]
    [InlineData(Api.Chat, "{\"stream\":true,\"stream_options\":{\"include_usage\":true,\"continuous_usage_stats\":true}}")]
    [InlineData(Api.Chat, "{\"max_tokens\":5,\"max_completion_tokens\":2,\"tool_choice\":\"none\",\"functions\":[],\"documents\":[{\"title\":\"a\"}],\"tools\":[]}")]
    [InlineData(Api.Chat, "{\"messages\":[{\"role\":\"developer\",\"content\":\"a\",\"name\":\"b\"},{\"role\":\"assistant\",\"content\":null,\"refusal\":null,\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"x\"}]}")]
    [InlineData(Api.Completions, "{\"echo\":true,\"max_tokens\":0,\"suffix\":null,\"n\":1,\"best_of\":1}")]
    [InlineData(Api.Embeddings, "{\"user\":\"u\",\"dimensions\":2,\"encoding_format\":\"base64\"}")]
    public async Task Both_Take(string path, string fields)
    {
        var body = path switch { Api.Chat => Api.ChatBody("Hi"), Api.Completions => Api.CompletionBody("Hi"), _ => new JsonObject { ["input"] = "Hi" } };
        foreach (var (name, value) in JsonNode.Parse(fields)!.AsObject()) body[name] = value?.DeepClone();

        foreach (var silo in (RunningSilo[])[silos.Lenient, silos.Strict])
        {
            using var response = await silo.Http.SendAsync(path, body);
            Assert.True(response.StatusCode == HttpStatusCode.OK, await response.Content.ReadAsStringAsync());
        }
    }

    [Fact]
    public async Task Strict_RefusesNamesThatAreNoText()
    {
        using var response = await silos.Strict.Http.SendTextAsync(Api.Chat, Api.ChatBody("Hi").ToJsonString()[..^1] + ",\"x\\ud800\":1}");
        Assert.Equal("invalid_json", (string?)(await Api.ErrorAsync(response, HttpStatusCode.BadRequest))["code"]);
    }

    public sealed class Silos : IAsyncLifetime
    {
        public RunningSilo Lenient { get; private set; } = null!;

        public RunningSilo Strict { get; private set; } = null!;

        public async Task InitializeAsync()
        {
            var client = new ScriptedClient
            {
                Script = (request, _) => ScriptedClient.TokensAsync(request, FinishReason.Length, (100, -1)),
                EmbedScript = (_, _) => Task.FromResult(new EmbedResult([1, 2, 3], 0)),
            };
            Lenient = await RunningSilo.StartAsync(configure: services => services.AddSingleton<Client.IGenerationClient>(client));
            Strict = await RunningSilo.StartAsync(
                new() { ["Granary:Gateway:Compatibility"] = "Strict" }, services => services.AddSingleton<Client.IGenerationClient>(client));
        }

        public async Task DisposeAsync()
        {
            await Lenient.DisposeAsync();
            await Strict.DisposeAsync();
        }
    }
}
