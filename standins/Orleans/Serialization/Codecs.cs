using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Net;
using System.Reflection;
using System.Runtime.CompilerServices;
using Orleans.Runtime;

namespace Orleans.Serialization;

/// <summary>Finds the codec of a type; made once per type.</summary>
internal static class Codecs
{
    private static readonly ConcurrentDictionary<Type, Codec> ExactCodecs = new(WellKnown());
    private static readonly ConcurrentDictionary<Type, Codec> SlotCodecs = new();

    private static readonly Dictionary<Type, Type> Collections = new()
    {
        [typeof(List<>)] = typeof(ListCodec<>),
        [typeof(HashSet<>)] = typeof(HashSetCodec<>),
        [typeof(Queue<>)] = typeof(QueueCodec<>),
        [typeof(Dictionary<,>)] = typeof(DictionaryCodec<,>),
        [typeof(KeyValuePair<,>)] = typeof(KeyValuePairCodec<,>),
        [typeof(Nullable<>)] = typeof(NullableCodec<>),
        [typeof(ReadOnlyMemory<>)] = typeof(ReadOnlyMemoryCodec<>),
        [typeof(Memory<>)] = typeof(MemoryCodec<>),
        [typeof(ImmutableArray<>)] = typeof(ImmutableArrayCodec<>),
        [typeof(ImmutableList<>)] = typeof(ImmutableListCodec<>),
        [typeof(ImmutableHashSet<>)] = typeof(ImmutableHashSetCodec<>),
        [typeof(ImmutableDictionary<,>)] = typeof(ImmutableDictionaryCodec<,>),
    };

    /// <summary>For values in a place declared as <typeparamref name="T"/>: null and derived types are allowed where the type allows them.</summary>
    public static Codec<T> Slot<T>() => (Codec<T>)Slot(typeof(T));

    public static Codec Slot(Type type) => SlotCodecs.GetOrAdd(type, MakeSlot);

    /// <summary>For values of exactly this type.</summary>
    /// <exception cref="CodecNotFoundException">The type is not known and lacks <see cref="GenerateSerializerAttribute"/>.</exception>
    public static Codec Exact(Type type) => ExactCodecs.TryGetValue(type, out var codec) ? codec : ExactCodecs.GetOrAdd(type, MakeExact(type));

    /// <summary>The type a value travels as: references of all kinds travel as one.</summary>
    public static Type WireType(object value) => value switch
    {
        GrainReference => typeof(GrainReference),
        // The runtime's own derived types of public ones.
        Type => typeof(Type),
        IPAddress => typeof(IPAddress),
        _ => value.GetType(),
    };

    private static Codec MakeSlot(Type type)
    {
        if (type.IsValueType) return Exact(type);
        if (type.IsSealed)
        {
            return (Codec)Activator.CreateInstance(typeof(SealedSlotCodec<>).MakeGenericType(type), Exact(type))!;
        }

        return (Codec)Activator.CreateInstance(typeof(PolymorphicSlotCodec<>).MakeGenericType(type))!;
    }

    private static Codec MakeExact(Type type)
    {
        if (type.IsEnum) return Make(typeof(RawCodec<>), type);
        if (type.IsArray && type.GetArrayRank() == 1) return Make(typeof(ArrayCodec<>), type.GetElementType()!);
        if (type.IsGenericType && Collections.TryGetValue(type.GetGenericTypeDefinition(), out var codec)) return Make(codec, type.GetGenericArguments());
        if (typeof(ITuple).IsAssignableFrom(type) && type.IsGenericType && type.Assembly == typeof(object).Assembly)
        {
            return (Codec)Activator.CreateInstance(typeof(ObjectCodec<>).MakeGenericType(type), [TypeMembers.OfTuple(type), false])!;
        }

        var generated = type.GetCustomAttribute<GenerateSerializerAttribute>(inherit: false) is not null;
        if (typeof(Exception).IsAssignableFrom(type) && (generated || ExceptionCodec.IsAllowedByNamespace(type))) return Make(typeof(ExceptionCodec<>), type);
        if (!generated || type.IsAbstract || type.IsInterface)
        {
            throw new CodecNotFoundException($"Could not find a codec for type {type.FullName}.");
        }

        var immutable = type.GetCustomAttribute<ImmutableAttribute>(inherit: false) is not null;
        return (Codec)Activator.CreateInstance(typeof(ObjectCodec<>).MakeGenericType(type), [TypeMembers.Of(type), immutable])!;
    }

    private static Codec Make(Type definition, params Type[] arguments) => (Codec)Activator.CreateInstance(definition.MakeGenericType(arguments))!;

    private static Dictionary<Type, Codec> WellKnown()
    {
        var known = new Dictionary<Type, Codec>();
        Raw<bool>();
        Raw<byte>();
        Raw<sbyte>();
        Raw<char>();
        Raw<short>();
        Raw<ushort>();
        Raw<Half>();
        Raw<float>();
        Raw<double>();
        Raw<decimal>();
        Raw<Guid>();
        Raw<DateTime>();
        Raw<DateTimeOffset>();
        Raw<TimeSpan>();
        Raw<DateOnly>();
        Raw<TimeOnly>();
        Raw<Int128>();
        Raw<UInt128>();
        Add<int>((w, v) => w.WriteVarInt(v), r => (int)r.ReadVarInt());
        Add<long>((w, v) => w.WriteVarInt(v), r => r.ReadVarInt());
        Add<uint>((w, v) => w.WriteVarUInt(v), r => (uint)r.ReadVarUInt());
        Add<ulong>((w, v) => w.WriteVarUInt(v), r => r.ReadVarUInt());
        Add<string>((w, v) => w.WriteString(v), r => r.ReadString());
        Add<Uri>((w, v) => w.WriteString(v.OriginalString), r => new Uri(r.ReadString(), UriKind.RelativeOrAbsolute));
        Add<Version>((w, v) => w.WriteString(v.ToString()), r => Version.Parse(r.ReadString()));
        Add<Type>((w, v) => w.WriteVarUInt(TypeTable.IdOf(v)), r => TypeTable.TypeOf(r.ReadVarUInt()));
        Add<IPAddress>((w, v) => w.WriteString(v.ToString()), r => IPAddress.Parse(r.ReadString()));
        Add<IPEndPoint>((w, v) => w.WriteString(v.ToString()), r => IPEndPoint.Parse(r.ReadString()));
        Add<SiloAddress>((w, v) => w.WriteString(v.ToParsableString()), r => SiloAddress.FromParsableString(r.ReadString()));
        Add<object>((_, _) => { }, _ => new object());
        Add<GrainReference>(
            (w, v) =>
            {
                w.WriteVarUInt(TypeTable.IdOf(v.Interface.Type));
                w.WriteString(v.GrainId.Type.ToString());
                w.WriteString(v.GrainId.Key.ToString());
            },
            r => r.Binder.Bind(TypeTable.TypeOf(r.ReadVarUInt()), GrainId.Create(r.ReadString(), r.ReadString())));
        return known;

        void Raw<T>()
            where T : unmanaged => known[typeof(T)] = new RawCodec<T>();

        void Add<T>(Action<MessageWriter, T> write, Func<MessageReader, T> read) => known[typeof(T)] = new LambdaCodec<T>(write, read);
    }
}
