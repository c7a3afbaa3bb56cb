using System.Globalization;
using System.Text;

namespace Granary.Tests.Conformance.Fuzz;

/// <summary>When the client of a request goes away.</summary>
internal enum Leave
{
    AfterTheAnswer,
    InTheRequest,
    BeforeTheAnswer,
    InTheAnswer,
}

/// <summary>One request as it goes over the wire, and what was done to it.</summary>
internal sealed class FuzzRequest(string method, string path)
{
    private readonly List<string> _mutations = [];

    public string Method { get; set; } = method;

    public string Path { get; set; } = path;

    public string Version { get; set; } = "HTTP/1.1";

    public byte[] Body { get; set; } = [];

    public List<(string Name, string Value)> Headers { get; } = [("Host", "localhost"), ("Connection", "close")];

    public Leave Leave { get; set; }

    /// <summary>Where the client leaves: bytes sent or read until then.</summary>
    public int LeaveAt { get; set; }

    /// <summary>HTTP itself is broken: the server may refuse without a body, or just close.</summary>
    public bool BreaksHttp { get; set; }

    public IReadOnlyList<string> Mutations => _mutations;

    public void Note(string mutation) => _mutations.Add(mutation);

    public void SetHeader(string name, string value)
    {
        RemoveHeader(name);
        Headers.Add((name, value));
    }

    public void RemoveHeader(string name) => Headers.RemoveAll(header => header.Name.Equals(name, StringComparison.OrdinalIgnoreCase));

    public byte[] ToBytes()
    {
        var head = new StringBuilder($"{Method} {Path} {Version}\r\n");
        foreach (var (name, value) in Headers) head.Append(CultureInfo.InvariantCulture, $"{name}: {value}\r\n");
        return [.. Encoding.Latin1.GetBytes(head.Append("\r\n").ToString()), .. Body];
    }

    /// <summary>The request's beginning as a message shows it.</summary>
    public string Show()
    {
        const int Most = 2000;
        var bytes = ToBytes();
        var text = new StringBuilder($"mutations: {string.Join("; ", _mutations)}; leaves {Leave} {LeaveAt}\n");
        foreach (var c in Encoding.Latin1.GetString(bytes.AsSpan(0, Math.Min(bytes.Length, Most))))
        {
            if (c is '\n' or (>= ' ' and < '\x7f'))
                text.Append(c);
            else if (c != '\r')
                text.Append(CultureInfo.InvariantCulture, $"\\x{(int)c:x2}");
        }

        return bytes.Length > Most ? text.Append(CultureInfo.InvariantCulture, $"… {bytes.Length} bytes in all").ToString() : text.ToString();
    }
}
