using System.Runtime.InteropServices;
using System.Text;

namespace Granary.Client.Cli.CommandLine;

/// <summary>What a command has of the world: streams, time, servers, signals. Tests give it another.</summary>
internal sealed record CliContext
{
    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false);

    public required Stream Input { get; init; }

    public required Stream Output { get; init; }

    /// <summary>For people: errors, prompts, figures.</summary>
    public required TextWriter Error { get; init; }

    /// <summary>Whether a person types the input.</summary>
    public bool IsInteractive { get; init; }

    public required TimeProvider Time { get; init; }

    public Func<string, string?> Environment { get; init; } = System.Environment.GetEnvironmentVariable;

    /// <summary>What carries HTTP; null for the network.</summary>
    public HttpMessageHandler? Http { get; init; }

    /// <summary>Has Ctrl+C call this instead of ending the program, until what is returned is disposed; false lets it end the program.</summary>
    public Func<Func<bool>, IDisposable> OnInterrupt { get; init; } = Interrupts;

    public static CliContext OfProcess() => new()
    {
        Input = Console.OpenStandardInput(),
        Output = Console.OpenStandardOutput(),
        Error = Console.Error,
        IsInteractive = !Console.IsInputRedirected,
        Time = TimeProvider.System,
    };

    /// <summary>Text to the output, unbuffered past each call's flush; leaves the stream open.</summary>
    public StreamWriter OpenText() => new(Output, Utf8, leaveOpen: true) { NewLine = "\n" };

    private static PosixSignalRegistration Interrupts(Func<bool> handle) => PosixSignalRegistration.Create(PosixSignal.SIGINT, signal => signal.Cancel = handle());
}
