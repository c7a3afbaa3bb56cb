using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Granary.Tests.Conformance.Support;

namespace Granary.Tests.Conformance.Clients;

/// <summary>One run of the Node project against real silos, and what became of each of its cases.</summary>
public sealed partial class NodeRun(SiloFixture fixture) : IAsyncLifetime
{
    private const string BusyKey = "sk-node-0123456789";

    /// <summary>By case: null where it passed, else the error.</summary>
    private readonly Dictionary<string, string?> _errors = [];
    private string _tail = "";

    /// <summary>Names of the cases, as the scripts declare them.</summary>
    public static IReadOnlyList<string> Cases { get; } =
    [
        .. from path in Directory.EnumerateFiles(NodeProject.Sources, "*.mjs").Order(StringComparer.Ordinal)
           from line in File.ReadLines(path)
           let declared = Declaration().Match(line)
           where declared.Success
           select declared.Groups[1].Value.Replace("\\'", "'", StringComparison.Ordinal),
    ];

    public IEnumerable<string> Ran => _errors.Keys;

    /// <summary>Null where the case passed.</summary>
    public string? ErrorOf(string name) => _errors.TryGetValue(name, out var error) ? error : $"The case did not run. Node said last:\n{_tail}";

    public async Task InitializeAsync()
    {
        if (NodeProject.WhyNot is { } reason)
        {
            _tail = reason;
            return;
        }

        await using var busy = await RunningSilo.StartAsync(new() { ["Granary:Gateway:MaxConcurrentRequests"] = "1", ["Granary:Gateway:ApiKeys:0"] = BusyKey });
        var environment = new Dictionary<string, string>
        {
            ["GRANARY_OPEN"] = fixture.Silo.Address.ToString().TrimEnd('/'),
            ["GRANARY_BUSY"] = busy.Address.ToString().TrimEnd('/'),
            ["GRANARY_BUSY_KEY"] = BusyKey,
        };
        var node = await OtherPrograms.RunAsync("node", ["run.mjs"], NodeProject.Folder, environment);
        _tail = node.Tail;
        foreach (var line in node.Output.Split('\n').Where(line => line.StartsWith("{\"name\":", StringComparison.Ordinal)))
        {
            var result = JsonNode.Parse(line)!;
            _errors.Add((string)result["name"]!, result["error"]?.GetValueKind() == JsonValueKind.String ? (string)result["error"]! : null);
        }
    }

    public Task DisposeAsync() => Task.CompletedTask;

    [GeneratedRegex(@"^test\('((?:[^'\\]|\\')+)', ")]
    private static partial Regex Declaration();
}
