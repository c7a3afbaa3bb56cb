using System.CommandLine;

namespace Granary.Client.Cli.CommandLine;

/// <summary>Where the server is, and the key it asks for.</summary>
internal sealed class ConnectionOptions
{
    public const string KeyVariable = "GRANARY_API_KEY";
    private const string Default = "http://127.0.0.1:8080";

    private readonly Option<Uri> _url = new("--url")
    {
        Description = $"The server; a path of /v1 may stand at its end. Default: {Default}.",
        HelpName = "URL",
        DefaultValueFactory = _ => new Uri(Default),
        CustomParser = result =>
        {
            var text = result.Tokens[0].Value;
            if (Uri.TryCreate(text, UriKind.Absolute, out var url) && url.Scheme is "http" or "https" && url is { Query: "", Fragment: "", UserInfo: "" }) return url;
            result.AddError($"--url is '{text}'; it must be http://HOST:PORT or https://HOST:PORT.");
            return null;
        },
    };

    private readonly Option<string?> _key = new("--api-key") { Description = $"Sent as a bearer token. Default: the variable {KeyVariable}.", HelpName = "KEY" };

    public void AddTo(Command command)
    {
        command.Options.Add(_url);
        command.Options.Add(_key);
    }

    public Uri Url(ParseResult result) => result.GetRequiredValue(_url);

    public string? ApiKey(ParseResult result, CliContext context) =>
        result.GetValue(_key) ?? (context.Environment(KeyVariable) is { Length: > 0 } key ? key : null);

    /// <exception cref="CliException">A value is out of the client's bounds; the message says which.</exception>
    public GranaryClient Connect(ParseResult result, CliContext context, TimeSpan? timeout = null)
    {
        var options = new GranaryClientOptions { Endpoint = Url(result), ApiKey = ApiKey(result, context) };
        if (timeout is { } limit) options.Timeout = limit;
        try
        {
            return GranaryClient.Connect(options, context.Http);
        }
        catch (ArgumentException exception)
        {
            throw new CliException(exception.Message);
        }
    }
}
