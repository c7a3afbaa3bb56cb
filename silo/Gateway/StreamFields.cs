namespace Granary.Silo.Gateway;

/// <summary>How the client wants to read the answer.</summary>
/// <param name="IncludeUsage">A last frame tells the usage.</param>
/// <param name="ContinuousUsage">Every frame does.</param>
internal readonly record struct StreamFields(bool Stream, bool IncludeUsage, bool ContinuousUsage)
{
    /// <exception cref="ApiException">A value is wrong, or options come without a stream where that is refused.</exception>
    public static StreamFields Read(RequestFields fields, bool isStrict)
    {
        var stream = fields.GetBoolean("stream", false);
        if (fields.GetObject("stream_options") is not { } options) return new(stream, false, false);
        // OpenAI's own client sends them so; they have no effect then.
        if (!stream && isStrict) throw ApiException.Invalid("stream_options", "stream_options is an object; it needs stream to be true.");
        options.Ignore("include_obfuscation");
        var usage = options.GetBoolean("include_usage", false);
        var continuous = options.GetBoolean("continuous_usage_stats", false);
        return new(stream, stream && usage, stream && usage && continuous);
    }
}
