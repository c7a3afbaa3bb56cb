using System.Globalization;
using System.Text;

namespace Granary.Tests.Conformance.Fuzz;

/// <summary>Changes what carries the JSON: its bytes, the HTTP around it, and how long the client stays.</summary>
internal static class WireMutations
{
    private static readonly string[] Methods = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "FETCH", "POST\tX"];
    private static readonly string[] Versions = ["HTTP/1.0", "HTTP/1.0", "HTTP/9.9", "HTTP/2.0", "HTTP", ""];
    private static readonly string[] ContentTypes =
    [
        "", "text/plain", "application/xml", "application/json; charset=utf-16", "application/json; charset=x", "application/json;;;",
        "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "json", "application/json, text/plain", "\x7f",
    ];

    public static void Bytes(FuzzRequest request, Random random)
    {
        var body = request.Body;
        var at = random.Next(body.Length + 1);
        switch (random.Next(9))
        {
            case 0:
                request.Note($"body cut at {at}");
                request.Body = body[..at];
                break;
            case 1:
                request.Note("bytes flipped");
                request.Body = [.. body];
                for (var i = 0; i < 1 + random.Next(4) && body.Length > 0; i++) request.Body[random.Next(body.Length)] = (byte)random.Next(256);
                break;
            case 2:
                request.Note($"random bytes at {at}");
                request.Body = [.. body[..at], .. RandomBytes(random, 40), .. body[at..]];
                break;
            case 3:
                byte[][] broken = [[0xff], [0xc3], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]];
                request.Note("invalid UTF-8 in a string");
                var quote = Array.FindLastIndex(body, b => b == '"');
                request.Body = quote < 0 ? broken[0] : [.. body[..quote], .. broken[random.Next(broken.Length)], .. body[quote..]];
                break;
            case 4:
                request.Note("random body");
                request.Body = RandomBytes(random, random.Next(2000));
                break;
            case 5:
                request.Note("byte order mark");
                request.Body = [0xef, 0xbb, 0xbf, .. body];
                break;
            case 6:
                request.Note("UTF-16");
                request.Body = Encoding.Unicode.GetBytes(Encoding.UTF8.GetString(body));
                break;
            case 7:
                request.Note("more after the end");
                request.Body = [.. body, .. body];
                break;
            default:
                request.Note("empty body");
                request.Body = [];
                break;
        }
    }

    public static void Http(FuzzRequest request, Random random)
    {
        switch (random.Next(17))
        {
            case 0 or 1:
                request.Method = Methods[random.Next(Methods.Length)];
                request.BreaksHttp = request.Method is "CONNECT" or "POST\tX" or "TRACE";
                request.Note($"method {request.Method}");
                break;
            case 2 or 3:
                request.Path = Paths(request.Path, random);
                request.BreaksHttp = request.Path.Contains("%00", StringComparison.Ordinal) || request.Path.Contains("%ff", StringComparison.Ordinal) || request.Path.Contains('\\');
                request.Note($"path {request.Path[..Math.Min(request.Path.Length, 60)]}");
                break;
            case 4 or 5:
                var type = ContentTypes[random.Next(ContentTypes.Length)];
                request.RemoveHeader("Content-Type");
                if (type.Length > 0) request.SetHeader("Content-Type", type);
                request.BreaksHttp = type == "\x7f";
                request.Note($"content type '{type}'");
                break;
            case 6:
                request.SetHeader("Content-Encoding", random.Next(2) == 0 ? "gzip" : "br, x");
                request.Note("content encoding");
                break;
            case 7:
                request.SetHeader("Content-Length", (request.Body.Length + random.Next(1, 5000)).ToString(CultureInfo.InvariantCulture));
                request.BreaksHttp = true;
                request.Note("content length too great");
                break;
            case 8:
                request.SetHeader("Content-Length", random.Next(request.Body.Length + 1).ToString(CultureInfo.InvariantCulture));
                request.BreaksHttp = true;
                request.Note("content length too small");
                break;
            case 9:
                request.SetHeader("Content-Length", new[] { "-1", "x", "99999999999999999999", "1, 2", "0x10", "4294967296" }[random.Next(6)]);
                request.BreaksHttp = true;
                request.Note("content length wrong");
                break;
            case 10:
                Chunked(request, random);
                break;
            case 11:
                request.Headers.Add(("X-Much", new string('a', random.Next(40_000))));
                request.BreaksHttp = request.Headers[^1].Value.Length > 20_000;
                request.Note("long header");
                break;
            case 12:
                for (var i = random.Next(150); i > 0; i--) request.Headers.Add(($"X-{i}", "v"));
                request.BreaksHttp = request.Headers.Count > 90;
                request.Note("many headers");
                break;
            case 13:
                request.Version = Versions[random.Next(Versions.Length)];
                request.BreaksHttp = true; // Older ones want a length where there is a body, newer ones are not spoken.
                request.Note($"version '{request.Version}'");
                break;
            case 14:
                if (random.Next(2) == 0)
                    request.RemoveHeader("Host");
                else
                    request.Headers.Add(("Host", "b"));
                request.BreaksHttp = true;
                request.Note("host");
                break;
            case 15:
                request.SetHeader("x-request-id", new[] { "", "ok-1", "a b", "\u00e9", new string('i', 500), "<script>", "\"" }[random.Next(7)]);
                request.BreaksHttp = request.Headers[^1].Value == "\u00e9";
                request.Note("request id");
                break;
            default:
                request.SetHeader("Authorization", new[] { "", "Bearer", "Bearer ", "Bearer x y", "Basic eDp5", "Bearer \u00ff", "bearer k", "Bearer " + new string('k', 9000) }[random.Next(8)]);
                request.BreaksHttp = request.Headers[^1].Value.Contains('\u00ff');
                request.Note("authorization");
                break;
        }
    }

    public static void Stay(FuzzRequest request, Random random)
    {
        request.Leave = (Leave)random.Next(1, 4);
        request.LeaveAt = request.Leave == Leave.InTheRequest ? random.Next(request.ToBytes().Length) : random.Next(600);
        request.Note($"client leaves: {request.Leave}");
    }

    private static void Chunked(FuzzRequest request, Random random)
    {
        request.RemoveHeader("Content-Length");
        request.SetHeader("Transfer-Encoding", "chunked");
        var cut = request.Body.Length / 2;
        byte[] whole = [.. Chunk(request.Body[..cut]), .. Chunk(request.Body[cut..]), .. "0\r\n\r\n"u8];
        var kind = random.Next(4);
        request.BreaksHttp = kind != 0;
        request.Body = kind switch
        {
            0 => whole,
            1 => [.. "zz\r\n"u8, .. whole],
            2 => whole[..^Math.Min(5, whole.Length)],
            _ => [.. "fffffffffffffffff\r\n"u8, .. whole],
        };
        if (kind == 3) request.SetHeader("Content-Length", "5");
        request.Note($"chunked {kind}");

        static byte[] Chunk(byte[] bytes) => bytes.Length == 0 ? [] : [.. Encoding.ASCII.GetBytes($"{bytes.Length:x}\r\n"), .. bytes, .. "\r\n"u8];
    }

    private static string Paths(string path, Random random) => random.Next(10) switch
    {
        0 => path + "/",
        1 => "/" + path,
        2 => path.ToUpperInvariant(),
        3 => path + "?stream=true&x=%00&y[]=1&=",
        4 => path + "/%2e%2e/%2e%2e/etc/passwd",
        5 => path + "%00",
        6 => path + "/" + new string('a', 4000),
        7 => path + "/%ff%fe%c3",
        8 => path.Replace('/', '\\'),
        _ => "/" + Uri.EscapeDataString(path),
    };

    private static byte[] RandomBytes(Random random, int count)
    {
        var bytes = new byte[count];
        random.NextBytes(bytes);
        return bytes;
    }
}
