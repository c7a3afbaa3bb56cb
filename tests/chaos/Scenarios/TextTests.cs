using System.Globalization;
using System.Text;
using Granary.Client;
using Granary.Engine.Simulation;
using Microsoft.Extensions.Logging.Abstractions;

namespace Granary.Tests.Chaos;

/// <summary>The SDK's callers read text: several choices, stop strings that a loss may cut in two, log-probabilities, penalties. 3 of peers.md, section 4.3.</summary>
[Trait("Category", Chaos.Category)]
public sealed class TextTests
{
    private const int Callers = 12;

    /// <summary>Every caller gets the same updates, joined, as it got before the fault: text, log-probabilities, ends and counts.</summary>
    [SimulatedFact]
    public Task Crash_MidText_EveryTextIsTheSame() => Scenario.RunAsync(
        "kill -9 of the silo that writes the most texts",
        async (cluster, random) =>
        {
            using var continuations = new Continuations();
            var client = new GrainGranaryClient(
                cluster.Grains, cluster.Outside, new SessionRecorder(cluster.Grains, cluster.Time, null, NullLogger<SessionRecorder>.Instance), new() { MaxRetries = 0 }, cluster.Time, new Random(1));
            var requests = Enumerable.Range(0, Callers).Select(n => Draw(random, n)).ToList();
            // A stop string is only worth something where it occurs: it is taken from the middle of the answer without it.
            var free = await Task.WhenAll(requests.Select(request => ReadAsync(client, request)));
            for (var n = 0; n < Callers; n += 3)
            {
                var text = free[n].Text[0];
                requests[n] = requests[n] with { Settings = requests[n].Settings with { Stops = ["never to be seen", text.Substring(text.Length / 2, Math.Min(3, text.Length / 2))] } };
            }

            var right = await Task.WhenAll(requests.Select(request => ReadAsync(client, request)));

            var reads = requests.Select(request => ReadAsync(client, request)).ToList();
            await cluster.DelayAsync(TimeSpan.FromSeconds(0.3));
            cluster.Crash(await cluster.FindBusiestAsync());
            var got = await Task.WhenAll(reads);

            for (var n = 0; n < Callers; n++) Assert.Equal(right[n].Whole, got[n].Whole);
            Assert.True(continuations.Losses > 0, "Nobody was reading from the silo that was lost: the scenario shows nothing.");
            await cluster.HealAsync();
            await Leaks.RequireNoneAsync(cluster);
        },
        new()
        {
            SpeaksText = true,
            Device = new SimulatedDevice { VocabularySize = 4096, KvBlockCount = 512, PerStep = TimeSpan.FromMilliseconds(8), PerPrefillToken = TimeSpan.FromMicroseconds(40) },
        });

    private static ChatRequest Draw(Random random, int number) => new()
    {
        Model = ChaosCluster.Model,
        Messages = [new("system", "You answer at length."), new("user", $"Tell me about the number {random.Next(1000)}, please ({number}).")],
        Settings = new()
        {
            Choices = number % 4 == 1 ? 3 : 1,
            MaxTokens = random.Next(60, 120),
            Seed = random.Next(),
            Temperature = number % 5 == 0 ? 0 : 0.9f,
            TopLogprobs = number % 3 == 1 ? 2 : null,
            FrequencyPenalty = number % 4 == 2 ? 0.5f : null,
            RepetitionPenalty = number % 4 == 3 ? 1.1f : null,
        },
    };

    /// <summary>An answer as a caller sees it, all in one text that can be compared.</summary>
    private static async Task<(string Whole, string[] Text)> ReadAsync(GranaryClient client, ChatRequest request)
    {
        var texts = Enumerable.Range(0, request.Settings.Choices).Select(_ => new StringBuilder()).ToArray();
        var rest = Enumerable.Range(0, request.Settings.Choices).Select(_ => new StringBuilder()).ToArray();
        var usage = "";
        await foreach (var update in client.ChatAsync(request))
        {
            texts[update.Choice].Append(update.Text);
            foreach (var logprob in update.Logprobs)
                rest[update.Choice].Append(CultureInfo.InvariantCulture, $" {logprob.Token}:{logprob.Logprob:R}({string.Join(',', logprob.Top.Select(top => string.Create(CultureInfo.InvariantCulture, $"{top.Token}:{top.Logprob:R}")))})");
            if (update.FinishReason is not null) rest[update.Choice].Append(CultureInfo.InvariantCulture, $" ended by {update.FinishReason}");
            if (update.Usage is { } told) usage = string.Create(CultureInfo.InvariantCulture, $"{told.PromptTokens} + {told.CompletionTokens} tokens");
        }

        return (string.Join('\n', texts.Zip(rest, (text, more) => $"{text}|{more}").Append(usage)), [.. texts.Select(text => text.ToString())]);
    }
}
