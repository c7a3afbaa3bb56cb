using System.Text;
using System.Text.Json.Nodes;
using Granary.Text.Templates;

namespace Granary.Tests.Unit.Text.Templates;

/// <summary>Whatever a template says and whatever it is given, it renders or fails as a template, within its bounds.</summary>
public sealed class TemplateFuzzTests
{
    private const int MaxSteps = 20_000;

    private static readonly string[] Values =
    [
        "1", "0", "-3", "2.5", "1e308", "9223372036854775807", "'a'", "''", "'é😀'", "'%s{}'", "true", "none", "x", "y", "missing", "[1, 'a']", "[]", "{'k': [1]}", "(1, 2)",
        "ns", "ns.a", "loop", "loop.index", "messages", "messages[0]", "messages[0].content", "range(5)", "namespace(a=1)", "cycler(1, 2)", "joiner()", "caller", "m", "dict(a=1)",
    ];

    private static readonly string[] Operators = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "<", ">=", "in", "not in", "and", "or"];

    private static readonly string[] Filters =
    [
        "abs", "attr('a')", "batch(2)", "batch(0)", "capitalize", "center(9)", "default('d')", "dictsort", "escape", "filesizeformat", "first", "float", "format(1)", "groupby('role')",
        "indent(2)", "int", "int(0, 16)", "items", "join('-')", "last", "length", "list", "lower", "map('upper')", "map(attribute='role')", "max", "min", "pprint", "reject", "select('odd')",
        "selectattr('role')", "replace('a', 'bb')", "reverse", "round(2)", "safe", "slice(3)", "sort", "string", "sum", "title", "tojson", "tojson(indent=2)", "trim", "truncate(3, true, '')",
        "unique", "upper", "urlencode", "wordcount", "nothing", "map(1)", "sort(attribute=1)", "truncate(-1)", "slice(-1)", "round(400)", "center(-1)", "indent(-5)",
    ];

    private static readonly string[] Tests = ["defined", "none", "odd", "string", "mapping", "divisibleby(2)", "divisibleby(0)", "eq(1)", "in([1])", "sameas(none)", "lt('a')", "filter", "nothing"];

    private static readonly string[] Postfixes = [".a", ".content", "[0]", "[-1]", "['k']", "[1:]", "[::-1]", "[::0]", "()", "(1)", "(1, a=2)", ".split()", ".split('a')", ".get('k')", ".items()", ".next()", ".upper()", ".append(1)", ".format(1)", ".join(['a'])", ".cycle(1)", "(loop)", ".zfill(9)"];

    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 8)];

    [Theory, MemberData(nameof(Seeds))]
    public void RandomTemplates_RenderOrFailAsTemplates(int block)
    {
        for (var seed = block * 1000; seed < (block + 1) * 1000; seed++)
        {
            var random = new Random(seed);
            var source = new StringBuilder("{% set ns = namespace(a=[1]) %}{% macro m(p, q=1) %}{{ p }}{{ caller() if caller else q }}{% endmacro %}");
            Body(random, source, depth: 0);
            if (random.Next(4) == 0) Mutate(random, source);
            AssertBehaves(source.ToString(), Data(random), seed);
        }
    }

    /// <summary>Values that would double with each turn, or hold each other, meet a bound before they meet the machine's.</summary>
    [Theory]
    [InlineData("{% for i in range(90) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}{{ ns.a == ns.b }}")]
    [InlineData("{% for i in range(18) %}{% set ns.a = [ns.a, ns.a] %}{% set ns.b = [ns.b, ns.b] %}{% endfor %}{% for i in range(9999) %}{% if ns.a == ns.b %}{% endif %}{% endfor %}")]
    [InlineData("{% for i in range(5000) %}{% set ns.a = [ns.a] %}{% endfor %}{{ ns.a }}")]
    [InlineData("{% for i in range(5000) %}{% set ns.a = (ns.a,) %}{% endfor %}{{ {ns.a: 1} }}")]
    [InlineData("{% for i in range(18) %}{% set ns.a = (ns.a, ns.a) %}{% endfor %}{% for i in range(9999) %}{% if ns.a in {} %}{% endif %}{% endfor %}")]
    [InlineData("{% set ns.a = [ns] %}{% set ns.b = [ns.a] %}{% for i in range(99999) %}{% set ns.b = [ns.b, ns.b] %}{% endfor %}")]
    [InlineData("{% for x in ns.tree recursive %}{{ loop(ns.tree) }}{% endfor %}{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}")]
    [InlineData("{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}")]
    [InlineData("{% set t = 'a' * 9999999 %}{% for i in range(999999) %}{% if t.count('b') %}{% endif %}{% endfor %}")]
    [InlineData("{% set t = 'a' * 9999999 %}{% for i in range(999999) %}{% set u = {t: 1}[t ~ ''] %}{% endfor %}")]
    [InlineData("{{ '%s' * 999999 % ('a' * 99999,) }}")]
    [InlineData("{{ ('a' * 9999999) | replace('a', 'b' * 9999999) }}")]
    [InlineData("{{ ('\n' * 999999) | indent(999999, true, true) }}")]
    [InlineData("{{ range(999999) | list | batch(1, 'x') | list | sort | tojson(indent=999) }}")]
    [InlineData("{{ strftime_now('%c' * 7999999) }}")]
    public void GrowingValues_MeetABound(string source)
    {
        var template = ChatTemplate.Parse("{% set ns = namespace(a=[], b=[], tree=[[]]) %}" + source);
        Assert.Throws<ChatTemplateException>(() => template.Render([], new ChatTemplateOptions()));
    }

    [Fact]
    public void Render_TimeRunsOut_IsABound()
    {
        var template = ChatTemplate.Parse("{% for i in range(999999) %}{% endfor %}", time: new RunawayTime());
        Assert.Contains("longer than", Assert.Throws<ChatTemplateException>(() => template.Render(new JsonObject())).Message);
    }

    private static void AssertBehaves(string source, JsonObject data, int seed)
    {
        try
        {
            Assert.NotNull(ChatTemplate.Parse(source).Render(data, MaxSteps));
        }
        catch (ChatTemplateException)
        {
            // The only way a template may fail.
        }
        catch (Exception exception)
        {
            Assert.Fail($"seed {seed}: {exception.GetType().Name} from {source}\n{exception}");
        }
    }

    private static void Body(Random random, StringBuilder output, int depth)
    {
        for (var count = random.Next(1, 4); count > 0; count--)
        {
            switch (depth > 3 ? random.Next(3) : random.Next(11))
            {
                case 0: output.Append(" text\n"); break;
                case 1 or 2: output.Append("{{ ").Append(Expression(random, 0)).Append(random.Next(3) == 0 ? " -}}" : " }}"); break;
                case 3: Block(random, output, $"if {Expression(random, 0)}", "endif", depth); break;
                case 4: Block(random, output, $"for x in {Expression(random, 0)}", "endfor", depth); break;
                case 5: Block(random, output, $"for x, y in {Expression(random, 0)} recursive", "endfor", depth); break;
                case 6: output.Append("{% set ns.a = ").Append(Expression(random, 0)).Append(" %}"); break;
                case 7: Block(random, output, "set x | upper", "endset", depth); break;
                case 8: Block(random, output, $"call m({Expression(random, 1)})", "endcall", depth); break;
                case 9: Block(random, output, $"filter {Pick(random, Filters)}", "endfilter", depth); break;
                default: Block(random, output, $"with y = {Expression(random, 0)}", "endwith", depth); break;
            }
        }
    }

    private static void Block(Random random, StringBuilder output, string begin, string end, int depth)
    {
        output.Append("{% ").Append(begin).Append(" %}");
        Body(random, output, depth + 1);
        output.Append("{% ").Append(end).Append(" %}");
    }

    private static string Expression(Random random, int depth) => (depth > 3 ? 0 : random.Next(8)) switch
    {
        0 or 1 => Pick(random, Values),
        2 => $"({Expression(random, depth + 1)} {Pick(random, Operators)} {Expression(random, depth + 1)})",
        3 => $"({Expression(random, depth + 1)} | {Pick(random, Filters)})",
        4 => $"({Expression(random, depth + 1)} is {Pick(random, Tests)})",
        5 => $"{Expression(random, depth + 1)}{Pick(random, Postfixes)}",
        6 => $"[{Expression(random, depth + 1)}, {Expression(random, depth + 1)}]",
        _ => $"({Expression(random, depth + 1)} if {Expression(random, depth + 1)} else {Expression(random, depth + 1)})",
    };

    private static void Mutate(Random random, StringBuilder source)
    {
        const string Noise = "{}%#-+'\"\\()[]|.,:~ \n0aé\0";
        for (var count = random.Next(1, 4); count > 0; count--)
        {
            var position = random.Next(source.Length);
            if (random.Next(2) == 0) source.Remove(position, Math.Min(random.Next(1, 6), source.Length - position));
            else source.Insert(position, Noise[random.Next(Noise.Length)]);
        }
    }

    private static JsonObject Data(Random random)
    {
        var data = new JsonObject { ["x"] = Json(random, 0), ["y"] = Json(random, 0) };
        if (random.Next(4) != 0) data["messages"] = new JsonArray([.. Enumerable.Range(0, random.Next(4)).Select(_ => (JsonNode)new JsonObject { ["role"] = Json(random, 2), ["content"] = Json(random, 1) })]);
        return data;
    }

    private static JsonNode? Json(Random random, int depth) => (depth > 2 ? random.Next(5) : random.Next(8)) switch
    {
        0 => null,
        1 => random.Next(-5, 5),
        2 => random.NextDouble() * 1e300,
        3 => Pick(random, ["user", "", "é😀", "a b", "\ud800", "1"]),
        4 => random.Next(2) == 0,
        5 => new JsonArray([.. Enumerable.Range(0, random.Next(4)).Select(_ => Json(random, depth + 1))]),
        _ => new JsonObject([.. Enumerable.Range(0, random.Next(4)).Select(index => KeyValuePair.Create($"k{index}", Json(random, depth + 1)))]),
    };

    private static string Pick(Random random, string[] items) => items[random.Next(items.Length)];

    /// <summary>Each look at the clock is a second later.</summary>
    private sealed class RunawayTime : TimeProvider
    {
        private long _seconds;

        public override long TimestampFrequency => 1;

        public override long GetTimestamp() => Interlocked.Increment(ref _seconds);
    }
}
