using System.Runtime.CompilerServices;

namespace Granary.Text.Templates;

/// <summary>The expression half of the interpreter.</summary>
internal sealed partial class Interpreter
{
    private object? Evaluate(Expression expression, Scope scope)
    {
        Step();
        if (++_depth > TemplateLimits.MaxSyntaxDepth * 4 || !RuntimeHelpers.TryEnsureSufficientExecutionStack())
        {
            throw Failed($"its expressions went deeper than {TemplateLimits.MaxSyntaxDepth * 4} levels");
        }

        try
        {
            return EvaluateCore(expression, scope);
        }
        finally
        {
            _depth--;
        }
    }

    private object? EvaluateCore(Expression expression, Scope scope)
    {
        switch (expression)
        {
            case Expression.Constant constant:
                return constant.Value;
            case Expression.Name name:
                var found = scope.Get(name.Value, out var hops);
                Step(hops / 4);
                return found;
            case Expression.Attribute attribute:
                return Attribute(Evaluate(attribute.Target, scope), attribute.Key);
            case Expression.Item item:
                return Item(Evaluate(item.Target, scope), Evaluate(item.Key, scope));
            case Expression.Slice slice:
                return Sequences.Slice(this, Evaluate(slice.Target, scope), Optional(slice.Start, scope), Optional(slice.Stop, scope), Optional(slice.Step, scope));
            case Expression.Call call:
                return EvaluateCall(call, scope, null);
            case Expression.Filter filter:
                return ApplyFilter(filter.Key, Evaluate(filter.Target!, scope), Evaluate(filter.Key, filter.Arguments, scope));
            case Expression.Test test:
                var subject = Evaluate(test.Target, scope);
                return ApplyTest(test.Key, subject, Evaluate(test.Key, test.Arguments, scope)) != test.Negated;
            case Expression.Unary unary:
                return Arithmetic.Unary(unary.Operator, Evaluate(unary.Operand, scope));
            case Expression.Binary { Operator: "and" } and:
                var left = Evaluate(and.Left, scope);
                return ValueOperations.IsTrue(left) ? Evaluate(and.Right, scope) : left;
            case Expression.Binary { Operator: "or" } or:
                var first = Evaluate(or.Left, scope);
                return ValueOperations.IsTrue(first) ? first : Evaluate(or.Right, scope);
            case Expression.Binary binary:
                return Arithmetic.Binary(this, binary.Operator, Evaluate(binary.Left, scope), Evaluate(binary.Right, scope));
            case Expression.Compare compare:
                return EvaluateCompare(compare, scope);
            case Expression.Conditional conditional:
                if (ValueOperations.IsTrue(Evaluate(conditional.Condition, scope))) return Evaluate(conditional.Then, scope);
                return conditional.Otherwise is null ? new UndefinedValue("the missing else") : Evaluate(conditional.Otherwise, scope);
            case Expression.ListLiteral list:
                return new ListValue([.. list.Items.Select(item => Evaluate(item, scope))], list.IsTuple);
            case Expression.DictionaryLiteral dictionary:
                var result = new DictionaryValue();
                foreach (var (key, value) in dictionary.Items) result.Set(Key(Evaluate(key, scope)), Evaluate(value, scope));
                return result;
            default:
                throw new InvalidOperationException($"The expression {expression.GetType().Name} has no meaning.");
        }
    }

    /// <summary>A value that is used as a key, which is looked through for its hash.</summary>
    internal object? Key(object? value)
    {
        if (value is DictionaryValue or ListValue { IsTuple: false }) throw Failed($"{ValueOperations.TypeName(value)} cannot be a key");
        Step(ValueOperations.Weight(value));
        return value;
    }

    private object? Optional(Expression? expression, Scope scope) => expression is null ? null : Evaluate(expression, scope);

