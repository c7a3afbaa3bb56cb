using Granary.Engine.Onnx.Graph;
using Microsoft.ML.OnnxRuntime;

namespace Granary.Engine.Onnx.Execution;

/// <summary>Makes the name of our operators' domain known to the process, before any model is opened.</summary>
/// <remarks>
/// The runtime notes a custom domain's name for the whole process when the first session with it is created, and looks and writes without a lock: of several
/// first sessions at once, some fail. So one session over a graph that computes nothing comes first, and everybody waits for it.
/// </remarks>
internal static class OperatorDomain
{
    private static readonly Lazy<bool> Known = new(MakeKnown);

    /// <summary>Returns when sessions with the domain may be created beside each other; a few milliseconds the first time.</summary>
    /// <exception cref="OnnxRuntimeException">The library refuses the domain.</exception>
    public static void EnsureKnown() => _ = Known.Value;

    private static bool MakeKnown()
    {
        var graph = new GraphBuilder("domain", "");
        graph.Input("in", OnnxElementType.Float, 1);
        graph.Node(GraphBuilder.Standard, "Identity", "identity", ["in"], ["out"]);
        graph.Output("out", OnnxElementType.Float, 1);
        using var model = new MemoryStream();
        graph.WriteModel(model);
        using var operators = new SessionOperators(reducer: null);
        using var options = new SessionOptions { IntraOpNumThreads = 1 };
        operators.Register(options);
        using var session = new InferenceSession(model.ToArray(), options);
        return true;
    }
}
