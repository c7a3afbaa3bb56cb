using System.Diagnostics;

namespace Granary.Tests.Benchmarks.Gateway;

/// <summary>When each step of the device ended, when each request reached it, and which step made the request's first token.</summary>
/// <remarks>Steps are written by the device's thread alone, requests by whoever submits them.</remarks>
internal sealed class StepLog
{
    private readonly long[] _submitted = new long[Prompt.MaxRequests];
    private readonly int[] _firstStep = new int[Prompt.MaxRequests];
    private readonly long[] _stepEnds = new long[1 << 20];
    private int _steps;

    /// <summary>Steps that have ended.</summary>
    public int Steps => Volatile.Read(ref _steps);

    public void Submitted(int number) => _submitted[number] = Stopwatch.GetTimestamp();

    /// <summary>The step in progress makes this request's first token.</summary>
    public void FirstToken(int number) => _firstStep[number] = _steps;

    public void StepEnded()
    {
        _stepEnds[_steps] = Stopwatch.GetTimestamp();
        Volatile.Write(ref _steps, _steps + 1);
    }

    public long SubmittedAt(int number) => _submitted[number];

    /// <summary>When the device had made a token of a request; it makes one in every step from the first on.</summary>
    public long ReadyAt(int number, int token) => _stepEnds[_firstStep[number] + token];

    public void Save(string path)
    {
        using var writer = new BinaryWriter(File.Create(path));
        var steps = Steps; // The device goes on meanwhile.
        writer.Write(steps);
        for (var i = 0; i < steps; i++) writer.Write(_stepEnds[i]);
        for (var i = 0; i < Prompt.MaxRequests; i++)
        {
            if (_submitted[i] == 0) continue;
            writer.Write(i);
            writer.Write(_submitted[i]);
            writer.Write(_firstStep[i]);
        }

        writer.Write(-1);
    }

    public static StepLog Load(string path)
    {
        var log = new StepLog();
        using var reader = new BinaryReader(File.OpenRead(path));
        log._steps = reader.ReadInt32();
        for (var i = 0; i < log._steps; i++) log._stepEnds[i] = reader.ReadInt64();
        while (reader.ReadInt32() is >= 0 and var number) (log._submitted[number], log._firstStep[number]) = (reader.ReadInt64(), reader.ReadInt32());
        return log;
    }
}
