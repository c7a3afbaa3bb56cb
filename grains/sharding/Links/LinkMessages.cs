using System.Text;

namespace Granary.Sharding.Links;

/// <summary>Texts that travel between the ends, and how links are named in them.</summary>
internal static class LinkMessages
{
    /// <summary>Longest reason that one end tells the other.</summary>
    public const int MaxReasonBytes = 1024;

    public static string Name(LinkIdentity identity) =>
        $"{identity.Purpose} link {identity.Dialer} → {identity.Acceptor} of replica {identity.ReplicaId}, epoch {identity.Epoch}";

    /// <summary>A reason as UTF-8 within the bound, cut between characters.</summary>
    public static byte[] Encode(string reason)
    {
        var bytes = new byte[MaxReasonBytes];
        Encoding.UTF8.GetEncoder().Convert(reason, bytes, flush: true, out _, out var used, out _);
        return bytes[..used];
    }

    /// <summary>What a peer said, without what a terminal would obey.</summary>
    public static string Decode(ReadOnlySpan<byte> reason) =>
        string.Create(null, $"{new string([.. Encoding.UTF8.GetString(reason).Select(c => char.IsControl(c) ? ' ' : c)])}");
}
