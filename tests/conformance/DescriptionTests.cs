using System.Text.Json;
using System.Text.Json.Nodes;
using Granary.GrainInterfaces;
using Granary.Silo.Gateway;
using Granary.Silo.Gateway.Responses;
using Granary.Silo.Gateway.Sessions;
using Granary.Tests.Conformance.Responses;
using Granary.Tests.Conformance.Support;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace Granary.Tests.Conformance;

/// <summary>Our description says what the gateway does: routes, fields, bounds, answers.</summary>
[Collection(ScriptedTests.Name)]
public sealed class DescriptionTests(ScriptedSilo scripted)
{
    /// <summary>Requests in which every reader meets everything it reads.</summary>
    private const string Conversation = """
        "messages":[{"role":"user","content":[{"type":"text","text":"a"}]},
                    {"role":"assistant","content":"b","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}],
        "tools":[{"type":"function","function":{"name":"f"}}]
        """;
    private const string Items = """
        "input":[{"role":"user","content":[{"type":"input_text","text":"a"}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},
                 {"type":"function_call_output","call_id":"c","output":[{"type":"input_text","text":"b"}]}],
        "tools":[{"type":"function","name":"f"}]
        """;
    private const string Streaming = """
        "stream":true,"stream_options":{},"response_format":{"type":"text"}
        """;

    private static readonly JsonNode Description = Read();

    public static TheoryData<string, string[]> Requests => new()
    {
        { "ChatCompletionRequest", [$"{{{Conversation},{Streaming}}}"] },
        { "CompletionRequest", [$"{{\"prompt\":\"a\",{Streaming}}}"] },
        { "ResponseRequest", [$"{{{Items},\"stream\":true,\"stream_options\":{{}},\"text\":{{\"format\":{{\"type\":\"text\"}}}},\"reasoning\":{{}}}}"] },
        { "EmbeddingRequest", ["""{"input":"a"}"""] },
        { "SessionFork", ["{}"] },
        { "TokenizeRequest", [$"{{{Conversation}}}", """{"prompt":"a"}"""] },
        { "DetokenizeRequest", ["""{"tokens":[1]}"""] },
    };

    [Fact]
    public void Paths_AreTheRoutes()
    {
        var routes = scripted.Silo.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
            .SelectMany(endpoint => endpoint.Metadata.GetMetadata<HttpMethodMetadata>()!.HttpMethods.Select(method => $"{method} {endpoint.RoutePattern.RawText}"));
        var described = Description["paths"]!.AsObject()
            .SelectMany(path => path.Value!.AsObject().Select(operation => $"{operation.Key.ToUpperInvariant()} {path.Key}"));

        Assert.Equal(routes.Order(), described.Order());
    }

    [Theory, MemberData(nameof(Requests))]
    public void Fields_AreThoseThatAreRead(string schema, string[] bodies)
    {
        var asked = new HashSet<string>();
        foreach (var body in bodies)
        {
            var record = new FieldRecord();
            using var document = JsonDocument.Parse(body);
            ReadWith(schema, new RequestFields(document.RootElement, "", record));
            asked.UnionWith(record.Asked);
        }

        Assert.Equal(FieldsOf(Schema(schema), "").Distinct().Order(), asked.Order());
    }

    /// <summary>What the description bounds is taken at the bound and refused beyond it.</summary>
    [Theory, MemberData(nameof(Requests))]
    public void Bounds_AreThoseThatHold(string schema, string[] bodies)
    {
        var held = 0;
        foreach (var (name, property) in Schema(schema)["properties"]!.AsObject())
        {
            foreach (var (value, allowed) in Samples(property!.AsObject()))
            {
                held++;
                var body = JsonNode.Parse(bodies[0])!.AsObject();
                if (name == "top_logprobs") body["logprobs"] = true;
                if (name == "best_of") body["stream"] = false;
                body[name] = value;
                using var document = JsonDocument.Parse(body.ToJsonString());
                var error = Record.Exception(() => ReadWith(schema, new RequestFields(document.RootElement)));
                Assert.True(allowed == error is null, $"{name} = {value.ToJsonString()[..Math.Min(40, value.ToJsonString().Length)]}: {error?.Message ?? "taken"}");
                if (!allowed) Assert.StartsWith(name, Assert.IsType<ApiException>(error).Parameter);
            }
        }

        Assert.True(held > 0);
    }

    [Fact]
    public async Task EveryAnswer_IsAsWeDescribeIt()
    {
        var schemas = new SchemaValidator(Description);
        scripted.Client.Script = (request, _) => ScriptedClient.TokensAsync(request, FinishReason.Stop, (100, -1), (101, -2), (102, -3));
        scripted.Client.EmbedScript = (_, _) => Task.FromResult(new EmbedResult([1, 2, 3], 0));
        var failures = new List<string>();

        foreach (var exchange in Exchanges.All)
        {
            if (RequestSchema(exchange) is { } request)
                failures.AddRange(schemas.Validate(JsonNode.Parse(exchange.Body!), request).Select(failure => $"request {exchange}: {failure}"));
            foreach (var answer in await Exchanges.AnswersAsync(scripted.Http, exchange))
                failures.AddRange(schemas.Validate(answer, exchange.Ours).Select(failure => $"{exchange}: {failure}"));
        }

        Assert.Empty(failures);
        Assert.Equal(
            Description["paths"]!.AsObject().Select(path => path.Key.Replace("{id}", Api.Model))
                .Where(path => path is not ("/metrics" or "/openapi.json") && !path.StartsWith(ResponsesApi.Path, StringComparison.Ordinal)
                    && !path.StartsWith("/v1/sessions", StringComparison.Ordinal) && !path.StartsWith("/v1/streams/", StringComparison.Ordinal)).Order(),
            Exchanges.All.Where(exchange => exchange.Ours != "ErrorResponse").Select(exchange => exchange.Path).Distinct().Order());
    }

