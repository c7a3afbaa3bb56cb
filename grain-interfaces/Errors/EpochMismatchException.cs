using Orleans;

namespace Granary.GrainInterfaces.Errors;

/// <summary>The replica is in another life than the ticket named; nothing was started.</summary>
[GenerateSerializer, Alias("granary.error.epoch-mismatch")]
public sealed class EpochMismatchException : GranaryException
{
    public EpochMismatchException(string message, long asked, long actual) : base(message)
    {
        Asked = asked;
        Actual = actual;
    }

    [Id(0)]
    public long Asked { get; private set; }

    [Id(1)]
    public long Actual { get; private set; }
}
