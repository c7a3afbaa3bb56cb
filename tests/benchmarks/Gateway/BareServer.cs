using System.Text.Json;
using System.Threading.Tasks.Sources;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;

namespace Granary.Tests.Benchmarks.Gateway;

/// <summary>The process of the least server: Kestrel writes ready-made frames at every tick, and nothing of Granary runs.</summary>
/// <remarks>What it costs is what HTTP, sockets and waking up cost on the machine; a gateway can come near it and not below.</remarks>
internal static class BareServer
{
    private static readonly byte[] Frame =
        """data: {"id":"cmpl-0123456789abcdef0123456789abcdef","object":"text_completion","created":1700000000,"model":"simulated","system_fingerprint":"fp_0123456789ab","choices":[{"index":0,"text":" w7f","logprobs":null,"finish_reason":null}]}"""u8.ToArray();
    private static readonly byte[] End = "\n\n"u8.ToArray();
    private static readonly byte[] Done = "data: [DONE]\n\n"u8.ToArray();

    /// <summary>Arguments: milliseconds between ticks.</summary>
    public static async Task<int> RunAsync(string[] arguments)
    {
        var period = int.Parse(arguments[0], System.Globalization.CultureInfo.InvariantCulture);
        var log = new StepLog();
        var ticks = new Ticks(log);
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
        builder.WebHost.UseKestrelCore().UseUrls("http://127.0.0.1:0");
        builder.WebHost.UseSockets(sockets => sockets.UnsafePreferInlineScheduling = true); // As the silo.
        await using var app = builder.Build();
        app.Run(context => AnswerAsync(context, ticks, log));
        await app.StartAsync();
        new Thread(() => ticks.Run(period)) { IsBackground = true }.Start();
        await ServerProcess.ObeyAsync(new Uri(app.Urls.Single()).Port, log);
        return 0;
    }

    private static async Task AnswerAsync(HttpContext context, Ticks ticks, StepLog log)
    {
        int number, count;
        using (var body = await JsonDocument.ParseAsync(context.Request.Body))
        {
            number = Prompt.NumberOf([.. body.RootElement.GetProperty("prompt").EnumerateArray().Take(3).Select(id => id.GetInt32())]);
            count = body.RootElement.GetProperty("max_tokens").GetInt32();
        }

        var pipe = context.Response.BodyWriter;
        context.Response.ContentType = "text/event-stream; charset=utf-8";
        var listener = new Listener(number);
        log.Submitted(number);
        ticks.Add(listener);
        while (count > 0)
        {
            var due = await listener.WaitAsync();
            for (; due > 0 && count > 0; due--, count--)
            {
                pipe.Write(Frame);
                pipe.Write(End);
            }

            if (count > 0) await pipe.FlushAsync();
        }

        ticks.Remove(listener);
        pipe.Write(Frame);
        pipe.Write(End);
        pipe.Write(Done);
        await pipe.FlushAsync();
    }

    private static void Write(this System.IO.Pipelines.PipeWriter pipe, byte[] bytes)
    {
        bytes.CopyTo(pipe.GetSpan(bytes.Length));
        pipe.Advance(bytes.Length);
    }

    /// <summary>Tells every answer in progress that a frame is due.</summary>
    private sealed class Ticks(StepLog log)
    {
        private readonly Lock _gate = new();
        private readonly List<Listener> _listeners = [];
        private readonly List<Listener> _new = [];

        public void Add(Listener listener)
        {
            lock (_gate) _new.Add(listener);
        }

        public void Remove(Listener listener)
        {
            lock (_gate) _listeners.Remove(listener);
        }

        public void Run(int period)
        {
            while (true)
            {
                lock (_gate)
                {
                    // As a sequence that joins a step that has not begun.
                    foreach (var listener in _new) log.FirstToken(listener.Number);
                    _listeners.AddRange(_new);
                    _new.Clear();
                }

                Thread.Sleep(period);
                log.StepEnded();
                lock (_gate)
                {
                    foreach (var listener in _listeners) listener.Tick();
                }
            }
        }
    }

    /// <summary>Wakes one answer, without allocation.</summary>
    private sealed class Listener(int number) : IValueTaskSource<int>
    {
        private readonly Lock _gate = new();
        private ManualResetValueTaskSourceCore<int> _core = new() { RunContinuationsAsynchronously = true };
        private int _due;
        private bool _waiting;

        public int Number => number;

        public void Tick()
        {
            lock (_gate)
            {
                _due++;
                if (!_waiting) return;
                _waiting = false;
            }

            _core.SetResult(0);
        }

        /// <summary>Frames that are due, at least one.</summary>
        public ValueTask<int> WaitAsync()
        {
            lock (_gate)
            {
                if (_due > 0) return new(Take());
                _core.Reset();
                _waiting = true;
                return new(this, _core.Version);
            }
        }

        public int GetResult(short token)
        {
            _core.GetResult(token);
            lock (_gate) return Take();
        }

        public ValueTaskSourceStatus GetStatus(short token) => _core.GetStatus(token);

        public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
            _core.OnCompleted(continuation, state, token, flags);

        private int Take()
        {
            var due = _due;
            _due = 0;
            return due;
        }
    }
}
