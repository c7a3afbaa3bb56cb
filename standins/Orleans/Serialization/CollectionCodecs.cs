using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Orleans.Serialization;

internal sealed class ArrayCodec<T> : Codec<T[]>
{
    private readonly Codec<T> _item = Codecs.Slot<T>();

    // Bytes of numbers are what they are; elements with references go one by one.
    private static readonly bool IsRaw = !RuntimeHelpers.IsReferenceOrContainsReferences<T>() && typeof(T).IsPrimitive;

    public override bool IsImmutable => false;

    public override void Write(MessageWriter writer, T[] value)
    {
        writer.WriteVarUInt((ulong)value.Length);
        if (IsRaw)
        {
            writer.WriteBytes(RawBytes(value));
            return;
        }

        foreach (var item in value) _item.Write(writer, item);
    }

    public override T[] Read(MessageReader reader)
    {
        var count = reader.ReadCount();
        if (count == 0) return [];
        var array = new T[count];
        if (IsRaw)
        {
            var bytes = RawBytes(array);
            reader.ReadBytes(bytes.Length).CopyTo(bytes);
            return array;
        }

        for (var i = 0; i < count; i++) array[i] = _item.Read(reader);
        return array;
    }

    public override T[] Copy(T[] value)
    {
        var copy = (T[])value.Clone();
        if (!_item.IsImmutable)
        {
            for (var i = 0; i < copy.Length; i++) copy[i] = _item.Copy(copy[i]);
        }

        return copy;
    }

    private static Span<byte> RawBytes(T[] array) =>
        MemoryMarshal.CreateSpan(ref Unsafe.As<T, byte>(ref MemoryMarshal.GetArrayDataReference(array)), checked(array.Length * Unsafe.SizeOf<T>()));
}

/// <summary>A collection, as its items.</summary>
internal abstract class ItemsCodec<TCollection, T> : Codec<TCollection>
{
    protected Codec<T> Item { get; } = Codecs.Slot<T>();

    public override bool IsImmutable => false;

    public sealed override void Write(MessageWriter writer, TCollection value)
    {
        writer.WriteVarUInt((ulong)Count(value));
        foreach (var item in Items(value)) Item.Write(writer, item);
    }

    public sealed override TCollection Read(MessageReader reader)
    {
        var items = new T[reader.ReadCount()];
        for (var i = 0; i < items.Length; i++) items[i] = Item.Read(reader);
        return Make(items, default);
    }

    public override TCollection Copy(TCollection value)
    {
        var items = Items(value).ToArray();
        if (!Item.IsImmutable)
        {
            for (var i = 0; i < items.Length; i++) items[i] = Item.Copy(items[i]);
        }

        return Make(items, value);
    }

    protected abstract int Count(TCollection value);

    protected abstract IEnumerable<T> Items(TCollection value);

    protected abstract TCollection Make(T[] items, TCollection? original);
}

internal sealed class ListCodec<T> : ItemsCodec<List<T>, T>
{
    protected override int Count(List<T> value) => value.Count;

    protected override IEnumerable<T> Items(List<T> value) => value;

    protected override List<T> Make(T[] items, List<T>? original) => [.. items];
}

internal sealed class QueueCodec<T> : ItemsCodec<Queue<T>, T>
{
    protected override int Count(Queue<T> value) => value.Count;

    protected override IEnumerable<T> Items(Queue<T> value) => value;

    protected override Queue<T> Make(T[] items, Queue<T>? original) => new(items);
}

/// <summary>Comparers do not travel: they are kept in a copy only.</summary>
internal sealed class HashSetCodec<T> : ItemsCodec<HashSet<T>, T>
{
    protected override int Count(HashSet<T> value) => value.Count;

    protected override IEnumerable<T> Items(HashSet<T> value) => value;

    protected override HashSet<T> Make(T[] items, HashSet<T>? original) => new(items, original?.Comparer);
}

internal sealed class DictionaryCodec<TKey, TValue> : ItemsCodec<Dictionary<TKey, TValue>, KeyValuePair<TKey, TValue>>
    where TKey : notnull
{
    protected override int Count(Dictionary<TKey, TValue> value) => value.Count;

    protected override IEnumerable<KeyValuePair<TKey, TValue>> Items(Dictionary<TKey, TValue> value) => value;

    protected override Dictionary<TKey, TValue> Make(KeyValuePair<TKey, TValue>[] items, Dictionary<TKey, TValue>? original) => new(items, original?.Comparer);
}

internal sealed class ImmutableListCodec<T> : ItemsCodec<ImmutableList<T>, T>
{
    public override bool IsImmutable => Item.IsImmutable;

    protected override int Count(ImmutableList<T> value) => value.Count;

    protected override IEnumerable<T> Items(ImmutableList<T> value) => value;

