namespace Granary.Engine.Onnx.Import.Configuration;

/// <summary>Rotary embedding of a model, all scaling resolved: one inverse frequency per pair of dimensions, and a factor on cos and sin.</summary>
/// <param name="InverseFrequencies">[rotary / 2], radians a position.</param>
/// <param name="AttentionFactor">Multiplies cos and sin (yarn, longrope); 1 otherwise.</param>
internal sealed record RotaryScaling(double[] InverseFrequencies, double AttentionFactor)
{
    private const double MaxFactor = 65_536;
    private const int MaxPositions = ModelConfigurationReader.MaxContext;

    /// <summary>Reads rope settings in the older (rope_theta, rope_scaling) and the newer (rope_parameters) form.</summary>
    /// <param name="config">config.json.</param>
    /// <param name="headSize">Dimensions of a head.</param>
    /// <param name="trainedPositions">max_position_embeddings.</param>
    /// <param name="requestedContext">Positions that will be served; 0 = what the model was made for.</param>
    /// <returns>The scaling, and the positions the model was made for, which yarn extends beyond max_position_embeddings.</returns>
    /// <remarks>
    /// Formulas: rope utilities of huggingface/transformers. <c>dynamic</c> changes nothing up to max_position_embeddings,
    /// which is all that is served of it. <c>longrope</c> takes one set of factors for all positions, by the context served:
    /// transformers chooses by the length of each sequence, so with the long factors short sequences differ from it.
    /// </remarks>
    public static (RotaryScaling Scaling, int Positions) Read(SettingsReader config, int headSize, int trainedPositions, int requestedContext)
    {
        var scaling = config.Object("rope_parameters") ?? config.Object("rope_scaling");
        if (scaling?.Object("full_attention") is not null || scaling?.Object("sliding_attention") is not null)
            throw config.Refuse("rope_parameters", "differ by layer type, which is not supported");

        var theta = scaling is not null && scaling.Has("rope_theta") ? scaling.Number("rope_theta", 1.001, 1e15) : config.Number("rope_theta", 1.001, 1e15, 10_000);
        var partial = scaling is not null && scaling.Has("partial_rotary_factor")
            ? scaling.Number("partial_rotary_factor", 0, 1)
            : config.Number("partial_rotary_factor", 0, 1, 1);
        var rotary = (int)(headSize * partial);
        if (rotary < 2 || rotary % 2 != 0) throw config.Refuse("partial_rotary_factor", $"makes {rotary} of {headSize} dimensions rotate, expected an even number from 2");

        var frequencies = Enumerable.Range(0, rotary / 2).Select(i => Math.Pow(theta, -2.0 * i / rotary)).ToArray();
        var type = scaling?.Text("rope_type") ?? scaling?.Text("type") ?? "default";
        return type switch
        {
            "default" or "dynamic" => (new RotaryScaling(frequencies, 1), trainedPositions),
            "linear" => (Linear(scaling!, frequencies), trainedPositions),
            "llama3" => (Llama3(scaling!, frequencies), trainedPositions),
            "yarn" => Yarn(scaling!, frequencies, theta, trainedPositions),
            "longrope" or "su" => (LongRope(config, scaling!, frequencies, trainedPositions, requestedContext), trainedPositions),
            _ => throw config.Refuse("rope_type", $"is '{type}', supported: default, linear, dynamic, llama3, yarn, longrope, su"),
        };
    }

    /// <summary>cos and sin of the positions from <paramref name="first"/> on, row-major [count, rotary / 2].</summary>
    public void Fill(int first, Span<float> destination, bool sine)
    {
        var width = InverseFrequencies.Length;
        for (var i = 0; i < destination.Length; i++)
        {
            var angle = (first + i / width) * InverseFrequencies[i % width];
            destination[i] = (float)((sine ? Math.Sin(angle) : Math.Cos(angle)) * AttentionFactor);
        }
    }

    private static RotaryScaling Linear(SettingsReader scaling, double[] frequencies)
    {
        var factor = scaling.Number("factor", 1, MaxFactor);
        return new RotaryScaling([.. frequencies.Select(f => f / factor)], 1);
    }

