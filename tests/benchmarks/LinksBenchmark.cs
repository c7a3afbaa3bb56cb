using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Security.Cryptography;
using Granary.Engine.Partitioning;
using Granary.Sharding.Links;
using Granary.Sharding.Reduction;
using Granary.Tests.Benchmarks.Gateway;

namespace Granary.Tests.Benchmarks;

/// <summary>Time of a hop and of a sum over ranks, beside what bare sockets take for the same bytes in the same run.</summary>
internal static class LinksBenchmark
{
    private static readonly TimeSpan WholeTime = TimeSpan.FromSeconds(0.7);
    private static readonly TimeSpan RoundTime = TimeSpan.FromMilliseconds(2);
    private static readonly LinkOptions Options = new() { ClusterSecret = RandomNumberGenerator.GetBytes(32) };

    public static async Task<int> RunAsync(string[] args)
    {
        var output = Report.DefaultPath("links");
        var busy = 0;
        for (var i = 0; i + 1 < args.Length; i += 2)
        {
            if (args[i] == "--output") output = args[i + 1];
            else if (args[i] == "--busy") busy = int.Parse(args[i + 1], CultureInfo.InvariantCulture);
        }

        var loads = Enumerable.Range(0, busy).Select(_ => Child.Start("links-load", [])).ToList();
        try
        {
            var hops = new List<Hop>();
            Console.WriteLine("| bytes | bare unix µs, best / median | unix link | bare tcp µs | tcp link |");
            Console.WriteLine("|---|---|---|---|---|");
            foreach (var bytes in new[] { 1 << 10, 3 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20 })
            {
                var hop = new Hop(bytes, BareHop("unix", bytes), await HopAsync("unix", bytes), BareHop("tcp", bytes), await HopAsync("tcp", bytes));
                hops.Add(hop);
                Console.WriteLine($"| {bytes} | {hop.BareUnix} | {hop.UnixLink} | {hop.BareTcp} | {hop.TcpLink} |");
            }

            var sums = new List<Sum>();
            Console.WriteLine();
            Console.WriteLine("| ranks | rows × columns | float32 µs, best / median | float16 | int8 | bare exchange of float32 |");
            Console.WriteLine("|---|---|---|---|---|---|");
            foreach (var ranks in new[] { 2, 4 })
            {
                foreach (var (rows, columns) in from columns in new[] { 768, 2048 } from rows in new[] { 1, 4, 16, 512 } select (rows, columns))
                {
                    var times = new List<Figure>();
                    foreach (var format in Enum.GetValues<WireFormat>()) times.Add(await SumAsync(ranks, rows, columns, format));
                    Figure? bare = ranks == 2 ? BareExchange(rows * columns * sizeof(float)) : null;
                    sums.Add(new(ranks, rows, columns, times[0], times[1], times[2], bare));
                    Console.WriteLine($"| {ranks} | {rows} × {columns} | {times[0]} | {times[1]} | {times[2]} | {bare?.ToString() ?? "–"} |");
                }
            }

            Report.Write(output, new { Busy = busy, Hops = hops, Sums = sums });
            return 0;
        }
        finally
        {
            foreach (var load in loads) await load.DisposeAsync();
        }
    }

    /// <summary>Keeps one core busy until it is killed.</summary>
    public static int Load()
    {
        var value = 1.0;
        while (true) value = Math.Sqrt(value + 1);
    }

    /// <summary>Half a round trip of one thread with another over blocking sockets, one call to send and as few as it takes to receive.</summary>
    private static Figure BareHop(string scheme, int bytes)
    {
        var path = Path.GetTempFileName();
        File.Delete(path);
        using var listener = NewSocket(scheme);
        listener.Bind(scheme == "unix" ? new UnixDomainSocketEndPoint(path) : new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, 0));
        listener.Listen();
        using var here = NewSocket(scheme);
        here.Connect(listener.LocalEndPoint!);
        using var there = listener.Accept();
        foreach (var socket in new[] { here, there })
        {
            if (scheme == "tcp") socket.NoDelay = true;
            socket.SendBufferSize = socket.ReceiveBufferSize = 1 << 20;
        }

