using System.Globalization;
using Granary.Engine.Onnx.Import;

namespace Granary.Silo.Serving;

/// <summary>Shows on standard error how far an import is: a bar on a terminal, elsewhere a line per phase, and per tenth of a large model.</summary>
internal sealed class ImportProgressLog
{
    private readonly Lock _lock = new();

    /// <summary>Nothing is shown until the first report: a model that is in the cache reports nothing.</summary>
    public ImportReport Begin(string model) => new(model, _lock);

    public sealed class ImportReport(string model, Lock console) : IProgress<ImportProgress>, IDisposable
    {
        private const int BarWidth = 40;
        private const long LargeBytes = 256 << 20; // Below it an import is over before a second line would be read.
        private readonly bool _terminal = !Console.IsErrorRedirected;
        private ImportPhase? _phase;
        private int _shown = -1;
        private bool _open;

        public void Report(ImportProgress value)
        {
            var percent = value.BytesTotal > 0 ? (int)(value.BytesDone * 100 / value.BytesTotal) : 0;
            // The bar moves by the percent, lines by the tenth: neither costs the import anything.
            var step = value.Phase != ImportPhase.Writing ? 0 : _terminal ? percent : value.BytesTotal < LargeBytes ? 0 : percent / 10 * 10;
            lock (console)
            {
                if (value.Phase == _phase && step == _shown) return;
                (_phase, _shown) = (value.Phase, step);
                var text = value.Phase switch
                {
                    ImportPhase.Checking => $"Importing {model}: checking",
                    ImportPhase.Writing => _terminal ? $"Importing {model} {Bar(percent)} {percent,3}%" : Line(model, step, value.BytesTotal),
                    _ => $"Importing {model}: making it durable",
                };
                Write(text);
            }
        }

        public void Dispose()
        {
            lock (console)
            {
                if (_open) Console.Error.WriteLine();
                _open = false;
            }
        }

        private void Write(string text)
        {
            if (_terminal)
            {
                Console.Error.Write($"\r{text}\u001b[K");
                _open = true;
            }
            else
            {
                Console.Error.WriteLine(text);
            }
        }

        private static string Line(string model, int percent, long total) =>
            string.Create(CultureInfo.InvariantCulture, $"Importing {model}: {(percent == 0 ? "" : $"{percent}% of ")}{total / 1e6:0.0} MB");

        private static string Bar(int percent) => $"[{new string('#', percent * BarWidth / 100).PadRight(BarWidth, '.')}]";
    }
}
