using System.Linq.Expressions;
using System.Reflection;
using Orleans.Concurrency;
using Orleans.Serialization;

namespace Orleans.Runtime;

/// <summary>A method of a grain interface: how it is scheduled, and how its arguments travel.</summary>
internal abstract class MethodDescriptor
{
    private readonly Lazy<Parameter[]> _parameters;

    protected MethodDescriptor(InterfaceDescriptor @interface, MethodInfo method)
    {
        Interface = @interface;
        Method = method;
        AlwaysInterleave = method.GetCustomAttribute<AlwaysInterleaveAttribute>() is not null;
        ReadOnly = method.GetCustomAttribute<ReadOnlyAttribute>() is not null;
        OneWay = method.GetCustomAttribute<OneWayAttribute>() is not null || method.ReturnType == typeof(void);
        ResponseTimeout = method.GetCustomAttribute<ResponseTimeoutAttribute>()?.Timeout;
        ImmutableResult = method.ReturnParameter.GetCustomAttribute<ImmutableAttribute>() is not null;
        TokenIndex = Array.FindIndex(method.GetParameters(), parameter => parameter.ParameterType == typeof(CancellationToken));
        // Late: a parameter nobody can send is an error of the call, not of the interface.
        _parameters = new(() => [.. method.GetParameters().Select(Parameter.Of)]);
    }

    public InterfaceDescriptor Interface { get; }

    public MethodInfo Method { get; }

    public bool AlwaysInterleave { get; }

    public bool ReadOnly { get; }

    public bool OneWay { get; }

    public TimeSpan? ResponseTimeout { get; }

    public bool ImmutableResult { get; }

    /// <summary>Which parameter is the cancellation token, or -1.</summary>
    public int TokenIndex { get; }

    public string Name => $"{Interface.Type.Name}.{Method.Name}";

    public static MethodDescriptor Of(InterfaceDescriptor @interface, MethodInfo method)
    {
        var type = method.ReturnType;
        var definition = type.IsGenericType ? type.GetGenericTypeDefinition() : null;
        if (method.IsGenericMethodDefinition) return new UnsupportedMethod(@interface, method, "generic methods");
        if (type == typeof(Task) || type == typeof(ValueTask) || type == typeof(void)) return new UnaryMethod<VoidResult>(@interface, method);
        if (definition == typeof(Task<>) || definition == typeof(ValueTask<>)) return Make(typeof(UnaryMethod<>));
        if (definition == typeof(IAsyncEnumerable<>)) return Make(typeof(StreamMethod<>));
        return new UnsupportedMethod(@interface, method, $"methods that return {type}");

        MethodDescriptor Make(Type descriptor) =>
            (MethodDescriptor)Instances.Create(descriptor.MakeGenericType(type.GetGenericArguments()), @interface, method)!;
    }

    /// <summary>Copies the caller's arguments, so that neither side sees what the other does to them.</summary>
    public void CopyInPlace(object?[] arguments)
    {
        var parameters = _parameters.Value;
        for (var i = 0; i < parameters.Length; i++)
        {
            if (!parameters[i].PassAsIs && arguments[i] is { } value) arguments[i] = parameters[i].Slot!.CopyValue(value);
        }
    }

    public byte[] Write(object?[] arguments)
    {
        var writer = MessageWriter.Rent();
        var parameters = _parameters.Value;
        for (var i = 0; i < parameters.Length; i++)
        {
            if (parameters[i].Slot is { } slot) slot.Write(writer, arguments[i]);
        }

        return writer.ToMessage();
    }

    public object?[] Read(byte[] message, IReferenceBinder binder)
    {
        var reader = new MessageReader(message, binder);
        var parameters = _parameters.Value;
        var arguments = new object?[parameters.Length];
        for (var i = 0; i < parameters.Length; i++)
        {
            arguments[i] = parameters[i].Slot is { } slot ? slot.Read(reader) : default(CancellationToken);
        }

        return arguments;
    }

