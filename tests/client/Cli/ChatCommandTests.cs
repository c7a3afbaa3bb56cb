using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Granary.Client.Cli.CommandLine;
using Granary.Tests.Support;

namespace Granary.Tests.Client.Cli;

/// <summary>Conversations and the list of models, against a scripted gateway.</summary>
public sealed class ChatCommandTests
{
    private readonly ManualTime _time = new();

    [Fact]
    public async Task Once_WritesTheAnswer_AndItsFigures()
    {
        var server = new ScriptedServer((_, _) => Task.FromResult(ScriptedServer.Events(
            (After(100), ScriptedServer.Chunk("", role: true)),
            (After(20), ScriptedServer.Chunk("Par")),
            (After(40), ScriptedServer.Chunk("is 🗼")),
            (null, ScriptedServer.Chunk(null, "stop")),
            (null, ScriptedServer.Usage(12, 4, 5)),
            (null, "[DONE]"))));
        var run = await RunAsync(server, "", "--once", "Capital?", "--system", "Be brief.", "--temperature", "0.5", "--max-tokens", "9", "--seed", "3", "--api-key", "k", "--model", "toy");
        Assert.Equal((0, "Paris 🗼\n"), (run.ExitCode, run.Output));
        Assert.Equal("[first token after 120.0 ms, 100.0 tokens/s, 12 prompt tokens, 4 cached, 5 generated]", run.Error.TrimEnd());
        var (request, body) = (server.Requests.Single(), server.Requests.Single().Body!);
        Assert.Equal(("/v1/chat/completions", "Bearer k"), (request.Path, request.Authorization));
        Assert.Equal(["system: Be brief.", "user: Capital?"], Messages(request));
        Assert.Equal(("toy", 0.5, 3), ((string)body["model"]!, (double)body["temperature"]!, (int)body["seed"]!));
        Assert.Equal(9, (int?)body["max_completion_tokens"] ?? (int?)body["max_tokens"]);
    }

    [Fact]
    public async Task AServerThatDoesNotCount_LeavesItsFiguresOut()
    {
        var server = new ScriptedServer((_, _) => Task.FromResult(ScriptedServer.Events(
            (After(30), ScriptedServer.Chunk("a")), (After(30), ScriptedServer.Chunk("b")), (null, ScriptedServer.Chunk(null, "stop")), (null, "[DONE]"))));
        var run = await RunAsync(server, "", "--once", "x");
        Assert.Equal((0, "ab\n", "[first token after 30.0 ms]"), (run.ExitCode, run.Output, run.Error.TrimEnd()));
    }

    [Fact]
    public async Task PipedLines_AreOneConversation_UntilReset()
    {
        var server = new ScriptedServer((request, _) => Task.FromResult(Answer($"answer {request.Number}")));
        var run = await RunAsync(server, "one\n\n  two  \r\n/reset\nthree\n/exit\nfour\n", "--system", "S");
        Assert.Equal((0, "answer 0\nanswer 1\nanswer 2\n"), (run.ExitCode, run.Output));
        Assert.Equal(["system: S", "user: one"], Messages(server.Requests[0]));
        Assert.Equal(["system: S", "user: one", "assistant: answer 0", "user: two"], Messages(server.Requests[1]));
        Assert.Equal(["system: S", "user: three"], Messages(server.Requests[2]));
        Assert.DoesNotContain(">", run.Error); // Nobody is there to be prompted.
        var sessions = server.Requests.Select(request => (string?)request.Body!["session_id"]).ToList();
        Assert.Equal(sessions[0], sessions[1]);
        Assert.NotEqual(sessions[1], sessions[2]);
        Assert.All(sessions, session => Assert.StartsWith("chat-", session));
    }

    [Fact]
    public async Task AFailedQuestion_IsForgotten_AndTheNextGoesOn()
    {
        var server = new ScriptedServer((request, _) => Task.FromResult(request.Number == 1
            ? ScriptedServer.Json("""{"error":{"message":"max_tokens is 0; it must be at least 1.","type":"invalid_request_error","param":"max_tokens","code":null}}""", HttpStatusCode.BadRequest)
            : Answer($"answer {request.Number}")));
        var piped = await RunAsync(server, "one\ntwo\nthree\n");
        Assert.Equal((1, "answer 0\nanswer 2\n"), (piped.ExitCode, piped.Output));
        Assert.Contains("max_tokens is 0; it must be at least 1.", piped.Error);
        Assert.Equal(["user: one", "assistant: answer 0", "user: three"], Messages(server.Requests[2]));
    }

    [Fact]
    public async Task AFailedStream_LeavesItsTextAndFails()
    {
        var server = new ScriptedServer((_, _) => Task.FromResult(ScriptedServer.Events((null, ScriptedServer.Chunk("half")))));
        var run = await RunAsync(server, "", "--once", "x");
        Assert.Equal((1, "half\n"), (run.ExitCode, run.Output));
        Assert.NotEqual("", run.Error);
    }

