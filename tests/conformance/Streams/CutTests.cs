using System.Net;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Granary.Silo.Serving;
using Granary.Tests.Conformance.Responses;
using Granary.Tests.Conformance.Support;
using Microsoft.Extensions.DependencyInjection;

namespace Granary.Tests.Conformance.Streams;

/// <summary>Wherever a stream is cut, what follows is what would have followed.</summary>
[Collection(ScriptedTests.Name)]
public sealed partial class CutTests(ScriptedSilo scripted)
{
    /// <summary>Characters of several tokens, and words that nearly are the stop strings of the requests.</summary>
    private const string Text = "Once é 漢字 😀 upon STO STOP a time, in a land far away";

    private const string Other = "No 😀😀 way, said the STAR, and left for good";

    public static TheoryData<string, string> Requests => new()
    {
        { Api.Chat, "{}" },
        { Api.Chat, """{"stream_options":{"include_usage":true}}""" },
        { Api.Chat, """{"n":2,"logprobs":true,"top_logprobs":2,"stream_options":{"include_usage":true}}""" },
        { Api.Chat, """{"stop":["STOP","left for"],"n":2}""" },
        { Api.Chat, """{"stop":["STOP"],"include_stop_str_in_output":true,"logprobs":true}""" },
        { Api.Chat, """{"return_token_ids":true}""" },
        { Api.Chat, """{"n":2,"stream_options":{"include_usage":true,"continuous_usage_stats":true}}""" },
        { Api.Completions, "{}" },
        { Api.Completions, """{"logprobs":3}""" },
        { Api.Completions, """{"echo":true,"logprobs":1,"n":2,"stream_options":{"include_usage":true}}""" },
        { Api.Completions, """{"prompt":["a","b"],"stop":["STOP"]}""" },
        { Api.Completions, """{"max_tokens":0}""" },
        { Api.Completions, """{"max_tokens":0,"echo":true,"logprobs":1}""" },
        { ResponsesApi.Path, "{}" },
        { ResponsesApi.Path, """{"include":["message.output_text.logprobs"],"top_logprobs":2,"stop":["STOP"]}""" },
    };

    /// <summary>The stream is over and its journal whole: after every event it goes on as it did, by the request and by its own address.</summary>
    [Theory, MemberData(nameof(Requests))]
    public async Task AfterEveryEvent_TheRestIsTheSame(string path, string fields)
    {
        foreach (var apart in (bool[])[false, true])
        {
            var script = Say(apart);
            var body = Body(path, fields);
            var whole = await EventStream.ReadAllAsync(scripted.Http, path, body);
            Assert.All(whole, entry => Assert.NotNull(entry.Id));
            Assert.Equal(whole.Count, whole.Select(entry => entry.Id).Distinct().Count());
            await WhenJournaledAsync(whole[0].Id!, script);

            for (var cut = 0; cut < whole.Count - 1; cut++)
            {
                var rest = await EventStream.ReadAllAsync(scripted.Http, path, body, whole[cut].Id);
                AssertSame([.. whole[(cut + 1)..].Select(Timeless)], [.. rest.Select(Timeless)], whole[cut].Id!);
            }

            var again = await EventStream.ReadAllAsync(scripted.Http, $"/v1/streams/{whole[0].Id!.Split('/')[0]}", null);
            AssertSame([.. whole.Select(Timeless)], [.. again.Select(Timeless)], "the beginning");
            using var nothing = await EventStream.SendAsync(scripted.Http, path, body, whole[^1].Id);
            Assert.Equal(HttpStatusCode.NoContent, nothing.StatusCode);
        }
    }

    /// <summary>The stream is cut while it runs, and its journal lacks the latest tokens: they are generated again, and nobody sees it.</summary>
    [Theory, MemberData(nameof(Requests))]
    public async Task CutWhileItRuns_TheRestIsTheSame(string path, string fields)
    {
        var body = Body(path, fields);
        Say(apart: false);
        var whole = await EventStream.ReadAllAsync(scripted.Http, path, body);
        foreach (var place in (int[])[1, 4, 9])
        {
            // The first gateway gets so many tokens of each choice, and no more.
            var script = Say(apart: false);
            script.Before = (token, cancellation) => token < place ? Task.CompletedTask : Task.Delay(Timeout.Infinite, cancellation);
            await using var first = await EventStream.OpenAsync(scripted.Http, path, body);
            var events = await first.ReadAsync(whole.Count(entry => CameBefore(entry, place)));

            script.Before = null;
            var rest = await EventStream.ReadAllAsync(scripted.Http, path, body, events[^1].Id); // At once: an id that was seen leads somewhere.

            AssertSame([.. whole.Select(Nameless)], [.. events.Concat(rest).Select(Nameless)], events[^1].Id!);
        }
    }

