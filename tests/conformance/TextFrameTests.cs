using System.Buffers;
using System.Text;
using System.Text.Json;
using Granary.Silo.Gateway;
using Granary.Silo.Serving;
using Granary.Tests.Conformance.Support;
using Microsoft.Extensions.DependencyInjection;

namespace Granary.Tests.Conformance;

/// <summary>Frames that are rendered once and filled with text.</summary>
[Collection(SiloTests.Name)]
public sealed class TextFrameTests(SiloFixture fixture)
{
    private static readonly string[] Pieces = ["a", " ", "\"", "\\", "\n", "\r\n", "\t", "\0", "\u001f", "\u007f", "\u0085", "\u2028", "<b>&'+", "|", "é", "漢", "😀", "\ufffd", "\uffff", "/", "{}"];

    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 50)];

    /// <summary>Whatever the text, the frame has the bytes that the JSON writer gives.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void Write_AnyText_EqualsTheWriter(int seed)
    {
        var random = new Random(seed);
        var text = string.Concat(Enumerable.Range(0, random.Next(60)).Select(_ => Pieces[random.Next(Pieces.Length)]));
        foreach (var shape in new ResponseShape[] { new ChatShape(Plan(false)), new CompletionShape(Plan(true)) })
        {
            var written = new ArrayBufferWriter<byte>();
            TextFrame.Of(shape, 1).Write(written, text);

            var expected = new ArrayBufferWriter<byte>();
            using (var json = new Utf8JsonWriter(expected, Json.WriterOptions)) shape.WriteDelta(json, new(1, text, -1, null));
            Assert.Equal($"data: {Encoding.UTF8.GetString(expected.WrittenSpan)}\n\n", Encoding.UTF8.GetString(written.WrittenSpan));
        }
    }

    private GenerationPlan Plan(bool includeUsage) => new()
    {
        Model = fixture.Silo.Services.GetRequiredService<ModelCatalog>().FindOpen(Api.Model)!,
        Id = "cmpl-1",
        Operation = "chat",
        Prompts = [[1], [2]],
        ChoicesPerPrompt = 1,
        Sampling = [new() { MaxTokens = 1 }, new() { MaxTokens = 1 }],
        Stops = [],
        IncludeUsage = includeUsage,
        Created = DateTimeOffset.UnixEpoch,
        Arrived = 0,
        Deadline = DateTimeOffset.UnixEpoch,
    };
}
