using System.Text.Json;

namespace Granary.Tests.Support;

/// <summary>Rotary embedding as Hugging Face transformers computes it, from config.json alone.</summary>
public sealed class NaiveRotary
{
    private readonly double[] _inverseFrequencies;
    private readonly double _factor = 1;

    /// <param name="servedContext">Decides between longrope's factors: more than the original context takes the long ones.</param>
    public NaiveRotary(JsonElement config, int headSize, int servedContext)
    {
        var scaling = Object(config, "rope_parameters") ?? Object(config, "rope_scaling");
        var theta = Number(scaling, "rope_theta") ?? Number(config, "rope_theta") ?? 10_000;
        Dimensions = (int)(headSize * (Number(scaling, "partial_rotary_factor") ?? Number(config, "partial_rotary_factor") ?? 1));
        _inverseFrequencies = [.. Enumerable.Range(0, Dimensions / 2).Select(i => 1 / Math.Pow(theta, 2.0 * i / Dimensions))];
        var type = scaling is { } s && (s.TryGetProperty("rope_type", out var name) || s.TryGetProperty("type", out name)) ? name.GetString() : "default";
        var trained = Number(config, "max_position_embeddings") ?? 2048;
        var original = Number(config, "original_max_position_embeddings") ?? Number(scaling, "original_max_position_embeddings") ?? trained;
        var factor = Number(scaling, "factor") ?? trained / original;
        switch (type)
        {
            case "linear":
                Scale(_ => 1 / factor);
                break;
            case "llama3":
                Llama3(scaling!.Value, factor, original);
                break;
            case "yarn":
                Yarn(scaling!.Value, factor, original, theta);
                _factor = 0.1 * Math.Log(factor) + 1;
                break;
            case "longrope" or "su":
                var factors = scaling!.Value.GetProperty(servedContext > original ? "long_factor" : "short_factor").EnumerateArray().Select(f => f.GetDouble()).ToArray();
                Scale(i => 1 / factors[i]);
                _factor = Math.Sqrt(1 + Math.Log(trained / original) / Math.Log(original));
                break;
            case "default" or "dynamic":
                break;
            default:
                throw new NotSupportedException(type);
        }
    }

    /// <summary>Leading dimensions of a head that rotate; the others pass.</summary>
    public int Dimensions { get; }

    /// <summary>Rotates one head in place: dimension i pairs with i + half.</summary>
    public void Apply(Span<double> head, int position)
    {
        var half = Dimensions / 2;
        for (var i = 0; i < half; i++)
        {
            var (sin, cos) = Math.SinCos(position * _inverseFrequencies[i]);
            var (a, b) = (head[i], head[i + half]);
            head[i] = (a * cos - b * sin) * _factor;
            head[i + half] = (b * cos + a * sin) * _factor;
        }
    }

    private void Scale(Func<int, double> factor)
    {
        for (var i = 0; i < _inverseFrequencies.Length; i++) _inverseFrequencies[i] *= factor(i);
    }

    private void Llama3(JsonElement scaling, double factor, double original)
    {
        var (low, high) = (Number(scaling, "low_freq_factor")!.Value, Number(scaling, "high_freq_factor")!.Value);
        for (var i = 0; i < _inverseFrequencies.Length; i++)
        {
            var wavelength = 2 * Math.PI / _inverseFrequencies[i];
            var smooth = (original / wavelength - low) / (high - low);
            if (wavelength > original / low) _inverseFrequencies[i] /= factor;
            else if (wavelength >= original / high) _inverseFrequencies[i] *= (1 - smooth) / factor + smooth;
        }
    }

    private void Yarn(JsonElement scaling, double factor, double original, double theta)
    {
        var low = Math.Max(0, Math.Floor(Correction(Number(scaling, "beta_fast") ?? 32)));
        var high = Math.Min(Dimensions - 1, Math.Ceiling(Correction(Number(scaling, "beta_slow") ?? 1)));
        if (low == high) high += 0.001;
        Scale(i =>
        {
            var extrapolation = 1 - Math.Clamp((i - low) / (high - low), 0, 1);
            return (1 - extrapolation) / factor + extrapolation;
        });

        double Correction(double rotations) => Dimensions * Math.Log(original / (rotations * 2 * Math.PI)) / (2 * Math.Log(theta));
    }

    private static JsonElement? Object(JsonElement parent, string name) =>
        parent.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Object ? value : null;

    private static double? Number(JsonElement? parent, string name) =>
        parent is { } p && p.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number ? value.GetDouble() : null;
}
