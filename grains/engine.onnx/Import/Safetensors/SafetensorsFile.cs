using System.IO.MemoryMappedFiles;

namespace Granary.Engine.Onnx.Import.Safetensors;

/// <summary>A safetensors file, its header checked and its data mapped into memory.</summary>
internal sealed unsafe class SafetensorsFile : IDisposable
{
    private readonly MemoryMappedFile? _file;
    private readonly MemoryMappedViewAccessor? _view;
    private readonly byte* _data;

    private SafetensorsFile(string name, List<SafetensorsEntry> entries, MemoryMappedFile? file, long dataStart)
    {
        Name = name;
        Entries = entries;
        if (file is null) return;
        _file = file;
        _view = file.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
        byte* start = null;
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        _data = start + _view.PointerOffset + dataStart;
    }

    /// <summary>File name without folder.</summary>
    public string Name { get; }

    /// <summary>Tensors in the order of their data.</summary>
    public IReadOnlyList<SafetensorsEntry> Entries { get; }

    /// <exception cref="ModelImportException">The header is refused or the file cannot be read.</exception>
    public static SafetensorsFile Open(string path)
    {
        var name = Path.GetFileName(path);
        try
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
            var (entries, dataStart) = SafetensorsHeader.Read(stream, name);
            var empty = stream.Length == dataStart;
            var mapped = empty ? null : MemoryMappedFile.CreateFromFile(stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
            return new SafetensorsFile(name, entries, mapped, dataStart);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelImportException($"{name}: cannot be read: {e.Message}", e);
        }
    }

    /// <summary>A part of an entry's bytes.</summary>
    public ReadOnlySpan<byte> Slice(SafetensorsEntry entry, long offset, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset + length, entry.End - entry.Begin);
        ObjectDisposedException.ThrowIf(_view is { SafeMemoryMappedViewHandle.IsClosed: true }, this);
        return new ReadOnlySpan<byte>(_data + entry.Begin + offset, length);
    }

    public void Dispose()
    {
        if (_view is null || _view.SafeMemoryMappedViewHandle.IsClosed) return;
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _file!.Dispose();
    }
}
