using Orleans.Runtime;

namespace Orleans.Storage;

/// <summary>The stored state is not the one that was read.</summary>
[GenerateSerializer]
public class InconsistentStateException : OrleansException
{
    public InconsistentStateException(string message)
        : base(message)
    {
    }

    public InconsistentStateException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}

/// <summary>A grain asks for a storage that was not configured.</summary>
[GenerateSerializer]
public class BadProviderConfigException : OrleansException
{
    public BadProviderConfigException(string msg)
        : base(msg)
    {
    }

    public BadProviderConfigException(string msg, Exception exc)
        : base(msg, exc)
    {
    }
}
