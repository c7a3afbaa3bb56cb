using System.Runtime.CompilerServices;

namespace Granary.Engine.Onnx.Execution;

/// <summary>First half of attention: normalizes and rotates queries and keys, and writes keys and values into the cache.</summary>
/// <remarks>What happens to a token depends on that token and its position only.</remarks>
internal static unsafe class TokenPreparation<TLanes>
    where TLanes : unmanaged, ILanes<TLanes>
{
    /// <summary>Largest head size; a head is worked on on the stack.</summary>
    public const int MaxHeadSize = 1024;

    private const int Width = AttentionStep.TileTokens;

    public static void Run(AttentionStep* step, int firstToken, int endToken)
    {
        for (var token = firstToken; token < endToken; token++) PrepareQueries(step, token);
        // Head by head, so that the lines of a tile that neighbouring tokens write stay in the first cache.
        for (var head = 0; head < step->KvHeads; head++)
        {
            for (var token = firstToken; token < endToken; token++) StoreKeyAndValue(step, token, head);
        }
    }

    private static void PrepareQueries(AttentionStep* step, int token)
    {
        var d = step->HeadSize;
        var rotation = (nint)step->Places[token].Position * step->RotaryPairs;
        var query = step->Query + (token * step->QueryStride);
        var rotated = step->Rotated + ((nint)token * step->Heads * d);
        for (var head = 0; head < step->Heads; head++)
        {
            Normalize(query + (head * d), rotated, d, step->QueryNorm, step->NormEpsilon);
            Rotate(rotated, step->Cosine + rotation, step->Sine + rotation, step->RotaryPairs, step->Interleaved);
            Scale(rotated, d, step->Scale);
            rotated += d;
        }
    }

    [SkipLocalsInit]
    private static void StoreKeyAndValue(AttentionStep* step, int token, int head)
    {
        var d = step->HeadSize;
        var key = stackalloc float[MaxHeadSize];
        var place = step->Places[token];
        var rotation = (nint)place.Position * step->RotaryPairs;
        var offset = step->TileOffset(place.Sequence, head, place.Position / Width);
        var lane = place.Position % Width;

        Normalize(step->Key + (token * step->KeyStride) + (head * d), key, d, step->KeyNorm, step->NormEpsilon);
        Rotate(key, step->Cosine + rotation, step->Sine + rotation, step->RotaryPairs, step->Interleaved);
        var keys = step->KeyCache + offset + lane;
        for (var i = 0; i < d; i++) keys[i * Width] = key[i];

        var value = step->Value + (token * step->KeyStride) + (head * d);
        Unsafe.CopyBlockUnaligned(step->ValueCache + offset + (lane * d), value, (uint)(d * sizeof(float)));
    }

    /// <summary>Copies a head, divided by its root mean square and multiplied by the weights where there are any.</summary>
    private static void Normalize(float* source, float* destination, int d, float* weights, float epsilon)
    {
        if (weights is null)
        {
            Unsafe.CopyBlockUnaligned(destination, source, (uint)(d * sizeof(float)));
            return;
        }

        var squares = TLanes.Create(0f);
        var i = 0;
        for (; i <= d - Width; i += Width)
        {
            var x = TLanes.Load(source + i);
            squares = TLanes.Fused(x, x, squares);
        }

        var sum = TLanes.Sum(squares);
        for (; i < d; i++) sum = MathF.FusedMultiplyAdd(source[i], source[i], sum);
        var factor = 1f / MathF.Sqrt((sum / d) + epsilon);
        for (i = 0; i < d; i++) destination[i] = source[i] * factor * weights[i];
    }

    private static void Rotate(float* x, float* cosine, float* sine, int pairs, bool interleaved)
    {
        if (interleaved)
        {
            for (var i = 0; i < pairs; i++) RotatePair(x + (2 * i), x + (2 * i) + 1, cosine[i], sine[i]);
            return;
        }

        var first = 0;
        for (; first <= pairs - Width; first += Width)
        {
            TLanes a = TLanes.Load(x + first), b = TLanes.Load(x + pairs + first);
            TLanes c = TLanes.Load(cosine + first), s = TLanes.Load(sine + first);
            TLanes.Store(TLanes.Subtract(TLanes.Multiply(a, c), TLanes.Multiply(b, s)), x + first);
            TLanes.Store(TLanes.Add(TLanes.Multiply(b, c), TLanes.Multiply(a, s)), x + pairs + first);
        }

        for (; first < pairs; first++) RotatePair(x + first, x + pairs + first, cosine[first], sine[first]);
    }

    private static void RotatePair(float* a, float* b, float cosine, float sine)
    {
        var (x, y) = (*a, *b);
        *a = (x * cosine) - (y * sine);
        *b = (y * cosine) + (x * sine);
    }

    private static void Scale(float* x, int d, float scale)
    {
        var i = 0;
        for (; i <= d - Width; i += Width) TLanes.Store(TLanes.Multiply(TLanes.Load(x + i), TLanes.Create(scale)), x + i);
        for (; i < d; i++) x[i] *= scale;
    }
}
