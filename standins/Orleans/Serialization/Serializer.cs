using Orleans.Runtime;

namespace Orleans.Serialization
{
    /// <summary>Turns values of the silo's types into bytes and back.</summary>
    /// <remarks>A value of another type than its place is named by a number of this process: only what has no such places is read by another process.</remarks>
    public sealed class Serializer
    {
        private readonly IReferenceBinder _binder;

        internal Serializer(IReferenceBinder binder) => _binder = binder;

        public byte[] SerializeToArray<T>(T value)
        {
            var writer = MessageWriter.Rent();
            Codecs.Slot<T>().Write(writer, value);
            return writer.ToMessage();
        }

        public T Deserialize<T>(byte[] source) => Codecs.Slot<T>().Read(new MessageReader(source, _binder));
    }
}

namespace Orleans.Storage
{
    /// <summary>States in Orleans' own binary form.</summary>
    public class OrleansGrainStorageSerializer(Serialization.Serializer serializer) : IGrainStorageSerializer
    {
        public BinaryData Serialize<T>(T input) => new(serializer.SerializeToArray(input));

        public T Deserialize<T>(BinaryData input) => serializer.Deserialize<T>(input.ToArray());
    }
}
