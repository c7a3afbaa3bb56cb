using System.Runtime.InteropServices;

namespace Granary.Engine.Onnx.Import.Storage;

/// <summary>Writes a folder beside its place and moves it there in one rename, or leaves the place as it was.</summary>
/// <remarks>
/// Needs the folder's lock. Names beside <c>folder</c>: <c>.folder.importing</c> is being written, <c>.folder.replaced</c> is
/// the one before, on its way out. What a killed process left of either is removed by the next transaction.
/// </remarks>
internal sealed partial class FolderTransaction : IDisposable
{
    private readonly string _target;
    private readonly string _replaced;
    private bool _committed;

    public FolderTransaction(string target)
    {
        _target = target;
        var parent = Path.GetDirectoryName(target)!;
        var name = Path.GetFileName(target);
        Temporary = Path.Combine(parent, $".{name}.importing");
        _replaced = Path.Combine(parent, $".{name}.replaced");
        Remove(Temporary);
        Remove(_replaced);
        Directory.CreateDirectory(Temporary);
    }

    /// <summary>Where to write.</summary>
    public string Temporary { get; }

    /// <summary>Creates a file in the temporary folder and makes it durable once <paramref name="write"/> returns.</summary>
    public void Write(string name, Action<Stream> write)
    {
        using var stream = new FileStream(Path.Combine(Temporary, name), FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 1 << 16);
        write(stream);
        stream.Flush(flushToDisk: true);
    }

    /// <summary>Moves the folder in place of the one before, if there is one.</summary>
    public void Commit()
    {
        SyncDirectory(Temporary);
        if (Directory.Exists(_target)) Directory.Move(_target, _replaced);
        Directory.Move(Temporary, _target);
        _committed = true;
        SyncDirectory(Path.GetDirectoryName(_target)!);
        Remove(_replaced);
    }

    public void Dispose()
    {
        if (!_committed) Remove(Temporary);
    }

    private static void Remove(string directory)
    {
        if (Directory.Exists(directory)) Directory.Delete(directory, recursive: true);
    }

    /// <summary>Makes the names in a folder durable. Windows has no such call and needs none.</summary>
    private static void SyncDirectory(string directory)
    {
        if (OperatingSystem.IsWindows()) return;
        var descriptor = Open(directory, 0);
        if (descriptor < 0) throw new IOException($"{directory}: open failed with error {Marshal.GetLastPInvokeError()}.");
        var result = Fsync(descriptor);
        var error = Marshal.GetLastPInvokeError();
        _ = Close(descriptor);

        // Some file systems cannot sync a folder and say so (EINVAL = 22); the rename is atomic there all the same.
        if (result != 0 && error != 22) throw new IOException($"{directory}: fsync failed with error {error}.");
    }

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Fsync(int descriptor);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}
