using System.Globalization;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Granary.Tests.Conformance.Support;
using Granary.Tests.Support;

namespace Granary.Tests.Conformance.Clients;

/// <summary>What somebody with <c>curl</c> sees.</summary>
[Collection(SiloTests.Name)]
public sealed partial class CurlTests(SiloFixture fixture)
{
    private const string Json = "Content-Type: application/json";
    private static readonly string Question = Api.ChatBody("What is the capital of France?", ("temperature", 0)).ToJsonString();
    private static readonly string Short = Api.ChatBody("Hi", ("max_tokens", 2)).ToJsonString();

    [CurlTheory]
    [InlineData("/v1/models", "application/json")]
    [InlineData("/v1/models/tiny-assistant", "application/json")]
    [InlineData("/openapi.json", "application/json")]
    [InlineData("/version", "application/json")]
    [InlineData("/health", "application/json")]
    [InlineData("/health/live", "application/json")]
    [InlineData("/health/ready", "application/json")]
    [InlineData("/metrics", "text/plain")]
    public async Task Get_AndHead(string path, string type)
    {
        var answer = await AskAsync(path);
        var head = await AskAsync(path, "--head");
        var options = await AskAsync(path, "-X", "OPTIONS");

        Assert.Equal(200, answer.Status);
        Assert.StartsWith(type, answer.Headers["content-type"]);
        if (type == "application/json") JsonNode.Parse(answer.Body);
        Refused(head, 405, "method_not_allowed", hasBody: false);
        Refused(options, 405, "method_not_allowed");
    }

    [CurlTheory]
    [InlineData("/v1/chat/completions", """{"messages":[{"role":"user","content":"Hi"}],"max_tokens":2}""")]
    [InlineData("/v1/completions", """{"prompt":"Hi","max_tokens":2}""")]
    [InlineData("/tokenize", """{"prompt":"Hi"}""")]
    [InlineData("/detokenize", """{"tokens":[5,6]}""")]
    public async Task Post_WithAnyContentType(string path, string body)
    {
        // As `curl -d` sends it, as many a script names it, and with nothing said at all.
        foreach (string[] header in (string[][])[[], ["-H", Json], ["-H", "Content-Type: text/plain"], ["-H", "Content-Type:"]])
        {
            var answer = await AskAsync(path, ["-d", body, .. header]);
            Assert.True(answer.Status == 200, answer.Body);
            JsonNode.Parse(answer.Body);
        }

        Refused(await AskAsync(path), 405, "method_not_allowed");
        Refused(await AskAsync(path, "--head"), 405, "method_not_allowed", hasBody: false);
        Refused(await AskAsync(path, "-d", "no json"), 400, "invalid_json");
    }

    [CurlFact]
    public async Task Stream_ArrivesLineByLine()
    {
        var answer = await AskAsync(Api.Chat, "-N", "-H", Json, "-d", Question[..^1] + ",\"stream\":true}");

        Assert.Equal("text/event-stream; charset=utf-8", answer.Headers["content-type"]);
        Assert.Equal("no-cache", answer.Headers["cache-control"]);
        Assert.Contains("Paris", Api.ChatText(Api.ReadFrames(answer.Body)));
    }

    [CurlFact]
    public async Task Stream_CutShort_FreesItsSequences()
    {
        await fixture.Silo.WaitUntilIdleAsync();
        var endless = Api.ChatBody("Count.", ("stream", true), ("ignore_eos", true), ("n", 8)).ToJsonString();

        // The pipe breaks after a kilobyte.
        var head = await OtherPrograms.RunAsync("sh", ["-c", "curl -sN \"$0\" -d \"$1\" | head -c 1000", new Uri(fixture.Silo.Address, Api.Chat).ToString(), endless]);

        Assert.StartsWith("data: {", head.Output);
        await fixture.Silo.WaitUntilIdleAsync();
    }

    [CurlFact]
    public async Task Upload_InChunks_Slowly_AndWithExpectation()
    {
        foreach (string[] way in (string[][])[["-H", "Transfer-Encoding: chunked"], ["--limit-rate", "200"], ["-H", "Expect: 100-continue"], ["--http1.0"]])
        {
            var answer = await AskAsync(Api.Chat, ["-H", Json, "-d", Question, .. way]);
            Assert.True(answer.Status == 200, $"{way[0]}: {answer.Status} {answer.Body}");
            Assert.Contains("Paris", answer.Body);
        }
    }

    /// <summary>Bodies come as they are: what is compressed is not JSON.</summary>
    [CurlFact]
    public async Task Upload_Compressed_IsRefused()
    {
        using var folder = new TemporaryFolder();
        await File.WriteAllBytesAsync(folder["body.gz"], Gzip(Question));

        Refused(await AskAsync(Api.Chat, "-H", Json, "-H", "Content-Encoding: gzip", "--data-binary", $"@{folder["body.gz"]}"), 400, "invalid_json");
    }

