using Microsoft.Extensions.Options;

namespace Granary.Silo.Hosting;

/// <summary>Checks every bound at start, nested values included, and rules that span two settings.</summary>
internal sealed class GranaryOptionsValidator : IValidateOptions<GranaryOptions>
{
    private readonly GranaryOptionsAttributes _attributes = new();

    public ValidateOptionsResult Validate(string? name, GranaryOptions options)
    {
        var result = new ValidateOptionsResultBuilder();
        result.AddResult(_attributes.Validate(GranaryOptions.Section, options));
        for (var i = 0; i < options.Models.Count; i++)
        {
            if (string.IsNullOrWhiteSpace(options.Models[i]))
                result.AddError("is empty; it is a model's name, a folder, or NAME=FOLDER.", $"{GranaryOptions.Section}:Models:{i}");
        }

        if (options.ContextLength is > 0 and < 16)
            result.AddError($"is {options.ContextLength}; it is 0 for the model's own, or at least 16.", $"{GranaryOptions.Section}:ContextLength");
        return result.Build();
    }
}
