using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Granary.Tests.Chaos.Processes;

/// <summary>A network namespace for each silo, and a switch between them in this process: every packet passes it, and is passed on, late, or not at all.</summary>
/// <remarks>
/// Each namespace has one TUN device, whose other end is here; so has this machine's own network, where Redis and the callers are. Of IP packets that come out of one
/// end the switch writes those to its address into the other. It needs neither bridges nor packet filters nor traffic shaping of the kernel.
/// </remarks>
internal sealed partial class SiloNetwork : IAsyncDisposable
{
    private const uint SetInterface = 0x400454ca;
    private const short TunWithoutHeader = 0x1001;
    private const short Readable = 1;
    private const int MaxPacket = 65_536;
    private const int MaxLate = 20_000;

    private readonly Lock _gate = new();
    private readonly string _name = $"gr{Environment.ProcessId % 100_000}";
    private readonly string _subnet;
    private readonly SafeFileHandle[] _ends;
    private readonly HashSet<(int From, int To)> _cut = [];
    private readonly PriorityQueue<(int To, byte[] Packet), (long Due, long Order)> _late = new();
    private readonly Thread _switch;
    private readonly LastWill _will;
    private TimeSpan _delay;
    private long _order;
    private volatile bool _stopping;

    /// <param name="silos">Numbered from 0; behind the last comes this machine itself.</param>
    public SiloNetwork(int silos)
    {
        // One that no interface of this machine is likely to have.
        _subnet = $"10.{64 + (Environment.ProcessId / 250 % 64)}.{Environment.ProcessId % 250}";
        _will = new(string.Join("; ", Enumerable.Range(0, silos).Select(n => $"ip netns delete {NameOf(n)}")));
        _ends = [.. Enumerable.Range(0, silos + 1).Select(n => Connect(n, n < silos))];
        _switch = new Thread(Switch) { IsBackground = true, Name = "switch" };
        _switch.Start();
    }

    /// <summary>This machine's number.</summary>
    public int Outside => _ends.Length - 1;

    /// <summary>This machine's address.</summary>
    public string Own => AddressOf(Outside);

    public string AddressOf(int member) => $"{_subnet}.{member + 1}";

    /// <summary>What a command line begins with, so that it runs in the silo's network.</summary>
    public string[] Enter(int silo) => ["ip", "netns", "exec", NameOf(silo)];

    /// <summary>Packets of one to the other are lost from now on.</summary>
    public void Cut(int from, int to)
    {
        lock (_gate) _cut.Add((from, to));
    }

    /// <summary>Nothing comes from the silo any more; to it neither, unless <paramref name="incoming"/> is false.</summary>
    public void CutOff(int silo, bool incoming = true)
    {
        for (var other = 0; other < _ends.Length; other++)
        {
            if (other == silo) continue;
            Cut(silo, other);
            if (incoming) Cut(other, silo);
        }
    }

    public void Mend()
    {
        lock (_gate) _cut.Clear();
    }

    /// <summary>Every packet takes so long from now on, one way.</summary>
    public void Delay(TimeSpan delay)
    {
        lock (_gate) _delay = delay;
    }

    public async ValueTask DisposeAsync()
    {
        _stopping = true;
        _switch.Join();
        foreach (var end in _ends) end.Dispose(); // Its device goes with it.
        for (var n = 0; n < Outside; n++) Ip("netns", "delete", NameOf(n));
        await _will.DisposeAsync();
    }

    private string NameOf(int member) => $"{_name}-{member}";

    private SafeFileHandle Connect(int member, bool isSilo)
    {
        var name = NameOf(member);
        var end = File.OpenHandle("/dev/net/tun", FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        var request = new byte[40];
        Encoding.ASCII.GetBytes(name, request);
        MemoryMarshal.Write(request.AsSpan(16), TunWithoutHeader);
        Assert.True(Control(end, SetInterface, request) == 0, $"{name}: {Marshal.GetLastPInvokeErrorMessage()}");
        string[] place = [];
        if (isSilo)
        {
            Ip("netns", "add", name);
            Ip("link", "set", name, "netns", name);
            place = ["-n", name];
            Ip([.. place, "link", "set", "lo", "up"]);
        }

        Ip([.. place, "address", "add", $"{AddressOf(member)}/24", "dev", name]);
        Ip([.. place, "link", "set", name, "up"]);
        return end;
    }

    private static void Ip(params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo("ip", arguments) { RedirectStandardError = true })!;
        var errors = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"ip {string.Join(' ', arguments)}: {errors}");
    }

    /// <summary>Passes packets on until the network is disposed.</summary>
    private void Switch()
    {
        var polls = _ends.Select(end => new Poll { End = (int)end.DangerousGetHandle(), Events = Readable }).ToArray();
        var buffer = new byte[MaxPacket];
        while (!_stopping)
        {
            PollAll(polls, (nuint)polls.Length, 1);
            for (var from = 0; from < polls.Length; from++)
            {
                if ((polls[from].Returned & Readable) == 0) continue;
                var length = (int)Read(_ends[from], buffer, (nuint)buffer.Length);
                if (length >= 20) Pass(from, buffer.AsSpan(0, length));
            }

            PassLate();
        }
    }

    private void Pass(int from, ReadOnlySpan<byte> packet)
    {
        if (packet[0] >> 4 != 4) return; // Neighbour discovery of IP 6.
        var to = packet[19] - 1; // The last part of the receiver's address.
        if (to < 0 || to >= _ends.Length || to == from) return;
        lock (_gate)
        {
            if (_cut.Contains((from, to))) return;
            if (_delay > TimeSpan.Zero)
            {
                if (_late.Count < MaxLate) _late.Enqueue((to, packet.ToArray()), (Stopwatch.GetTimestamp() + (long)(_delay.TotalSeconds * Stopwatch.Frequency), _order++));
                return;
            }
        }

        _ = Write(_ends[to], packet, (nuint)packet.Length);
    }

    private void PassLate()
    {
        while (_late.TryPeek(out var next, out var place) && place.Due <= Stopwatch.GetTimestamp())
        {
            _late.Dequeue();
            _ = Write(_ends[next.To], next.Packet, (nuint)next.Packet.Length);
        }
    }

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    private static partial int Control(SafeFileHandle end, nuint request, byte[] argument);

    [LibraryImport("libc", EntryPoint = "poll")]
    private static partial int PollAll([In, Out] Poll[] polls, nuint count, int milliseconds);

    [LibraryImport("libc", EntryPoint = "read")]
    private static partial nint Read(SafeFileHandle end, [Out] byte[] buffer, nuint length);

    [LibraryImport("libc", EntryPoint = "write")]
    private static partial nint Write(SafeFileHandle end, ReadOnlySpan<byte> packet, nuint length);

    /// <summary>As <c>poll</c> takes it.</summary>
    private struct Poll
    {
        public int End;
        public short Events;
        public short Returned;
    }
}
