using System.Globalization;
using Microsoft.Extensions.Options;

namespace Granary.Client;

/// <summary>Finds every value that is out of its bounds, and names option, value and bound.</summary>
internal sealed class GranaryClientOptionsValidator : IValidateOptions<GranaryClientOptions>
{
    private const int MaxApiKeyLength = 4096;
    private const int MaxRetries = 10;
    private const int MaxResumes = 100;
    private const int MaxOtherEndpoints = 100;
    private static readonly TimeSpan MaxTimeout = TimeSpan.FromHours(24);
    private static readonly TimeSpan MaxBaseDelay = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan Least = TimeSpan.FromMilliseconds(1);

    public ValidateOptionsResult Validate(string? name, GranaryClientOptions options)
    {
        var failures = Find(options).Concat(SurvivalOptionsValidator.Find(options.Survival)).ToList();
        return failures.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(failures);
    }

    /// <remarks>Neither the key nor a password is ever shown.</remarks>
    public static IEnumerable<string> Find(GranaryClientOptions options)
    {
        if (options.Endpoint is { } endpoint && FindWrong(nameof(options.Endpoint), endpoint) is { } wrong) yield return wrong;
        if (options.OtherEndpoints.Count > MaxOtherEndpoints)
            yield return Say(nameof(options.OtherEndpoints), $"a list of {options.OtherEndpoints.Count}", $"at most {MaxOtherEndpoints} addresses");
        if (options.OtherEndpoints.Count > 0 && options.Endpoint is null)
            yield return Say(nameof(options.OtherEndpoints), $"a list of {options.OtherEndpoints.Count}", $"empty where there is no {nameof(options.Endpoint)}");
        for (var i = 0; i < options.OtherEndpoints.Count; i++)
        {
            if (FindWrong($"{nameof(options.OtherEndpoints)}[{i}]", options.OtherEndpoints[i]) is { } other) yield return other;
        }

        if (options.ApiKey is { } key && (key.Length is 0 or > MaxApiKeyLength || key.Any(c => c is <= ' ' or >= '\x7f')))
            yield return Say(nameof(options.ApiKey), $"a text of {key.Length} characters", $"1 to {MaxApiKeyLength} visible ASCII characters");
        if (options.DefaultModel is { } model && model.Length is 0 or > GenerationLimits.MaxNameLength)
            yield return Say(nameof(options.DefaultModel), $"a text of {options.DefaultModel!.Length} characters", $"1 to {GenerationLimits.MaxNameLength} characters long");
        if (options.Timeout < Least || options.Timeout > MaxTimeout)
            yield return Say(nameof(options.Timeout), options.Timeout, $"from {Least} to {MaxTimeout}");
        if (options.MaxRetries is < 0 or > MaxRetries)
            yield return Say(nameof(options.MaxRetries), options.MaxRetries, $"from 0 to {MaxRetries}");
        if (options.MaxResumes is < 0 or > MaxResumes)
            yield return Say(nameof(options.MaxResumes), options.MaxResumes, $"from 0 to {MaxResumes}");
        if (options.RetryBaseDelay < Least || options.RetryBaseDelay > MaxBaseDelay)
            yield return Say(nameof(options.RetryBaseDelay), options.RetryBaseDelay, $"from {Least} to {MaxBaseDelay}");
    }

    private static string? FindWrong(string option, Uri address)
    {
        if (!address.IsAbsoluteUri || address.Scheme is not ("http" or "https"))
            return Say(option, Show(address), "an absolute address that begins with http:// or https://");
        return address.Query.Length > 0 || address.Fragment.Length > 0 || address.UserInfo.Length > 0
            ? Say(option, Show(address), "an address without user, query and fragment")
            : null;
    }

    /// <summary>Without user and password, which a log must not have.</summary>
    private static string Show(Uri address) =>
        address.IsAbsoluteUri ? address.GetComponents(UriComponents.SchemeAndServer | UriComponents.Path, UriFormat.UriEscaped) : address.OriginalString;

    private static string Say(string option, object value, string bound) =>
        string.Create(CultureInfo.InvariantCulture, $"{nameof(GranaryClientOptions)}.{option} is {value}; it must be {bound}.");
}
