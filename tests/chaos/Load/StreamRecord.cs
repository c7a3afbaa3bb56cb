using Granary.Client;
using Granary.GrainInterfaces;
using Granary.Tests.Support;

namespace Granary.Tests.Chaos;

/// <summary>What one caller got: every chunk with its moment, and the error where there was one.</summary>
internal sealed class StreamRecord(GenerateRequest request, string caller)
{
    public GenerateRequest Request => request;

    /// <summary>Whose gateway was asked.</summary>
    public string Caller => caller;

    public List<(TimeSpan At, TokenChunk Chunk)> Chunks { get; } = [];

    public TimeSpan Began { get; private set; }

    public TimeSpan Ended { get; private set; }

    public Exception? Error { get; private set; }

    /// <summary>The longest time between two tokens.</summary>
    public TimeSpan LongestGap => Chunks.Zip(Chunks.Skip(1), (one, next) => next.At - one.At).DefaultIfEmpty().Max();

    /// <summary>Lives of replicas that took part.</summary>
    public int Lives => Chunks.Select(chunk => chunk.Chunk.Epoch).Distinct().Count();

    /// <param name="received">Told of each chunk as it comes.</param>
    public async Task ReadAsync(IGenerationClient client, VirtualTime time, Func<TokenChunk, Task>? received = null, CancellationToken cancellationToken = default)
    {
        Began = time.Now;
        try
        {
            await foreach (var chunk in client.GenerateAsync(request, cancellationToken))
            {
                lock (Chunks) Chunks.Add((time.Now, chunk));
                if (received is not null) await received(chunk);
            }
        }
        catch (Exception exception)
        {
            Error = exception;
        }

        Ended = time.Now;
    }
}
