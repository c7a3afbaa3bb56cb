using System.Diagnostics;

namespace Orleans.Runtime;

/// <summary>Whether calls carry the caller's activity.</summary>
internal sealed class ActivityPropagation
{
    public bool IsEnabled { get; set; }
}

internal static class ActivityTracing
{
    private static readonly ActivitySource Source = new("Microsoft.Orleans.Application");

    public static Activity? StartCallee(Call call)
    {
        var activity = Source.StartActivity(call.GetActivityName(), ActivityKind.Server, call.Trace);
        activity?.SetTag("rpc.system", "orleans");
        activity?.SetTag("rpc.service", call.GetInterfaceName());
        activity?.SetTag("rpc.method", call.GetMethodName());
        return activity;
    }
}
