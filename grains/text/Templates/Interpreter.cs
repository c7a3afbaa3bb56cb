using System.Text;

namespace Granary.Text.Templates;

/// <summary>Runs one rendering of a template: statements, scopes and the bounds on both.</summary>
internal sealed partial class Interpreter
{
    private const long StepsBetweenTimeChecks = 1 << 16;

    private enum Flow { Next, Break, Continue }

    private readonly TimeProvider _time;
    private StringBuilder _output = new();
    private long _steps;
    private int _calls;
    private int _depth;
    private int _line = 1;
    private long _nextTimeCheck = StepsBetweenTimeChecks;
    private readonly long _started;

    private readonly long _maxSteps;

    private Interpreter(TimeProvider time, long maxSteps)
    {
        _time = time;
        _maxSteps = maxSteps;
        _started = time.GetTimestamp();
    }

    public static string Render(Statement[] body, IReadOnlyDictionary<string, object?> variables, TimeProvider time, long maxSteps = TemplateLimits.MaxSteps)
    {
        var interpreter = new Interpreter(time, maxSteps);
        var globals = new Scope(null);
        foreach (var (name, value) in interpreter.Globals()) globals.Set(name, value);
        foreach (var (name, value) in variables) globals.Set(name, value);
        try
        {
            interpreter.Run(body, new Scope(globals));
            return interpreter._output.ToString();
        }
        catch (ChatTemplateException exception)
        {
            throw exception.At(interpreter._line);
        }
    }

    /// <summary>Counts work; the bound makes every template end.</summary>
    internal void Step(long count = 1)
    {
        _steps += count;
        if (_steps > _maxSteps) throw Failed($"it took more than {_maxSteps} steps");
        if (_steps < _nextTimeCheck) return;
        _nextTimeCheck = _steps + StepsBetweenTimeChecks;
        if (_time.GetElapsedTime(_started) > TemplateLimits.MaxTime) throw Failed($"it took longer than {TemplateLimits.MaxTime.TotalSeconds:0} s");
    }

    private Flow Run(Statement[] body, Scope scope)
    {
        foreach (var statement in body)
        {
            Step();
            if (statement.Line > 0) _line = statement.Line;
            if (Run(statement, scope) is not Flow.Next and var flow) return flow;
        }

        return Flow.Next;
    }

    private Flow Run(Statement statement, Scope scope)
    {
        switch (statement)
        {
            case Statement.Text text:
                Emit(text.Value);
                return Flow.Next;
            case Statement.Print print:
                Emit(ToText(Evaluate(print.Value, scope)));
                return Flow.Next;
            case Statement.If branch:
                foreach (var (condition, body) in branch.Branches)
                {
                    if (ValueOperations.IsTrue(Evaluate(condition, scope))) return Run(body, scope);
                }

                return Run(branch.Otherwise, scope);
            case Statement.For loop:
                RunLoop(loop, ValueOperations.Items(Evaluate(loop.Items, scope)), scope, depth: 0);
                return Flow.Next;
            case Statement.Set set:
                Assign(set.Target, Evaluate(set.Value, scope), scope);
                return Flow.Next;
            case Statement.SetBlock set:
                Assign(set.Target, Filtered(set.Filters, Capture(set.Body, new Scope(scope)), scope), scope);
                return Flow.Next;
            case Statement.FilterBlock filter:
                Emit(ToText(Filtered(filter.Filters, Capture(filter.Body, new Scope(scope)), scope)));
                return Flow.Next;
            case Statement.With with:
                var inner = new Scope(scope);
                foreach (var (target, value) in with.Values) Assign(target, Evaluate(value, scope), inner);
                return Run(with.Body, inner);
            case Statement.Macro macro:
                scope.Set(macro.Name, MakeMacro(macro, scope, null));
                return Flow.Next;
            case Statement.CallBlock call:
                Emit(ToText(EvaluateCall(call.Target, scope, MakeMacro(call.Caller, scope, null))));
                return Flow.Next;
            case Statement.Block block:
                return Run(block.Body, scope);
            case Statement.Break:
                return Flow.Break;
            case Statement.Continue:
                return Flow.Continue;
            default:
                throw new InvalidOperationException($"The statement {statement.GetType().Name} has no meaning.");
        }
    }

    private void RunLoop(Statement.For loop, IReadOnlyList<object?> items, Scope scope, int depth)
    {
        if (depth > TemplateLimits.MaxDepth) throw ValueOperations.TooDeep();
        if (loop.Condition is not null)
        {
            var kept = new List<object?>();
            foreach (var item in items)
            {
                Step();
                var test = new Scope(scope);
                Assign(loop.Target, item, test);
                if (ValueOperations.IsTrue(Evaluate(loop.Condition, test))) kept.Add(item);
            }

            items = kept;
        }

        if (items.Count == 0)
        {
            Run(loop.Otherwise, new Scope(scope));
            return;
        }

        var state = new LoopState(this, items, depth);
        if (loop.Recursive) state.Recurse = value => Captured(() => RunLoop(loop, ValueOperations.Items(value), scope, depth + 1));
        for (var index = 0; index < items.Count; index++)
        {
            Step();
            state.Index = index;
            var inner = new Scope(scope);
            inner.Set("loop", state);
            Assign(loop.Target, items[index], inner);
            if (Run(loop.Body, inner) == Flow.Break) break;
        }
    }

    private FunctionValue MakeMacro(Statement.Macro macro, Scope definition, object? outerCaller) => new(macro.Name, arguments =>
    {
        if (++_calls > TemplateLimits.MaxDepth) throw ValueOperations.TooDeep();
        try
        {
            var scope = new Scope(definition);
            if (arguments.Named.Remove("caller", out var caller)) scope.Set("caller", caller);
            else if (outerCaller is not null) scope.Set("caller", outerCaller);
            BindParameters(macro, arguments, scope);
            return Capture(macro.Body, scope);
        }
        finally
        {
            _calls--;
        }
    });

