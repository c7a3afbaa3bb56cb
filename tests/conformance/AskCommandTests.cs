using System.Diagnostics;
using System.Text.Json.Nodes;
using Granary.Silo.CommandLine;

namespace Granary.Tests.Conformance;

/// <summary>The command line, as a process of its own.</summary>
public sealed class AskCommandTests : IDisposable
{
    private readonly string _cache = Directory.CreateTempSubdirectory("granary-ask-").FullName;

    private string Home => Path.Combine(_cache, "home");

    public void Dispose() => Directory.Delete(_cache, recursive: true);

    [Fact]
    public async Task Ask_PrintsAnswerAndFigures()
    {
        var (code, output, error) = await RunAsync("--ask", "What is the capital of France?");

        Assert.True(code == 0, error);
        Assert.Contains("Paris", output);
        var figures = error.Split('\n', StringSplitOptions.RemoveEmptyEntries)[^1];
        Assert.Matches(@"^\d+ prompt tokens, \d+ cached, \d+ generated, first after [\d.]+ ms, [\d.]+ tokens/s$", figures);
    }

    /// <summary>ONNX Runtime's official builds collect usage data, in the user's cache folder first, where nobody stops them.</summary>
    [Fact]
    public async Task Ask_CollectsNoUsageData()
    {
        Directory.CreateDirectory(Home);
        var (code, _, error) = await RunAsync("--ask", "What is the capital of France?");

        Assert.True(code == 0, error);
        Assert.DoesNotContain(
            Directory.EnumerateFileSystemEntries(Home, "*", SearchOption.AllDirectories), path => path.Contains("onnxruntime", StringComparison.OrdinalIgnoreCase));
    }

    [Fact]
    public async Task Json_IsOneLine_AndDeterministic()
    {
        string[] arguments = ["--ask", "Tell me something.", "--json", "--max-tokens", "12", "--temperature", "1.2", "--seed", "9"];
        var (code, output, error) = await RunAsync(arguments);
        var (_, again, _) = await RunAsync(arguments);

        Assert.True(code == 0, error);
        Assert.Equal(1, output.Count(c => c == '\n'));
        Assert.EndsWith("\n", output);
        var json = JsonNode.Parse(output)!.AsObject();
        Assert.Equal(["text", "token_ids", "prompt_token_ids", "finish_reason", "usage", "ttft_ms", "tokens_per_s"], json.Select(p => p.Key));
        Assert.Equal(json["token_ids"]!.AsArray().Count, (int)json["usage"]!["completion_tokens"]!);
        Assert.Equal(json["prompt_token_ids"]!.AsArray().Count, (int)json["usage"]!["prompt_tokens"]!);
        Assert.InRange((int)json["usage"]!["completion_tokens"]!, 1, 12);
        Assert.True((double)json["ttft_ms"]! > 0);
        Assert.Equal(json["token_ids"]!.ToJsonString(), JsonNode.Parse(again)!["token_ids"]!.ToJsonString());
    }

    [Fact]
    public async Task Raw_TakesTheTextAsItIs()
    {
        var (code, output, error) = await RunAsync(
            "--ask", "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n", "--raw", "--json");

        Assert.True(code == 0, error);
        Assert.Contains("Paris", (string)JsonNode.Parse(output)!["text"]!);
    }

    [Theory]
    [InlineData("--nonsense", "--nonsense")]
    [InlineData("--max-tokens 0 --ask x", "--max-tokens is 0")]
    [InlineData("--temperature 3 --ask x", "--temperature is '3'")]
    [InlineData("--temperature hot --ask x", "--temperature is 'hot'")]
    [InlineData("--json", "--json goes with --ask")]
    [InlineData("--quantize int2 --ask x", "int2")]
    [InlineData("--replicas 0 --ask x", "--replicas is 0")]
    [InlineData("--urls ftp://x", "ftp://x")]
    [InlineData("import", "import")]
    public async Task WrongArguments_ExitWithTwo(string arguments, string shown)
    {
        var (code, output, error) = await RunAsync(arguments.Split(' '));

        Assert.Equal(GranaryCommand.WrongArguments, code);
        Assert.Contains(shown, error);
        Assert.Equal("", output);
    }

    [Theory]
    [InlineData("--ask hello --model ./no-such-folder", "no-such-folder")]
    [InlineData("--model ./no-such-folder --urls http://127.0.0.1:0", "no-such-folder")]
    [InlineData("--ask hello --context 99999", "99999")]
    [InlineData("import ./no-such-folder ./out", "no-such-folder")]
    public async Task LoadFailure_ExitsWithOneAndAMessage(string arguments, string shown)
    {
        var (code, output, error) = await RunAsync(arguments.Split(' '));

        Assert.Equal(GranaryCommand.Failed, code);
        Assert.Contains(shown, error);
        Assert.DoesNotContain("   at ", error);
        Assert.Equal("", output);
    }

    private async Task<(int Code, string Output, string Error)> RunAsync(params string[] arguments)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath is { } host && Path.GetFileNameWithoutExtension(host) == "dotnet" ? host : "dotnet")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = _cache,
        };
        foreach (var argument in (string[])[Path.Combine(AppContext.BaseDirectory, "Granary.Silo.dll"), .. arguments]) start.ArgumentList.Add(argument);
        start.Environment["Granary__CacheDirectory"] = Path.Combine(_cache, "models");
        start.Environment["HOME"] = start.Environment["XDG_CACHE_HOME"] = Home;
        foreach (var quiet in (string[])["CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS"]) start.Environment.Remove(quiet);
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEndAsync();
        using var bound = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        try
        {
            await process.WaitForExitAsync(bound.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw;
        }

        return (process.ExitCode, await output, await error);
    }
}
