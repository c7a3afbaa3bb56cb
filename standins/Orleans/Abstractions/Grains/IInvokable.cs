using System.Reflection;

namespace Orleans.Serialization.Invocation;

public interface ITargetHolder
{
    object? GetTarget();

    object? GetComponent(Type componentType);
}

/// <summary>A call before it runs, as a <see cref="Concurrency.MayInterleaveAttribute"/> predicate sees it. (The genuine interface has more members.)</summary>
public interface IInvokable
{
    bool IsCancellable { get; }

    object? GetTarget();

    int GetArgumentCount();

    object? GetArgument(int index);

    string GetMethodName();

    string GetInterfaceName();

    string GetActivityName();

    MethodInfo GetMethod();

    Type GetInterfaceType();

    TimeSpan? GetDefaultResponseTimeout();

    CancellationToken GetCancellationToken();
}
