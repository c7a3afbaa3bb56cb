using Orleans;

namespace Granary.GrainInterfaces.Streams;

/// <summary>The journal of one response that is streamed: what its gateway read, for whichever gateway its client comes back to. Key: the response's id, which nobody can guess.</summary>
/// <remarks>
/// It is away from the gateway's silo where there is another, so that it outlives the gateway. It is a help and not the truth: what it lacks
/// is generated again, and a gateway whose journal was lost with its silo tells everything once more. It ends by itself some time after the last write.
/// </remarks>
[Alias("granary.stream-grain")]
public interface IStreamGrain : IGrainWithStringKey
{
    /// <summary>Keeps what a gateway has read since its last batch. Parts that are there already are kept once.</summary>
    [Alias("append")]
    Task<StreamAppend> AppendAsync(StreamBatch batch, CancellationToken cancellationToken = default);

    /// <summary>Gives the stream to another gateway: from now on, batches of the one before are refused.</summary>
    /// <param name="owner">As <see cref="StreamHead.Owner"/>.</param>
    /// <returns>What is kept; null where there is no such stream, none any more, or it is somebody else's.</returns>
    [Alias("take-over")]
    Task<StreamJournal?> TakeOverAsync(byte[] owner, CancellationToken cancellationToken = default);

    /// <summary>Ends the journal before its time.</summary>
    [Alias("forget")]
    Task ForgetAsync(CancellationToken cancellationToken = default);
}

/// <summary>What became of a batch.</summary>
[GenerateSerializer, Alias("granary.stream-append")]
public enum StreamAppend
{
    Kept = 0,

    /// <summary>Another gateway has the stream: the one that asked is to end its generation.</summary>
    TakenOver = 1,

    /// <summary>The journal does not have what the batch goes on from: it was lost, or never there. The gateway tells everything again, the head included.</summary>
    Unknown = 2,

    /// <summary>The stream has as many bytes as are kept of one; what is there stays, and nothing more is taken.</summary>
    Full = 3,
}
