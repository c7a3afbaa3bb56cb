using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Granary.Tests.Conformance.Support;

namespace Granary.Tests.Conformance;

/// <summary>Every wrong value is refused by its field's name, value and bound, and runs nothing.</summary>
[Collection(SiloTests.Name)]
public sealed class RefusalTests(SiloFixture fixture)
{
    private readonly HttpClient _http = fixture.Http;

    [Theory]
    [InlineData("temperature", "-0.1", "temperature", "-0.1")]
    [InlineData("temperature", "2.1", "temperature", "2.1")]
    [InlineData("temperature", "\"hot\"", "temperature", "\"hot\"")]
    [InlineData("temperature", "1e999", "temperature", "1e999")]
    [InlineData("top_p", "0", "top_p", "0")]
    [InlineData("top_p", "1.5", "top_p", "1.5")]
    [InlineData("top_k", "-2", "top_k", "-2")]
    [InlineData("top_k", "1.5", "top_k", "1.5")]
    [InlineData("min_p", "1.1", "min_p", "1.1")]
    [InlineData("repetition_penalty", "0", "repetition_penalty", "0")]
    [InlineData("presence_penalty", "3", "presence_penalty", "3")]
    [InlineData("frequency_penalty", "-3", "frequency_penalty", "-3")]
    [InlineData("max_tokens", "-1", "max_tokens", "-1")]
    [InlineData("max_completion_tokens", "-1", "max_completion_tokens", "-1")]
    [InlineData("max_tokens", "99999999999", "max_tokens", "99999999999")]
    [InlineData("min_tokens", "-1", "min_tokens", "-1")]
    [InlineData("n", "0", "n", "0")]
    [InlineData("n", "33", "n", "33")]
    [InlineData("seed", "1.5", "seed", "1.5")]
    [InlineData("seed", "\"x\"", "seed", "\"x\"")]
    [InlineData("stop", "5", "stop", "5")]
    [InlineData("stop", "[\"\"]", "stop", "stop")]
    [InlineData("stop", "[1]", "stop", "stop")]
    [InlineData("stop", "[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\"]", "stop", "17")]
    [InlineData("stop_token_ids", "[2048]", "stop_token_ids", "2047")]
    [InlineData("stop_token_ids", "7", "stop_token_ids", "7")]
    [InlineData("logit_bias", "{\"foo\":1}", "logit_bias", "2047")]
    [InlineData("logit_bias", "{\"5\":101}", "logit_bias.5", "101")]
    [InlineData("logit_bias", "{\"2048\":1}", "logit_bias", "2047")]
    [InlineData("logit_bias", "[]", "logit_bias", "list")]
    [InlineData("stream", "\"yes\"", "stream", "yes")]
    [InlineData("stream_options", "true", "stream_options", "true")]
    [InlineData("stream_options", "{\"include_usage\":1}", "stream_options.include_usage", "1")]
    [InlineData("ignore_eos", "1", "ignore_eos", "1")]
    [InlineData("top_logprobs", "21", "top_logprobs", "21")]
    [InlineData("top_logprobs", "2", "top_logprobs", "logprobs")]
    [InlineData("logprobs", "3", "logprobs", "3")]
    [InlineData("model", "5", "model", "5")]
    [InlineData("messages", "[]", "messages", "list of 0")]
    [InlineData("messages", "\"hi\"", "messages", "hi")]
    [InlineData("messages", "null", "messages", "missing")]
    [InlineData("messages", "[5]", "messages", "messages[0]")]
    [InlineData("messages", "[{\"content\":\"a\"}]", "messages[0].role", "missing")]
    [InlineData("messages", "[{\"role\":\"king\",\"content\":\"a\"}]", "messages[0].role", "king")]
    [InlineData("messages", "[{\"role\":\"user\"}]", "messages[0].content", "missing")]
    [InlineData("messages", "[{\"role\":\"user\",\"content\":5}]", "messages[0].content", "5")]
    [InlineData("messages", "[{\"role\":\"user\",\"content\":\"\\ud800\"}]", "messages[0].content", "Unicode")]
    [InlineData("messages", "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]", "messages[0].content[0].type", "image_url")]
    [InlineData("messages", "[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]", "messages[0].content[0].text", "missing")]
    [InlineData("messages", "[{\"role\":\"user\",\"content\":\"a\",\"name\":5}]", "messages[0].name", "5")]
    [InlineData("messages", "[{\"role\":\"assistant\",\"tool_calls\":[{}]}]", "messages[0].tool_calls[0].function", "missing")]
    [InlineData("messages", "[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{}}]}]", "messages[0].tool_calls[0].function.name", "missing")]
    [InlineData("messages", "[{\"role\":\"assistant\",\"tool_calls\":5}]", "messages[0].tool_calls", "5")]
    [InlineData("tools", "{}", "tools", "an object")]
    [InlineData("tools", "[5]", "tools", "tools[0]")]
    [InlineData("tools", "[{}]", "tools[0].type", "missing")]
    [InlineData("tools", "[{\"type\":\"custom\"}]", "tools[0].type", "custom")]
    [InlineData("tools", "[{\"type\":\"function\"}]", "tools[0].function", "missing")]
    [InlineData("tools", "[{\"type\":\"function\",\"function\":{\"name\":\"\"}}]", "tools[0].function.name", "1 to 64")]
    [InlineData("tools", "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"\\udc00\"}}]", "tools[0]", "Unicode")]
    [InlineData("tool_choice", "\"required\"", "tool_choice", "auto")]
    [InlineData("tool_choice", "{\"type\":\"function\",\"function\":{\"name\":\"f\"}}", "tool_choice", "auto")]
    [InlineData("tool_choice", "\"any\"", "tool_choice", "any")]
    [InlineData("tool_choice", "\"auto\"", "tool_choice", "tools")]
    [InlineData("tool_choice", "5", "tool_choice", "5")]
    [InlineData("functions", "[{\"name\":\"f\"}]", "functions", "tools")]
    [InlineData("documents", "5", "documents", "5")]
    [InlineData("documents", "[5]", "documents", "documents[0]")]
    [InlineData("chat_template_kwargs", "[]", "chat_template_kwargs", "list of 0")]
    [InlineData("chat_template_kwargs", "{\"a\":\"\\ud800\"}", "chat_template_kwargs", "Unicode")]
    [InlineData("chat_template", "\"{{ messages }}\"", "chat_template", "own template")]
    [InlineData("add_generation_prompt", "1", "add_generation_prompt", "1")]
    [InlineData("continue_final_message", "\"x\"", "continue_final_message", "x")]
    [InlineData("add_special_tokens", "1", "add_special_tokens", "1")]
    [InlineData("include_stop_str_in_output", "1", "include_stop_str_in_output", "1")]
    [InlineData("skip_special_tokens", "1", "skip_special_tokens", "1")]
    [InlineData("return_token_ids", "1", "return_token_ids", "1")]
    [InlineData("cache_salt", "5", "cache_salt", "5")]
    [InlineData("stream_options", "{\"continuous_usage_stats\":1}", "stream_options.continuous_usage_stats", "1")]
    [InlineData("modalities", "[\"audio\"]", "modalities", "text")]
    [InlineData("response_format", "{\"type\":\"json_object\"}", "response_format", "json_object")]
    [InlineData("response_format", "5", "response_format", "5")]
    [InlineData("structured_outputs", "{\"regex\":\"a\"}", "structured_outputs", "constrained")]
    [InlineData("guided_json", "{\"type\":\"object\"}", "guided_json", "constrained")]
    [InlineData("guided_regex", "\"a\"", "guided_regex", "constrained")]
    [InlineData("guided_choice", "[\"a\"]", "guided_choice", "constrained")]
    [InlineData("guided_grammar", "\"a\"", "guided_grammar", "constrained")]
    [InlineData("allowed_token_ids", "[1]", "allowed_token_ids", "constrained")]
    [InlineData("bad_words", "[\"a\"]", "bad_words", "constrained")]
    [InlineData("use_beam_search", "true", "use_beam_search", "true")]
    [InlineData("prompt_logprobs", "1", "prompt_logprobs", "1")]
    [InlineData("echo", "true", "echo", "/v1/completions")]
    [InlineData("best_of", "2", "best_of", "/v1/completions")]
    public async Task Chat_WrongValue_Is400NamingIt(string field, string value, string parameter, string shown)
    {
        var body = Api.ChatBody("Hi");
        body.Remove(field);

        using var response = await _http.SendTextAsync(Api.Chat, body.ToJsonString()[..^1] + $",\"{field}\":{value}}}");

        var error = await Api.ErrorAsync(response, HttpStatusCode.BadRequest);
        Assert.Equal(parameter, (string?)error["param"]);
        Assert.Equal("invalid_request_error", (string?)error["type"]);
        Assert.Contains(shown, (string)error["message"]!);
        Assert.Equal(0, fixture.Silo.Running);
    }