    [CurlFact]
    public async Task Upload_TooLarge_IsRefused()
    {
        using var folder = new TemporaryFolder();
        await File.WriteAllTextAsync(folder["body"], Api.ChatBody(new string('a', 5 << 20)).ToJsonString());

        Refused(await AskAsync(Api.Chat, "-H", Json, "-H", "Expect: 100-continue", "--data-binary", $"@{folder["body"]}"), 413, "body_too_large");
    }

    [CurlFact]
    public async Task Headers_HugeAndMany()
    {
        Assert.Equal(431, (await AskAsync("/v1/models", "-H", "X-Much: " + new string('a', 40_000))).Status);
        Assert.Equal(200, (await AskAsync("/v1/models", "-H", "X-Much: " + new string('a', 20_000))).Status);
        var echoed = await AskAsync("/v1/models", "-H", "x-request-id: mine-7");
        Assert.Equal("mine-7", echoed.Headers["x-request-id"]);
    }

    [CurlFact]
    public async Task OneConnection_ServesManyRequests()
    {
        var url = new Uri(fixture.Silo.Address, Api.Chat).ToString();
        string[] one = ["-s", "-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n", "-d", Short];
        string[] refused = ["-s", "-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n", "-d", "no json"];

        var curl = await OtherPrograms.RunAsync("curl", [.. one, url, "--next", .. refused, url, "--next", .. one, url]);

        // A refusal whose body was read leaves the connection as good as new.
        Assert.Equal("200 1\n400 0\n200 0\n", curl.Output);
    }

    [CurlFact]
    public async Task Path_UnknownOrOdd_IsRefused()
    {
        Refused(await AskAsync("/nothing"), 404, "not_found");
        Refused(await AskAsync("/v1/models/gpt-none"), 404, "model_not_found");
        Refused(await AskAsync("/v1/models/../../etc/passwd", "--path-as-is"), 404, "not_found");
        Refused(await AskAsync(Api.Chat, "-X", "DELETE"), 405, "method_not_allowed");
    }

    private async Task<CurlAnswer> AskAsync(string path, params string[] arguments)
    {
        var curl = await OtherPrograms.RunAsync("curl", ["-sS", "-i", "--max-time", "120", .. arguments, fixture.Silo.Address.ToString().TrimEnd('/') + path]);
        Assert.True(curl.ExitCode == 0, $"curl ended with {curl.ExitCode}: {curl.Tail}");
        var text = curl.Output;
        // An interim answer precedes the one that counts.
        while (text.StartsWith("HTTP/1.1 100", StringComparison.Ordinal)) text = text[(text.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..];
        var end = text.IndexOf("\r\n\r\n", StringComparison.Ordinal);
        var lines = text[..end].Split("\r\n");
        var status = int.Parse(StatusLine().Match(lines[0]).Groups[1].Value, CultureInfo.InvariantCulture);
        return new(status, lines[1..].Select(line => line.Split(':', 2)).ToDictionary(pair => pair[0].ToLowerInvariant(), pair => pair[1].Trim()), text[(end + 4)..]);
    }

    private static void Refused(CurlAnswer answer, int status, string code, bool hasBody = true)
    {
        Assert.True(answer.Status == status, $"{answer.Status} {answer.Body}");
        Assert.Equal("application/json", answer.Headers["content-type"]);
        Assert.True(answer.Headers["x-request-id"].Length > 0);
        if (hasBody) Assert.Equal(code, (string?)Api.CheckError(JsonNode.Parse(answer.Body)!)["code"]);
    }

    private static byte[] Gzip(string text)
    {
        using var bytes = new MemoryStream();
        using (var gzip = new System.IO.Compression.GZipStream(bytes, System.IO.Compression.CompressionLevel.Fastest)) gzip.Write(System.Text.Encoding.UTF8.GetBytes(text));
        return bytes.ToArray();
    }

    [GeneratedRegex("^HTTP/1\\.[01] ([0-9]{3})")]
    private static partial Regex StatusLine();

    private sealed record CurlAnswer(int Status, IReadOnlyDictionary<string, string> Headers, string Body);
}

/// <summary>A fact that needs <c>curl</c>; skipped with the reason where it is absent, but never in CI.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class CurlFactAttribute : FactAttribute
{
    public CurlFactAttribute() => Skip = OtherPrograms.NothingIsSkipped ? null : OtherPrograms.WhyMissing("curl");
}

/// <summary>A theory that needs <c>curl</c>; skipped with the reason where it is absent, but never in CI.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class CurlTheoryAttribute : TheoryAttribute
{
    public CurlTheoryAttribute() => Skip = OtherPrograms.NothingIsSkipped ? null : OtherPrograms.WhyMissing("curl");
}