    /// <summary>Compiles <c>(target, arguments) => wrap(target.Method(arguments...))</c>; it reaches internal interfaces as well.</summary>
    protected Func<object, object?[], TReturn> CompileInvoker<TReturn>(Func<Expression, Expression> wrap)
    {
        var target = Expression.Parameter(typeof(object));
        var arguments = Expression.Parameter(typeof(object?[]));
        var call = Expression.Call(
            Expression.Convert(target, Method.DeclaringType!),
            Method,
            Method.GetParameters().Select((parameter, i) =>
                Expression.Convert(Expression.ArrayIndex(arguments, Expression.Constant(i)), parameter.ParameterType)));
        return Expression.Lambda<Func<object, object?[], TReturn>>(wrap(call), target, arguments).Compile();
    }

    private sealed record Parameter(ArgumentSlot? Slot, bool PassAsIs)
    {
        public static Parameter Of(ParameterInfo parameter)
        {
            // Tokens do not travel; their firing does.
            if (parameter.ParameterType == typeof(CancellationToken)) return new(null, true);
            var slot = (ArgumentSlot)Instances.Create(typeof(ArgumentSlot<>).MakeGenericType(parameter.ParameterType))!;
            return new(slot, slot.IsImmutable || parameter.GetCustomAttribute<ImmutableAttribute>() is not null);
        }
    }
}

/// <summary>One argument's codec, past its type.</summary>
internal abstract class ArgumentSlot
{
    public abstract bool IsImmutable { get; }

    public abstract object? CopyValue(object value);

    public abstract void Write(MessageWriter writer, object? value);

    public abstract object? Read(MessageReader reader);
}

internal sealed class ArgumentSlot<T> : ArgumentSlot
{
    private readonly Codec<T> _codec = Codecs.Slot<T>();

    public override bool IsImmutable => _codec.IsImmutable;

    public override object? CopyValue(object value) => _codec.Copy((T)value);

    // A pull carries no arguments: the default stands in for a value that cannot be null.
    public override void Write(MessageWriter writer, object? value) => _codec.Write(writer, value is null ? default! : (T)value);

    public override object? Read(MessageReader reader) => _codec.Read(reader);
}

/// <summary>A method with one answer.</summary>
internal sealed class UnaryMethod<T> : MethodDescriptor
{
    private readonly Lazy<Func<object, object?[], ValueTask<T>>> _invoke;
    private readonly Lazy<Codec<T>?> _codec;

    public UnaryMethod(InterfaceDescriptor @interface, MethodInfo method)
        : base(@interface, method)
    {
        _codec = new(() => typeof(T) == typeof(VoidResult) ? null : Codecs.Slot<T>());
        _invoke = new(() => CompileInvoker<ValueTask<T>>(call =>
            call.Type == typeof(void) ? Expression.Block(call, Expression.Default(typeof(ValueTask<T>)))
            : call.Type == typeof(ValueTask<T>) ? call
            : call.Type == typeof(Task<T>) ? Expression.New(typeof(ValueTask<T>).GetConstructor([typeof(Task<T>)])!, call)
            : Expression.Call(typeof(VoidResult).GetMethod(nameof(VoidResult.From), [call.Type])!, call)));
    }

    /// <summary>Null for a method without a result.</summary>
    public Codec<T>? ResultCodec => _codec.Value;

    public ValueTask<T> Invoke(object target, object?[] arguments) => _invoke.Value(target, arguments);
}

/// <summary>A method that answers with a stream.</summary>
internal sealed class StreamMethod<T> : MethodDescriptor
{
    private readonly Lazy<Func<object, object?[], IAsyncEnumerable<T>>> _invoke;
    private readonly Lazy<Codec<T>> _codec = new(Codecs.Slot<T>);

    public StreamMethod(InterfaceDescriptor @interface, MethodInfo method)
        : base(@interface, method) => _invoke = new(() => CompileInvoker<IAsyncEnumerable<T>>(call => call));

    public Codec<T> ItemCodec => _codec.Value;

    public IAsyncEnumerable<T> Invoke(object target, object?[] arguments) => _invoke.Value(target, arguments);
}

/// <summary>A method the stand-in cannot carry; calling it says so.</summary>
internal sealed class UnsupportedMethod(InterfaceDescriptor @interface, MethodInfo method, string what) : MethodDescriptor(@interface, method)
{
    public NotSupportedException Error() => new($"{Name}: the stand-in for Orleans does not carry {what}.");
}
