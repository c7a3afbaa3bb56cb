using Orleans;

namespace Granary.GrainInterfaces.Errors;

/// <summary>A value of the request is out of its bounds; the message names value and bound. Another replica would refuse as well.</summary>
[GenerateSerializer, Alias("granary.error.request-refused")]
public sealed class RequestRefusedException : GranaryException
{
    public RequestRefusedException(string message, string parameter) : base(message)
    {
        Parameter = parameter;
    }

    /// <summary>The OpenAI name of the field at fault, as <c>max_tokens</c>.</summary>
    [Id(0)]
    public string Parameter { get; private set; }
}
