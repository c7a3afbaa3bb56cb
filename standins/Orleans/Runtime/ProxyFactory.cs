using System.Reflection;
using System.Reflection.Emit;

namespace Orleans.Runtime;

/// <summary>Emits, per interface, the class of its references: every method packs its arguments and hands them to <see cref="GrainReference"/>.</summary>
internal static class ProxyFactory
{
    private const BindingFlags Inherited = BindingFlags.Instance | BindingFlags.NonPublic;
    private static readonly Lock Gate = new();
    private static readonly Type[] ConstructorParameters = [typeof(RuntimeClient), typeof(InterfaceDescriptor), typeof(GrainId)];
    private static readonly HashSet<string> OpenedAssemblies = [];
    private static readonly AssemblyBuilder Assembly =
        AssemblyBuilder.DefineDynamicAssembly(new AssemblyName("Granary.StandIn.Orleans.References"), AssemblyBuilderAccess.Run);
    private static readonly ModuleBuilder Module = Assembly.DefineDynamicModule("References");
    private static readonly ConstructorInfo IgnoresAccessChecks = DefineIgnoresAccessChecks();
    private static int _count;

    public static Func<RuntimeClient, InterfaceDescriptor, GrainId, GrainReference> Create(InterfaceDescriptor descriptor)
    {
        lock (Gate)
        {
            foreach (var type in descriptor.Type.GetInterfaces().Append(descriptor.Type).Append(typeof(GrainReference))) Open(type.Assembly);
            var proxy = Emit(descriptor);
            var factory = new DynamicMethod("New", typeof(GrainReference), ConstructorParameters, proxy.Module, skipVisibility: true);
            var il = factory.GetILGenerator();
            for (var i = 0; i < ConstructorParameters.Length; i++) il.Emit(OpCodes.Ldarg, (short)i);
            il.Emit(OpCodes.Newobj, proxy.GetConstructor(ConstructorParameters)!);
            il.Emit(OpCodes.Ret);
            return factory.CreateDelegate<Func<RuntimeClient, InterfaceDescriptor, GrainId, GrainReference>>();
        }
    }

    private static Type Emit(InterfaceDescriptor descriptor)
    {
        var builder = Module.DefineType($"Reference{_count++}.{descriptor.Type.Name}", TypeAttributes.Public | TypeAttributes.Sealed, typeof(GrainReference), [descriptor.Type]);
        var constructor = builder.DefineConstructor(MethodAttributes.Public, CallingConventions.Standard, ConstructorParameters);
        var il = constructor.GetILGenerator();
        for (var i = 0; i <= ConstructorParameters.Length; i++) il.Emit(OpCodes.Ldarg, (short)i);
        il.Emit(OpCodes.Call, typeof(GrainReference).GetConstructor(Inherited, ConstructorParameters)!);
        il.Emit(OpCodes.Ret);
        for (var i = 0; i < descriptor.Methods.Length; i++) EmitMethod(builder, descriptor.Methods[i], i);
        return builder.CreateType();
    }

    private static void EmitMethod(TypeBuilder builder, MethodDescriptor descriptor, int index)
    {
        var method = descriptor.Method;
        var parameters = method.GetParameters();
        var emitted = builder.DefineMethod(
            $"{method.DeclaringType!.FullName}.{method.Name}",
            MethodAttributes.Private | MethodAttributes.Virtual | MethodAttributes.Final | MethodAttributes.HideBySig | MethodAttributes.NewSlot,
            method.ReturnType,
            [.. parameters.Select(parameter => parameter.ParameterType)]);
        if (method.IsGenericMethodDefinition) CopyGenericParameters(method, emitted);
        var il = emitted.GetILGenerator();
        if (descriptor is UnsupportedMethod)
        {
            il.Emit(OpCodes.Ldarg_0);
            il.Emit(OpCodes.Ldc_I4, index);
            il.Emit(OpCodes.Call, typeof(ProxyFactory).GetMethod(nameof(Refuse), BindingFlags.Static | BindingFlags.NonPublic)!);
            il.Emit(OpCodes.Throw);
        }
        else
        {
            il.Emit(OpCodes.Ldarg_0);
            il.Emit(OpCodes.Ldc_I4, index);
            il.Emit(OpCodes.Ldc_I4, parameters.Length);
            il.Emit(OpCodes.Newarr, typeof(object));
            for (var i = 0; i < parameters.Length; i++)
            {
                il.Emit(OpCodes.Dup);
                il.Emit(OpCodes.Ldc_I4, i);
                il.Emit(OpCodes.Ldarg, (short)(i + 1));
                if (parameters[i].ParameterType.IsValueType) il.Emit(OpCodes.Box, parameters[i].ParameterType);
                il.Emit(OpCodes.Stelem_Ref);
            }

            il.Emit(OpCodes.Call, CallMethod(method.ReturnType));
            il.Emit(OpCodes.Ret);
        }

        builder.DefineMethodOverride(emitted, method);
    }

