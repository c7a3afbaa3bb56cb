using System.Text;

namespace Granary.Tests.Benchmarks.Gateway;

/// <summary>Prompts that carry their request's number, so that a step's plan tells whose first token it makes.</summary>
internal static class Prompt
{
    public const int Tokens = 64;

    /// <summary>Ids of the simulated device.</summary>
    public const int Vocabulary = 256;

    /// <summary>Requests of one process have smaller numbers.</summary>
    public const int MaxRequests = 1 << 18;

    public static int[] Of(int number)
    {
        var random = new Random(number);
        var ids = new int[Tokens];
        for (var i = 0; i < Tokens; i++) ids[i] = random.Next(Vocabulary);
        (ids[0], ids[1], ids[2]) = (number & 0xFF, (number >> 8) & 0xFF, number >> 16);
        return ids;
    }

    public static int NumberOf(ReadOnlySpan<int> ids) => ids[0] | (ids[1] << 8) | (ids[2] << 16);

    /// <summary>A streamed completion request as it goes over the wire.</summary>
    public static byte[] ToHttp(int number, int maxTokens)
    {
        var body = $$"""{"model":"simulated","prompt":[{{string.Join(',', Of(number))}}],"max_tokens":{{maxTokens}},"temperature":0,"ignore_eos":true,"stream":true}""";
        return Encoding.ASCII.GetBytes(
            $"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {body.Length}\r\n\r\n{body}");
    }
}
