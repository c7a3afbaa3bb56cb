namespace Granary.Text.Templates;

/// <summary>An expression of a template.</summary>
internal abstract record Expression
{
    internal sealed record Constant(object? Value) : Expression;
    internal sealed record Name(string Value) : Expression;
    internal sealed record Attribute(Expression Target, string Key) : Expression;
    internal sealed record Item(Expression Target, Expression Key) : Expression;
    internal sealed record Slice(Expression Target, Expression? Start, Expression? Stop, Expression? Step) : Expression;
    internal sealed record Call(Expression Target, Arguments Arguments) : Expression;
    internal sealed record Filter(Expression? Target, string Key, Arguments Arguments) : Expression;
    internal sealed record Test(Expression Target, string Key, Arguments Arguments, bool Negated) : Expression;
    internal sealed record Unary(string Operator, Expression Operand) : Expression;
    internal sealed record Binary(string Operator, Expression Left, Expression Right) : Expression;
    internal sealed record Compare(Expression First, IReadOnlyList<(string Operator, Expression Operand)> Rest) : Expression;
    internal sealed record Conditional(Expression Condition, Expression Then, Expression? Otherwise) : Expression;
    internal sealed record ListLiteral(IReadOnlyList<Expression> Items, bool IsTuple) : Expression;
    internal sealed record DictionaryLiteral(IReadOnlyList<(Expression Key, Expression Value)> Items) : Expression;
}

/// <summary>Arguments of a call, by position and by name; <paramref name="List"/> and <paramref name="Dictionary"/> are spread.</summary>
internal sealed record Arguments(
    IReadOnlyList<Expression> Positional, IReadOnlyList<(string Name, Expression Value)> Named, Expression? List, Expression? Dictionary)
{
    public static readonly Arguments None = new([], [], null, null);
}

/// <summary>A statement of a template.</summary>
internal abstract record Statement
{
    /// <summary>Where it begins in the source, from 1; 0 for plain text, which cannot fail.</summary>
    public int Line { get; init; }

    internal sealed record Text(string Value) : Statement;
    internal sealed record Print(Expression Value) : Statement;
    internal sealed record If(IReadOnlyList<(Expression Condition, Statement[] Body)> Branches, Statement[] Otherwise) : Statement;
    internal sealed record For(Expression Target, Expression Items, Expression? Condition, Statement[] Body, Statement[] Otherwise, bool Recursive) : Statement;
    internal sealed record Set(Expression Target, Expression Value) : Statement;
    internal sealed record SetBlock(Expression Target, IReadOnlyList<Expression.Filter> Filters, Statement[] Body) : Statement;
    internal sealed record With(IReadOnlyList<(Expression Target, Expression Value)> Values, Statement[] Body) : Statement;
    internal sealed record Macro(string Name, IReadOnlyList<(string Name, Expression? Default)> Parameters, Statement[] Body) : Statement;
    internal sealed record CallBlock(Expression.Call Target, Macro Caller) : Statement;
    internal sealed record FilterBlock(IReadOnlyList<Expression.Filter> Filters, Statement[] Body) : Statement;
    internal sealed record Block(Statement[] Body) : Statement;
    internal sealed record Break : Statement;
    internal sealed record Continue : Statement;
}
