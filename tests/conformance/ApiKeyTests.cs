using System.Collections.Concurrent;
using System.Net;
using Granary.Silo.Hosting;
using Granary.Tests.Conformance.Support;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Granary.Tests.Conformance;

/// <summary>Who may ask, and from where.</summary>
public sealed class ApiKeyTests
{
    private const string First = "sk-first-0123456789";
    private const string Second = "sk-second-0123456789";

    [Fact]
    public async Task WithKeys_OnlyTheyOpen_AndAreNeverLogged()
    {
        var file = Path.GetTempFileName();
        using var logs = new RecordingLogs();
        try
        {
            await File.WriteAllTextAsync(file, $"# keys\n\n{Second}\n");
            await using var silo = await RunningSilo.StartAsync(
                new() { ["Granary:Gateway:ApiKeys:0"] = First, ["Granary:Gateway:ApiKeysFile"] = file, ["Logging:LogLevel:Default"] = "Trace" },
                services => services.AddSingleton<ILoggerProvider>(logs));

            foreach (var wrong in (string?[])[null, "", First, $"Basic {First}", "Bearer", "Bearer ", $"Bearer {First}x", $"Bearer {First[..^1]}", "Bearer " + new string('x', 9000)])
            {
                foreach (var path in (string[])["/v1/models", "/openapi.json", "/version", "/v2/none"])
                {
                    using var response = await AskAsync(silo, path, wrong);
                    Assert.Equal("invalid_api_key", (string?)(await Api.ErrorAsync(response, HttpStatusCode.Unauthorized))["code"]);
                    Assert.Equal("Bearer", response.Headers.WwwAuthenticate.Single().Scheme);
                    Assert.True(response.Headers.Contains("x-request-id"));
                }
            }

            foreach (var right in (string[])[$"Bearer {First}", $"Bearer {Second}", $"bearer {First}"])
            {
                using var response = await AskAsync(silo, "/v1/models", right);
                Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            }

            foreach (var open in (string[])["/health/live", "/metrics"])
            {
                using var response = await AskAsync(silo, open, null);
                Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            }
        }
        finally
        {
            File.Delete(file);
        }

        Assert.NotEmpty(logs.Lines);
        Assert.DoesNotContain(logs.Lines, line => line.Contains(First, StringComparison.Ordinal) || line.Contains(Second, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("http://0.0.0.0:0")]
    [InlineData("http://*:0")]
    [InlineData("http://[::]:0")]
    [InlineData("http://example.org:0")]
    [InlineData("http://10.0.0.1:0")]
    public void OpenAddressWithoutKeys_IsRefusedAtStart(string url)
    {
        var exception = Assert.Throws<OptionsValidationException>(() => ListenAddresses.RefuseOpen(["http://127.0.0.1:0", url], new GatewayOptions()));
        foreach (var said in (string[])[url, "Granary:Gateway:ApiKeys", "Granary:Gateway:AllowAnonymous"]) Assert.Contains(said, exception.Message);

        var keyed = new GatewayOptions();
        keyed.ApiKeys.Add(First);
        ListenAddresses.RefuseOpen([url], keyed);
        ListenAddresses.RefuseOpen([url], new GatewayOptions { ApiKeysFile = "keys" });
        ListenAddresses.RefuseOpen([url], new GatewayOptions { AllowAnonymous = true });
    }

    [Theory]
    [InlineData("http://127.0.0.1:8080")]
    [InlineData("http://127.1.2.3:8080")]
    [InlineData("http://localhost:8080")]
    [InlineData("http://[::1]:8080")]
    [InlineData("http://unix:/tmp/granary.sock")]
    public void LoopbackWithoutKeys_IsServed(string url) => ListenAddresses.RefuseOpen([url], new GatewayOptions());

    [Theory]
    [InlineData("", "0 keys")]
    [InlineData("# none\n", "0 keys")]
    [InlineData("short\n", "line 1: 5 characters")]
    [InlineData("# one\nwith spaces in it\n", "line 2")]
    public void WrongKeyFile_IsRefusedAtStart_WithoutTellingIt(string content, string shown)
    {
        var file = Path.GetTempFileName();
        try
        {
            File.WriteAllText(file, content);
            var options = new GranaryOptions { Gateway = { ApiKeysFile = file } };
            var exception = Assert.Throws<OptionsValidationException>(() => new Silo.Gateway.ApiKeys(Options.Create(options)));
            Assert.Contains(shown, exception.Message);
            Assert.DoesNotContain("with spaces", exception.Message);
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public async Task Cors_IsOff_UnlessOriginsAreNamed()
    {
        await using var closed = await RunningSilo.StartAsync();
        await using var open = await RunningSilo.StartAsync(
            new() { ["Granary:Gateway:CorsOrigins:0"] = "https://example.org", ["Granary:Gateway:ApiKeys:0"] = First });

        Assert.Null(await AllowedAsync(closed, "https://example.org"));
        Assert.Equal("https://example.org", await AllowedAsync(open, "https://example.org"));
        Assert.Null(await AllowedAsync(open, "https://example.com"));

        static async Task<string?> AllowedAsync(RunningSilo silo, string origin)
        {
            using var request = new HttpRequestMessage(HttpMethod.Options, Api.Chat);
            request.Headers.Add("Origin", origin);
            request.Headers.Add("Access-Control-Request-Method", "POST");
            request.Headers.Add("Access-Control-Request-Headers", "authorization,content-type");
            using var response = await silo.Http.SendAsync(request);
            return response.Headers.TryGetValues("Access-Control-Allow-Origin", out var values) ? values.Single() : null;
        }
    }

    private static async Task<HttpResponseMessage> AskAsync(RunningSilo silo, string path, string? authorization)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        if (authorization is not null) request.Headers.TryAddWithoutValidation("Authorization", authorization);
        return await silo.Http.SendAsync(request);
    }

    private sealed class RecordingLogs : ILoggerProvider, ILogger
    {
        public ConcurrentQueue<string> Lines { get; } = [];

        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Lines.Enqueue(formatter(state, exception) + exception);

        public void Dispose()
        {
        }
    }
}
