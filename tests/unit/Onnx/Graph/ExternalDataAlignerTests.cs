using Granary.Engine.Onnx.Graph;
using Granary.Engine.Onnx.Import;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Onnx.Graph;

/// <summary>Realigning moves bytes and nothing else, and refuses what is no model.</summary>
public sealed class ExternalDataAlignerTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private string Model => _folder["model.onnx"];

    private string Weights => _folder["model.onnx.data"];

    [Fact]
    public void Align_PiecesAtOddPlaces_StartOnPagesWithTheirBytes()
    {
        File.WriteAllBytes(Weights, [.. Enumerable.Range(0, 100).Select(i => (byte)i)]);
        WriteModel(("offset", "3"), ("length", "5"), ("prepacked_2", "MatMulNBits+1|11;7;0|50;50;0"));

        ExternalDataAligner.Align(Model, Weights);

        var model = new OnnxModelReader(_folder.Path);
        Assert.Equal([3, 4, 5, 6, 7], model.Bytes("w"));
        var weights = File.ReadAllBytes(Weights);
        Assert.Equal(2 * 4096 + 50, weights.Length);
        Assert.Equal([11, 12, 13, 14, 15, 16, 17], weights[4096..(4096 + 7)]);
        Assert.Equal(50, weights[8192]);
        Assert.Contains("MatMulNBits+1|4096;7;0|8192;50;0", File.ReadAllText(Model));
        Assert.Equal(10, model.IrVersion);
    }

    [Theory]
    [InlineData("96", "5", "k|0;1;0", "External data at 96, 5 bytes long, exceed the file's 100")]
    [InlineData("-1", "5", "k|0;1;0", "'-1' is no place in a file")]
    [InlineData("0", "5", "k|0;1", "A prepacked blob is placed by '0;1'")]
    public void Align_PlaceOutsideOfTheFile_IsRefused(string offset, string length, string prepacked, string reason)
    {
        File.WriteAllBytes(Weights, new byte[100]);
        WriteModel(("offset", offset), ("length", length), ("prepacked_1", prepacked));
        Assert.Contains(reason, Assert.Throws<InvalidDataException>(() => ExternalDataAligner.Align(Model, Weights)).Message);
    }

    /// <summary>Whatever the bytes of a model, the reader ends, within them.</summary>
    [Fact]
    public void Align_MutatedModel_IsRewrittenOrRefused()
    {
        SyntheticModel.Write(_folder["source"], new SyntheticShape { Layers = 1 }, seed: 1);
        ModelImporter.Import(_folder["source"], _folder["out"], new ImportOptions());
        var original = File.ReadAllBytes(Path.Combine(_folder["out"], "model.onnx"));
        var random = new Random(7);
        for (var round = 0; round < 100; round++)
        {
            var bytes = original.ToArray();
            for (var edit = 0; edit < 3; edit++) bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            File.WriteAllBytes(Model, bytes);
            File.WriteAllBytes(Weights, new byte[1 << 17]);
            try
            {
                ExternalDataAligner.Align(Model, Weights);
            }
            catch (InvalidDataException refusal)
            {
                Assert.NotEmpty(refusal.Message);
            }
        }
    }

    private void WriteModel(params (string Key, string Value)[] entries)
    {
        var tensor = new ProtoWriter();
        tensor.Integer(1, 5);
        tensor.Integer(2, 2);
        tensor.String(8, "w");
        foreach (var (key, value) in entries)
        {
            var entry = new ProtoWriter();
            entry.String(1, key);
            entry.String(2, value);
            tensor.Message(13, entry);
        }

        var graph = new ProtoWriter();
        graph.Message(5, tensor);
        var model = new ProtoWriter();
        model.Integer(1, 10);
        model.Message(7, graph);
        using var stream = File.Create(Model);
        stream.Write(model.Written);
    }
}