    private static MethodInfo CallMethod(Type type)
    {
        var definition = type.IsGenericType ? type.GetGenericTypeDefinition() : null;
        var name = type == typeof(void) ? nameof(GrainReference.CallVoid)
            : type == typeof(Task) ? nameof(GrainReference.CallTask)
            : type == typeof(ValueTask) ? nameof(GrainReference.CallValueTask)
            : definition == typeof(Task<>) ? nameof(GrainReference.CallTaskOf)
            : definition == typeof(ValueTask<>) ? nameof(GrainReference.CallValueTaskOf)
            : nameof(GrainReference.CallStream);
        var method = typeof(GrainReference).GetMethod(name, Inherited)!;
        return definition is null ? method : method.MakeGenericMethod(type.GetGenericArguments());
    }

    internal static NotSupportedException Refuse(GrainReference reference, int index) => ((UnsupportedMethod)reference.Interface.Methods[index]).Error();

    private static void CopyGenericParameters(MethodInfo from, MethodBuilder to)
    {
        var source = from.GetGenericArguments();
        var copies = to.DefineGenericParameters([.. source.Select(parameter => parameter.Name)]);
        for (var i = 0; i < source.Length; i++)
        {
            copies[i].SetGenericParameterAttributes(source[i].GenericParameterAttributes & ~GenericParameterAttributes.VarianceMask);
            copies[i].SetInterfaceConstraints([.. source[i].GetGenericParameterConstraints().Where(constraint => constraint.IsInterface)]);
            if (source[i].GetGenericParameterConstraints().FirstOrDefault(constraint => !constraint.IsInterface) is { } baseType) copies[i].SetBaseTypeConstraint(baseType);
        }

        to.SetReturnType(Substitute(from.ReturnType));
        to.SetParameters([.. from.GetParameters().Select(parameter => Substitute(parameter.ParameterType))]);

        Type Substitute(Type type) =>
            type.IsGenericMethodParameter ? copies[type.GenericParameterPosition]
            : type.IsArray ? Substitute(type.GetElementType()!).MakeArrayType()
            : type.IsGenericType ? type.GetGenericTypeDefinition().MakeGenericType([.. type.GetGenericArguments().Select(Substitute)])
            : type;
    }

    /// <summary>Lets emitted code see an assembly's internals: grain interfaces need not be public.</summary>
    private static void Open(Assembly assembly)
    {
        var name = assembly.GetName().Name!;
        if (OpenedAssemblies.Add(name)) Assembly.SetCustomAttribute(new CustomAttributeBuilder(IgnoresAccessChecks, [name]));
    }

    private static ConstructorInfo DefineIgnoresAccessChecks()
    {
        var attribute = Module.DefineType("System.Runtime.CompilerServices.IgnoresAccessChecksToAttribute", TypeAttributes.Public | TypeAttributes.Sealed, typeof(Attribute));
        var constructor = attribute.DefineConstructor(MethodAttributes.Public, CallingConventions.Standard, [typeof(string)]);
        var il = constructor.GetILGenerator();
        il.Emit(OpCodes.Ldarg_0);
        il.Emit(OpCodes.Call, typeof(Attribute).GetConstructor(Inherited, Type.EmptyTypes)!);
        il.Emit(OpCodes.Ret);
        return attribute.CreateType().GetConstructor([typeof(string)])!;
    }
}
