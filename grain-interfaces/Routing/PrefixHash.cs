using System.Runtime.InteropServices;
using System.Text;

namespace Granary.GrainInterfaces.Routing;

/// <summary>Names the start of a prompt, so that requests which could share cached KV blocks can be kept together.</summary>
/// <remarks>
/// Every caller must compute it alike, in any process: it is FNV-1a (64 bits) over little-endian ids, not <see cref="HashCode"/>.
/// Only the head counts, so that all turns of a conversation, and all users of one system prompt, hash alike.
/// </remarks>
public static class PrefixHash
{
    /// <summary>Ids that count: four KV blocks of 16.</summary>
    public const int HeadTokens = 64;

    private const int BlockTokens = 16;
    private const ulong Offset = 14695981039346656037;
    private const ulong Prime = 1099511628211;

    /// <summary>The hash of the prompt's first full blocks, or of all its ids where it has no full block.</summary>
    /// <param name="tokenIds">The whole prompt.</param>
    /// <param name="cacheSalt">Prompts share nothing across salts.</param>
    public static ulong Of(ReadOnlySpan<int> tokenIds, string? cacheSalt = null)
    {
        var length = Math.Min(tokenIds.Length, HeadTokens);
        if (length > BlockTokens) length -= length % BlockTokens;
        var hash = Offset;
        if (cacheSalt is not null)
        {
            foreach (var octet in Encoding.UTF8.GetBytes(cacheSalt)) hash = (hash ^ octet) * Prime;
            hash = (hash ^ 0xFF) * Prime; // No UTF-8 text holds this octet: a salt cannot pass for ids.
        }

        foreach (var octet in MemoryMarshal.AsBytes(tokenIds[..length])) hash = (hash ^ octet) * Prime;
        return hash;
    }
}
