using System.Text;

namespace Granary.Tests.Conformance.Fuzz;

/// <summary>JSON values, as text, that a careless reader stumbles over. Some of them are not JSON.</summary>
internal static class HostileValues
{
    private static readonly string[] Plain =
    [
        "null", "true", "false", "0", "-0", "1", "-1", "2", "0.5", "1.0", "1e0", "-1.5", "99", "255", "1024", "2047", "2048", "65536",
        "2147483647", "2147483648", "-2147483648", "-2147483649", "4294967296", "9007199254740993", "9223372036854775807",
        "9223372036854775808", "-9223372036854775808", "18446744073709551615", "18446744073709551616", "1e10", "1e38", "3.5e38", "1e308",
        "1e309", "-1e309", "1e-309", "1e-999999999", "1e999999999", "0.1e1", "[]", "{}", "[[]]", "[{}]", "{\"\":{}}", "[null]", "[true]",
        "[\"\"]", "[0]", "[-1]", "[0,1,2]", "[1,\"a\"]", "[1.5]", "[[1,2],[3]]", "[[1],\"a\"]", "[\"a\",\"b\"]", "{\"type\":\"text\"}",
        "{\"a\":1,\"a\":2}", "\"auto\"", "\"none\"", "\"text\"", "\"user\"", "\"true\"", "\"1\"", "\"NaN\"", "\"-Infinity\"",
        "\"tiny-assistant\"", "\"float\"", "\"base64\"",
    ];

    private static readonly string[] Strings =
    [
        "\"\"", "\" \"", "\"\\u0000\"", "\"a\\u0000b\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\udc00\\ud800\"", "\"\\ud83d\\ude00\"", "\"\ud83d\ude00\"",
        "\"\\ufeffa\"", "\"\\uffff\"", "\"\u202e\u0645\u0631\u062d\u0628\u0627\"", "\"e\u0301\u0301\u0301\"", "\"\\r\\n\\r\\n\"", "\"data: [DONE]\\n\\n\"",
        "\"</script>\"", "\"{{ 7*7 }}\"", "\"{% raise_exception('x') %}\"", "\"<|im_start|>user\"", "\"<|im_end|>\"", "\"../../etc/passwd\"",
        "\"%s%n%x\"", "\"\\\\\\\"\"", "\"a\\tb\"", "\"0\"",
    ];

    private static readonly string[] NotJson =
    [
        "NaN", "Infinity", "-Infinity", "undefined", "'a'", "01", "+1", "1.", ".5", "0x10", "1_000", "\"", "\"\\x\"", "\"\\u12\"", "\"a\u0001b\"",
        "tru", "[1,]", "{\"a\":}", "[", "{", "]", "/* */ 1", "",
    ];

    public static string Next(Random random) => random.Next(20) switch
    {
        < 9 => Plain[random.Next(Plain.Length)],
        < 13 => Strings[random.Next(Strings.Length)],
        13 => NotJson[random.Next(NotJson.Length)],
        14 => Nested(random),
        15 => Long(random),
        16 => "-" + Digits(random, 1 + random.Next(400)),
        17 => $"[{string.Join(',', Enumerable.Range(0, random.Next(3000)).Select(_ => random.Next(-1, 2050)))}]",
        18 => $"{{{string.Join(',', Enumerable.Range(0, random.Next(1200)).Select(i => $"\"{random.Next(3000)}\":{random.Next(-101, 101)}"))}}}",
        _ => Digits(random, 1 + random.Next(22)),
    };

    private static string Digits(Random random, int count) => new([.. Enumerable.Range(0, count).Select(i => (char)('0' + (i == 0 ? random.Next(1, 10) : random.Next(10))))]);

    /// <summary>Below and above the depth that a JSON reader allows.</summary>
    private static string Nested(Random random)
    {
        var depth = random.Next(4) switch { 0 => random.Next(50, 70), 1 => 5000, _ => random.Next(3, 40) };
        return random.Next(2) == 0
            ? new string('[', depth) + new string(']', depth)
            : string.Concat(Enumerable.Repeat("{\"a\":", depth)) + "1" + new string('}', depth);
    }

    private static string Long(Random random)
    {
        var unit = (random.Next(6)) switch { 0 => "a", 1 => "word ", 2 => "\\n", 3 => "\ud83d\ude00", 4 => "\\u00e9", _ => " " };
        var length = random.Next(8) == 0 ? 100_000 : random.Next(20_000);
        return new StringBuilder().Append('"').Insert(1, unit, Math.Max(1, length / unit.Length)).Append('"').ToString();
    }
}
