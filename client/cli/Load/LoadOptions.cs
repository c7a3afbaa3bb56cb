using System.CommandLine;
using System.Globalization;
using Granary.Client.Cli.CommandLine;

namespace Granary.Client.Cli.Load;

/// <summary>Options of the load to make.</summary>
internal sealed class LoadOptions
{
    private const int DefaultRequests = 200;
    private const double MaxSeconds = 86_400;
    private const double MaxMilliseconds = 1000 * MaxSeconds;

    private readonly Option<string?> _model = new("--model") { Description = "Default: the first that the server lists.", HelpName = "NAME" };
    private readonly Option<string> _endpoint = new("--endpoint") { Description = "chat (default) or completions.", HelpName = "NAME", DefaultValueFactory = _ => "chat" };
    private readonly Option<int?> _concurrency = Values.Integer("--concurrency", "Closed loop: requests under way at any time. Default 1, without --rate.", 1, 4096);
    private readonly Option<double?> _rate = Values.Number("--rate", "Open loop: arrivals per second, however slow the answers.", "R", 0.001, 100_000);
    private readonly Option<string> _arrivals = new("--arrivals") { Description = "With --rate: poisson (default) or constant gaps.", HelpName = "NAME", DefaultValueFactory = _ => "poisson" };
    private readonly Option<int?> _maxConnections = Values.Integer("--max-connections", "With --rate: most requests on the wire; others wait, and their wait counts. Default 1024.", 1, 16_384);
    private readonly Option<int?> _requests = Values.Integer("--requests", $"Measured requests. Default {DefaultRequests}, without --duration.", 1, LoadSettings.MaxRequests);
    private readonly Option<double?> _duration = Values.Number("--duration", "Seconds in which requests begin; what has begun is waited for.", "S", 0.001, MaxSeconds);
    private readonly Option<int?> _warmup = Values.Integer("--warmup", "Requests before the measured ones. Default 10.", 0, 100_000);
    private readonly Option<LengthDistribution?> _prompt = Lengths("--prompt-tokens", "Prompt length, in words of about one token: N, or N-M for any between. Default 128.");
    private readonly Option<LengthDistribution?> _output = Lengths("--output-tokens", "Most tokens to generate: N or N-M. Default 64.");
    private readonly Option<string?> _trace = new("--trace") { Description = "Take both lengths from this CSV file in turn: columns input_length and output_length.", HelpName = "FILE" };
    private readonly Option<int?> _prefixGroups = Values.Integer("--prefix-groups", "How many prefixes the prompts share; each request has one of them. Goes with --prefix-tokens.", 1, 1_000_000);
    private readonly Option<int?> _prefixTokens = Values.Integer("--prefix-tokens", "Length of each shared prefix, before the prompt's own words.", 1, LengthDistribution.Largest);
    private readonly Option<double?> _temperature = Values.Number("--temperature", "0 (greedy) to 2. Default: the server's.", "T", 0, 2);
    private readonly Option<bool> _ignoreEos = new("--ignore-eos") { Description = "Generate the whole output length; not every server takes it." };
    private readonly Option<int?> _seed = Values.Integer("--seed", "Determines arrivals, lengths and words. Default 1.", 0, int.MaxValue);
    private readonly Option<double?> _timeout = Values.Number("--timeout", "Seconds a request may take. Default 600.", "S", 0.001, MaxSeconds);
    private readonly Option<double?> _sloFirst = Values.Number("--slo-ttft", "Goal for the first token, in milliseconds.", "MS", 0.001, MaxMilliseconds);
    private readonly Option<double?> _sloNext = Values.Number("--slo-itl", "Goal for a request's mean time per later token, in milliseconds.", "MS", 0.001, MaxMilliseconds);

    public LoadOptions()
    {
        _endpoint.AcceptOnlyFromAmong("chat", "completions");
        _arrivals.AcceptOnlyFromAmong("poisson", "constant");
    }

