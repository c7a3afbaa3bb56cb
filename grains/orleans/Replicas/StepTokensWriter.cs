using Granary.Engine;
using Granary.GrainInterfaces.Replicas;

namespace Granary.Grains.Replicas;

/// <summary>Gathers the entries of one message; one writer makes all messages of a reader.</summary>
internal sealed class StepTokensWriter(HostedReplica replica)
{
    private readonly List<TokenDetail> _details = [];
    private long[] _slots = new long[64];
    private int[] _indexes = new int[64];
    private int[] _tokenIds = new int[64];
    private int _count;
    private bool _isHeavy;

    /// <summary>A prompt's log-probabilities can be megabytes: nothing is put behind them.</summary>
    public bool HasRoom => _count < StepTokens.MaxEntries && !_isHeavy;

    public bool IsEmpty => _count == 0;

    public void Add(long slot, in GeneratedToken token)
    {
        if (token.Index == 0 || token.End is not null || token.Logprobs is not null || token.Prompt is not null)
        {
            _details.Add(ReplicaMapping.ToDetail(token, _count));
            _isHeavy |= token.Prompt is not null;
        }

        Add(slot, token.Index, token.TokenId);
    }

    public void AddFailure(long slot, int index, string failure, bool wasInFailedStep)
    {
        _details.Add(new TokenDetail { Entry = _count, Failure = failure, WasInFailedStep = wasInFailedStep });
        Add(slot, index, -1);
    }

    /// <summary>The message, with how the life stands now; the writer is empty again.</summary>
    public StepTokens Take(bool isLast)
    {
        var load = replica.Engine.Load;
        var message = new StepTokens
        {
            Epoch = replica.Epoch,
            Slots = _slots[.._count],
            Indexes = _indexes[.._count],
            TokenIds = _tokenIds[.._count],
            Details = [.. _details],
            IsLast = isLast,
            Steps = load.Steps,
            StepSeconds = load.LongestStepSeconds,
            IsDraining = replica.IsDraining,
        };
        _count = 0;
        _isHeavy = false;
        _details.Clear();
        return message;
    }

    private void Add(long slot, int index, int tokenId)
    {
        if (_count == _slots.Length)
        {
            Array.Resize(ref _slots, 2 * _count);
            Array.Resize(ref _indexes, 2 * _count);
            Array.Resize(ref _tokenIds, 2 * _count);
        }

        (_slots[_count], _indexes[_count], _tokenIds[_count]) = (slot, index, tokenId);
        _count++;
    }
}
