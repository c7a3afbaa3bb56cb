using Granary.Engine.Onnx.Execution;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Onnx;

public sealed class KvSlotFileTests
{
    [Fact]
    public void Read_AfterWrites_GivesEachSlotItsOwn()
    {
        using var folder = new TemporaryFolder();
        using var file = KvSlotFile.Create(folder["kv"], 1000, 300)!;
        Assert.Equal(3, file.Count);
        for (var slot = 2; slot >= 0; slot--) file.Write(slot, Content(slot));
        file.Write(1, Content(7));

        var content = new byte[300];
        foreach (var (slot, seed) in new[] { (0, 0), (1, 7), (2, 2) })
        {
            file.Read(slot, content);
            Assert.Equal(Content(seed), content);
        }

        Assert.Throws<IOException>(() => file.Read(3, content));
    }

    [Fact]
    public void Create_FileIsOpen_LeavesNothingToFind()
    {
        using var folder = new TemporaryFolder();
        using (KvSlotFile.Create(folder["kv"], 1000, 300))
        {
            if (!OperatingSystem.IsWindows()) Assert.Empty(Directory.GetFiles(folder["kv"]));
        }

        Assert.Empty(Directory.GetFiles(folder["kv"]));
    }

    [Fact]
    public void Create_NoRoomForABlock_IsNone()
    {
        using var folder = new TemporaryFolder();
        Assert.Null(KvSlotFile.Create(folder["kv"], 299, 300));
    }

    private static byte[] Content(int seed)
    {
        var content = new byte[300];
        new Random(seed).NextBytes(content);
        return content;
    }
}
