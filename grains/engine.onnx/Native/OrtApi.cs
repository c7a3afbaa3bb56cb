using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Granary.Engine.Onnx.Native;

/// <summary>The part of ONNX Runtime's C API that custom operators need and the managed package does not offer.</summary>
/// <remarks>
/// Entries are addressed by their place in <c>struct OrtApi</c> (onnxruntime_c_api.h), which is append-only: a place never changes its
/// meaning. Both this and the managed package load the same <c>libonnxruntime</c>, so handles may be passed between them.
/// </remarks>
internal static unsafe class OrtApi
{
    /// <summary>The table's version asked for; the library answers every version up to its own.</summary>
    public const uint Version = 24;

    private static readonly nint* BaseTable = (nint*)OrtGetApiBase();

    /// <summary>For instance 1.30.0.</summary>
    public static string LibraryVersion { get; } = Text(((delegate* unmanaged[Cdecl]<byte*>)BaseTable[1])());

    private static readonly nint* Table = LoadTable();

    /// <summary>Version, commit and compiler flags of the library's build.</summary>
    public static string BuildInformation { get; } = Text(((delegate* unmanaged[Cdecl]<byte*>)Table[254])());

    /// <summary>A status for the runtime to own, which becomes the error of the session's Run.</summary>
    public static nint CreateStatus(OrtErrorCode code, string message)
    {
        var bytes = System.Text.Encoding.UTF8.GetBytes(message + '\0');
        fixed (byte* utf8 = bytes) return ((delegate* unmanaged[Cdecl]<int, byte*, nint>)Table[0])((int)code, utf8);
    }

    public static nint CreateCustomOpDomain(ReadOnlySpan<byte> zeroTerminatedName)
    {
        nint domain;
        fixed (byte* name = zeroTerminatedName) Check(((delegate* unmanaged[Cdecl]<byte*, nint*, nint>)Table[26])(name, &domain));
        return domain;
    }

    public static void AddToDomain(nint domain, void* customOp) =>
        Check(((delegate* unmanaged[Cdecl]<nint, void*, nint>)Table[27])(domain, customOp));

    public static void ReleaseCustomOpDomain(nint domain) => ((delegate* unmanaged[Cdecl]<nint, void>)Table[101])(domain);

    public static void AddCustomOpDomain(nint sessionOptions, nint domain) =>
        Check(((delegate* unmanaged[Cdecl]<nint, nint, nint>)Table[28])(sessionOptions, domain));

    /// <summary>A node's attribute, or the default where the node has none of this name.</summary>
    public static long Attribute(nint kernelInfo, ReadOnlySpan<byte> zeroTerminatedName, long absent)
    {
        long value;
        fixed (byte* name = zeroTerminatedName)
        {
            return IsOk(((delegate* unmanaged[Cdecl]<nint, byte*, long*, nint>)Table[86])(kernelInfo, name, &value)) ? value : absent;
        }
    }

    /// <inheritdoc cref="Attribute(nint, ReadOnlySpan{byte}, long)"/>
    public static float Attribute(nint kernelInfo, ReadOnlySpan<byte> zeroTerminatedName, float absent)
    {
        float value;
        fixed (byte* name = zeroTerminatedName)
        {
            return IsOk(((delegate* unmanaged[Cdecl]<nint, byte*, float*, nint>)Table[85])(kernelInfo, name, &value)) ? value : absent;
        }
    }

    public static int InputCount(nint context)
    {
        nint count;
        Check(((delegate* unmanaged[Cdecl]<nint, nint*, nint>)Table[88])(context, &count));
        return (int)count;
    }

    public static int OutputCount(nint context)
    {
        nint count;
        Check(((delegate* unmanaged[Cdecl]<nint, nint*, nint>)Table[89])(context, &count));
        return (int)count;
    }

    /// <summary>0 where the node leaves an optional input out.</summary>
    public static nint Input(nint context, int index)
    {
        nint value;
        Check(((delegate* unmanaged[Cdecl]<nint, nint, nint*, nint>)Table[90])(context, index, &value));
        return value;
    }

    /// <summary>The output's value, allocated with the shape unless memory is bound; 0 where nobody wants it.</summary>
    public static nint Output(nint context, int index, ReadOnlySpan<long> shape)
    {
        nint value;
        fixed (long* dimensions = shape)
        {
            Check(((delegate* unmanaged[Cdecl]<nint, nint, long*, nint, nint*, nint>)Table[91])(context, index, dimensions, shape.Length, &value));
        }

        return value;
    }

    public static void* Data(nint value)
    {
        void* data;
        Check(((delegate* unmanaged[Cdecl]<nint, void**, nint>)Table[51])(value, &data));
        return data;
    }

    /// <summary>Writes a tensor's shape and returns its rank.</summary>
    public static int Shape(nint value, Span<long> shape)
    {
        nint info, rank;
        Check(((delegate* unmanaged[Cdecl]<nint, nint*, nint>)Table[65])(value, &info));
        Check(((delegate* unmanaged[Cdecl]<nint, nint*, nint>)Table[61])(info, &rank));
        fixed (long* dimensions = shape)
        {
            Check(((delegate* unmanaged[Cdecl]<nint, long*, nint, nint>)Table[62])(info, dimensions, Math.Min((int)rank, shape.Length)));
        }

        ((delegate* unmanaged[Cdecl]<nint, void>)Table[99])(info);
        return (int)rank;
    }

    /// <summary>Calls back for every index in [0, count), on the session's threads and the caller's; returns when all are done.</summary>
    public static void ParallelFor(nint context, delegate* unmanaged[Cdecl]<void*, nuint, void> body, int count, void* state) =>
        Check(((delegate* unmanaged[Cdecl]<nint, void*, nint, nint, void*, nint>)Table[274])(context, body, count, 0, state));

    public static void Check(nint status)
    {
        if (status != 0) Throw(status);
    }

    private static bool IsOk(nint status)
    {
        if (status == 0) return true;
        ReleaseStatus(status);
        return false;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Throw(nint status)
    {
        var message = Text(((delegate* unmanaged[Cdecl]<nint, byte*>)Table[2])(status));
        ReleaseStatus(status);
        throw new InvalidOperationException($"ONNX Runtime: {message}");
    }

    private static void ReleaseStatus(nint status) => ((delegate* unmanaged[Cdecl]<nint, void>)Table[93])(status);

    private static string Text(byte* utf8) => Marshal.PtrToStringUTF8((nint)utf8) ?? "";

    private static nint* LoadTable()
    {
        var table = (nint*)((delegate* unmanaged[Cdecl]<uint, nint>)BaseTable[0])(Version);
        return table is not null
            ? table
            : throw new NotSupportedException($"ONNX Runtime {LibraryVersion} does not offer API version {Version}; 1.{Version} or later is needed.");
    }

    [DllImport("onnxruntime", CallingConvention = CallingConvention.Cdecl)]
    private static extern nint OrtGetApiBase();
}

/// <summary>Kinds of errors a custom operator reports.</summary>
internal enum OrtErrorCode
{
    Fail = 1,
    InvalidArgument = 2,
}
