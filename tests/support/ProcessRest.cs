using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Granary.Tests.Support;

/// <summary>Knows when no thread of this process runs or is about to, and then lets every <see cref="VirtualTime"/> jump.</summary>
/// <remarks>
/// On Linux the kernel is asked: a thread that was woken counts as running from that moment, however long it waits for a core. So a loaded machine only
/// makes tests slower. Elsewhere an empty thread pool for a few milliseconds has to do.
/// </remarks>
internal static partial class ProcessRest
{
    private static readonly Lock Gate = new();
    private static readonly List<VirtualTime> Clocks = [];
    private static readonly AutoResetEvent Woken = new(false);
    private static readonly Dictionary<string, SafeFileHandle> States = new(StringComparer.Ordinal);
    private static readonly byte[] Buffer = new byte[256];
    private static Thread? _thread;

    public static void Add(VirtualTime clock)
    {
        lock (Gate)
        {
            Clocks.Add(clock);
            if (_thread is null)
            {
                _thread = new Thread(Run) { IsBackground = true, Name = "virtual time" };
                _thread.Start();
            }
        }
    }

    public static void Remove(VirtualTime clock)
    {
        lock (Gate) Clocks.Remove(clock);
    }

    /// <summary>There may be something to jump to again.</summary>
    public static void Wake()
    {
        if (Volatile.Read(ref _idle)) Woken.Set();
    }

    private static bool _idle;

    private static void Run()
    {
        var own = OperatingSystem.IsLinux() ? Path.GetFileName(new FileInfo("/proc/thread-self").LinkTarget) : null;
        while (true)
        {
            VirtualTime[] clocks;
            lock (Gate) clocks = [.. Clocks];
            if (!clocks.Any(clock => clock.CanAdvance))
            {
                // Announced first, looked at again after: whoever schedules something in between wakes this thread.
                Volatile.Write(ref _idle, true);
                if (!clocks.Any(clock => clock.CanAdvance)) Woken.WaitOne(TimeSpan.FromMilliseconds(20));
                Volatile.Write(ref _idle, false);
                continue;
            }

            Pause();
            if (!(own is null ? IsPoolEmpty() : IsAtRest(own) && IsAtRest(own))) continue;
            foreach (var clock in clocks) clock.Advance();
        }
    }

    private static bool IsPoolEmpty()
    {
        for (var i = 0; i < 3; i++)
        {
            ThreadPool.GetAvailableThreads(out var available, out _);
            ThreadPool.GetMaxThreads(out var most, out _);
            if (ThreadPool.PendingWorkItemCount > 0 || available < most) return false;
            Thread.Sleep(1);
        }

        return true;
    }

    /// <summary>Whether every other thread sleeps. Two looks in a row leave no room for one that woke another behind the first's back.</summary>
    private static bool IsAtRest(string own)
    {
        if (ThreadPool.PendingWorkItemCount > 0) return false;
        foreach (var path in Directory.EnumerateDirectories("/proc/self/task"))
        {
            var thread = Path.GetFileName(path);
            if (thread != own && StateOf(thread) is not ('S' or 'Z' or 'X')) return false;
        }

        return true;
    }

    private static char StateOf(string thread)
    {
        try
        {
            if (!States.TryGetValue(thread, out var file)) States[thread] = file = File.OpenHandle($"/proc/self/task/{thread}/stat");
            var line = Buffer.AsSpan(0, RandomAccess.Read(file, Buffer, 0));
            return (char)line[line.LastIndexOf((byte)')') + 2]; // Behind the name, which may hold anything.
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // It has ended; another may come under its number.
            if (States.Remove(thread, out var file)) file.Dispose();
            return 'X';
        }
    }

    /// <summary>Lets the others have the core: some tens of microseconds.</summary>
    private static void Pause()
    {
        if (OperatingSystem.IsLinux()) _ = Sleep(20);
        else Thread.Sleep(0);
    }

    [LibraryImport("libc", EntryPoint = "usleep")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Sleep(uint microseconds);
}
