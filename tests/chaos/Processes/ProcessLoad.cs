using System.Collections.Concurrent;
using System.Globalization;
using Granary.Client;

namespace Granary.Tests.Chaos.Processes;

/// <summary>Callers over HTTP with the SDK as it is delivered: each asks one request after the other, and compares every answer with that of the cluster before anything failed.</summary>
internal sealed class ProcessLoad : IAsyncDisposable
{
    private readonly Dictionary<string, string> _right = [];
    private readonly CompletionRequest[] _requests;
    private readonly GranaryClient[] _clients;
    private readonly ConcurrentQueue<string> _wrong = new();
    private readonly Lock _gate = new();
    private readonly List<(long Tokens, TaskCompletionSource Reached)> _marks = [];
    private Task _callers = Task.CompletedTask;
    private volatile bool _stopping;
    private long _tokens;
    private TimeSpan _longestGap;

    /// <param name="gateways">Those that are asked; each caller begins at another, and goes on at the next.</param>
    private ProcessLoad(IReadOnlyList<ProcessSilo> gateways, int callers, int tokens, int retries)
    {
        _requests = [.. Enumerable.Range(0, callers).Select(n => Request(n, tokens))];
        _clients = [.. Enumerable.Range(0, callers).Select(n => Client(gateways, n, retries))];
    }

    /// <summary>Answers that were right.</summary>
    public int Answers { get; private set; }

    /// <summary>The longest that any caller waited between two tokens.</summary>
    public TimeSpan LongestGap
    {
        get
        {
            lock (_gate) return _longestGap;
        }
    }

    /// <summary>Asks every request once, on the cluster as it is, and then begins.</summary>
    /// <param name="retries">How often a request that nobody took is tried again; the SDK's default.</param>
    public static async Task<ProcessLoad> StartAsync(IReadOnlyList<ProcessSilo> gateways, int callers = 8, int tokens = 400, int retries = 2)
    {
        var load = new ProcessLoad(gateways, callers, tokens, retries);
        var right = await Task.WhenAll(load._requests.Select((request, n) => load.AnswerAsync(request, load._clients[n])));
        foreach (var (request, answer) in load._requests.Zip(right)) load._right[request.Prompt!] = answer;
        load._longestGap = TimeSpan.Zero;
        load._callers = Task.WhenAll(load._requests.Select((_, n) => load.CallAsync(n)));
        return load;
    }

    /// <summary>Completes once so many more tokens have come, of all callers together.</summary>
    public Task WaitTokensAsync(long more)
    {
        lock (_gate)
        {
            var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _marks.Add((_tokens + more, reached));
            return reached.Task.WaitAsync(Wait.Limit);
        }
    }

    /// <summary>Lets all callers have their answers; fails where one was not to the letter that of the whole cluster.</summary>
    public async Task StopAsync()
    {
        _stopping = true;
        await _callers.WaitAsync(Wait.Limit);
        if (!_wrong.IsEmpty) Assert.Fail($"{_wrong.Count} answers were wrong, {Answers} right:\n{string.Join('\n', _wrong.Take(10))}");
        Assert.True(Answers > 0);
    }

    public async ValueTask DisposeAsync()
    {
        _stopping = true;
        foreach (var client in _clients) await client.DisposeAsync();
    }

    private static CompletionRequest Request(int n, int tokens) => new()
    {
        Model = ProcessCluster.Model,
        Prompt = $"Story {n}. Once upon a time there was",
        Settings = (n % 3) switch
        {
            0 => new() { Temperature = 0, MaxTokens = tokens, IgnoreEos = true },
            1 => new() { Temperature = 1.1f, Seed = n, MaxTokens = tokens, IgnoreEos = true, PresencePenalty = 0.5f },
            _ => new() { Temperature = 0.8f, Seed = n, MaxTokens = tokens / 2, IgnoreEos = true, TopLogprobs = 1, Choices = 2 },
        },
    };

    private static GranaryClient Client(IReadOnlyList<ProcessSilo> gateways, int n, int retries)
    {
        var options = new GranaryClientOptions { Endpoint = gateways[n % gateways.Count].Url, MaxRetries = retries };
        for (var other = 1; other < gateways.Count; other++) options.OtherEndpoints.Add(gateways[(n + other) % gateways.Count].Url);
        return GranaryClient.Connect(options);
    }

    private async Task CallAsync(int n)
    {
        while (!_stopping)
        {
            var request = _requests[n];
            try
            {
                var answer = await AnswerAsync(request, _clients[n]);
                if (answer != _right[request.Prompt!])
                {
                    _wrong.Enqueue($"{request.Prompt}: differs at {answer.Zip(_right[request.Prompt!]).TakeWhile(pair => pair.First == pair.Second).Count()} of {answer.Length} characters: {answer}");
                    return;
                }
            }
            catch (Exception exception)
            {
                _wrong.Enqueue($"{request.Prompt}: {exception.GetType().Name}: {exception.Message}");
                return; // Its cluster is broken, or going away.
            }

            lock (_gate) Answers++;
        }
    }

    /// <summary>All that the caller is told, choice by choice.</summary>
    private async Task<string> AnswerAsync(CompletionRequest request, GranaryClient client)
    {
        var (texts, ends, usage) = (new string[request.Settings.Choices], new string[request.Settings.Choices], 0);
        var (begun, last) = (false, TimeProvider.System.GetTimestamp());
        await foreach (var update in client.CompleteAsync(request))
        {
            texts[update.Choice] += update.Text + string.Concat(update.Logprobs.Select(token => token.Logprob.ToString("R", CultureInfo.InvariantCulture) + " "));
            ends[update.Choice] ??= update.FinishReason!;
            usage = update.Usage?.CompletionTokens ?? usage;
            Count(begun ? TimeProvider.System.GetElapsedTime(last) : TimeSpan.Zero);
            (begun, last) = (true, TimeProvider.System.GetTimestamp());
        }

        return $"{string.Join('|', texts)} {string.Join('|', ends)} {usage}";
    }

    private void Count(TimeSpan gap)
    {
        lock (_gate)
        {
            _tokens++;
            if (gap > _longestGap) _longestGap = gap;
            foreach (var (_, reached) in _marks.Where(mark => mark.Tokens <= _tokens)) reached.TrySetResult();
            _marks.RemoveAll(mark => mark.Tokens <= _tokens);
        }
    }
}
