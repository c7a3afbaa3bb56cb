namespace Granary.Engine;

/// <summary>What somebody wants pinned, or let go.</summary>
/// <param name="Tokens">Null to let go of what the owner has pinned.</param>
/// <param name="Done">Gets the tokens that are pinned then.</param>
internal sealed record PinCommand(string Owner, int[]? Tokens, string? Salt, TimeSpan Lease, TaskCompletionSource<int> Done);