    /// <summary>Whether an event needs no more tokens of its choice than so many.</summary>
    private static bool CameBefore(StreamEvent entry, int place)
    {
        var parts = entry.Id!.Split('/');
        if (parts[0].StartsWith("resp_", StringComparison.Ordinal)) return int.Parse(parts[1]) < 5; // The opening, and the text of the first token.
        if (parts.Length > 2) return false;
        var position = parts[1].Split(',')[(int)entry.ToJson()["choices"]![0]!["index"]!];
        return int.TryParse(position, out var tokens) ? tokens <= place : position is "0t" or "0e";
    }

    private static JsonObject Body(string path, string fields)
    {
        var body = path switch
        {
            Api.Chat => Api.ChatBody("Hi", ("max_tokens", 200), ("seed", 3)),
            Api.Completions => Api.CompletionBody("Once", ("max_tokens", 200), ("seed", 3)),
            _ => ResponsesApi.Body("Hi", ("max_output_tokens", 200)),
        };
        body["stream"] = true;
        foreach (var (name, value) in JsonNode.Parse(fields)!.AsObject()) body[name] = value?.DeepClone();
        return body;
    }

    private ReplayingScript Say(bool apart)
    {
        var script = new ReplayingScript(scripted.Silo.Services.GetRequiredService<ModelCatalog>().FindOpen(Api.Model)!, Text, Other)
        {
            Ending = (GrainInterfaces.FinishReason.Length, apart),
        };
        scripted.Client.Script = script.GenerateAsync;
        return script;
    }

    /// <summary>The last batch is on its way when the stream ends. Once it is there, nothing is asked of a replica any more.</summary>
    private async Task WhenJournaledAsync(string id, ReplayingScript script) => await Poll.UntilAsync(
        async () =>
        {
            script.TakeRequests();
            await EventStream.ReadAllAsync(scripted.Http, $"/v1/streams/{id.Split('/')[0]}", null);
            return script.TakeRequests().All(request => request.PromptLogprobs is not null);
        },
        "the journal is whole");

    /// <summary>Events of one choice are in order; of several they interleave as it happens.</summary>
    private static void AssertSame(List<StreamEvent> expected, List<StreamEvent> actual, string cut)
    {
        if (EventStream.ByChoice(expected).Count <= 1 && !expected.Any(entry => entry.Id!.Contains(',')))
        {
            Assert.True(expected.SequenceEqual(actual), $"After {cut}:\n{string.Join('\n', expected)}\nare not\n{string.Join('\n', actual)}");
            return;
        }

        Assert.Equal(EventStream.ByChoice(expected), EventStream.ByChoice(actual));
        Assert.Equal(expected.Where(IsOfAll), actual.Where(IsOfAll));

        static bool IsOfAll(StreamEvent entry) => entry.IsEnd || entry.ToJson()["choices"]!.AsArray().Count == 0;
    }

    /// <summary>An event as any stream of the same request has it.</summary>
    private static StreamEvent Nameless(StreamEvent entry) =>
        Timeless(new(Names().Replace(entry.Id!, "$1X"), entry.Type, Names().Replace(entry.Data, "$1X")));

    /// <summary>A response that is gone on with is completed again, which may be in another second.</summary>
    private static StreamEvent Timeless(StreamEvent entry) => entry with { Data = Times().Replace(entry.Data, "$1:0") };

    [GeneratedRegex("(chatcmpl-|cmpl-|resp_|msg_)[0-9a-f]{32}")]
    private static partial Regex Names();

    [GeneratedRegex("(\"created\"|\"created_at\"|\"completed_at\"):\\d+")]
    private static partial Regex Times();
}