    private bool EvaluateCompare(Expression.Compare compare, Scope scope)
    {
        var left = Evaluate(compare.First, scope);
        foreach (var (op, operand) in compare.Rest)
        {
            var right = Evaluate(operand, scope);
            var holds = op switch
            {
                "==" => AreEqual(left, right),
                "!=" => !AreEqual(left, right),
                "<" => Compare(left, right) < 0,
                "<=" => Compare(left, right) <= 0,
                ">" => Compare(left, right) > 0,
                ">=" => Compare(left, right) >= 0,
                "in" => Sequences.Contains(this, right, left),
                _ => !Sequences.Contains(this, right, left),
            };
            if (!holds) return false;
            left = right;
        }

        return true;
    }

    private object? EvaluateCall(Expression.Call call, Scope scope, object? caller)
    {
        var target = Evaluate(call.Target, scope);
        var arguments = Evaluate(call.Target is Expression.Name name ? name.Value : call.Target is Expression.Attribute attribute ? attribute.Key : "call", call.Arguments, scope);
        if (caller is not null) arguments.Named["caller"] = caller;
        return Invoke(target, arguments);
    }

    private object? Invoke(object? target, CallArguments arguments) => target switch
    {
        FunctionValue function => function.Invoke(arguments),
        LoopState { Recurse: { } recurse } => recurse(arguments.Required(0, "iterable")),
        _ => throw Failed($"{ValueOperations.TypeName(target)} cannot be called"),
    };

    private CallArguments Evaluate(string callee, Arguments arguments, Scope scope)
    {
        if (ReferenceEquals(arguments, Arguments.None)) return new CallArguments(callee, [], new Dictionary<string, object?>(StringComparer.Ordinal));
        var positional = arguments.Positional.Select(item => Evaluate(item, scope)).ToList();
        if (arguments.List is not null) positional.AddRange(ValueOperations.Items(Evaluate(arguments.List, scope)));
        var named = new Dictionary<string, object?>(StringComparer.Ordinal);
        foreach (var (name, value) in arguments.Named) named[name] = Evaluate(value, scope);
        if (arguments.Dictionary is not null && Evaluate(arguments.Dictionary, scope) is DictionaryValue rest)
        {
            foreach (var (key, value) in rest.Entries) named[ToText(key)] = value;
        }

        return new CallArguments(callee, positional, named);
    }

    /// <summary><c>a.b</c>: a method or attribute of the value first, then its key.</summary>
    internal object? Attribute(object? target, string name)
    {
        switch (target)
        {
            case UndefinedValue undefined:
                throw Failed($"'{undefined.Name}' is undefined, so it has no '{name}'");
            case NamespaceValue space:
                return space.Attributes.TryGetValue(name, out var attribute) ? attribute : new UndefinedValue(name);
            case LoopState loop:
                return loop.Get(name);
            case CyclerValue cycler:
                return cycler.Get(name);
            default:
                if (Methods.Find(this, target, name) is { } method) return method;
                return target is DictionaryValue dictionary && dictionary.TryGet(name, out var value) ? value : new UndefinedValue(name);
        }
    }

    /// <summary><c>a[b]</c>: the key or index first, then the attribute of that name.</summary>
    internal object? Item(object? target, object? key)
    {
        Step(ValueOperations.Weight(key));
        switch (target)
        {
            case UndefinedValue undefined:
                throw Failed($"'{undefined.Name}' is undefined, so it has no items");
            case DictionaryValue dictionary when dictionary.TryGet(key, out var value):
                return value;
            case ListValue list when key is long or bool:
                var position = key is long number ? number : (bool)key ? 1 : 0;
                if (position < 0) position += list.Items.Count;
                return position >= 0 && position < list.Items.Count ? list.Items[(int)position] : UndefinedValue.OfKey(key);
            case string or SafeText when key is long index:
                ValueOperations.TryText(target, out var text);
                Step(text.Length / 16);
                return Sequences.CharacterAt(text, index) is { } character ? character : UndefinedValue.OfKey(key);
            default:
                return key is string name ? Attribute(target, name) : UndefinedValue.OfKey(key);
        }
    }
}
