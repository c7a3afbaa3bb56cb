using System.Diagnostics;
using System.Text.Json.Nodes;
using Granary.Client;
using Granary.GrainInterfaces;
using Granary.Silo.Hosting;
using Granary.Silo.Serving;

namespace Granary.Silo.CommandLine;

/// <summary>Answers one question: the whole way of a request, only HTTP left out.</summary>
internal static class AskCommand
{
    public static async Task<int> RunAsync(Dictionary<string, string?> settings, Question question)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { ContentRootPath = AppContext.BaseDirectory });
        // What goes wrong ends the command with its message; logs would only repeat it.
        GranaryHost.Configure(builder, settings, LogLevel.Critical);
        using var host = builder.Build();
        var catalog = host.Services.GetRequiredService<ModelCatalog>(); // Wrong settings and names are told before anything starts.
        await host.StartAsync();
        try
        {
            var stopping = host.Services.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping;
            await host.Services.GetRequiredService<ModelDeployment>().Completed.WaitAsync(stopping);
            var model = catalog.FindOpen(catalog.Names[0])!; // Deployed, so open.
            await AnswerAsync(host.Services.GetRequiredService<IGenerationClient>(), model, question, stopping);
            return 0;
        }
        catch (OperationCanceledException)
        {
            return GranaryCommand.Failed; // Told to stop.
        }
        finally
        {
            await host.StopAsync();
        }
    }

    private static async Task AnswerAsync(IGenerationClient client, TextModel model, Question question, CancellationToken cancellationToken)
    {
        var request = CreateRequest(model, question);
        var text = new TextAssembler(model.Tokenizer, []);
        var whole = new System.Text.StringBuilder();
        var ids = new List<int>();
        var (asked, first, last) = (Stopwatch.GetTimestamp(), 0L, 0L);
        await foreach (var chunk in client.GenerateAsync(request, cancellationToken))
        {
            var delta = text.Append(chunk);
            if (chunk.TokenId >= 0)
            {
                last = Stopwatch.GetTimestamp();
                if (first == 0) first = last;
                ids.Add(chunk.TokenId);
            }

            whole.Append(delta);
            if (!question.Json && delta.Length > 0)
            {
                await Console.Out.WriteAsync(delta.AsMemory(), cancellationToken);
                await Console.Out.FlushAsync(cancellationToken);
            }
        }

        var answer = new Answer(
            whole.ToString(), [.. ids], request.PromptTokenIds, FinishReasonOf(text), text.CachedPromptTokens, request.Sampling,
            first == 0 ? null : Stopwatch.GetElapsedTime(asked, first), ids.Count > 1 ? (ids.Count - 1) / Stopwatch.GetElapsedTime(first, last).TotalSeconds : null);
        await Console.Out.WriteLineAsync(question.Json ? answer.ToJson() : "");
        if (!question.Json) await Console.Error.WriteLineAsync(answer.ToFigures());
    }

    /// <exception cref="ModelPromptException">The question does not fit the model.</exception>
    private static GenerateRequest CreateRequest(TextModel model, Question question)
    {
        if (!question.Raw && model.Template is null) throw new ModelPromptException($"Model {model.Name} has no chat template; give --raw.");
        var prompt = question.Raw
            ? model.EncodeText(question.Text)
            : model.EncodeChat([new JsonObject { ["role"] = "user", ["content"] = question.Text }]);
        var room = model.ContextLength - prompt.Length;
        if (room < (question.MaxTokens ?? 1))
        {
            throw new ModelPromptException(
                $"The prompt has {prompt.Length} tokens; with {question.MaxTokens ?? 1} to generate, the context of {model.ContextLength} tokens is exceeded.");
        }

        var defaults = model.Card.Defaults;
        return new GenerateRequest
        {
            RequestId = $"ask-{Guid.NewGuid():N}",
            Model = model.Name,
            PromptTokenIds = prompt,
            Sampling = new SamplingOptions
            {
                MaxTokens = question.MaxTokens ?? room,
                Temperature = question.Temperature ?? defaults.Temperature ?? 1,
                TopK = defaults.TopK ?? 0,
                TopP = defaults.TopP ?? 1,
                MinP = defaults.MinP ?? 0,
                RepetitionPenalty = defaults.RepetitionPenalty ?? 1,
                Seed = question.Seed ?? (ulong)Random.Shared.NextInt64(),
            },
        };
    }

    private static string FinishReasonOf(TextAssembler text) => text.FinishReason switch
    {
        FinishReason.Stop => "stop",
        FinishReason.Length => "length",
        var reason => throw new ModelPromptException($"Generation ended without an end: {reason?.ToString() ?? "no reason"}."),
    };
}
