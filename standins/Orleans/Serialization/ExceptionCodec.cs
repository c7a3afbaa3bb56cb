using System.Runtime.CompilerServices;

namespace Orleans.Serialization;

internal static class ExceptionCodec
{
    private static readonly string[] AllowedNamespaces = ["Microsoft", "System", "Azure"];

    /// <summary>The platform's own exceptions travel without an attribute.</summary>
    public static bool IsAllowedByNamespace(Type type) =>
        type.Namespace is { } name && AllowedNamespaces.Any(prefix => name == prefix || name.StartsWith(prefix + ".", StringComparison.Ordinal));

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_message")]
    public static extern ref string? Message(Exception exception);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_innerException")]
    public static extern ref Exception? Inner(Exception exception);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_remoteStackTraceString")]
    public static extern ref string? RemoteStackTrace(Exception exception);
}

/// <summary>An exception: what every exception has, and its marked members. Within a silo the exception itself is passed.</summary>
internal sealed class ExceptionCodec<T> : ImmutableCodec<T>
    where T : Exception
{
    private readonly ObjectCodec<T> _members = new(TypeMembers.Of(typeof(T)), immutable: true);
    private readonly Codec<Exception> _inner = Codecs.Slot<Exception>();

    public override void Write(MessageWriter writer, T value)
    {
        writer.WriteString(ExceptionCodec.Message(value) ?? value.Message);
        writer.WriteString(value.StackTrace ?? "");
        writer.WriteVarInt(value.HResult);
        var inner = value is AggregateException aggregate ? [.. aggregate.InnerExceptions] : value.InnerException is { } one ? new[] { one } : [];
        writer.WriteVarUInt((ulong)inner.Length);
        foreach (var exception in inner) _inner.Write(writer, exception);
        _members.Write(writer, value);
    }

    public override T Read(MessageReader reader)
    {
        var message = reader.ReadString();
        var stackTrace = reader.ReadString();
        var hresult = (int)reader.ReadVarInt();
        var inner = new Exception[reader.ReadCount()];
        for (var i = 0; i < inner.Length; i++) inner[i] = _inner.Read(reader);
        var value = typeof(T) == typeof(AggregateException)
            ? (T)(Exception)new AggregateException(message, inner)
            : (T)RuntimeHelpers.GetUninitializedObject(typeof(T));
        ExceptionCodec.Message(value) = message;
        if (inner.Length > 0) ExceptionCodec.Inner(value) = inner[0];
        if (stackTrace.Length > 0) ExceptionCodec.RemoteStackTrace(value) = stackTrace + Environment.NewLine;
        value.HResult = hresult;
        _members.ReadInto(reader, ref value);
        return value;
    }
}
