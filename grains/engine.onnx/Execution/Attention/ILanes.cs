namespace Granary.Engine.Onnx.Execution;

/// <summary>Sixteen floats that are computed on together, in as many registers as the CPU needs for them.</summary>
/// <remarks>
/// Every implementation does the same operations in the same order on each lane, and reduces lanes in the same tree, so results do
/// not depend on which one a CPU gets. Multiplication with addition is fused everywhere.
/// </remarks>
internal unsafe interface ILanes<TSelf>
    where TSelf : unmanaged, ILanes<TSelf>
{
    /// <summary>Whether a register holds all lanes, so that a larger tile of them stays in registers.</summary>
    static abstract bool IsWide { get; }

    static abstract TSelf Create(float value);

    static abstract TSelf Load(float* source);

    static abstract void Store(TSelf value, float* destination);

    static abstract TSelf Add(TSelf left, TSelf right);

    static abstract TSelf Subtract(TSelf left, TSelf right);

    static abstract TSelf Multiply(TSelf left, TSelf right);

    static abstract TSelf Divide(TSelf left, TSelf right);

    static abstract TSelf Max(TSelf left, TSelf right);

    /// <summary>left × right + addend, rounded once.</summary>
    static abstract TSelf Fused(TSelf left, TSelf right, TSelf addend);

    /// <summary>2 to the power of the integer in the lowest bits of the mantissa.</summary>
    static abstract TSelf PowerOfTwo(TSelf mantissa);

    /// <summary><paramref name="then"/> where the value is below the bound, else <paramref name="otherwise"/> (also for NaN).</summary>
    static abstract TSelf WhereLess(TSelf value, TSelf bound, TSelf then, TSelf otherwise);

    /// <summary>The lanes in [first, end); the filler elsewhere.</summary>
    static abstract TSelf Keep(TSelf value, int first, int end, float filler);

    /// <summary>The sum in a fixed tree: halves added until one is left.</summary>
    static abstract float Sum(TSelf value);

    static abstract float Largest(TSelf value);
}

/// <summary>Functions of lanes that every width computes alike.</summary>
internal static class Lanes
{
    /// <summary>e to the power of x for x ≤ 88; 0 below -87, where the result would leave the normal numbers.</summary>
    /// <remarks>
    /// x = n·ln 2 + r with |r| ≤ ln 2 / 2 (Cody and Waite), e^r by a polynomial of degree 6; relative error below 3e-7.
    /// </remarks>
    public static TLanes Exp<TLanes>(TLanes x)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        var bound = TLanes.Create(-87f);
        var clamped = TLanes.Max(x, bound);
        var shifter = TLanes.Create(12582912f); // 1.5 · 2^23: adding it leaves the rounded integer in the mantissa.
        var shifted = TLanes.Fused(clamped, TLanes.Create(1.44269504f), shifter);
        var n = TLanes.Subtract(shifted, shifter);
        var r = TLanes.Fused(n, TLanes.Create(-0.693145752f), clamped);
        r = TLanes.Fused(n, TLanes.Create(-1.42860677e-6f), r);
        var p = TLanes.Create(1.38888889e-3f);
        p = TLanes.Fused(p, r, TLanes.Create(8.33333333e-3f));
        p = TLanes.Fused(p, r, TLanes.Create(4.16666667e-2f));
        p = TLanes.Fused(p, r, TLanes.Create(1.66666667e-1f));
        p = TLanes.Fused(p, r, TLanes.Create(0.5f));
        p = TLanes.Fused(p, r, TLanes.Create(1f));
        p = TLanes.Fused(p, r, TLanes.Create(1f));
        return TLanes.WhereLess(x, bound, TLanes.Create(0f), TLanes.Multiply(p, TLanes.PowerOfTwo(shifted)));
    }

    /// <summary>The hyperbolic tangent, as 1 - 2 / (e^2x + 1).</summary>
    public static TLanes Tanh<TLanes>(TLanes x)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        var one = TLanes.Create(1f);
        var limit = TLanes.Create(20f); // tanh is 1 in single precision beyond 10.
        var doubled = TLanes.Add(x, x);
        doubled = TLanes.WhereLess(limit, doubled, limit, doubled);
        var e = Exp(doubled);
        return TLanes.Subtract(one, TLanes.Divide(TLanes.Create(2f), TLanes.Add(e, one)));
    }
}
