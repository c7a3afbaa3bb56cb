using System.Text.Json;

namespace Granary.Silo.Gateway;

/// <summary>Takes strings out of JSON.</summary>
internal static class RequestText
{
    /// <param name="parameter">The field it is, for the message.</param>
    /// <param name="value">A JSON string.</param>
    /// <exception cref="ApiException">It is not text: an escape names half of a surrogate pair.</exception>
    public static string Read(string parameter, JsonElement value)
    {
        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw ApiException.Invalid(parameter, $"{parameter} is not valid Unicode text.");
        }
    }
}
