using System.Runtime.InteropServices;
using Granary.Engine.Execution;
using Granary.Engine.Onnx.Native;
using Microsoft.ML.OnnxRuntime;

namespace Granary.Engine.Onnx.Execution;

/// <summary>The operators of our domain as one session knows them: its sums over ranks go to the reducer of its own shard.</summary>
/// <remarks>
/// Several shards may live in one process, and a kernel is told nothing but its operator: so every session has a domain of its own, whose
/// AllReduce carries the way here. The session keeps pointers into both and must be disposed first; without a finalizer, because
/// nothing would order it behind the session's.
/// </remarks>
internal sealed unsafe class SessionOperators : IDisposable
{
    private static readonly Lazy<nint> PagedAttention = new(() => (nint)PagedAttentionOperator.Create());

    private readonly IRankReducer? _reducer;
    private readonly nint _domain;
    private readonly GCHandle _self;
    private AllReduceOperator* _allReduce;

    /// <param name="reducer">Null where no step is run, or the graph is not cut into ranks.</param>
    public SessionOperators(IRankReducer? reducer)
    {
        _reducer = reducer;
        _self = GCHandle.Alloc(this);
        _allReduce = AllReduceOperator.Create(GCHandle.ToIntPtr(_self));
        _domain = OrtApi.CreateCustomOpDomain("granary\0"u8);
        OrtApi.AddToDomain(_domain, (CustomOperator*)PagedAttention.Value);
        OrtApi.AddToDomain(_domain, (CustomOperator*)_allReduce);
    }

    /// <summary>What the reducer threw first; the shard computes no more steps then, as its ranks are no longer in step.</summary>
    public Exception? Failure { get; private set; }

    /// <summary>Makes the operators known to sessions created with these options.</summary>
    public void Register(SessionOptions options)
    {
        ObjectDisposedException.ThrowIf(_allReduce is null, this);
        var entered = false;
        try
        {
            options.DangerousAddRef(ref entered);
            OrtApi.AddCustomOpDomain(options.DangerousGetHandle(), _domain);
        }
        finally
        {
            if (entered) options.DangerousRelease();
        }
    }

    /// <summary>Sums row-major [rows, columns] over the ranks, in place.</summary>
    public void AllReduce(Span<float> values, int columns)
    {
        // All ranks have the same rows: without any, none of them calls.
        if (values.IsEmpty) return;
        if (_reducer is null) throw new InvalidOperationException("The graph is one of several ranks, and was opened without the others.");
        try
        {
            _reducer.AllReduce(values, columns);
        }
        catch (Exception exception)
        {
            Failure ??= exception;
            throw;
        }
    }

    public void Dispose()
    {
        if (_allReduce is null) return;
        OrtApi.ReleaseCustomOpDomain(_domain);
        NativeMemory.Free(_allReduce);
        _allReduce = null;
        _self.Free();
    }
}
