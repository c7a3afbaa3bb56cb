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
            catch (IOException e) when (e is not (DirectoryNotFoundException or FileNotFoundException or PathTooLongException) && File.Exists(path))
            {
                // Held by another: the operating system offers no wait with a time limit.
                cancellationToken.WaitHandle.WaitOne(RetryAfter);
            }
        }
    }
}
