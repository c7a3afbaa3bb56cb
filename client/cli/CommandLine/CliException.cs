namespace Granary.Client.Cli.CommandLine;

/// <summary>A command cannot go on; the message says why.</summary>
internal sealed class CliException(string message) : Exception(message);
