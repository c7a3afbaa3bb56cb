using System.CommandLine;

namespace Granary.Silo.CommandLine;

/// <summary>Options of serving.</summary>
internal sealed class ServeOptions
{
    private const string DefaultUrl = "http://127.0.0.1:8080";

    private readonly Option<string?> _urls = new("--urls")
    {
        Description = $"Addresses to listen on, separated by semicolons. Default: {DefaultUrl}.",
        HelpName = "URLS",
    };

    public ServeOptions() => _urls.Validators.Add(result =>
    {
        foreach (var url in Split(result.GetValueOrDefault<string?>()))
        {
            if (!url.StartsWith("http://", StringComparison.OrdinalIgnoreCase))
                result.AddError($"--urls has '{url}'; an address is http://HOST:PORT.");
        }
    });

    public void AddTo(Command command) => command.Options.Add(_urls);

    /// <summary>The addresses; null where configuration and default decide.</summary>
    public string[]? Read(ParseResult result) => Split(result.GetValue(_urls)) is { Length: > 0 } urls ? urls : null;

    /// <summary>What to listen on where neither command line nor environment says.</summary>
    public static string[] Default => Split(Environment.GetEnvironmentVariable("ASPNETCORE_URLS")) is { Length: > 0 } urls ? urls : [DefaultUrl];

    private static string[] Split(string? urls) => urls?.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries) ?? [];
}
