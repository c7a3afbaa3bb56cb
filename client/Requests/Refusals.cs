using System.Globalization;

namespace Granary.Client;

/// <summary>Refuses values in the gateway's words, so that a request fails alike over grains and over HTTP.</summary>
internal static class Refusals
{
    /// <summary>Texts longer than this are not shown.</summary>
    private const int MaxShown = 62;

    public const string InvalidValue = "invalid_value";
    public const string ContextLengthExceeded = "context_length_exceeded";
    public const string ModelNotFound = "model_not_found";

    public static GranaryRequestException Invalid(string parameter, string message) => new(message, parameter) { Code = InvalidValue };

    public static GranaryRequestException Wrong(string parameter, string shown, string wanted) =>
        Invalid(parameter, $"{parameter} is {shown}; it must be {wanted}.");

    /// <summary>A text as a message shows it.</summary>
    public static string Show(string text) => text.Length <= MaxShown ? $"\"{text}\"" : "a longer string";

    public static void RequireInteger(string parameter, int? value, int min, int max)
    {
        if (value is { } number && (number < min || number > max))
        {
            throw Wrong(
                parameter, number.ToString(CultureInfo.InvariantCulture), max == int.MaxValue ? $"an integer of at least {min}" : $"an integer from {min} to {max}");
        }
    }

    public static void RequireNumber(string parameter, float? value, float min, float max, bool withoutMin = false)
    {
        if (value is not { } number || ((withoutMin ? number > min : number >= min) && number <= max)) return;
        throw Wrong(
            parameter, number.ToString(CultureInfo.InvariantCulture),
            string.Create(CultureInfo.InvariantCulture, $"a number {(withoutMin ? "above" : "from")} {min} {(withoutMin ? "and at most" : "to")} {max}"));
    }

    public static void RequireLength(string parameter, string? text, int max)
    {
        if (text is not null && text.Length > max) throw Wrong(parameter, Show(text), $"at most {max} characters long");
    }
}
