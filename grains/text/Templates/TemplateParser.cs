namespace Granary.Text.Templates;

/// <summary>Builds the tree of a template; the statement half.</summary>
internal sealed partial class TemplateParser
{
    private readonly List<Token> _tokens;
    private int _position;
    private int _depth;

    private TemplateParser(List<Token> tokens) => _tokens = tokens;

    /// <exception cref="ChatTemplateException">The template is malformed or nested deeper than <see cref="TemplateLimits.MaxSyntaxDepth"/>.</exception>
    public static Statement[] Parse(string source)
    {
        var parser = new TemplateParser(TemplateLexer.Lex(source));
        var body = parser.ParseBody();
        return parser.Current.Kind == TokenKind.End ? body : throw Bad(parser.Current, $"'{parser.Peek.Value}' closes nothing");
    }

    private Token Current => _tokens[_position];
    private Token Peek => _tokens[Math.Min(_position + 1, _tokens.Count - 1)];

    /// <summary>Reads statements until the end or a block that is none, which the caller expects.</summary>
    private Statement[] ParseBody(params ReadOnlySpan<string> ends)
    {
        using var _ = Nest();
        var body = new List<Statement>();
        while (true)
        {
            switch (Current.Kind)
            {
                case TokenKind.Text:
                    body.Add(new Statement.Text(Next().Value));
                    break;
                case TokenKind.PrintBegin:
                    var line = Next().Line;
                    body.Add(new Statement.Print(ParseTupleUntil(TokenKind.PrintEnd)) { Line = line });
                    Expect(TokenKind.PrintEnd);
                    break;
                case TokenKind.BlockBegin when ends.Contains(Peek.Value) || Peek.Value.StartsWith("end", StringComparison.Ordinal):
                    return [.. body];
                case TokenKind.BlockBegin:
                    var begin = Next();
                    body.Add(ParseStatement() with { Line = begin.Line });
                    break;
                default:
                    return [.. body];
            }
        }
    }

    private Statement ParseStatement()
    {
        var token = Next();
        switch (token.Value)
        {
            case "if": return ParseIf();
            case "for": return ParseFor();
            case "set": return ParseSet();
            case "macro": return ParseMacro();
            case "call": return ParseCall();
            case "filter":
                var filters = new List<Expression.Filter> { ParseFilter(null) };
                while (TakeOperator("|")) filters.Add(ParseFilter(null));
                EndBlock();
                return new Statement.FilterBlock(filters, ParseBodyTo("endfilter"));
            case "with": return ParseWith();
            case "generation":
                EndBlock();
                return new Statement.Block(ParseBodyTo("endgeneration"));
            case "break":
                EndBlock();
                return new Statement.Break();
            case "continue":
                EndBlock();
                return new Statement.Continue();
            default: throw Bad(token, $"the statement '{token.Value}' is not supported");
        }
    }

    private Statement.If ParseIf()
    {
        var branches = new List<(Expression, Statement[])>();
        Statement[] otherwise = [];
        do
        {
            var condition = ParseExpression();
            EndBlock();
            branches.Add((condition, ParseBody("elif", "else")));
            Expect(TokenKind.BlockBegin);
        }
        while (TakeName("elif"));

        if (TakeName("else"))
        {
            EndBlock();
            otherwise = ParseBody();
            Expect(TokenKind.BlockBegin);
        }

        ExpectName("endif");
        EndBlock();
        return new Statement.If(branches, otherwise);
    }

    private Statement.For ParseFor()
    {
        var target = ParseTarget();
        ExpectName("in");
        var items = ParseTupleUntil(TokenKind.BlockEnd, conditional: false);
        var condition = TakeName("if") ? ParseExpression() : null;
        var recursive = TakeName("recursive");
        EndBlock();
        var body = ParseBody("else");
        Statement[] otherwise = [];
        Expect(TokenKind.BlockBegin);
        if (TakeName("else"))
        {
            EndBlock();
            otherwise = ParseBody();
            Expect(TokenKind.BlockBegin);
        }

        ExpectName("endfor");
        EndBlock();
        return new Statement.For(target, items, condition, body, otherwise, recursive);
    }

    private Statement ParseSet()
    {
        var target = ParseTarget();
        if (TakeOperator("="))
        {
            var value = ParseTupleUntil(TokenKind.BlockEnd);
            EndBlock();
            return new Statement.Set(target, value);
        }

        var filters = new List<Expression.Filter>();
        while (TakeOperator("|")) filters.Add(ParseFilter(null));
        EndBlock();
        return new Statement.SetBlock(target, filters, ParseBodyTo("endset"));
    }