    /// <summary>What came before the interruption is part of the conversation; the program goes on.</summary>
    [Fact]
    public async Task Interrupt_EndsTheAnswer_NotTheProgram()
    {
        Func<bool>? interrupt = null;
        var handled = new List<bool>();
        var server = new ScriptedServer((request, _) => Task.FromResult(request.Number == 0
            ? ScriptedServer.Events((null, ScriptedServer.Chunk("half of ")), (() => handled.Add(interrupt!()), ScriptedServer.Chunk("never")), (null, "[DONE]"))
            : Answer("next")));
        var run = await CliRun.OfAsync(
            Encoding.UTF8.GetBytes("one\ntwo\n"),
            context => context with { Http = server, Time = _time, IsInteractive = true, OnInterrupt = handle => new Registration(() => interrupt = handle, () => interrupt = null) },
            "chat");
        Assert.Equal([true], handled);
        Assert.Null(interrupt); // Between answers, Ctrl+C is not ours.
        Assert.Equal(0, run.ExitCode);
        Assert.StartsWith("half of ", run.Output);
        Assert.EndsWith("\nnext\n", run.Output);
        Assert.Contains("ended early", run.Error);
        Assert.Equal("user: one", Messages(server.Requests[1])[0]);
        Assert.StartsWith("assistant: half of ", Messages(server.Requests[1])[1]);
        Assert.Equal("user: two", Messages(server.Requests[1])[^1]);
    }

    [Fact]
    public async Task APerson_IsPrompted_ToldOfUnknownCommands_AndFailuresAreNoExitCode()
    {
        var server = new ScriptedServer((_, _) => Task.FromResult(ScriptedServer.Json("""{"error":{"message":"no such model","type":"x","param":null,"code":null}}""", HttpStatusCode.NotFound)));
        var run = await CliRun.OfAsync("/help\nhello\n"u8.ToArray(), context => context with { Http = server, Time = _time, IsInteractive = true }, "chat");
        Assert.Equal((0, ""), (run.ExitCode, run.Output));
        Assert.Contains("> '/help' is no command; there are /reset and /exit.", run.Error);
        Assert.Contains("no such model", run.Error);
        Assert.Single(server.Requests);
    }

    [Theory]
    [InlineData("--temperature is '2.5'; it must be a number from 0 to 2.", "--temperature", "2.5")]
    [InlineData("--max-tokens is '0'; it must be a whole number from 1 to 2147483647.", "--max-tokens", "0")]
    [InlineData("--once is empty; it must be text.", "--once", "")]
    public async Task WrongArguments_AreNamed(string message, params string[] args)
    {
        var run = await CliRun.OfAsync("", ["chat", .. args]);
        Assert.Equal((2, ""), (run.ExitCode, run.Output));
        Assert.StartsWith(message, run.Error);
    }

    [Fact]
    public async Task TheProgramAlone_NamesHelp_AndHelpNamesTheCommands()
    {
        var alone = await CliRun.OfAsync("");
        Assert.Equal((2, "", "Name a command; try --help."), (alone.ExitCode, alone.Output, alone.Error.TrimEnd()));
        var help = await CliRun.OfAsync("", "--help");
        Assert.Equal(0, help.ExitCode);
        Assert.All((string[])["chat", "models", "load", "tokenize", "template"], command => Assert.Contains($"  {command}  ", help.Output));
    }

    [Fact]
    public async Task Models_AreATableOrJson()
    {
        var server = new ScriptedServer((request, _) => Task.FromResult(ScriptedServer.Json(
            """{"object":"list","data":[{"id":"toy-long-name","object":"model","created":1700000000,"owned_by":"x","max_model_len":1024},{"id":"a","object":"model","created":0,"owned_by":"x"}]}""")));
        Func<CliContext, CliContext> with = context => context with { Http = server, Time = _time };
        var table = await CliRun.OfAsync([], with, "models");
        Assert.Equal(["NAME            CONTEXT  CREATED", "a                     –  1970-01-01 00:00", "toy-long-name      1024  2023-11-14 22:13"], table.Lines);
        var json = await CliRun.OfAsync([], with, "models", "--json");
        Assert.Equal(
            """[{"name":"a","context_length":0,"created":"1970-01-01T00:00:00+00:00"},{"name":"toy-long-name","context_length":1024,"created":"2023-11-14T22:13:20+00:00"}]""",
            JsonNode.Parse(json.Output)!.ToJsonString().Replace("\\u002B", "+", StringComparison.Ordinal));
        Assert.All(server.Requests, request => Assert.Equal("/v1/models", request.Path));
    }

    [Fact]
    public async Task Models_OfAServerThatRefuses_FailWithItsMessage()
    {
        var server = new ScriptedServer((_, _) => Task.FromResult(ScriptedServer.Json(
            """{"error":{"message":"The API key is wrong.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}""", HttpStatusCode.Unauthorized)));
        var run = await CliRun.OfAsync([], context => context with { Http = server }, "models");
        Assert.Equal((1, ""), (run.ExitCode, run.Output));
        Assert.Contains("The API key is wrong.", run.Error);
    }

    private Action After(double milliseconds) => () => _time.Advance(TimeSpan.FromMilliseconds(milliseconds));

    private Task<CliRun> RunAsync(ScriptedServer server, string input, params string[] args) =>
        CliRun.OfAsync(Encoding.UTF8.GetBytes(input), context => context with { Http = server, Time = _time }, ["chat", .. args]);

    private static HttpResponseMessage Answer(string text) => ScriptedServer.Events(
        (null, ScriptedServer.Chunk(text)), (null, ScriptedServer.Chunk(null, "stop")), (null, ScriptedServer.Usage(1, 0, 1)), (null, "[DONE]"));

    private static List<string> Messages(ScriptedRequest request) =>
        [.. request.Body!["messages"]!.AsArray().Select(message => $"{message!["role"]}: {message["content"]}")];

    private sealed class Registration : IDisposable
    {
        private readonly Action _remove;

        public Registration(Action add, Action remove)
        {
            _remove = remove;
            add();
        }

        public void Dispose() => _remove();
    }
}
