using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Granary.Engine.Onnx.Execution;

/// <summary>Sixteen lanes in two registers (AVX2).</summary>
internal readonly unsafe struct Lanes256(Vector256<float> low, Vector256<float> high) : ILanes<Lanes256>
{
    private static readonly Vector256<float> Indices = Vector256.Create(0f, 1, 2, 3, 4, 5, 6, 7);

    private readonly Vector256<float> _low = low;
    private readonly Vector256<float> _high = high;

    public static bool IsWide => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Create(float value) => new(Vector256.Create(value), Vector256.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Load(float* source) => new(Vector256.Load(source), Vector256.Load(source + 8));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Lanes256 value, float* destination)
    {
        value._low.Store(destination);
        value._high.Store(destination + 8);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Add(Lanes256 left, Lanes256 right) => new(left._low + right._low, left._high + right._high);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Subtract(Lanes256 left, Lanes256 right) => new(left._low - right._low, left._high - right._high);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Multiply(Lanes256 left, Lanes256 right) => new(left._low * right._low, left._high * right._high);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Divide(Lanes256 left, Lanes256 right) => new(left._low / right._low, left._high / right._high);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Max(Lanes256 left, Lanes256 right) => new(Vector256.Max(left._low, right._low), Vector256.Max(left._high, right._high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Fused(Lanes256 left, Lanes256 right, Lanes256 addend) =>
        new(Vector256.FusedMultiplyAdd(left._low, right._low, addend._low), Vector256.FusedMultiplyAdd(left._high, right._high, addend._high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 PowerOfTwo(Lanes256 mantissa) => new(PowerOfTwo(mantissa._low), PowerOfTwo(mantissa._high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 WhereLess(Lanes256 value, Lanes256 bound, Lanes256 then, Lanes256 otherwise) => new(
        Vector256.ConditionalSelect(Vector256.LessThan(value._low, bound._low), then._low, otherwise._low),
        Vector256.ConditionalSelect(Vector256.LessThan(value._high, bound._high), then._high, otherwise._high));

    public static Lanes256 Keep(Lanes256 value, int first, int end, float filler) =>
        new(Keep(value._low, first, end, filler), Keep(value._high, first - 8, end - 8, filler));

    public static float Sum(Lanes256 value) => Sum(value._low + value._high);

    public static float Largest(Lanes256 value) => Largest(Vector256.Max(value._low, value._high));

    internal static float Sum(Vector256<float> value) => Lanes128.Sum(value.GetLower() + value.GetUpper());

    internal static float Largest(Vector256<float> value) => Lanes128.Largest(Vector128.Max(value.GetLower(), value.GetUpper()));

    private static Vector256<float> PowerOfTwo(Vector256<float> mantissa) => ((mantissa.AsInt32() << 23) + Vector256.Create(1f).AsInt32()).AsSingle();

    private static Vector256<float> Keep(Vector256<float> value, int first, int end, float filler) => Vector256.ConditionalSelect(
        Vector256.GreaterThanOrEqual(Indices, Vector256.Create((float)first)) & Vector256.LessThan(Indices, Vector256.Create((float)end)),
        value,
        Vector256.Create(filler));
}
