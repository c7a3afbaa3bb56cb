using System.Reflection;

namespace Orleans.Serialization;

/// <summary>Makes objects of types known at run time, and lets their constructors' errors through as they are.</summary>
internal static class Instances
{
    public static object Create(Type type, params object?[] arguments) =>
        Activator.CreateInstance(type, BindingFlags.Instance | BindingFlags.Public | BindingFlags.DoNotWrapExceptions, null, arguments, null)!;
}
