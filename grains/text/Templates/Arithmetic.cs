using System.Text;

namespace Granary.Text.Templates;

/// <summary>Python's operators on values; whole numbers have 64 bits, and what leaves them is an error.</summary>
internal static class Arithmetic
{
    public static object? Unary(string op, object? operand)
    {
        if (op == "not") return !ValueOperations.IsTrue(operand);
        if (!ValueOperations.TryNumber(operand, out var real, out var whole)) throw Interpreter.Failed($"'{op}' does not apply to {ValueOperations.TypeName(operand)}");
        if (!whole) return op == "-" ? -real : real;
        var number = Whole(operand);
        return op == "-" ? Checked(() => checked(-number)) : number;
    }

    public static object? Binary(Interpreter interpreter, string op, object? left, object? right)
    {
        if (op == "~") return Join(interpreter, interpreter.ToText(left), interpreter.ToText(right));
        if (op == "+" && IsText(left) && IsText(right)) return Join(interpreter, interpreter.ToText(left), interpreter.ToText(right));
        if (op == "+" && left is ListValue first && right is ListValue second && first.IsTuple == second.IsTuple)
        {
            Grow(interpreter, (long)first.Items.Count + second.Items.Count);
            return new ListValue([.. first.Items, .. second.Items], first.IsTuple);
        }

        if (op == "*" && left is long or bool && (IsText(right) || right is ListValue)) (left, right) = (right, left);
        if (op == "*" && right is long or bool && (IsText(left) || left is ListValue)) return Repeat(interpreter, left, Math.Max(0, Whole(right)));
        if (op == "%" && IsText(left)) return Methods.Percent(interpreter, interpreter.ToText(left), right);

        if (!ValueOperations.TryNumber(left, out var x, out var leftWhole) || !ValueOperations.TryNumber(right, out var y, out var rightWhole))
        {
            throw Interpreter.Failed($"'{op}' does not apply to {ValueOperations.TypeName(left)} and {ValueOperations.TypeName(right)}");
        }

        if (op is "/" or "//" or "%" && y == 0) throw Interpreter.Failed($"'{op}' by zero");
        if (op == "/") return x / y;
        return leftWhole && rightWhole ? Integers(op, Whole(left), Whole(right)) : Reals(op, x, y);
    }

    public static long Whole(object? value) => value is long number ? number : value is true ? 1 : 0;

    private static bool IsText(object? value) => value is string or SafeText;

    private static string Join(Interpreter interpreter, string left, string right)
    {
        var length = (long)left.Length + right.Length;
        if (length > TemplateLimits.MaxOutputLength) throw ValueOperations.TooLong();
        interpreter.Step(length / 16);
        return left + right;
    }

    private static object? Repeat(Interpreter interpreter, object? value, long times)
    {
        if (value is ListValue list)
        {
            if (list.Items.Count > 0 && times > TemplateLimits.MaxItems / list.Items.Count) throw TooManyItems();
            Grow(interpreter, list.Items.Count * times);
            return new ListValue([.. Enumerable.Repeat(list.Items, list.Items.Count == 0 ? 0 : (int)times).SelectMany(items => items)], list.IsTuple);
        }

        var text = interpreter.ToText(value);
        if (text.Length > 0 && times > TemplateLimits.MaxOutputLength / text.Length) throw ValueOperations.TooLong();
        interpreter.Step(text.Length * times / 16);
        return text.Length == 0 ? "" : new StringBuilder().Insert(0, text, (int)times).ToString();
    }

    public static void Grow(Interpreter interpreter, long count)
    {
        if (count > TemplateLimits.MaxItems) throw TooManyItems();
        interpreter.Step(count);
    }

    private static ChatTemplateException TooManyItems() => Interpreter.Failed($"a list grew beyond {TemplateLimits.MaxItems} items");

    private static object Integers(string op, long x, long y) => op == "**" && y < 0 ? Math.Pow(x, y) : Checked(() => checked(op switch
    {
        "+" => x + y,
        "-" => x - y,
        "*" => x * y,
        "//" => (x / y) - (x % y != 0 && (x < 0) != (y < 0) ? 1 : 0),
        "%" => y == -1 ? 0 : ((x % y) + y) % y,
        "**" => Power(x, y),
        _ => throw new InvalidOperationException($"The operator {op} has no meaning."),
    }));

    private static object Checked<T>(Func<T> compute) where T : notnull
    {
        try
        {
            return compute();
        }
        catch (OverflowException)
        {
            throw Interpreter.Failed("a number left the range of 64 bits");
        }
    }

    private static long Power(long x, long y)
    {
        var result = 1L;
        for (; y > 0; y >>= 1)
        {
            if ((y & 1) == 1) result = checked(result * x);
            if (y > 1) x = checked(x * x);
        }

        return result;
    }

    private static double Reals(string op, double x, double y) => op switch
    {
        "+" => x + y,
        "-" => x - y,
        "*" => x * y,
        "//" => Math.Floor(x / y),
        "%" => x - (y * Math.Floor(x / y)),
        _ => Math.Pow(x, y),
    };
}
