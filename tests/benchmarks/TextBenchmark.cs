using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using Granary.Tests.Support;
using Granary.Text.Templates;
using Granary.Text.Tokenization;

namespace Granary.Tests.Benchmarks;

/// <summary>Text to ids on one core: ordinary, new and hostile text by tokenizer, and a long chat through its template.</summary>
internal static class TextBenchmark
{
    private const int Runs = 7;
    private const int TextLength = 1 << 20;
    private const int PromptTokens = 60_000;

    private sealed record Speed(string Tokenizer, double Cold, double Warm, double NewWords, double BytesPerToken, double LoadMs);

    private sealed record Chat(string Template, string Tokenizer, int Messages, int Tokens, double RenderMs, double EncodeMs);

    public static int Run(string[] arguments)
    {
        if (arguments is not ([] or ["--output", { Length: > 0 }]))
        {
            Console.Error.WriteLine("Usage: text [--output FILE]");
            return 2;
        }

        var tokenizers = Tokenizers().ToList();
        var english = TextSamples.English(TextLength);
        var newWords = TextSamples.NewWords(TextLength, seed: 1);
        TextTokenizer.Load(EmbeddedModel.Folder).Encode(english[..100_000]); // Compiles the code before anything is timed.

        Console.WriteLine(Row($"{"",-16}{"English MB/s: cold",20}{"warm",8}{"new words MB/s",17}{"bytes a token",16}{"load ms",10}"));
        var speeds = tokenizers.Select(item => MeasureSpeed(item.Name, item.Folder, english, newWords)).ToList();
        Console.WriteLine();
        var hostile = MeasureHostile(tokenizers);
        Console.WriteLine();
        var chats = MeasureChats(tokenizers, english).ToList();
        Report.Write(
            arguments is [_, var output] ? output : Report.DefaultPath("text"),
            new { Speeds = speeds, HostileMsPerMegabyte = hostile, Chats = chats });
        return 0;
    }

    private static IEnumerable<(string Name, string Folder)> Tokenizers()
    {
        yield return ("tiny-assistant", EmbeddedModel.Folder);
        if (SharedData.Root is null) yield break;
        foreach (var name in (string[])["gpt2", "phi-2", "phi-3"]) yield return (name, SharedData.Path("tokenizers", name));
    }

    private static Speed MeasureSpeed(string name, string folder, string english, string newWords)
    {
        List<double> load = [], cold = [], warm = [], fresh = [];
        var bytesPerToken = 0.0;
        var prompt = english[..(1 << 18)];
        for (var run = 0; run < Runs; run++)
        {
            TextTokenizer tokenizer = null!;
            load.Add(Milliseconds(() => tokenizer = TextTokenizer.Load(folder)));
            cold.Add(Rate(tokenizer, english));
            warm.Add(Rate(tokenizer, english));
            fresh.Add(Rate(TextTokenizer.Load(folder), newWords));
            tokenizer.Encode(prompt);
            var before = GC.GetAllocatedBytesForCurrentThread();
            var ids = tokenizer.Encode(prompt);
            bytesPerToken = ((GC.GetAllocatedBytesForCurrentThread() - before) / (double)ids.Length) - sizeof(int); // Beside the result itself.
        }

        var speed = new Speed(name, Statistics.Median(cold), Statistics.Median(warm), Statistics.Median(fresh), bytesPerToken, Statistics.Median(load));
        Console.WriteLine(Row($"{name,-16}{speed.Cold,20:F1}{speed.Warm,8:F1}{speed.NewWords,17:F1}{speed.BytesPerToken,16:F2}{speed.LoadMs,10:F0}"));
        return speed;
    }

