using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Granary.Engine.Onnx.Import.Configuration;
using Granary.Engine.Onnx.Import.Safetensors;
using Granary.Engine.Onnx.Import.Weights;

namespace Granary.Engine.Onnx.Import.Storage;

/// <summary>Names the content of a source folder together with the import options and the format version.</summary>
/// <remarks>
/// Files of at most <see cref="WholeBytes"/> count with their whole content, so a copy of a small model keeps its name. Reading
/// every byte of a model of many gigabytes at each start is too slow: larger files count with length, time of last write, the
/// first <see cref="HeadBytes"/> (the header) and <see cref="SamplePages"/> pages spread evenly over the rest. A change of
/// weights that keeps length and time of last write and misses every sampled page is not noticed.
/// </remarks>
internal static class SourceFingerprint
{
    public const int WholeBytes = 16 << 20;
    public const int SamplePages = 64;
    private const int HeadBytes = 1 << 20;
    private const int PageBytes = 4096;

    /// <summary>Files besides configuration and weights that an imported folder carries along, where they exist.</summary>
    public static readonly string[] CompanionFiles =
        ["tokenizer.json", "tokenizer_config.json", GenerationConfiguration.FileName, "chat_template.jinja", "special_tokens_map.json", "vocab.json", "merges.txt"];

    /// <returns>SHA-256, lower-case hex.</returns>
    /// <remarks>Of a part of a model only the weight files count that hold something of it: the others may be absent.</remarks>
    public static string Compute(SourceFolder folder, ImportOptions options)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Append(hash, FormattableString.Invariant($"granary {ModelDescription.CurrentFormatVersion} {options.Weights} {options.ContextLength} {options.Target} {options.Slice}"));
        var wanted = options.Slice is { } slice ? new DecoderTensors(ModelConfigurationReader.Read(folder, options), slice) : null;
        string[] names = [ModelConfigurationReader.FileName, .. CompanionFiles, Checkpoint.IndexFileName, .. Checkpoint.FileNames(folder, wanted is null ? null : wanted.IsNeeded)];
        foreach (var name in names)
        {
            if (!folder.Exists(name)) continue;
            Append(hash, name);
            AppendFile(hash, folder.Path(name));
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static void AppendFile(IncrementalHash hash, string path)
    {
        using var file = File.OpenHandle(path);
        var length = RandomAccess.GetLength(file);
        Append(hash, length);
        var buffer = new byte[HeadBytes];
        if (length <= WholeBytes)
        {
            AppendRange(hash, file, 0, length, buffer);
            return;
        }

        Append(hash, File.GetLastWriteTimeUtc(path).Ticks);
        AppendRange(hash, file, 0, HeadBytes, buffer);
        for (var page = 1; page <= SamplePages; page++)
        {
            var offset = HeadBytes + (long)((Int128)(length - HeadBytes - PageBytes) * page / SamplePages);
            AppendRange(hash, file, offset, PageBytes, buffer);
        }
    }

    private static void AppendRange(IncrementalHash hash, Microsoft.Win32.SafeHandles.SafeFileHandle file, long offset, long count, byte[] buffer)
    {
        while (count > 0)
        {
            var read = RandomAccess.Read(file, buffer.AsSpan(0, (int)Math.Min(count, buffer.Length)), offset);
            if (read == 0) return; // The file shrank meanwhile: the hash differs, which is all that is asked of it.
            hash.AppendData(buffer, 0, read);
            offset += read;
            count -= read;
        }
    }

    private static void Append(IncrementalHash hash, string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        Append(hash, bytes.Length);
        hash.AppendData(bytes);
    }

    private static void Append(IncrementalHash hash, long number)
    {
        Span<byte> bytes = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, number);
        hash.AppendData(bytes);
    }
}
