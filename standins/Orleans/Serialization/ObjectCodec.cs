using System.Reflection;
using System.Reflection.Emit;
using System.Runtime.CompilerServices;

namespace Orleans.Serialization;

/// <summary>An object by its members.</summary>
internal sealed class ObjectCodec<T> : Codec<T>
{
    [ThreadStatic]
    private static int _depth;

    private readonly Lazy<Member<T>[]> _members;
    private readonly Lazy<bool> _isImmutable;
    private readonly Func<T> _create;

    public ObjectCodec(FieldInfo[] fields, bool immutable)
    {
        // Late, because a type may contain itself.
        _members = new(() => [.. fields.Select(MakeMember)]);
        _isImmutable = new(() => immutable || (typeof(T).IsValueType && _members.Value.All(member => member.IsImmutable)));
        _create = MakeCreate();
    }

    public override bool IsImmutable => _isImmutable.Value;

    public override void Write(MessageWriter writer, T value)
    {
        foreach (var member in _members.Value) member.Write(writer, ref value);
    }

    public override T Read(MessageReader reader)
    {
        var value = _create();
        ReadInto(reader, ref value);
        return value;
    }

    public void ReadInto(MessageReader reader, ref T value)
    {
        foreach (var member in _members.Value) member.Read(reader, ref value);
    }

    public override T Copy(T value)
    {
        if (IsImmutable) return value;
        if (++_depth > MessageWriter.MaxDepth)
        {
            _depth = 0;
            throw new SerializerException($"{typeof(T)}: the object graph is more than {MessageWriter.MaxDepth} objects deep, or cyclic.");
        }

        var copy = _create();
        foreach (var member in _members.Value) member.Copy(ref value, ref copy);
        _depth--;
        return copy;
    }

    private static Func<T> MakeCreate()
    {
        if (typeof(T).IsValueType) return static () => default!;
        const BindingFlags Any = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic;
        if (!typeof(T).IsAbstract && typeof(T).GetConstructor(Any, Type.EmptyTypes) is { } constructor && !typeof(Exception).IsAssignableFrom(typeof(T)))
        {
            var method = new DynamicMethod("Create", typeof(T), Type.EmptyTypes, typeof(T), skipVisibility: true);
            var il = method.GetILGenerator();
            il.Emit(OpCodes.Newobj, constructor);
            il.Emit(OpCodes.Ret);
            return method.CreateDelegate<Func<T>>();
        }

        return static () => (T)RuntimeHelpers.GetUninitializedObject(typeof(T));
    }

    private static Member<T> MakeMember(FieldInfo field) =>
        (Member<T>)Activator.CreateInstance(typeof(Member<,>).MakeGenericType(typeof(T), field.FieldType), field)!;
}

internal abstract class Member<T>
{
    public abstract bool IsImmutable { get; }

    public abstract void Write(MessageWriter writer, ref T instance);

    public abstract void Read(MessageReader reader, ref T instance);

    public abstract void Copy(ref T from, ref T to);
}

/// <summary>One field, reached without boxing and past its visibility.</summary>
internal sealed class Member<T, TField> : Member<T>
{
    private readonly FieldReference _field;
    private readonly Codec<TField> _codec = Codecs.Slot<TField>();
    private readonly bool _shallow;

    public Member(FieldInfo field)
    {
        var property = field.Name.StartsWith('<') ? field.DeclaringType!.GetProperty(field.Name[1..field.Name.IndexOf('>', StringComparison.Ordinal)],
            BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly) : null;
        _shallow = ((MemberInfo?)property ?? field).GetCustomAttribute<ImmutableAttribute>() is not null;
        var method = new DynamicMethod("Ref" + field.Name, typeof(TField).MakeByRefType(), [typeof(T).MakeByRefType()], typeof(T), skipVisibility: true);
        var il = method.GetILGenerator();
        il.Emit(OpCodes.Ldarg_0);
        if (!typeof(T).IsValueType) il.Emit(OpCodes.Ldind_Ref);
        il.Emit(OpCodes.Ldflda, field);
        il.Emit(OpCodes.Ret);
        _field = method.CreateDelegate<FieldReference>();
    }

    private delegate ref TField FieldReference(ref T instance);

    public override bool IsImmutable => _shallow || _codec.IsImmutable;

    public override void Write(MessageWriter writer, ref T instance) => _codec.Write(writer, _field(ref instance));

    public override void Read(MessageReader reader, ref T instance) => _field(ref instance) = _codec.Read(reader);

    public override void Copy(ref T from, ref T to)
    {
        var value = _field(ref from);
        _field(ref to) = IsImmutable ? value : _codec.Copy(value);
    }
}
