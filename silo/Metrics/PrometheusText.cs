using System.Globalization;
using System.Text;

namespace Granary.Silo.Metrics;

/// <summary>Writes metrics in Prometheus' text exposition format, version 0.0.4.</summary>
internal static class PrometheusText
{
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    public static string Write(IEnumerable<MetricFamily> families)
    {
        var text = new StringBuilder();
        foreach (var family in families)
        {
            if (family.Series.Count > 0) Write(text, family);
        }

        return text.ToString();
    }

    /// <summary>Dots become underscores, but the one after <c>vllm</c> its colon; a unit and a counter's <c>_total</c> are appended once.</summary>
    public static string NameOf(string instrument, string? unit, MetricKind kind)
    {
        var name = instrument.StartsWith("vllm.", StringComparison.Ordinal) ? "vllm:" + Sanitize(instrument[5..]) : Sanitize(instrument);
        if (unit == "s" && !name.EndsWith("_seconds", StringComparison.Ordinal)) name += "_seconds";
        if (kind == MetricKind.Counter && !name.EndsWith("_total", StringComparison.Ordinal)) name += "_total";
        return name;
    }

    private static void Write(StringBuilder text, MetricFamily family)
    {
        var name = NameOf(family.Instrument.Name, family.Instrument.Unit, family.Kind);
        var type = family.Kind switch { MetricKind.Counter => "counter", MetricKind.Histogram => "histogram", _ => "gauge" };
        text.Append("# HELP ").Append(name).Append(' ').Append(EscapeHelp(family.Instrument.Description ?? "")).Append('\n');
        text.Append("# TYPE ").Append(name).Append(' ').Append(type).Append('\n');
        foreach (var series in family.Series)
        {
            var (value, count, buckets) = series.Read();
            if (family.Kind != MetricKind.Histogram)
            {
                Sample(text, name, series, null, value);
                continue;
            }

            var cumulated = 0L;
            for (var i = 0; i < buckets.Length; i++)
            {
                cumulated += buckets[i];
                Sample(text, name + "_bucket", series, i < family.Bounds!.Length ? Number(family.Bounds[i]) : "+Inf", cumulated);
            }

            Sample(text, name + "_sum", series, null, value);
            Sample(text, name + "_count", series, null, count);
        }
    }

    private static void Sample(StringBuilder text, string name, MetricSeries series, string? bound, double value)
    {
        text.Append(name);
        var separator = '{';
        foreach (var (key, label) in series.Tags)
        {
            Label(Sanitize(key), Convert.ToString(label, CultureInfo.InvariantCulture) ?? "");
        }

        if (bound is not null) Label("le", bound);
        if (separator == ',') text.Append('}');
        text.Append(' ').Append(Number(value)).Append('\n');

        void Label(string key, string label)
        {
            text.Append(separator).Append(key).Append("=\"").Append(EscapeLabel(label)).Append('"');
            separator = ',';
        }
    }

    private static string Number(double value) => value switch
    {
        double.PositiveInfinity => "+Inf",
        double.NegativeInfinity => "-Inf",
        double.NaN => "NaN",
        _ => value.ToString("R", CultureInfo.InvariantCulture),
    };

    private static string Sanitize(string name)
    {
        var characters = name.ToCharArray();
        for (var i = 0; i < characters.Length; i++)
        {
            if (!char.IsAsciiLetter(characters[i]) && (i == 0 || !char.IsAsciiDigit(characters[i]))) characters[i] = '_';
        }

        return new string(characters);
    }

    private static string EscapeHelp(string text) => text.Replace("\\", @"\\").Replace("\n", @"\n");

    private static string EscapeLabel(string text) => EscapeHelp(text).Replace("\"", "\\\"");
}
