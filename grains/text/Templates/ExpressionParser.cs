using System.Globalization;
using System.Text;

namespace Granary.Text.Templates;

/// <summary>The expression half of the parser, in Jinja's order of precedence.</summary>
internal sealed partial class TemplateParser
{
    private Expression ParseExpression()
    {
        using var _ = Nest();
        var value = ParseOr();
        while (TakeName("if"))
        {
            var condition = ParseOr();
            value = new Expression.Conditional(condition, value, TakeName("else") ? ParseExpression() : null);
        }

        return value;
    }

    private Expression ParseOr()
    {
        var left = ParseAnd();
        while (TakeName("or")) left = new Expression.Binary("or", left, ParseAnd());
        return left;
    }

    private Expression ParseAnd()
    {
        var left = ParseNot();
        while (TakeName("and")) left = new Expression.Binary("and", left, ParseNot());
        return left;
    }

    private Expression ParseNot()
    {
        if (!TakeName("not")) return ParseCompare();
        using var _ = Nest();
        return new Expression.Unary("not", ParseNot());
    }

    private Expression ParseCompare()
    {
        var first = ParseAdditive();
        List<(string, Expression)>? rest = null;
        while (true)
        {
            string op;
            if (Current is { Kind: TokenKind.Operator, Value: "==" or "!=" or "<" or ">" or "<=" or ">=" }) op = Next().Value;
            else if (TakeName("in")) op = "in";
            else if (IsName("not") && Peek is { Kind: TokenKind.Name, Value: "in" })
            {
                Next();
                Next();
                op = "not in";
            }
            else break;

            (rest ??= []).Add((op, ParseAdditive()));
        }

        return rest is null ? first : new Expression.Compare(first, rest);
    }

    private Expression ParseAdditive()
    {
        var left = ParseConcat();
        while (Current is { Kind: TokenKind.Operator, Value: "+" or "-" }) left = new Expression.Binary(Next().Value, left, ParseConcat());
        return left;
    }

    private Expression ParseConcat()
    {
        var left = ParseMultiplicative();
        while (TakeOperator("~")) left = new Expression.Binary("~", left, ParseMultiplicative());
        return left;
    }

    private Expression ParseMultiplicative()
    {
        var left = ParsePower();
        while (Current is { Kind: TokenKind.Operator, Value: "*" or "/" or "//" or "%" }) left = new Expression.Binary(Next().Value, left, ParsePower());
        return left;
    }

    private Expression ParsePower()
    {
        var left = ParseUnary(withFilter: true);
        while (TakeOperator("**")) left = new Expression.Binary("**", left, ParseUnary(withFilter: true));
        return left;
    }

    private Expression ParseUnary(bool withFilter)
    {
        using var _ = Nest();
        var value = Current is { Kind: TokenKind.Operator, Value: "-" or "+" }
            ? new Expression.Unary(Next().Value, ParseUnary(withFilter: false))
            : ParsePrimary();
        value = ParsePostfix(value);
        return withFilter ? ParseFilters(value) : value;
    }

    private Expression ParsePrimary()
    {
        var token = Next();
        switch (token.Kind)
        {
            case TokenKind.Name:
                return token.Value switch
                {
                    "true" or "True" => new Expression.Constant(true),
                    "false" or "False" => new Expression.Constant(false),
                    "none" or "None" => new Expression.Constant(null),
                    _ => new Expression.Name(token.Value),
                };
            case TokenKind.String:
                if (Current.Kind != TokenKind.String) return new Expression.Constant(token.Value);
                var text = new StringBuilder(token.Value); // Neighbouring strings are one.
                while (Current.Kind == TokenKind.String) text.Append(Next().Value);
                return new Expression.Constant(text.ToString());
            case TokenKind.Integer:
                return Whole(token);
            case TokenKind.Float:
                return new Expression.Constant(double.Parse(token.Value, NumberStyles.Float, CultureInfo.InvariantCulture));
            case TokenKind.Operator when token.Value == "(":
                return ParseTuple(")");
            case TokenKind.Operator when token.Value == "[":
                return new Expression.ListLiteral(ParseItems("]"), IsTuple: false);
            case TokenKind.Operator when token.Value == "{":
                return ParseDictionary();
            default:
                throw Bad(token, $"an expression is expected, not '{token.Value}'");
        }
    }

    private static Expression.Constant Whole(Token token) =>
        long.TryParse(token.Value, NumberStyles.None, CultureInfo.InvariantCulture, out var whole)
            ? new Expression.Constant(whole)
            : throw Bad(token, "a number leaves the range of 64 bits");