        var (mine, its) = (new byte[bytes], new byte[bytes]);
        var echo = new Thread(() =>
        {
            while (ReceiveAll(there, its)) there.Send(its);
        });
        echo.Start();
        var time = Time(count =>
        {
            for (var i = 0; i < count; i++)
            {
                here.Send(mine);
                ReceiveAll(here, mine);
            }
        });
        here.Shutdown(SocketShutdown.Both);
        echo.Join();
        return time.Halved();
    }

    /// <summary>Two threads that both send and then both receive, a chunk at a time, over blocking sockets: what a sum over two ranks cannot beat.</summary>
    private static Figure BareExchange(int bytes)
    {
        const int Chunk = 64 << 10;
        var path = Path.GetTempFileName();
        File.Delete(path);
        using var listener = NewSocket("unix");
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen();
        using var here = NewSocket("unix");
        here.Connect(listener.LocalEndPoint!);
        using var there = listener.Accept();
        bool Exchange(Socket socket, byte[] mine)
        {
            for (var at = 0; at < bytes; at += Chunk)
            {
                var chunk = mine.AsSpan(at, Math.Min(Chunk, bytes - at));
                if (socket.Send(chunk, SocketFlags.None, out _) == 0 || !ReceiveAll(socket, chunk)) return false;
            }

            return true;
        }

        var (mine, its) = (new byte[bytes], new byte[bytes]);
        var other = new Thread(() =>
        {
            while (Exchange(there, its))
            {
            }
        });
        other.Start();
        var time = Time(count =>
        {
            for (var i = 0; i < count; i++) Exchange(here, mine);
        });
        here.Shutdown(SocketShutdown.Both);
        other.Join();
        return time;
    }

    private static async Task<Figure> HopAsync(string scheme, int bytes)
    {
        await using var ring = await Ring.OpenAsync(scheme, 2);
        var (here, there) = (ring.Links[0][1]!, ring.Links[1][0]!);
        var (mine, its) = (new byte[bytes], new byte[bytes]);
        var echo = new Thread(() =>
        {
            try
            {
                while (true)
                {
                    var header = there.Receive();
                    there.ReadPayload(its);
                    there.Send(FrameKind.Activations, header.Step, its);
                }
            }
            catch (LinkException)
            {
                // Measured enough.
            }
        });
        echo.Start();
        var time = Time(count =>
        {
            for (var i = 0; i < count; i++)
            {
                here.Send(FrameKind.Activations, i, mine);
                here.Receive();
                here.ReadPayload(mine);
            }
        });
        here.Abort("measured enough");
        echo.Join();
        return time.Halved();
    }

    private static async Task<Figure> SumAsync(int ranks, int rows, int columns, WireFormat format)
    {
        await using var ring = await Ring.OpenAsync("unix", ranks);
        var reducers = Enumerable.Range(0, ranks).Select(rank => new LinkRankReducer(rank, ring.Links[rank], format, TimeProvider.System)).ToList();
        var others = reducers.Skip(1).Select(reducer => new Thread(() =>
        {
            var values = new float[rows * columns];
            try
            {
                while (true) reducer.AllReduce(values, columns);
            }
            catch (Granary.Engine.Execution.StepFailedException)
            {
                // Measured enough.
            }
        })).ToList();
        others.ForEach(other => other.Start());
        var mine = new float[rows * columns];
        var time = Time(count =>
        {
            for (var i = 0; i < count; i++) reducers[0].AllReduce(mine, columns);
        });
        reducers[0].Abort("measured enough");
        others.ForEach(other => other.Join());
        reducers.ForEach(reducer => reducer.Dispose());
        return time;
    }

    /// <summary>Microseconds of one, over many short rounds: the fastest is what the code takes, the median what this machine made of it.</summary>
    private static Figure Time(Action<int> run)
    {
        run(50);
        var count = 10;
        var times = new List<double>();
        for (var whole = Stopwatch.StartNew(); whole.Elapsed < WholeTime || times.Count < 5;)
        {
            var clock = Stopwatch.StartNew();
            run(count);
            var elapsed = clock.Elapsed;
            times.Add(elapsed.TotalMicroseconds / count);
            count = Math.Clamp((int)(RoundTime / (elapsed / count)), 4, 1000);
        }

        return new(times.Min(), Statistics.Median(times));
    }

    private static bool ReceiveAll(Socket socket, Span<byte> bytes)
    {
        for (var at = 0; at < bytes.Length;)
        {
            var count = socket.Receive(bytes[at..]);
            if (count == 0) return false;
            at += count;
        }

        return true;
    }

    private static Socket NewSocket(string scheme) => scheme == "unix"
        ? new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
        : new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

    private sealed record Hop(int Bytes, Figure BareUnix, Figure UnixLink, Figure BareTcp, Figure TcpLink);

    private sealed record Sum(int Ranks, int Rows, int Columns, Figure Float32, Figure Float16, Figure Int8, Figure? BareExchange);

    /// <summary>Microseconds.</summary>
    private sealed record Figure(double Best, double Median)
    {
        public Figure Halved() => new(Best / 2, Median / 2);

        public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Best:0.0} / {Median:0.0}");
    }

    /// <summary>Links between all pairs of ranks.</summary>
    private sealed class Ring : IAsyncDisposable
    {
        private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("granary-links-");
        private readonly List<ILinkListener> _listeners = [];

        public List<ITensorLink?[]> Links { get; } = [];

        public static async Task<Ring> OpenAsync(string scheme, int ranks)
        {
            var ring = new Ring();
            var transport = new LinkTransport(Options, TimeProvider.System);
            ring.Links.AddRange(Enumerable.Range(0, ranks).Select(_ => new ITensorLink?[ranks]));
            for (var acceptor = 0; acceptor < ranks; acceptor++)
            {
                var listener = transport.Listen(scheme == "unix" ? $"unix:{Path.Combine(ring._folder.FullName, $"{acceptor}")}" : "tcp://127.0.0.1:0");
                ring._listeners.Add(listener);
                for (var dialer = 0; dialer < acceptor; dialer++)
                {
                    var identity = new LinkIdentity("bench", 1, new ShardPlace(0, dialer), new ShardPlace(0, acceptor), LinkPurpose.Reduction);
                    var accepting = listener.AcceptAsync(identity);
                    ring.Links[dialer][acceptor] = await transport.ConnectAsync(listener.Endpoint, identity);
                    ring.Links[acceptor][dialer] = await accepting;
                }
            }

            return ring;
        }

        public async ValueTask DisposeAsync()
        {
            foreach (var link in Links.SelectMany(links => links)) link?.Dispose();
            foreach (var listener in _listeners) await listener.DisposeAsync();
            _folder.Delete(recursive: true);
        }
    }
}
