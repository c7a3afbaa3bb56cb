using System.Runtime.ExceptionServices;
using Granary.Client;
using Granary.GrainInterfaces;
using Granary.Silo.Gateway.Streams;
using Granary.Silo.Metrics;

namespace Granary.Silo.Gateway;

/// <summary>Generates a plan's choices, side by side, and hands them to a sink as text.</summary>
internal sealed class GenerationRunner(IGenerationClient client, RequestMetrics metrics, TimeProvider time)
{
    /// <param name="stream">Where the tokens come from, for a stream that is recorded or gone on with; null asks a replica alone.</param>
    /// <returns>How each choice ended, by index.</returns>
    /// <exception cref="ApiException">Deadline or failure; other choices have been cancelled.</exception>
    public async Task<ChoiceEnd[]> RunAsync(GenerationPlan plan, IChoiceSink sink, ResumableStream? stream, CancellationToken cancellationToken)
    {
        if (plan.ChoiceCount == 1) return [await RunChoiceAsync(plan, 0, sink, stream, cancellationToken)];

        using var all = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Exception? first = null;
        var choices = Enumerable.Range(0, plan.ChoiceCount).Select(RunOrCancelAllAsync).ToArray();
        var ends = await Task.WhenAll(choices);
        if (first is not null) ExceptionDispatchInfo.Throw(first);
        return ends;

        async Task<ChoiceEnd> RunOrCancelAllAsync(int choice)
        {
            try
            {
                return await RunChoiceAsync(plan, choice, sink, stream, all.Token);
            }
            catch (Exception exception)
            {
                // The one that failed first is the cause; the others are cancelled because of it.
                Interlocked.CompareExchange(ref first, exception, null);
                await all.CancelAsync();
                return default;
            }
        }
    }

    private async Task<ChoiceEnd> RunChoiceAsync(GenerationPlan plan, int choice, IChoiceSink sink, ResumableStream? stream, CancellationToken cancellationToken)
    {
        if (plan.NeedsNoEngine(choice)) return await EndAtOnceAsync(choice, sink, cancellationToken);
        var text = new TextAssembler(plan.Model.Tokenizer, plan.Stops, plan.SkipSpecialTokens, plan.IncludeStop);
        var clock = new ChoiceClock(plan, metrics, time);
        var request = plan.RequestOf(choice);
        var tokens = stream is null ? client.GenerateAsync(request, cancellationToken) : stream.ReadAsync(client, request, choice, cancellationToken);
        var chunks = tokens.GetAsyncEnumerator(cancellationToken);
        // Leaving early, as at a stop string, disposes the enumerator: that cancels the sequence and frees its blocks.
        await using var _ = chunks;
        var begun = false;
        var logprobSum = 0.0;
        while (text.FinishReason is null)
        {
            var next = chunks.MoveNextAsync();
            var unsent = begun && !next.IsCompleted ? await TryFlushAsync(sink, cancellationToken) : null;
            // Waited for also where nobody reads any more: only a stream at rest can be disposed.
            var hasNext = await next;
            if (unsent is not null) ExceptionDispatchInfo.Throw(unsent);
            if (!hasNext) throw ApiException.GenerationFailed(); // A sequence ends with a reason, or it has not ended.
            var chunk = chunks.Current;
            if (choice == 0) plan.Turn?.Take(chunk);
            var delta = text.Append(chunk);
            RefuseAbnormalEnd(text.FinishReason, plan, cancellationToken);
            if (chunk.TokenId >= 0 && stream?.IsReplay(choice, text.GeneratedTokens) != true) clock.Token();
            if (!begun && chunk.PromptLogprobs is { } prompt) await sink.PromptAsync(choice, prompt, cancellationToken);
            if (!begun) await sink.BeginAsync(choice, cancellationToken);
            begun = true;
            logprobSum += chunk.Logprobs?.Chosen ?? 0;
            var logprobs = plan.HidesLogprobs || (chunk.FinishReason == FinishReason.Stop && !plan.IncludeStop) ? null : chunk.Logprobs;
            if (delta.Length > 0 || logprobs is not null || plan.ReturnsTokenIds)
            {
                var id = logprobs is not null || plan.ReturnsTokenIds ? chunk.TokenId : -1;
                var progress = new ChoiceProgress(text.GeneratedTokens, text.CachedPromptTokens);
                await sink.WriteAsync(new(choice, delta, id, logprobs, progress, text.FinishReason is not null), cancellationToken);
            }
        }

        var end = new ChoiceEnd(
            choice, text.FinishReason == FinishReason.Length ? "length" : "stop", text.GeneratedTokens, text.CachedPromptTokens, logprobSum);
        clock.Finished(end, plan.Prompts[choice / plan.ChoicesPerPrompt].Length);
        await sink.EndAsync(end, cancellationToken);
        if (choice == 0) plan.Turn?.Commit(plan.Model.Name, plan.Prompts[0], plan.CacheSalt);
        return end;
    }

    /// <returns>Why it could not be sent: the reader is gone.</returns>
    private static async Task<Exception?> TryFlushAsync(IChoiceSink sink, CancellationToken cancellationToken)
    {
        try
        {
            await sink.FlushAsync(cancellationToken);
            return null;
        }
        catch (Exception exception)
        {
            return exception;
        }
    }

    /// <summary>Answers a request for no tokens.</summary>
    private static async Task<ChoiceEnd> EndAtOnceAsync(int choice, IChoiceSink sink, CancellationToken cancellationToken)
    {
        var end = new ChoiceEnd(choice, "length", 0, 0);
        await sink.BeginAsync(choice, cancellationToken);
        await sink.EndAsync(end, cancellationToken);
        return end;
    }

    private static void RefuseAbnormalEnd(FinishReason? reason, GenerationPlan plan, CancellationToken cancellationToken)
    {
        switch (reason)
        {
            case FinishReason.Deadline:
                throw ApiException.DeadlineExceeded((plan.Deadline - plan.Created).TotalSeconds);
            case FinishReason.Cancelled:
                cancellationToken.ThrowIfCancellationRequested();
                throw ApiException.GenerationFailed();
        }
    }

    /// <summary>Measures one choice.</summary>
    private struct ChoiceClock(GenerationPlan plan, RequestMetrics metrics, TimeProvider time)
    {
        private long _first;
        private long _last;
        private int _tokens;

        public void Token()
        {
            var now = time.GetTimestamp();
            _tokens++;
            if (_last == 0)
            {
                _first = now;
                metrics.FirstToken(plan.Model.Name, plan.Operation, time.GetElapsedTime(plan.Arrived, now));
            }
            else
            {
                metrics.NextToken(plan.Model.Name, time.GetElapsedTime(_last, now));
            }

            _last = now;
        }

        public readonly void Finished(ChoiceEnd end, int promptTokens) => metrics.Finished(
            plan.Model.Name, plan.Operation, end.FinishReason, promptTokens, end.GeneratedTokens, time.GetElapsedTime(plan.Arrived),
            _tokens > 1 ? time.GetElapsedTime(_first, _last) / (_tokens - 1) : null);
    }
}
