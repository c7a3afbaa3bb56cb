using System.Text.Json.Nodes;
using Granary.Text.Templates;

namespace Granary.Tests.Unit.Text.Templates;

/// <summary>An error names the line and its cause.</summary>
public sealed class TemplateErrorTests
{
    [Theory]
    [InlineData("a\n\n{{ x.y }}", 3, "'x' is undefined")]
    [InlineData("{% if true %}\n  {{ 1 / 0 }}\n{% endif %}", 2, "by zero")]
    [InlineData("\n{% for x in 5 %}{% endfor %}", 2, "int cannot be iterated")]
    [InlineData("{% macro m() %}\n{{ 'a' + 1 }}\n{% endmacro %}\n{{ m() }}", 2, "'+' does not apply to string and int")]
    [InlineData("\n\n{{ 1 | nothing }}", 3, "the filter 'nothing' does not exist")]
    [InlineData("\n{{ '<p>' | striptags }}", 2, "the filter 'striptags' is not supported")]
    [InlineData("{{ 1 is nothing }}", 1, "the test 'nothing' does not exist")]
    [InlineData("\n{{ 'a'.encode() }}", 2, "undefined 'encode' cannot be called")]
    [InlineData("{{ 'a'.split(1) }}", 1, "needs a string as 'sep'")]
    [InlineData("{{ {[1]: 2} }}", 1, "list cannot be a key")]
    [InlineData("{{ strftime_now('%Q') }}", 1, "%Q")]
    [InlineData("{{ 'a' | map(attribute='b') | join(1) }}", 1, "needs a string as 'd'")]
    public void Render_Fails_NamesLineAndCause(string template, int line, string cause)
    {
        var parsed = ChatTemplate.Parse(template);
        var exception = Assert.Throws<ChatTemplateException>(() => parsed.Render(new JsonObject()));
        Assert.Equal(line, exception.Line);
        Assert.Contains($"line {line}: ", exception.Message);
        Assert.Contains(cause, exception.Message);
        Assert.False(exception.Raised);
    }

    [Theory]
    [InlineData("a\n{% if x %}", 2, "BlockBegin is expected")]
    [InlineData("\n{% include 'file' %}", 2, "the statement 'include' is not supported")]
    [InlineData("\n\n{{ x", 3, "a tag is not closed")]
    [InlineData("{{ 'x }}", 1, "a string is not closed")]
    [InlineData("{% endif %}", 1, "'endif' closes nothing")]
    [InlineData("{{ a.99999999999999999999 }}", 1, "64 bits")]
    [InlineData("{# x", 1, "a comment is not closed")]
    public void Parse_Malformed_NamesLineAndCause(string template, int line, string cause)
    {
        var exception = Assert.Throws<ChatTemplateException>(() => ChatTemplate.Parse(template));
        Assert.Equal(line, exception.Line);
        Assert.Contains(cause, exception.Message);
    }

    /// <summary>What the template itself raises is for the caller as it stands.</summary>
    [Fact]
    public void RaiseException_KeepsTheTemplatesMessage()
    {
        var template = ChatTemplate.Parse("{% if messages[0].role != 'user' %}\n{{ raise_exception('The first message must be from the user.') }}{% endif %}");
        var exception = Assert.Throws<ChatTemplateException>(() => template.Render([new JsonObject { ["role"] = "system" }], new ChatTemplateOptions()));
        Assert.Equal((true, "The first message must be from the user.", 2), (exception.Raised, exception.Message, exception.Line));
    }

    [Fact]
    public void Render_ToolsDocumentsAndMore_ReachTheTemplate()
    {
        var template = ChatTemplate.Parse("{{ tools[0].function.name }} {{ documents | map(attribute='title') | join }} {{ enable_thinking }} {{ add_generation_prompt }} {{ bos_token }}");
        var options = new ChatTemplateOptions
        {
            Tools = [new JsonObject { ["function"] = new JsonObject { ["name"] = "f" } }],
            Documents = [new JsonObject { ["title"] = "t" }],
            ExtraContext = new JsonObject { ["enable_thinking"] = false },
            AddGenerationPrompt = true,
            BosToken = "<s>",
        };
        Assert.Equal("f t False True <s>", template.Render([], options));
    }

    /// <summary>With exactly the given variables nothing else is defined.</summary>
    [Fact]
    public void Render_ExactVariables_AddsNone() =>
        Assert.Equal("True", ChatTemplate.Parse("{{ messages is undefined and add_generation_prompt is undefined and bos_token is undefined }}", bosToken: "<s>").Render(new JsonObject()));
}