    [Theory]
    [InlineData("prompt", "null", "prompt")]
    [InlineData("prompt", "5", "prompt")]
    [InlineData("prompt", "[]", "prompt")]
    [InlineData("prompt", "\"\"", "prompt")]
    [InlineData("prompt", "[\"a\",5]", "prompt")]
    [InlineData("prompt", "[1,2048]", "prompt")]
    [InlineData("prompt", "[1,-1]", "prompt")]
    [InlineData("prompt", "[[]]", "prompt")]
    [InlineData("logprobs", "6", "logprobs")]
    [InlineData("prompt", "[1.5]", "prompt")]
    [InlineData("prompt", "[\"\\ud800\"]", "prompt")]
    [InlineData("echo", "1", "echo")]
    [InlineData("suffix", "\"x\"", "suffix")]
    [InlineData("best_of", "-1", "best_of")]
    [InlineData("best_of", "33", "best_of")]
    [InlineData("n", "33", "n")]
    [InlineData("max_tokens", "-1", "max_tokens")]
    [InlineData("response_format", "{\"type\":\"json_object\"}", "response_format")]
    [InlineData("add_special_tokens", "1", "add_special_tokens")]
    public async Task Completion_WrongValue_Is400NamingIt(string field, string value, string parameter)
    {
        var body = Api.CompletionBody("Hi");
        body.Remove(field);
        using var response = await _http.SendTextAsync(Api.Completions, body.ToJsonString()[..^1] + $",\"{field}\":{value}}}");

        var error = await Api.ErrorAsync(response, HttpStatusCode.BadRequest);
        Assert.Equal(parameter, (string?)error["param"]);
    }

