using System.Text.Json.Nodes;
using Granary.Tests.Support;
using Granary.Text.Templates;

namespace Granary.Tests.Unit.Text.Templates;

/// <summary>Published templates and cases render to the text that Jinja2 gives.</summary>
public sealed class PublishedTemplateTests
{
    [SharedDataTheory]
    [InlineData("hf-jinja-e2e.json", "data", "target", 52)]
    [InlineData("ik_llama.cpp-test-jinja.json", "vars", "expected", 262)]
    public void Render_CasesThatJinja2AgreesWith_GivesTheSameText(string file, string data, string expected, int least)
    {
        var root = JsonNode.Parse(File.ReadAllText(SharedData.Path("templates", file)))!;
        var now = root["mock_now"] is { } mock ? DateTimeOffset.Parse(mock.GetValue<string>()) : DateTimeOffset.UnixEpoch;
        var failures = new List<string>();
        var count = 0;
        foreach (var item in root["cases"]!.AsArray().Where(item => item!["jinja2_agrees"]!.GetValue<bool>()))
        {
            count++;
            var name = $"{item!["group"]}/{item["name"]}";
            try
            {
                var template = ChatTemplate.Parse(item["template"]!.GetValue<string>(), time: new FixedTime(now));
                var text = template.Render(item[data]!.AsObject());
                if (text != item[expected]!.GetValue<string>()) failures.Add($"{name}:\n  {Show(item[expected]!.GetValue<string>())}\n  {Show(text)}");
            }
            catch (ChatTemplateException exception)
            {
                failures.Add($"{name}: {exception.Message}");
            }
        }

        Assert.True(count >= least, $"only {count} cases");
        Assert.True(failures.Count == 0, $"{failures.Count} of {count} fail:\n{string.Join('\n', failures)}");
    }

    private static string Show(string text) => text.Replace("\n", "\\n", StringComparison.Ordinal);

    private sealed class FixedTime(DateTimeOffset now) : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => now;
        public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;
    }
}
