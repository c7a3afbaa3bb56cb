using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Granary.Engine.Onnx.Execution;

/// <summary>Sixteen lanes in four registers: what every CPU with 128-bit vectors can do, and software where there are none.</summary>
internal readonly unsafe struct Lanes128(Vector128<float> a, Vector128<float> b, Vector128<float> c, Vector128<float> d) : ILanes<Lanes128>
{
    private static readonly Vector128<float> Indices = Vector128.Create(0f, 1, 2, 3);

    private readonly Vector128<float> _a = a;
    private readonly Vector128<float> _b = b;
    private readonly Vector128<float> _c = c;
    private readonly Vector128<float> _d = d;

    public static bool IsWide => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Create(float value)
    {
        var v = Vector128.Create(value);
        return new(v, v, v, v);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Load(float* source) =>
        new(Vector128.Load(source), Vector128.Load(source + 4), Vector128.Load(source + 8), Vector128.Load(source + 12));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Lanes128 value, float* destination)
    {
        value._a.Store(destination);
        value._b.Store(destination + 4);
        value._c.Store(destination + 8);
        value._d.Store(destination + 12);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Add(Lanes128 left, Lanes128 right) =>
        new(left._a + right._a, left._b + right._b, left._c + right._c, left._d + right._d);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Subtract(Lanes128 left, Lanes128 right) =>
        new(left._a - right._a, left._b - right._b, left._c - right._c, left._d - right._d);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Multiply(Lanes128 left, Lanes128 right) =>
        new(left._a * right._a, left._b * right._b, left._c * right._c, left._d * right._d);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Divide(Lanes128 left, Lanes128 right) =>
        new(left._a / right._a, left._b / right._b, left._c / right._c, left._d / right._d);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Max(Lanes128 left, Lanes128 right) => new(
        Vector128.Max(left._a, right._a), Vector128.Max(left._b, right._b), Vector128.Max(left._c, right._c), Vector128.Max(left._d, right._d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Fused(Lanes128 left, Lanes128 right, Lanes128 addend) => new(
        Vector128.FusedMultiplyAdd(left._a, right._a, addend._a),
        Vector128.FusedMultiplyAdd(left._b, right._b, addend._b),
        Vector128.FusedMultiplyAdd(left._c, right._c, addend._c),
        Vector128.FusedMultiplyAdd(left._d, right._d, addend._d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 PowerOfTwo(Lanes128 mantissa) =>
        new(PowerOfTwo(mantissa._a), PowerOfTwo(mantissa._b), PowerOfTwo(mantissa._c), PowerOfTwo(mantissa._d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 WhereLess(Lanes128 value, Lanes128 bound, Lanes128 then, Lanes128 otherwise) => new(
        Vector128.ConditionalSelect(Vector128.LessThan(value._a, bound._a), then._a, otherwise._a),
        Vector128.ConditionalSelect(Vector128.LessThan(value._b, bound._b), then._b, otherwise._b),
        Vector128.ConditionalSelect(Vector128.LessThan(value._c, bound._c), then._c, otherwise._c),
        Vector128.ConditionalSelect(Vector128.LessThan(value._d, bound._d), then._d, otherwise._d));

    public static Lanes128 Keep(Lanes128 value, int first, int end, float filler) => new(
        Keep(value._a, first, end, filler),
        Keep(value._b, first - 4, end - 4, filler),
        Keep(value._c, first - 8, end - 8, filler),
        Keep(value._d, first - 12, end - 12, filler));

    public static float Sum(Lanes128 value) => Sum(value._a + value._c + (value._b + value._d));

    public static float Largest(Lanes128 value) => Largest(Vector128.Max(Vector128.Max(value._a, value._c), Vector128.Max(value._b, value._d)));

    internal static float Sum(Vector128<float> value) => value[0] + value[2] + (value[1] + value[3]);

    internal static float Largest(Vector128<float> value) => MathF.Max(MathF.Max(value[0], value[2]), MathF.Max(value[1], value[3]));

    private static Vector128<float> PowerOfTwo(Vector128<float> mantissa) => ((mantissa.AsInt32() << 23) + Vector128.Create(1f).AsInt32()).AsSingle();

    private static Vector128<float> Keep(Vector128<float> value, int first, int end, float filler) => Vector128.ConditionalSelect(
        Vector128.GreaterThanOrEqual(Indices, Vector128.Create((float)first)) & Vector128.LessThan(Indices, Vector128.Create((float)end)),
        value,
        Vector128.Create(filler));
}