    protected override ImmutableList<T> Make(T[] items, ImmutableList<T>? original) => [.. items];
}

internal sealed class ImmutableHashSetCodec<T> : ItemsCodec<ImmutableHashSet<T>, T>
{
    public override bool IsImmutable => Item.IsImmutable;

    protected override int Count(ImmutableHashSet<T> value) => value.Count;

    protected override IEnumerable<T> Items(ImmutableHashSet<T> value) => value;

    protected override ImmutableHashSet<T> Make(T[] items, ImmutableHashSet<T>? original) => [.. items];
}

internal sealed class ImmutableDictionaryCodec<TKey, TValue> : ItemsCodec<ImmutableDictionary<TKey, TValue>, KeyValuePair<TKey, TValue>>
    where TKey : notnull
{
    public override bool IsImmutable => Item.IsImmutable;

    protected override int Count(ImmutableDictionary<TKey, TValue> value) => value.Count;

    protected override IEnumerable<KeyValuePair<TKey, TValue>> Items(ImmutableDictionary<TKey, TValue> value) => value;

    protected override ImmutableDictionary<TKey, TValue> Make(KeyValuePair<TKey, TValue>[] items, ImmutableDictionary<TKey, TValue>? original) =>
        items.ToImmutableDictionary();
}

internal sealed class ImmutableArrayCodec<T> : Codec<ImmutableArray<T>>
{
    private readonly Codec<T> _item = Codecs.Slot<T>();
    private readonly ArrayCodec<T> _array = new();

    public override bool IsImmutable => _item.IsImmutable;

    public override void Write(MessageWriter writer, ImmutableArray<T> value)
    {
        writer.WriteByte(value.IsDefault ? (byte)0 : (byte)1);
        if (!value.IsDefault) _array.Write(writer, ImmutableCollectionsMarshal.AsArray(value)!);
    }

    public override ImmutableArray<T> Read(MessageReader reader) =>
        reader.ReadByte() == 0 ? default : ImmutableCollectionsMarshal.AsImmutableArray(_array.Read(reader));

    public override ImmutableArray<T> Copy(ImmutableArray<T> value) =>
        value.IsDefault ? value : ImmutableCollectionsMarshal.AsImmutableArray(_array.Copy(ImmutableCollectionsMarshal.AsArray(value)!));
}

internal sealed class ReadOnlyMemoryCodec<T> : Codec<ReadOnlyMemory<T>>
{
    private readonly ArrayCodec<T> _array = new();

    public override bool IsImmutable => false;

    public override void Write(MessageWriter writer, ReadOnlyMemory<T> value) => _array.Write(writer, value.ToArray());

    public override ReadOnlyMemory<T> Read(MessageReader reader) => _array.Read(reader);

    public override ReadOnlyMemory<T> Copy(ReadOnlyMemory<T> value) => _array.Copy(value.ToArray());
}

internal sealed class MemoryCodec<T> : Codec<Memory<T>>
{
    private readonly ArrayCodec<T> _array = new();

    public override bool IsImmutable => false;

    public override void Write(MessageWriter writer, Memory<T> value) => _array.Write(writer, value.ToArray());

    public override Memory<T> Read(MessageReader reader) => _array.Read(reader);

    public override Memory<T> Copy(Memory<T> value) => _array.Copy(value.ToArray());
}

internal sealed class NullableCodec<T> : Codec<T?>
    where T : struct
{
    private readonly Codec<T> _value = Codecs.Slot<T>();

    public override bool IsImmutable => _value.IsImmutable;

    public override void Write(MessageWriter writer, T? value)
    {
        writer.WriteByte(value.HasValue ? (byte)1 : (byte)0);
        if (value.HasValue) _value.Write(writer, value.Value);
    }

    public override T? Read(MessageReader reader) => reader.ReadByte() == 0 ? null : _value.Read(reader);

    public override T? Copy(T? value) => value.HasValue ? _value.Copy(value.Value) : null;
}

internal sealed class KeyValuePairCodec<TKey, TValue> : Codec<KeyValuePair<TKey, TValue>>
{
    private readonly Codec<TKey> _key = Codecs.Slot<TKey>();
    private readonly Codec<TValue> _value = Codecs.Slot<TValue>();

    public override bool IsImmutable => _key.IsImmutable && _value.IsImmutable;

    public override void Write(MessageWriter writer, KeyValuePair<TKey, TValue> value)
    {
        _key.Write(writer, value.Key);
        _value.Write(writer, value.Value);
    }

    public override KeyValuePair<TKey, TValue> Read(MessageReader reader) => new(_key.Read(reader), _value.Read(reader));

    public override KeyValuePair<TKey, TValue> Copy(KeyValuePair<TKey, TValue> value) => new(_key.Copy(value.Key), _value.Copy(value.Value));
}