    private Statement.With ParseWith()
    {
        var values = new List<(Expression, Expression)>();
        while (Current.Kind != TokenKind.BlockEnd)
        {
            if (values.Count > 0) ExpectOperator(",");
            var target = ParseTarget();
            ExpectOperator("=");
            values.Add((target, ParseExpression()));
        }

        EndBlock();
        return new Statement.With(values, ParseBodyTo("endwith"));
    }

    private Statement.Macro ParseMacro()
    {
        var name = ExpectName();
        ExpectOperator("(");
        var parameters = ParseParameters();
        EndBlock();
        return new Statement.Macro(name, parameters, ParseBodyTo("endmacro"));
    }

    private Statement.CallBlock ParseCall()
    {
        var parameters = TakeOperator("(") ? ParseParameters() : [];
        var token = Current;
        if (ParseExpression() is not Expression.Call call) throw Bad(token, "a call block calls nothing");
        EndBlock();
        return new Statement.CallBlock(call, new Statement.Macro("caller", parameters, ParseBodyTo("endcall")));
    }

    private List<(string, Expression?)> ParseParameters()
    {
        var parameters = new List<(string, Expression?)>();
        while (!TakeOperator(")"))
        {
            var name = ExpectName();
            parameters.Add((name, TakeOperator("=") ? ParseExpression() : null));
            if (!IsOperator(")")) ExpectOperator(",");
        }

        return parameters;
    }

    private Statement[] ParseBodyTo(string end)
    {
        var body = ParseBody();
        Expect(TokenKind.BlockBegin);
        ExpectName(end);
        EndBlock();
        return body;
    }

    /// <summary>What may be assigned to: a name, an attribute of one (of a namespace), or a tuple of names.</summary>
    private Expression ParseTarget()
    {
        var items = new List<Expression>();
        var closes = TakeOperator("(");
        do
        {
            Expression target = new Expression.Name(ExpectName());
            if (TakeOperator(".")) target = new Expression.Attribute(target, ExpectName());
            items.Add(target);
        }
        while (TakeOperator(",") && Current.Kind == TokenKind.Name && !IsName("in"));

        if (closes) ExpectOperator(")");
        return items.Count == 1 ? items[0] : new Expression.ListLiteral(items, IsTuple: true);
    }

    private Expression ParseTupleUntil(TokenKind end, bool conditional = true)
    {
        var first = conditional ? ParseExpression() : ParseOr();
        if (!IsOperator(",")) return first;
        var items = new List<Expression> { first };
        while (TakeOperator(",") && Current.Kind != end) items.Add(conditional ? ParseExpression() : ParseOr());
        return new Expression.ListLiteral(items, IsTuple: true);
    }

    private Token Next()
    {
        var token = _tokens[_position];
        if (_position < _tokens.Count - 1) _position++;
        return token;
    }

    private bool IsName(string value) => Current.Kind == TokenKind.Name && Current.Value == value;

    private bool IsOperator(string value) => Current.Kind == TokenKind.Operator && Current.Value == value;

    private bool TakeName(string value) => Take(IsName(value));

    private bool TakeOperator(string value) => Take(IsOperator(value));

    private bool Take(bool matches)
    {
        if (matches) _position++;
        return matches;
    }

    private void EndBlock() => Expect(TokenKind.BlockEnd);

    private Token Expect(TokenKind kind)
    {
        var token = Next();
        return token.Kind == kind ? token : throw Bad(token, $"{kind} is expected, not {token.Kind} '{token.Value}'");
    }

    private string ExpectName() => Expect(TokenKind.Name).Value;

    private void ExpectName(string value)
    {
        var token = Next();
        if (token.Kind != TokenKind.Name || token.Value != value) throw Bad(token, $"'{value}' is expected, not '{token.Value}'");
    }

    private void ExpectOperator(string value)
    {
        var token = Next();
        if (token.Kind != TokenKind.Operator || token.Value != value) throw Bad(token, $"'{value}' is expected, not '{token.Value}'");
    }

    private Nesting Nest()
    {
        if (++_depth > TemplateLimits.MaxSyntaxDepth) throw Bad(Current, $"it is nested deeper than {TemplateLimits.MaxSyntaxDepth} levels");
        return new Nesting(this);
    }

    private static ChatTemplateException Bad(Token token, string what) => ChatTemplateException.Malformed(token.Line, what);

    private readonly ref struct Nesting(TemplateParser parser)
    {
        public void Dispose() => parser._depth--;
    }
}
