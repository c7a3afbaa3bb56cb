using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Errors;
using Orleans.Runtime;

namespace Granary.Client;

/// <summary>Generates a plan's choices side by side and hands out one enumeration of their updates.</summary>
/// <remarks>
/// Tokens are pulled at the cluster's pace into a bounded buffer, so that a reader that pauses does not lose its stream; once the buffer is
/// full the cluster waits, until the deadline.
/// </remarks>
internal sealed class ChoiceRunner(IGenerationClient generation, RetrySchedule retries)
{
    /// <summary>Updates that wait for their reader, of all choices.</summary>
    internal const int BufferedUpdates = 1024;

    public async IAsyncEnumerable<GenerationUpdate> RunAsync(GrainPlan plan, CallLimit limit, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var buffer = Channel.CreateBounded<GenerationUpdate>(new BoundedChannelOptions(BufferedUpdates) { SingleReader = true });
        using var all = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var pump = PumpAsync(plan, limit, buffer.Writer, all);
        try
        {
            await foreach (var update in buffer.Reader.ReadAllAsync(CancellationToken.None)) yield return update;
        }
        finally
        {
            // A reader that leaves ends all choices; their blocks are free when this returns.
            await all.CancelAsync();
            await pump;
        }
    }

    /// <summary>Runs all choices; the first failure ends the others and is the enumeration's. It does not fail itself.</summary>
    private async Task PumpAsync(GrainPlan plan, CallLimit limit, ChannelWriter<GenerationUpdate> updates, CancellationTokenSource all)
    {
        Exception? first = null;
        var ends = await Task.WhenAll(Enumerable.Range(0, plan.Settings.Choices).Select(RunOrEndAllAsync));
        if (first is null)
        {
            var usage = new GenerationUsage(plan.Prompt.Length, ends[0].CachedPromptTokens, ends.Sum(end => end.GeneratedTokens));
            try
            {
                await updates.WriteAsync(plan.Update() with { Usage = usage }, all.Token);
            }
            catch (OperationCanceledException exception)
            {
                first = Reason(exception);
            }
        }

        updates.TryComplete(first);

        async Task<TextAssembler> RunOrEndAllAsync(int choice)
        {
            var text = new TextAssembler(plan.Model.Tokenizer, plan.Settings.Stops);
            try
            {
                await RunChoiceAsync(plan, choice, text, limit, updates, all.Token);
            }
            catch (Exception exception)
            {
                Interlocked.CompareExchange(ref first, Reason(exception), null);
                await all.CancelAsync();
            }

            return text;
        }

        Exception Reason(Exception exception)
        {
            if (exception is OperationCanceledException && limit.HasTimedOut) return limit.TimedOut(exception);
            return GrainErrors.Map(exception, plan.Id) ?? exception;
        }
    }

    private async Task RunChoiceAsync(
        GrainPlan plan, int choice, TextAssembler text, CallLimit limit, ChannelWriter<GenerationUpdate> updates, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            Exception failure;
            try
            {
                await foreach (var chunk in generation.GenerateAsync(plan.RequestOf(choice), cancellationToken))
                {
                    await AppendAsync(chunk);
                    if (text.FinishReason is not null) break; // At a stop string; leaving ends the sequence.
                }

                if (text.FinishReason is null) throw new GranaryGenerationException($"Choice {choice} ended without a finish reason.") { RequestId = plan.Id };
                break;
            }
            catch (Exception exception) when (exception is GranaryException or OrleansException && text.GeneratedTokens == 0)
            {
                failure = exception;
            }

            // Nobody took it: nothing was started.
            if (GrainErrors.Map(failure, plan.Id) is not GranaryUnavailableException unavailable
                || !await retries.WaitAsync(attempt, unavailable.RetryAfter, plan.Deadline, cancellationToken)) throw GrainErrors.Map(failure, plan.Id)!;
        }

        await updates.WriteAsync(plan.Update(choice) with { FinishReason = text.FinishReason == FinishReason.Length ? "length" : "stop" }, cancellationToken);

        async ValueTask AppendAsync(TokenChunk chunk)
        {
            if (choice == 0) plan.Turn?.Take(chunk);
            var delta = text.Append(chunk);
            if (text.FinishReason == FinishReason.Deadline) throw limit.TimedOut();
            if (text.FinishReason == FinishReason.Cancelled)
            {
                cancellationToken.ThrowIfCancellationRequested();
                throw new GranaryGenerationException("The cluster cancelled the generation.") { RequestId = plan.Id };
            }

            // A token that ended the sequence is not part of it.
            var logprobs = chunk.FinishReason == FinishReason.Stop ? null : chunk.Logprobs;
            if (delta.Length == 0 && logprobs is null) return;
            await updates.WriteAsync(
                plan.Update(choice) with { Text = delta, Logprobs = logprobs is null ? [] : [TokenTexts.Read(plan, chunk.TokenId, logprobs)] }, cancellationToken);
        }
    }
}
