namespace Orleans.Serialization;

/// <summary>Copies values of one type, and writes them to messages and back.</summary>
internal abstract class Codec
{
    /// <summary>Nobody can change such a value, or everybody promised not to: it is passed as it is within a silo.</summary>
    public abstract bool IsImmutable { get; }

    public abstract void WriteBoxed(MessageWriter writer, object value);

    public abstract object ReadBoxed(MessageReader reader);

    public abstract object CopyBoxed(object value);
}

internal abstract class Codec<T> : Codec
{
    public abstract void Write(MessageWriter writer, T value);

    public abstract T Read(MessageReader reader);

    public abstract T Copy(T value);

    public sealed override void WriteBoxed(MessageWriter writer, object value) => Write(writer, (T)value);

    public sealed override object ReadBoxed(MessageReader reader) => Read(reader)!;

    public sealed override object CopyBoxed(object value) => IsImmutable ? value : Copy((T)value)!;
}

/// <summary>A codec of values that cannot change.</summary>
internal abstract class ImmutableCodec<T> : Codec<T>
{
    public sealed override bool IsImmutable => true;

    public sealed override T Copy(T value) => value;
}

/// <summary>Two delegates make a codec.</summary>
internal sealed class LambdaCodec<T>(Action<MessageWriter, T> write, Func<MessageReader, T> read) : ImmutableCodec<T>
{
    public override void Write(MessageWriter writer, T value) => write(writer, value);

    public override T Read(MessageReader reader) => read(reader);
}

/// <summary>Numbers, enums and other values without references, by their bytes.</summary>
internal sealed class RawCodec<T> : ImmutableCodec<T>
    where T : unmanaged
{
    public override void Write(MessageWriter writer, T value) => writer.WriteRaw(value);

    public override T Read(MessageReader reader) => reader.ReadRaw<T>();
}

/// <summary>A place whose values are of exactly its type, or null.</summary>
internal sealed class SealedSlotCodec<T>(Codec<T> exact) : Codec<T>
    where T : class
{
    public override bool IsImmutable => exact.IsImmutable;

    public override void Write(MessageWriter writer, T value)
    {
        writer.WriteByte(value is null ? (byte)0 : (byte)1);
        if (value is null) return;
        writer.Enter(typeof(T));
        exact.Write(writer, value);
        writer.Leave();
    }

    public override T Read(MessageReader reader) => reader.ReadByte() == 0 ? null! : exact.Read(reader);

    public override T Copy(T value) => value is null ? null! : exact.Copy(value);
}

/// <summary>A place whose values may be of derived types: the type goes first.</summary>
internal sealed class PolymorphicSlotCodec<T> : Codec<T>
    where T : class
{
    public override bool IsImmutable => false;

    public override void Write(MessageWriter writer, T value)
    {
        if (value is null)
        {
            writer.WriteVarUInt(0);
            return;
        }

        var type = Codecs.WireType(value);
        var codec = Codecs.Exact(type);
        writer.WriteVarUInt(TypeTable.IdOf(type));
        writer.Enter(type);
        codec.WriteBoxed(writer, value);
        writer.Leave();
    }

    public override T Read(MessageReader reader)
    {
        var id = reader.ReadVarUInt();
        return id == 0 ? null! : (T)Codecs.Exact(TypeTable.TypeOf(id)).ReadBoxed(reader);
    }

    public override T Copy(T value) => value is null ? null! : (T)Codecs.Exact(Codecs.WireType(value)).CopyBoxed(value);
}