    /// <summary>Every code that an error can have is described, and every one that is described is one of ours.</summary>
    [Fact]
    public void ErrorCodes_AreThoseThatAreMade()
    {
        var made = typeof(ApiException).GetMethods().Where(method => method.IsStatic && method.ReturnType == typeof(ApiException)).Select(method =>
            (ApiException)method.Invoke(null, [.. method.GetParameters().Select(parameter =>
                parameter.ParameterType == typeof(string) ? "x" : parameter.ParameterType == typeof(int) ? 400 : Activator.CreateInstance(parameter.ParameterType))])!).ToList();
        var error = Schema("ErrorResponse")["properties"]!["error"]!["properties"]!;

        Assert.Equal(made.Select(e => e.Code).Distinct().Order(), error["code"]!["enum"]!.AsArray().Where(code => code is not null).Select(code => (string?)code).Order());
        Assert.Equal(made.Select(e => e.Type).Distinct().Order(), error["type"]!["enum"]!.AsArray().Select(type => (string)type!).Order());
        Assert.Subset(
            new HashSet<string>(["200", "405", .. Description["components"]!["responses"]!.AsObject().Select(response => response.Key)]),
            new HashSet<string>(made.Select(e => $"{e.Status}")));
    }

    [Fact]
    public async Task Served_IsTheDescription()
    {
        using var response = await scripted.Http.GetAsync("/openapi.json");
        Assert.Equal("application/json", response.Content.Headers.ContentType!.MediaType);
        Assert.True(JsonNode.DeepEquals(Description, JsonNode.Parse(await response.Content.ReadAsStringAsync())));
    }

    /// <summary>Values at and beyond the bounds of a field.</summary>
    private static IEnumerable<(JsonNode Value, bool Allowed)> Samples(JsonObject schema)
    {
        var step = schema["type"]?.ToJsonString().Contains("integer") == true ? 1 : 0.25;
        if (schema["minimum"] is { } min)
        {
            yield return (Number((double)min), true);
            yield return (Number((double)min - step), false);
        }

        if (schema["exclusiveMinimum"] is { } above)
        {
            yield return (Number((double)above + step), true);
            yield return (Number((double)above), false);
        }

        if (schema["maximum"] is { } max)
        {
            yield return (Number((double)max), true);
            yield return (Number((double)max + step), false);
        }

        // A model of that length does not exist either way, and lists of millions are for nobody.
        if (schema["maxLength"] is { } length && (int)length < 10_000) yield return (new string('x', (int)length + 1), false);
        if (schema["maxItems"] is { } items && (int)items < 10_000) yield return (new JsonArray([.. Enumerable.Repeat(0, (int)items + 1).Select(i => (JsonNode)i)]), false);

        JsonNode Number(double value) => step == 1 ? JsonValue.Create((long)value) : JsonValue.Create(value);
    }

    /// <summary>Paths of a schema's fields, with <c>[]</c> for a place in a list.</summary>
    private static IEnumerable<string> FieldsOf(JsonNode schema, string prefix)
    {
        if (schema["$ref"] is { } reference) return FieldsOf(Schema(((string)reference!).Split('/')[^1]), prefix);
        if (schema["anyOf"] is JsonArray alternatives) return alternatives.SelectMany(alternative => FieldsOf(alternative!, prefix));
        if (schema["items"] is { } items) return FieldsOf(items, prefix.TrimEnd('.') + "[].");
        return schema["properties"] is JsonObject properties
            ? properties.SelectMany(property => FieldsOf(property.Value!, $"{prefix}{property.Key}.").Prepend(prefix + property.Key))
            : [];
    }

    private object ReadWith(string schema, RequestFields fields) => schema switch
    {
        "ChatCompletionRequest" => Reader<PlanReader>().ReadChat(fields, 0),
        "CompletionRequest" => Reader<PlanReader>().ReadCompletion(fields, 0),
        "ResponseRequest" => Reader<ResponseReader>().ReadAsync(fields, 0, default).GetAwaiter().GetResult(),
        "SessionFork" => SessionsEndpoint.ReadFork(fields),
        "EmbeddingRequest" => Reader<EmbeddingReader>().Read(fields),
        "TokenizeRequest" => Reader<TokenEndpoints>().ReadTokenize(fields),
        _ => Reader<TokenEndpoints>().ReadDetokenize(fields),
    };

    private T Reader<T>() where T : notnull => scripted.Silo.Services.GetRequiredService<T>();

    private static string? RequestSchema(Exchange exchange) => exchange.Ours == "ErrorResponse"
        ? null
        : ((string?)Description["paths"]![exchange.Path]?["post"]?["requestBody"]?["content"]?["application/json"]?["schema"]?["$ref"])?.Split('/')[^1];

    private static JsonNode Schema(string name) => Description["components"]!["schemas"]![name]!;

    private static JsonNode Read()
    {
        using var stream = DescriptionEndpoints.Open();
        return JsonNode.Parse(stream)!;
    }
}
