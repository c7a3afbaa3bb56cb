using System.Security.Cryptography;
using System.Text;
using Granary.Silo.Hosting;
using Microsoft.Extensions.Options;

namespace Granary.Silo.Gateway;

/// <summary>Knows the keys that open the gateway.</summary>
/// <remarks>
/// Only hashes are kept. A given key is hashed and compared with every one of them in constant time, so that the time
/// of an answer tells neither how much of a key is right nor which one it is.
/// </remarks>
internal sealed class ApiKeys
{
    /// <summary>What a key is, for messages.</summary>
    public const string Rule = "a key has 8 to 512 visible ASCII characters.";

    private const int MinLength = 8;
    private const int MaxLength = 512;
    private const int MaxKeys = 10_000;
    private readonly byte[][] _hashes;

    /// <exception cref="OptionsValidationException">The file of keys cannot be read, or has what is no key.</exception>
    public ApiKeys(IOptions<GranaryOptions> options)
    {
        var gateway = options.Value.Gateway;
        _hashes = [.. gateway.ApiKeys.Concat(ReadFile(gateway.ApiKeysFile)).Select(Hash)];
    }

    /// <summary>Whether a request must bring a key.</summary>
    public bool AreRequired => _hashes.Length > 0;

    public static bool IsKey(string text) => text.Length is >= MinLength and <= MaxLength && text.All(c => c is > ' ' and < '\x7f');

    /// <param name="authorization">The header as it was sent.</param>
    public bool Allow(string? authorization)
    {
        if (KeyIn(authorization) is not { } key) return false;
        var given = Hash(key);
        var found = false;
        foreach (var hash in _hashes) found |= CryptographicOperations.FixedTimeEquals(hash, given);
        return found;
    }

    /// <summary>Names whoever sent a key that was allowed, for one thing only: not to be compared with another's, and not the key's own hash.</summary>
    /// <returns>Nothing where no key is wanted.</returns>
    public byte[] OwnerOf(string? authorization, string thing) => AreRequired ? Hash($"{thing}\n{KeyIn(authorization)}") : [];

    private static string? KeyIn(string? authorization)
    {
        const string Scheme = "Bearer ";
        if (authorization is null || authorization.Length > Scheme.Length + MaxLength || !authorization.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase)) return null;
        return authorization[Scheme.Length..].Trim();
    }

    private static byte[] Hash(string key) => SHA256.HashData(Encoding.UTF8.GetBytes(key));

    private static List<string> ReadFile(string? path)
    {
        if (string.IsNullOrWhiteSpace(path)) return [];
        string[] lines;
        try
        {
            lines = File.ReadAllLines(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw Wrong($"'{path}' cannot be read: {exception.Message}");
        }

        var keys = new List<string>();
        for (var i = 0; i < lines.Length; i++)
        {
            var line = lines[i].Trim();
            if (line.Length == 0 || line[0] == '#') continue;
            if (!IsKey(line)) throw Wrong($"'{path}', line {i + 1}: {line.Length} characters; {Rule}");
            keys.Add(line);
        }

        // A file without keys would open the gateway to everybody.
        if (keys.Count is 0 or > MaxKeys) throw Wrong($"'{path}' has {keys.Count} keys; it must have 1 to {MaxKeys}.");
        return keys;
    }

    private static OptionsValidationException Wrong(string what) =>
        new(GranaryOptions.Section, typeof(GranaryOptions), [$"Granary:Gateway:ApiKeysFile {what}"]);
}
