using System.Text.Json.Nodes;
using Granary.Text.Templates;

namespace Granary.Tests.Unit.Text.Templates;

public sealed class TemplateBoundsTests
{
    [Theory]
    [InlineData("{% for a in range(999999) %}{% for b in range(999999) %}{% endfor %}{% endfor %}", "steps")]
    [InlineData("{{ 'x' * 99999999 }}", "chars")]
    [InlineData("{% set ns = namespace(t='xx') %}{% for i in range(40) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}", "chars")]
    [InlineData("{{ range(99999999) }}", "items")]
    [InlineData("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "levels")]
    [InlineData("{{ [1].append(2) }}", "sandbox")]
    public void Render_BeyondABound_NamesIt(string source, string bound)
    {
        var template = ChatTemplate.Parse(source);
        Assert.Contains(bound, Assert.Throws<ChatTemplateException>(() => template.Render([], new ChatTemplateOptions())).Message);
    }

    [Fact]
    public void Parse_DeepNesting_IsRefused() =>
        Assert.Throws<ChatTemplateException>(() => ChatTemplate.Parse("{{ " + new string('(', 100_000) + "1" + new string(')', 100_000) + " }}"));

    [Fact]
    public void Render_LongChainOfOperators_EndsWithABound() =>
        Assert.Throws<ChatTemplateException>(() => ChatTemplate.Parse("{{ 1" + string.Concat(Enumerable.Repeat("+1", 200_000)) + " }}").Render([], new ChatTemplateOptions()));

    [Fact]
    public void Render_RaiseException_IsMarkedAsTheRequestsFault()
    {
        var exception = Assert.Throws<ChatTemplateException>(() => ChatTemplate.Parse("{{ raise_exception('roles must alternate') }}").Render([], new ChatTemplateOptions()));
        Assert.True(exception.Raised);
        Assert.Equal("roles must alternate", exception.Message);
    }

    [Fact]
    public void Load_NamedTemplates_ToolsChooseToolUse()
    {
        var directory = Directory.CreateTempSubdirectory("template");
        try
        {
            File.WriteAllText(Path.Combine(directory.FullName, "tokenizer_config.json"), """
                {"bos_token": {"content": "<s>"}, "chat_template": [
                    {"name": "default", "template": "{{ bos_token }}{{ messages[0].content }}"},
                    {"name": "tool_use", "template": "{{ tools | length }}"}]}
                """);
            var template = ChatTemplate.Load(directory.FullName)!;
            JsonArray messages = [new JsonObject { ["role"] = "user", ["content"] = "hi" }];
            Assert.Equal("<s>hi", template.Render(messages, new ChatTemplateOptions()));
            Assert.Equal("1", template.Render(messages, new ChatTemplateOptions { Tools = [new JsonObject()] }));
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }
}