    private Expression ParseTuple(string close)
    {
        if (TakeOperator(close)) return new Expression.ListLiteral([], IsTuple: true);
        var first = ParseExpression();
        if (TakeOperator(close)) return first;
        var items = new List<Expression> { first };
        ExpectOperator(",");
        items.AddRange(ParseItems(close));
        return new Expression.ListLiteral(items, IsTuple: true);
    }

    private List<Expression> ParseItems(string close)
    {
        var items = new List<Expression>();
        while (!TakeOperator(close))
        {
            items.Add(ParseExpression());
            if (!IsOperator(close)) ExpectOperator(",");
        }

        return items;
    }

    private Expression.DictionaryLiteral ParseDictionary()
    {
        var items = new List<(Expression, Expression)>();
        while (!TakeOperator("}"))
        {
            var key = ParseExpression();
            ExpectOperator(":");
            items.Add((key, ParseExpression()));
            if (!IsOperator("}")) ExpectOperator(",");
        }

        return new Expression.DictionaryLiteral(items);
    }

    private Expression ParsePostfix(Expression value)
    {
        while (true)
        {
            if (TakeOperator("."))
            {
                var token = Next();
                value = token.Kind switch
                {
                    TokenKind.Name => new Expression.Attribute(value, token.Value),
                    TokenKind.Integer => new Expression.Item(value, Whole(token)),
                    _ => throw Bad(token, "a name is expected after '.'"),
                };
            }
            else if (TakeOperator("["))
            {
                value = ParseSubscript(value);
            }
            else if (TakeOperator("("))
            {
                value = new Expression.Call(value, ParseArguments());
            }
            else
            {
                return value;
            }
        }
    }

    private Expression ParseSubscript(Expression target)
    {
        if (TakeOperator("]")) return new Expression.Item(target, new Expression.ListLiteral([], IsTuple: true));
        var start = IsOperator(":") ? null : ParseExpression();
        if (TakeOperator("]")) return new Expression.Item(target, start!);
        if (IsOperator(","))
        {
            Next();
            return new Expression.Item(target, new Expression.ListLiteral([start!, .. ParseItems("]")], IsTuple: true));
        }

        ExpectOperator(":");
        var stop = IsOperator(":") || IsOperator("]") ? null : ParseExpression();
        var step = TakeOperator(":") && !IsOperator("]") ? ParseExpression() : null;
        ExpectOperator("]");
        return new Expression.Slice(target, start, stop, step);
    }

    private Arguments ParseArguments()
    {
        var positional = new List<Expression>();
        var named = new List<(string, Expression)>();
        Expression? list = null, dictionary = null;
        while (!TakeOperator(")"))
        {
            if (TakeOperator("*")) list = ParseExpression();
            else if (TakeOperator("**")) dictionary = ParseExpression();
            else if (Current.Kind == TokenKind.Name && Peek is { Kind: TokenKind.Operator, Value: "=" })
            {
                var name = Next().Value;
                Next();
                named.Add((name, ParseExpression()));
            }
            else if (named.Count > 0) throw Bad(Current, "an argument by position follows one by name");
            else positional.Add(ParseExpression());

            if (!IsOperator(")")) ExpectOperator(",");
        }

        return positional.Count + named.Count == 0 && list is null && dictionary is null ? Arguments.None : new Arguments(positional, named, list, dictionary);
    }

    private Expression ParseFilters(Expression value)
    {
        while (true)
        {
            if (TakeOperator("|")) value = ParseFilter(value);
            else if (TakeName("is")) value = ParseTest(value);
            else if (IsOperator("(")) value = ParsePostfix(value);
            else return value;
        }
    }

    private Expression.Filter ParseFilter(Expression? target)
    {
        var name = ExpectName();
        while (TakeOperator(".")) name += "." + ExpectName();
        return new Expression.Filter(target, name, TakeOperator("(") ? ParseArguments() : Arguments.None);
    }

    private Expression.Test ParseTest(Expression target)
    {
        var negated = TakeName("not");
        var name = ExpectName();
        var arguments = Arguments.None;
        if (TakeOperator("("))
        {
            arguments = ParseArguments();
        }
        else if (Current.Kind is TokenKind.Name or TokenKind.String or TokenKind.Integer or TokenKind.Float
            || Current is { Kind: TokenKind.Operator, Value: "(" or "[" or "{" })
        {
            if (!(Current is { Kind: TokenKind.Name, Value: "else" or "or" or "and" or "is" or "if" or "not" or "in" }))
            {
                arguments = new Arguments([ParsePostfix(ParsePrimary())], [], null, null);
            }
        }

        return new Expression.Test(target, name, arguments, negated);
    }
}
