using System.Buffers.Binary;
using System.Text;
using Granary.Engine.Onnx.Import;
using Granary.Engine.Onnx.Import.Safetensors;

namespace Granary.Tests.Unit.Onnx.Import;

/// <summary>Whatever stands in a header, it is read right or refused by name; nothing crashes, hangs or allocates by its word.</summary>
public sealed class SafetensorsHeaderTests
{
    private const string Valid = """{"__metadata__":{"format":"pt"},"b":{"dtype":"F16","shape":[2,3],"data_offsets":[16,28]},"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}""";
    private const int ValidData = 28;

    [Fact]
    public void Read_ValidHeader_GivesTensorsInTheOrderOfTheirData()
    {
        var (entries, start) = Read(Valid + "   ", ValidData);

        Assert.Equal(["a", "b"], entries.Select(entry => entry.Name));
        Assert.Equal(8 + Valid.Length + 3, start);
        Assert.Equal([2, 3], entries[1].Shape);
    }

    [Fact]
    public void Read_EmptyTensors_AreAccepted()
    {
        var (entries, _) = Read("""{"a":{"dtype":"F32","shape":[0,4],"data_offsets":[0,0]},"b":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}""", 4);
        Assert.Equal(2, entries.Count);
    }

    [Theory]
    [InlineData("""{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,12]}}""", 12, "takes 16 bytes, data_offsets hold 12")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}""", 12, "ends at 16, the data have 12")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}""", 20, "tensors end at 16, the data have 20")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", 8, "leaving a hole")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}""", 12, "b begins at 4, overlapping")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}}""", 8, "end 4 lies before begin 8")]
    [InlineData("""{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}""", 4, "shape holds something")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}""", 0, "overflows")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}}""", 0, "overflows")]
    [InlineData("""{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,0]}}""", 0, "shape holds something")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}""", 4, "shape holds something")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}""", 4, "more than 8 entries")]
    [InlineData("""{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}""", 4, "unknown dtype F99")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1]}}""", 4, "lacks dtype, shape or two data_offsets")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}""", 4, "lacks dtype, shape or two data_offsets")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}""", 4, "repeated or ill-typed field shape")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", 8, "a appears twice")]
    [InlineData("""{"a":[]}""", 0, "a is not an object")]
    [InlineData("""{"__metadata__":{"x":{}}}""", 0, "not a string")]
    [InlineData("""{"__metadata__":7}""", 0, "__metadata__ is not an object")]
    [InlineData("""{"":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 4, "0 characters")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}} x""", 4, "not valid JSON")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}""", 4, "not valid JSON")]
    [InlineData("""[]""", 0, "does not begin with '{'")]
    [InlineData("""{"\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 4, "not valid JSON")]
    public void Read_ForbiddenHeader_IsRefusedWithItsReason(string header, int dataLength, string reason)
    {
        var refusal = Assert.Throws<ModelImportException>(() => Read(header, dataLength));

        Assert.Contains("test.safetensors", refusal.Message);
        Assert.Contains(reason, refusal.Message);
    }

    [Fact]
    public void Read_DeepJson_IsRefused()
    {
        var header = "{\"a\":" + string.Concat(Enumerable.Repeat("{\"shape\":", 100_000)) + "1";
        Assert.Throws<ModelImportException>(() => Read(header, 0));
    }

    [Theory]
    [InlineData(0UL)]
    [InlineData(1UL)]
    [InlineData(1_000UL)]
    [InlineData(100_000_001UL)]
    [InlineData(0x8000_0000_0000_0000UL)]
    [InlineData(ulong.MaxValue)]
    public void Read_HeaderLengthThatCannotBe_IsRefusedBeforeAllocation(ulong length)
    {
        var bytes = Bytes(Valid, ValidData);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, length);

        var before = GC.GetAllocatedBytesForCurrentThread();
        var refusal = Assert.Throws<ModelImportException>(() => SafetensorsHeader.Read(new MemoryStream(bytes), "test.safetensors"));

        Assert.Contains($"header length {length}", refusal.Message);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
    }

    [Theory, MemberData(nameof(Seeds))]
    public void Read_MutatedFile_IsReadWithinItsBoundsOrRefused(int seed)
    {
        var random = new Random(seed);
        for (var round = 0; round < 500; round++)
        {
            var bytes = Mutate(Bytes(Valid, ValidData), random);
            try
            {
                var (entries, start) = SafetensorsHeader.Read(new MemoryStream(bytes), "test.safetensors");
                Assert.All(entries, entry => Assert.InRange(entry.End, entry.Begin, bytes.Length - start));
                Assert.Equal(bytes.Length - start, entries.Sum(entry => entry.End - entry.Begin));
            }
            catch (ModelImportException refusal)
            {
                Assert.StartsWith("test.safetensors: ", refusal.Message);
            }
        }
    }

    public static TheoryData<int> Seeds { get; } = [.. Enumerable.Range(1, 40)];

    private static byte[] Mutate(byte[] bytes, Random random)
    {
        string[] fragments = ["{", "}", "[", "]", ",", ":", "\"", "-", "9", "99999999999999999999", "null", "\"shape\"", "1e400", "\\u0000", "\ud800", "F32", "I64"];
        for (var edits = random.Next(1, 5); edits > 0; edits--)
        {
            var at = random.Next(bytes.Length);
            switch (random.Next(4))
            {
                case 0:
                    bytes[at] = (byte)random.Next(256);
                    break;
                case 1:
                    bytes = [.. bytes[..at], .. Encoding.UTF8.GetBytes(fragments[random.Next(fragments.Length)]), .. bytes[at..]];
                    break;
                case 2:
                    bytes = [.. bytes[..at], .. bytes[Math.Min(bytes.Length, at + random.Next(1, 9))..], 0];
                    break;
                default:
                    bytes = random.Next(2) == 0 ? bytes[..(at + 1)] : [.. bytes, .. bytes[at..]];
                    break;
            }
        }

        return bytes;
    }

    private static (List<SafetensorsEntry> Entries, long DataStart) Read(string header, int dataLength) =>
        SafetensorsHeader.Read(new MemoryStream(Bytes(header, dataLength)), "test.safetensors");

    private static byte[] Bytes(string header, int dataLength)
    {
        var text = Encoding.UTF8.GetBytes(header);
        var bytes = new byte[8 + text.Length + dataLength];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, text.Length);
        text.CopyTo(bytes, 8);
        return bytes;
    }
}
