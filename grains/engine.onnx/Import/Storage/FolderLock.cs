namespace Granary.Engine.Onnx.Import.Storage;

/// <summary>Lets one process at a time write a folder; an empty lock file beside it, locked by the operating system.</summary>
/// <remarks>
/// A dead process lets go by itself. The file stays behind on purpose: removing it would let a second holder in between one
/// that has opened the old file and one that creates a new one.
/// </remarks>
internal static class FolderLock
{
    private static readonly TimeSpan RetryAfter = TimeSpan.FromMilliseconds(50);

    /// <summary>Waits until no other process, and nobody else in this one, holds the folder's lock.</summary>
    public static IDisposable Acquire(string directory, CancellationToken cancellationToken)
    {
        var path = Path.Combine(Path.GetDirectoryName(directory)!, $".{Path.GetFileName(directory)}.lock");
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 1);
            }
            catch (IOException e) when (IsHeld(e))
            {
                // Held by another: the operating system offers no wait with a time limit.
                cancellationToken.WaitHandle.WaitOne(RetryAfter);
            }
        }
    }

    /// <summary>EWOULDBLOCK on Linux (11) and macOS (35), ERROR_SHARING_VIOLATION on Windows: the number is all the runtime tells.</summary>
    private static bool IsHeld(IOException exception) => exception.HResult is 11 or 35 or unchecked((int)0x8007_0020);
}
