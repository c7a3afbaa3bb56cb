using Orleans.Runtime;

namespace Orleans.Runtime
{
    /// <summary>Anything that can be called through a reference.</summary>
    public interface IAddressable
    {
    }

    public interface IGrainExtension : IAddressable
    {
    }
}

namespace Orleans
{
    public interface IGrain : IAddressable
    {
    }

    public interface IGrainWithGuidKey : IGrain
    {
    }

    public interface IGrainWithIntegerKey : IGrain
    {
    }

    public interface IGrainWithStringKey : IGrain
    {
    }

    public interface IGrainWithGuidCompoundKey : IGrain
    {
    }

    public interface IGrainWithIntegerCompoundKey : IGrain
    {
    }

    /// <summary>An object of a client or grain that grains can call back; best effort.</summary>
    public interface IGrainObserver : IAddressable
    {
    }
}
