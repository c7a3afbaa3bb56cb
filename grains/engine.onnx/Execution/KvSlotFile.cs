using Granary.Engine.Execution;
using Microsoft.Win32.SafeHandles;

namespace Granary.Engine.Onnx.Execution;

/// <summary>Copies of KV blocks in a file of its own, whose room is taken at once and which nobody finds afterwards.</summary>
/// <remarks>The file has no name once it is open, where the system allows that: it ends with the process, however that ends.</remarks>
public sealed class KvSlotFile : IKvSlots
{
    private readonly SafeFileHandle _file;
    private readonly int _blockBytes;

    private KvSlotFile(SafeFileHandle file, int count, int blockBytes) => (_file, Count, _blockBytes) = (file, count, blockBytes);

    public int Count { get; }

    /// <param name="folder">Made if it is not there.</param>
    /// <param name="bytes">Most bytes of the file.</param>
    /// <returns>Null where there is no room for one block.</returns>
    /// <exception cref="IOException">The folder cannot be written, or the disk has not so much room.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder belongs to somebody else.</exception>
    public static KvSlotFile? Create(string folder, long bytes, int blockBytes)
    {
        var count = (int)Math.Min(bytes / blockBytes, int.MaxValue / 4096);
        if (count < 1) return null;
        Directory.CreateDirectory(folder);
        var path = Path.Combine(folder, $"granary-kv-{Guid.NewGuid():N}");
        var file = File.OpenHandle(
            path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.Delete, FileOptions.DeleteOnClose | FileOptions.RandomAccess, (long)count * blockBytes);
        if (!OperatingSystem.IsWindows()) File.Delete(path);
        return new(file, count, blockBytes);
    }

    public void Write(int slot, ReadOnlySpan<byte> content) => RandomAccess.Write(_file, content, (long)slot * _blockBytes);

    public void Read(int slot, Span<byte> content)
    {
        for (var offset = (long)slot * _blockBytes; !content.IsEmpty;)
        {
            var read = RandomAccess.Read(_file, content, offset);
            if (read == 0) throw new IOException($"Slot {slot} ends {content.Length} bytes early.");
            content = content[read..];
            offset += read;
        }
    }

    public void Dispose() => _file.Dispose();
}