    [Theory]
    [InlineData("{\"n\":3,\"best_of\":2}", "best_of", "3")]
    [InlineData("{\"best_of\":2,\"stream\":true}", "best_of", "stream")]
    [InlineData("{\"prompt\":[\"a\",\"b\"],\"n\":17}", "n", "16")]
    public async Task Completion_ValuesThatDoNotGoTogether_Are400(string fields, string parameter, string shown)
    {
        var body = Api.CompletionBody("Hi");
        foreach (var (name, value) in JsonNode.Parse(fields)!.AsObject()) body[name] = value?.DeepClone();
        using var response = await _http.SendAsync(Api.Completions, body);

        var error = await Api.ErrorAsync(response, HttpStatusCode.BadRequest);
        Assert.Equal(parameter, (string?)error["param"]);
        Assert.Contains(shown, (string)error["message"]!);
    }

    [Theory]
    [InlineData(Api.Embeddings, "input", "null", "input", "missing")]
    [InlineData(Api.Embeddings, "input", "5", "input", "5")]
    [InlineData(Api.Embeddings, "input", "[]", "input", "list of 0")]
    [InlineData(Api.Embeddings, "input", "\"\"", "input", "empty")]
    [InlineData(Api.Embeddings, "input", "[\"a\",\"\"]", "input", "input[1]")]
    [InlineData(Api.Embeddings, "input", "[2048]", "input", "2047")]
    [InlineData(Api.Embeddings, "encoding_format", "\"int8\"", "encoding_format", "int8")]
    [InlineData(Api.Embeddings, "encoding_format", "5", "encoding_format", "5")]
    [InlineData(Api.Embeddings, "dimensions", "0", "dimensions", "0")]
    [InlineData(Api.Embeddings, "dimensions", "100000", "dimensions", "100000")]
    [InlineData(Api.Embeddings, "pooling", "\"max\"", "pooling", "max")]
    [InlineData(Api.Embeddings, "add_special_tokens", "1", "add_special_tokens", "1")]
    [InlineData(Api.Embeddings, "cache_salt", "1", "cache_salt", "1")]
    [InlineData(Api.Embeddings, "model", "1", "model", "1")]
    [InlineData("/tokenize", "prompt", "null", "prompt", "missing")]
    [InlineData("/tokenize", "prompt", "5", "prompt", "5")]
    [InlineData("/tokenize", "messages", "[{\"role\":\"user\",\"content\":\"a\"}]", "prompt", "both")]
    [InlineData("/tokenize", "add_special_tokens", "5", "add_special_tokens", "5")]
    [InlineData("/tokenize", "return_token_strs", "5", "return_token_strs", "5")]
    [InlineData("/detokenize", "tokens", "null", "tokens", "missing")]
    [InlineData("/detokenize", "tokens", "5", "tokens", "5")]
    [InlineData("/detokenize", "tokens", "[2048]", "tokens", "2047")]
    [InlineData("/detokenize", "tokens", "[\"a\"]", "tokens", "2047")]
    public async Task OtherEndpoints_WrongValue_Is400NamingIt(string path, string field, string value, string parameter, string shown)
    {
        var body = new JsonObject
        {
            ["model"] = Api.Model,
            [path switch { Api.Embeddings => "input", "/tokenize" => "prompt", _ => "tokens" }] = path == "/detokenize" ? new JsonArray(1) : "Hi",
        };
        body.Remove(field);
        using var response = await _http.SendTextAsync(path, body.ToJsonString()[..^1] + $",\"{field}\":{value}}}");

        var error = await Api.ErrorAsync(response, HttpStatusCode.BadRequest);
        Assert.Equal(parameter, (string?)error["param"]);
        Assert.Contains(shown, (string)error["message"]!);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("{\"\\ud800odel\":\"x\"}")]
    [InlineData("{\"chat_template_kwargs\":{\"\\ud800\":1}}")]
    [InlineData("[]")]
    [InlineData("{\"model\":\"tiny-assistant\",}")]
    public async Task NotAJsonObject_Is400(string body)
    {
        using var response = await _http.SendTextAsync(Api.Chat, body);

        var error = await Api.ErrorAsync(response, HttpStatusCode.BadRequest);
        Assert.Equal("invalid_json", (string?)error["code"]);
        Assert.Null(error["param"]);
    }