    private void BindParameters(Statement.Macro macro, CallArguments arguments, Scope scope)
    {
        for (var index = 0; index < macro.Parameters.Count; index++)
        {
            var (name, otherwise) = macro.Parameters[index];
            if (arguments.TryGet(index, name, out var value))
            {
                if (index >= arguments.Positional.Count) arguments.Named.Remove(name);
            }
            else
            {
                value = otherwise is null ? new UndefinedValue(name) : Evaluate(otherwise, scope);
            }

            scope.Set(name, value);
        }

        scope.Set("varargs", new ListValue([.. arguments.Positional.Skip(macro.Parameters.Count)], isTuple: true));
        var rest = new DictionaryValue();
        foreach (var (name, value) in arguments.Named) rest.Set(name, value);
        scope.Set("kwargs", rest);
    }

    private void Assign(Expression target, object? value, Scope scope)
    {
        switch (target)
        {
            case Expression.Name name:
                scope.Set(name.Value, value);
                break;
            case Expression.Attribute attribute:
                if (Evaluate(attribute.Target, scope) is not NamespaceValue space) throw Failed("only attributes of a namespace can be set");
                space.Attributes[attribute.Key] = value;
                break;
            case Expression.ListLiteral tuple:
                var items = ValueOperations.Items(value);
                if (items.Count != tuple.Items.Count) throw Failed($"{items.Count} values cannot be unpacked into {tuple.Items.Count} names");
                for (var index = 0; index < items.Count; index++) Assign(tuple.Items[index], items[index], scope);
                break;
            default:
                throw Failed("that cannot be assigned to");
        }
    }

    private object? Filtered(IReadOnlyList<Expression.Filter> filters, object? value, Scope scope)
    {
        foreach (var filter in filters) value = ApplyFilter(filter.Key, value, Evaluate(filter.Key, filter.Arguments, scope));
        return value;
    }

    private string Capture(Statement[] body, Scope scope) => Captured(() => Run(body, scope));

    private string Captured(Action run)
    {
        var outer = _output;
        _output = new StringBuilder();
        try
        {
            run();
            return _output.ToString();
        }
        finally
        {
            _output = outer;
        }
    }

    /// <summary>A value as text; what it takes to write it counts as work.</summary>
    internal string ToText(object? value)
    {
        Step(ValueOperations.Weight(value));
        var text = ValueOperations.ToText(value);
        if (value is not string) Step(text.Length / 16);
        return text;
    }

    /// <summary>Whether two values are equal; looking through them counts as work.</summary>
    internal bool AreEqual(object? left, object? right)
    {
        Step(Math.Min(ValueOperations.Weight(left), ValueOperations.Weight(right)));
        return ValueOperations.AreEqual(left, right);
    }

    /// <summary>The order of two values; looking through them counts as work.</summary>
    internal int Compare(object? left, object? right)
    {
        Step(Math.Min(ValueOperations.Weight(left), ValueOperations.Weight(right)));
        return ValueOperations.Compare(left, right);
    }

    private void Emit(string text)
    {
        Step(text.Length / 16);
        if (_output.Length + text.Length > TemplateLimits.MaxOutputLength) throw ValueOperations.TooLong();
        _output.Append(text);
    }

    internal static ChatTemplateException Failed(string what) => ChatTemplateException.Failed(what);

    /// <summary>The names that one block defines, within those of the block around it.</summary>
    internal sealed class Scope(Scope? parent)
    {
        private readonly Dictionary<string, object?> _values = new(StringComparer.Ordinal);

        public void Set(string name, object? value) => _values[name] = value;

        /// <param name="hops">How many blocks outwards the name was looked for.</param>
        public object? Get(string name, out int hops)
        {
            hops = 0;
            for (var scope = this; scope is not null; scope = scope.Parent, hops++)
            {
                if (scope._values.TryGetValue(name, out var value)) return value;
            }

            return new UndefinedValue(name);
        }

        private Scope? Parent { get; } = parent;
    }

    /// <summary>What <c>loop</c> means inside a loop.</summary>
    internal sealed class LoopState(Interpreter interpreter, IReadOnlyList<object?> items, int depth)
    {
        private object? _changed = Unset;
        private static readonly object Unset = new();

        public int Index { get; set; }
        public Func<object?, string>? Recurse { get; set; }

        public object? Get(string name) => name switch
        {
            "index" => Index + 1L,
            "index0" => (long)Index,
            "revindex" => (long)items.Count - Index,
            "revindex0" => (long)items.Count - Index - 1,
            "first" => Index == 0,
            "last" => Index == items.Count - 1,
            "length" => (long)items.Count,
            "depth" => depth + 1L,
            "depth0" => (long)depth,
            "previtem" => Index > 0 ? items[Index - 1] : new UndefinedValue("previtem"),
            "nextitem" => Index + 1 < items.Count ? items[Index + 1] : new UndefinedValue("nextitem"),
            "cycle" => new FunctionValue("cycle", arguments => arguments.Positional.Count > 0
                ? arguments.Positional[Index % arguments.Positional.Count]
                : throw arguments.Bad("has nothing to cycle through")),
            "changed" => new FunctionValue("changed", arguments =>
            {
                var now = new ListValue([.. arguments.Positional], isTuple: true);
                if (interpreter.AreEqual(_changed, now)) return false;
                _changed = now;
                return true;
            }),
            _ => new UndefinedValue(name),
        };
    }
}
