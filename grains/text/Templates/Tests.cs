namespace Granary.Text.Templates;

/// <summary>What <c>is</c> can ask of a value.</summary>
internal sealed partial class Interpreter
{
    private static readonly HashSet<string> TestNames = new(StringComparer.Ordinal)
    {
        "defined", "undefined", "none", "boolean", "true", "false", "integer", "float", "number", "string", "mapping", "iterable",
        "sequence", "callable", "sameas", "escaped", "filter", "test", "in", "odd", "even", "divisibleby", "lower", "upper",
        "eq", "equalto", "==", "ne", "!=", "lt", "lessthan", "<", "le", "<=", "gt", "greaterthan", ">", "ge", ">=",
    };

    private bool ApplyTest(string name, object? value, CallArguments arguments)
    {
        switch (name)
        {
            case "defined": return value is not UndefinedValue;
            case "undefined": return value is UndefinedValue;
            case "none": return value is null;
            case "boolean": return value is bool;
            case "true": return value is true;
            case "false": return value is false;
            case "integer": return value is long;
            case "float": return value is double;
            case "number": return value is long or double or bool;
            case "string": return value is string or SafeText;
            case "mapping": return value is DictionaryValue;
            case "iterable" or "sequence": return value is string or SafeText or ListValue or DictionaryValue or UndefinedValue;
            case "callable": return value is FunctionValue;
            case "escaped": return value is SafeText;
            case "filter": return value is string filter && FilterNames.Contains(filter);
            case "test": return value is string test && TestNames.Contains(test);
            case "in": return Sequences.Contains(this, arguments.Required(0, "seq"), value);
            case "odd": return Whole(name, value) % 2 != 0;
            case "even": return Whole(name, value) % 2 == 0;
            case "divisibleby":
                var divisor = arguments.Long(0, "num", 0);
                return divisor != 0 ? divisor == -1 || Whole(name, value) % divisor == 0 : throw arguments.Bad("divides by zero");
            case "lower": return Text.IsLower(ToText(value));
            case "upper": return Text.IsUpper(ToText(value));
        }

        if (!TestNames.Contains(name)) throw Failed($"the test '{name}' does not exist");
        var other = arguments.Required(0, "other");
        return name switch
        {
            "sameas" => value is bool or null || other is bool or null
                ? value?.GetType() == other?.GetType() && AreEqual(value, other)
                : ReferenceEquals(value, other) || (value is string or long && AreEqual(value, other)),
            "eq" or "equalto" or "==" => AreEqual(value, other),
            "ne" or "!=" => !AreEqual(value, other),
            "lt" or "lessthan" or "<" => Compare(value, other) < 0,
            "le" or "<=" => Compare(value, other) <= 0,
            "gt" or "greaterthan" or ">" => Compare(value, other) > 0,
            _ => Compare(value, other) >= 0,
        };
    }

    private static long Whole(string name, object? value) =>
        value is long or bool ? Arithmetic.Whole(value) : throw Failed($"'{name}' needs a whole number, not {ValueOperations.TypeName(value)}");
}