    [Fact]
    public async Task UnknownModel_Is404()
    {
        var body = Api.ChatBody("Hi");
        body["model"] = "gpt-none";
        using var response = await _http.SendAsync(Api.Chat, body);
        using var listed = await _http.GetAsync("/v1/models/gpt-none");

        foreach (var answer in (HttpResponseMessage[])[response, listed])
        {
            var error = await Api.ErrorAsync(answer, HttpStatusCode.NotFound);
            Assert.Equal("model_not_found", (string?)error["code"]);
            Assert.Equal("model", (string?)error["param"]);
        }
    }

    [Fact]
    public async Task UnknownPathAndMethod_HaveErrorBodies()
    {
        using var path = await _http.GetAsync("/v2/none");
        using var method = await _http.GetAsync(Api.Chat);

        await Api.ErrorAsync(path, HttpStatusCode.NotFound);
        await Api.ErrorAsync(method, HttpStatusCode.MethodNotAllowed);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task ContextExceeded_Is400(bool stream)
    {
        var tooLong = Api.ChatBody(string.Join(' ', Enumerable.Repeat("word", 3000)), ("stream", stream));
        var tooMany = Api.ChatBody("Hi", ("max_tokens", 1024), ("stream", stream));
        var ids = Api.CompletionBody(new JsonArray([.. Enumerable.Repeat(1, 1025).Select(i => (JsonNode)i)]), ("stream", stream));

        foreach (var (path, body, parameter) in new[] { (Api.Chat, tooLong, "messages"), (Api.Chat, tooMany, "max_tokens"), (Api.Completions, ids, "prompt") })
        {
            using var response = await _http.SendAsync(path, body);
            var error = await Api.ErrorAsync(response, HttpStatusCode.BadRequest);
            Assert.Equal("context_length_exceeded", (string?)error["code"]);
            Assert.Equal(parameter, (string?)error["param"]);
            Assert.Contains("1024", (string)error["message"]!);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task BodyTooLarge_Is413(bool chunked)
    {
        var bytes = Encoding.UTF8.GetBytes(Api.ChatBody(new string('a', 5 << 20)).ToJsonString());
        using var request = new HttpRequestMessage(HttpMethod.Post, Api.Chat) { Content = new ByteArrayContent(bytes) };
        request.Headers.TransferEncodingChunked = chunked;
        request.Headers.ExpectContinue = true; // So that the refusal is read rather than a broken pipe.
        using var response = await _http.SendAsync(request);

        var error = await Api.ErrorAsync(response, HttpStatusCode.RequestEntityTooLarge);
        Assert.Contains((4 << 20).ToString(), (string)error["message"]!);
    }
}
