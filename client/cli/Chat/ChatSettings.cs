namespace Granary.Client.Cli.Chat;

/// <summary>How a conversation is held.</summary>
/// <param name="System">The system message; null for none.</param>
internal sealed record ChatSettings(string? Model, string? System, GenerationSettings Generation);
