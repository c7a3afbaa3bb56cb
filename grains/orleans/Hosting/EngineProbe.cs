using Granary.Engine;
using Granary.Engine.Sampling;
using Granary.GrainInterfaces.Errors;

namespace Granary.Grains;

/// <summary>A replica is ready when it has generated a token, not when its files were read.</summary>
internal static class EngineProbe
{
    /// <summary>Generates one token greedily.</summary>
    /// <exception cref="ModelLoadException">The engine refused, failed, or took longer than <paramref name="timeout"/>.</exception>
    public static async Task RunAsync(
        IInferenceEngine engine, string replicaId, TimeSpan timeout, TimeProvider time, CancellationToken cancellationToken)
    {
        var request = new EngineRequest
        {
            RequestId = $"probe/{replicaId}",
            PromptTokenIds = [0], // In every vocabulary.
            Sampling = new SamplingParameters { MaxTokens = 1, Temperature = 0 },
        };
        await using var sequence = engine.TrySubmit(request, out var refusal)
            ?? throw new ModelLoadException($"Replica '{replicaId}' refused its probe: {refusal?.Message}");

        using var bound = new CancellationTokenSource(timeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(bound.Token, cancellationToken);
        try
        {
            var generated = 0;
            do
            {
                while (sequence.TryRead(out var token)) generated += token.TokenId >= 0 ? 1 : 0;
            }
            while (await sequence.WaitToReadAsync(either.Token).ConfigureAwait(false));

            if (generated != 1) throw new ModelLoadException($"Replica '{replicaId}' generated {generated} tokens in its probe; it must be 1.");
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new ModelLoadException($"Replica '{replicaId}' did not generate a token within {timeout}.");
        }
    }
}
