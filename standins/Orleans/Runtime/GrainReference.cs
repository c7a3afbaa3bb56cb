using System.Diagnostics.CodeAnalysis;

namespace Orleans.Runtime;

/// <summary>A grain or observer to call. Interface methods are in a class emitted per interface (<see cref="ProxyFactory"/>).</summary>
public class GrainReference : IAddressable, IEquatable<GrainReference>
{
    internal GrainReference(RuntimeClient client, InterfaceDescriptor @interface, GrainId grainId)
    {
        Client = client;
        Interface = @interface;
        GrainId = grainId;
    }

    public GrainId GrainId { get; }

    public GrainInterfaceType InterfaceType => Interface.InterfaceType;

    public virtual string InterfaceName => Interface.Type.FullName!;

    internal RuntimeClient Client { get; }

    internal InterfaceDescriptor Interface { get; }

    public virtual TGrainInterface Cast<TGrainInterface>()
        where TGrainInterface : IAddressable => (TGrainInterface)CastTo(typeof(TGrainInterface));

    public uint GetUniformHashCode() => GrainId.GetUniformHashCode();

    public bool Equals(GrainReference? other) => other is not null && GrainId == other.GrainId;

    public override bool Equals(object? obj) => Equals(obj as GrainReference);

    public override int GetHashCode() => GrainId.GetHashCode();

    public static bool operator ==(GrainReference? reference1, GrainReference? reference2) => reference1?.Equals(reference2) ?? reference2 is null;

    public static bool operator !=(GrainReference? reference1, GrainReference? reference2) => !(reference1 == reference2);

    public sealed override string ToString() => $"GrainReference:{GrainId}:{Interface.InterfaceType}";

    internal object CastTo(Type interfaceType) => interfaceType.IsInstanceOfType(this) ? this : Client.Bind(interfaceType, GrainId);

    // Called by emitted code, one per kind of return type.
    internal Task CallTask(int method, object?[] arguments) => Client.Send<VoidResult>(this, Interface.Methods[method], arguments);

    internal Task<T> CallTaskOf<T>(int method, object?[] arguments) => Client.Send<T>(this, Interface.Methods[method], arguments);

    internal ValueTask CallValueTask(int method, object?[] arguments) => new(Client.Send<VoidResult>(this, Interface.Methods[method], arguments));

    internal ValueTask<T> CallValueTaskOf<T>(int method, object?[] arguments) => new(Client.Send<T>(this, Interface.Methods[method], arguments));

    internal void CallVoid(int method, object?[] arguments) => _ = Client.Send<VoidResult>(this, Interface.Methods[method], arguments);

    internal IAsyncEnumerable<T> CallStream<T>(int method, object?[] arguments) => new StreamRequest<T>(this, (StreamMethod<T>)Interface.Methods[method], arguments);
}

/// <summary>Makes references that belong to one silo or client.</summary>
internal interface IReferenceBinder
{
    GrainReference Bind(Type interfaceType, GrainId grainId);
}

/// <summary>The result of a method without one.</summary>
[SuppressMessage("Performance", "CA1815", Justification = "It has no content.")]
internal readonly struct VoidResult
{
    public static ValueTask<VoidResult> From(Task task) => task.IsCompletedSuccessfully ? default : Await(task);

    public static ValueTask<VoidResult> From(ValueTask task) => task.IsCompletedSuccessfully ? default : Await(task.AsTask());

    private static async ValueTask<VoidResult> Await(Task task)
    {
        await task;
        return default;
    }
}