    private static Dictionary<string, Dictionary<string, double>> MeasureHostile(List<(string Name, string Folder)> tokenizers)
    {
        Console.WriteLine(Row($"{"ms for 2^20 chars",-28}{string.Concat(tokenizers.Select(item => item.Name.PadLeft(16)))}"));
        var loaded = tokenizers.Select(item => (item.Name, Tokenizer: TextTokenizer.Load(item.Folder))).ToList();
        var results = new Dictionary<string, Dictionary<string, double>>();
        foreach (var (kind, text) in TextSamples.Hostile(TextLength))
        {
            var row = loaded.ToDictionary(item => item.Name, item => Statistics.Median([.. Enumerable.Range(0, 3).Select(_ => Milliseconds(() => item.Tokenizer.Encode(text)))]));
            results[kind] = row;
            Console.WriteLine(Row($"{kind,-28}{string.Concat(row.Values.Select(value => value.ToString("F0", CultureInfo.InvariantCulture).PadLeft(16)))}"));
        }

        return results;
    }

    private static IEnumerable<Chat> MeasureChats(List<(string Name, string Folder)> tokenizers, string english)
    {
        Console.WriteLine(Row($"{"template",-34}{"tokenizer",16}{"messages",10}{"tokens",9}{"render ms",11}{"encode ms",11}"));
        foreach (var (templateName, template) in Templates())
        {
            foreach (var (name, folder) in tokenizers)
            {
                var tokenizer = TextTokenizer.Load(folder);
                var messages = Messages(tokenizer, english);
                List<double> render = [], encode = [];
                var tokens = 0;
                for (var run = 0; run < Runs; run++)
                {
                    var text = "";
                    render.Add(Milliseconds(() => text = template.Render(messages, new ChatTemplateOptions { AddGenerationPrompt = true, BosToken = "<s>", EosToken = "</s>" })));
                    encode.Add(Milliseconds(() => tokens = tokenizer.Encode(text, addSpecialTokens: false).Length));
                }

                var chat = new Chat(templateName, name, messages.Count, tokens, Statistics.Median(render), Statistics.Median(encode));
                Console.WriteLine(Row($"{templateName,-34}{name,16}{chat.Messages,10}{tokens,9}{chat.RenderMs,11:F1}{chat.EncodeMs,11:F1}"));
                yield return chat;
            }
        }
    }

    /// <summary>Questions and answers of about a hundred tokens each, as many as fill the prompt.</summary>
    private static JsonArray Messages(TextTokenizer tokenizer, string english)
    {
        const int Words = 400;
        var messages = new JsonArray();
        var position = 0;
        for (var tokens = 0; tokens < PromptTokens; position = (position + Words) % (english.Length - Words))
        {
            var content = english.Substring(position, Words);
            tokens += tokenizer.Encode(content).Length;
            messages.Add(new JsonObject { ["role"] = messages.Count % 2 == 0 ? "user" : "assistant", ["content"] = content });
        }

        if (messages.Count % 2 == 0) messages.RemoveAt(messages.Count - 1); // A question is the last.
        return messages;
    }

    private static IEnumerable<(string Name, ChatTemplate Template)> Templates()
    {
        yield return ("tiny-assistant", ChatTemplate.Load(EmbeddedModel.Folder)!);
        if (SharedData.Root is null) yield break;
        var published = JsonNode.Parse(File.ReadAllText(SharedData.Path("templates", "hf-jinja-e2e.json")))!["cases"]!.AsArray();
        foreach (var name in (string[])["meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-0.6B"])
        {
            yield return (name, ChatTemplate.Parse((string)published.First(item => (string?)item!["name"] == name)!["template"]!));
        }
    }

    private static double Rate(TextTokenizer tokenizer, string text) => Encoding.UTF8.GetByteCount(text) / 1e3 / Milliseconds(() => tokenizer.Encode(text));

    private static double Milliseconds(Action action)
    {
        var clock = Stopwatch.StartNew();
        action();
        return clock.Elapsed.TotalMilliseconds;
    }

    private static string Row(FormattableString row) => row.ToString(CultureInfo.InvariantCulture);
}