    private static RotaryScaling Llama3(SettingsReader scaling, double[] frequencies)
    {
        var factor = scaling.Number("factor", 1, MaxFactor);
        var low = scaling.Number("low_freq_factor", 1e-3, MaxFactor);
        var high = scaling.Number("high_freq_factor", 1e-3, MaxFactor);
        var original = scaling.Integer("original_max_position_embeddings", 1, MaxPositions);
        if (high <= low) throw scaling.Refuse("high_freq_factor", FormattableString.Invariant($"is {high}, expected more than low_freq_factor {low}"));
        return new RotaryScaling([.. frequencies.Select(Scale)], 1);

        double Scale(double frequency)
        {
            var turns = original * frequency / (2 * Math.PI); // Full turns within the original context.
            if (turns > high) return frequency;
            if (turns < low) return frequency / factor;
            var smooth = (turns - low) / (high - low);
            return (1 - smooth) * frequency / factor + smooth * frequency;
        }
    }

    private static (RotaryScaling, int) Yarn(SettingsReader scaling, double[] frequencies, double theta, int trainedPositions)
    {
        var factor = scaling.Number("factor", 1, MaxFactor);
        var original = scaling.Integer("original_max_position_embeddings", 1, MaxPositions, trainedPositions);
        var fast = scaling.Number("beta_fast", 1e-3, 1e6, 32);
        var slow = scaling.Number("beta_slow", 1e-3, 1e6, 1);
        var dimensions = frequencies.Length * 2;

        var low = Dimension(fast);
        var high = Dimension(slow);
        if (scaling.Flag("truncate", true)) (low, high) = (Math.Floor(low), Math.Ceiling(high));
        (low, high) = (Math.Max(low, 0), Math.Min(high, dimensions - 1));
        if (low == high) high += 0.001;

        var scaled = frequencies.Select((frequency, i) =>
        {
            var interpolated = Math.Clamp((i - low) / (high - low), 0, 1);
            return frequency / factor * interpolated + frequency * (1 - interpolated);
        });
        var positions = (int)Math.Min(MaxPositions, Math.Max(trainedPositions, Math.Floor(original * factor)));
        return (new RotaryScaling([.. scaled], YarnAttention(scaling, factor)), positions);

        double Dimension(double rotations) => dimensions * Math.Log(original / (rotations * 2 * Math.PI)) / (2 * Math.Log(theta));
    }

    private static double YarnAttention(SettingsReader scaling, double factor)
    {
        if (scaling.Has("attention_factor")) return scaling.Number("attention_factor", 1e-3, 1e3);
        var mscale = scaling.Number("mscale", 0, 1e3, 0);
        var mscaleAll = scaling.Number("mscale_all_dim", 0, 1e3, 0);
        return mscale > 0 && mscaleAll > 0 ? Scale(mscale) / Scale(mscaleAll) : Scale(1);

        double Scale(double m) => factor <= 1 ? 1 : 0.1 * m * Math.Log(factor) + 1;
    }

    private static RotaryScaling LongRope(SettingsReader config, SettingsReader scaling, double[] frequencies, int trainedPositions, int requestedContext)
    {
        var shorts = scaling.Numbers("short_factor", 1e-3, MaxFactor, frequencies.Length);
        var longs = scaling.Numbers("long_factor", 1e-3, MaxFactor, frequencies.Length);
        var original = Original(config) ?? Original(scaling) ?? trainedPositions;
        var factor = Original(config) is null && scaling.Has("factor") ? scaling.Number("factor", 1, MaxFactor) : (double)trainedPositions / original;
        var attention = scaling.Has("attention_factor") ? scaling.Number("attention_factor", 1e-3, 1e3)
            : factor <= 1 || original < 2 ? 1
            : Math.Sqrt(1 + Math.Log(factor) / Math.Log(original));
        var served = requestedContext == 0 ? trainedPositions : requestedContext;
        var factors = served > original ? longs : shorts;
        return new RotaryScaling([.. frequencies.Select((frequency, i) => frequency / factors[i])], attention);

        static int? Original(SettingsReader reader) =>
            reader.Has("original_max_position_embeddings") ? reader.Integer("original_max_position_embeddings", 1, MaxPositions) : null;
    }
}