    public void AddTo(Command command)
    {
        foreach (var option in (ReadOnlySpan<Option>)[
            _model, _endpoint, _concurrency, _rate, _arrivals, _maxConnections, _requests, _duration, _warmup, _prompt, _output, _trace,
            _prefixGroups, _prefixTokens, _temperature, _ignoreEos, _seed, _timeout, _sloFirst, _sloNext])
        {
            command.Options.Add(option);
        }

        command.Validators.Add(result =>
        {
            if (Given(_concurrency) && Given(_rate)) result.AddError("--concurrency (closed loop) and --rate (open loop) exclude each other.");
            if (!Given(_rate) && Given(_arrivals)) result.AddError("--arrivals goes with --rate.");
            if (!Given(_rate) && Given(_maxConnections)) result.AddError("--max-connections goes with --rate.");
            if (Given(_trace) && (Given(_prompt) || Given(_output))) result.AddError("--trace excludes --prompt-tokens and --output-tokens.");
            if (Given(_prefixGroups) != Given(_prefixTokens)) result.AddError("--prefix-groups and --prefix-tokens go together.");

            bool Given(Option option) => result.GetResult(option) is { Implicit: false };
        });
    }

    /// <exception cref="CliException">The trace cannot be used.</exception>
    public LoadSettings Read(ParseResult result, ConnectionOptions connection, CliContext context)
    {
        var (rate, duration, traceFile) = (result.GetValue(_rate), result.GetValue(_duration), result.GetValue(_trace));
        return new LoadSettings
        {
            Url = connection.Url(result),
            ApiKey = connection.ApiKey(result, context),
            Model = result.GetValue(_model) ?? "",
            Endpoint = result.GetValue(_endpoint) == "chat" ? LoadEndpoint.Chat : LoadEndpoint.Completions,
            Concurrency = rate is null ? result.GetValue(_concurrency) ?? 1 : null,
            Rate = rate,
            Arrivals = result.GetValue(_arrivals) == "poisson" ? Arrivals.Poisson : Arrivals.Constant,
            MaxConnections = result.GetValue(_maxConnections) ?? 1024,
            Requests = result.GetValue(_requests) ?? (duration is null ? DefaultRequests : LoadSettings.MaxRequests),
            Duration = Seconds(duration),
            Warmup = result.GetValue(_warmup) ?? 10,
            PromptTokens = result.GetValue(_prompt) ?? new(128, 128),
            OutputTokens = result.GetValue(_output) ?? new(64, 64),
            Trace = traceFile is null ? null : ReadTrace(traceFile),
            TraceFile = traceFile,
            PrefixGroups = result.GetValue(_prefixGroups) ?? 0,
            PrefixTokens = result.GetValue(_prefixTokens) ?? 0,
            Temperature = result.GetValue(_temperature),
            IgnoreEos = result.GetValue(_ignoreEos),
            Seed = result.GetValue(_seed) ?? 1,
            Timeout = Seconds(result.GetValue(_timeout)) ?? TimeSpan.FromMinutes(10),
            SloFirstToken = Seconds(result.GetValue(_sloFirst) / 1000),
            SloInterToken = Seconds(result.GetValue(_sloNext) / 1000),
        };

        static TimeSpan? Seconds(double? value) => value is { } seconds ? TimeSpan.FromSeconds(seconds) : null;
    }

    private static IReadOnlyList<(int Prompt, int Output)> ReadTrace(string path)
    {
        using var reader = File.OpenText(path);
        return LengthTrace.Read(reader, path);
    }

    private static Option<LengthDistribution?> Lengths(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "N|N-M",
        CustomParser = result =>
        {
            var text = result.Tokens[0].Value;
            if (LengthDistribution.TryParse(text, out var lengths)) return lengths;
            result.AddError(string.Create(CultureInfo.InvariantCulture, $"{name} is '{text}'; it must be N or N-M, whole numbers from 1 to {LengthDistribution.Largest}, the second not below the first."));
            return null;
        },
    };
}
