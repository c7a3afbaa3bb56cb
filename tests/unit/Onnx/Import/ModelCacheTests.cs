using Granary.Engine.Onnx.Import;
using Granary.Engine.Onnx.Import.Storage;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Onnx.Import;

/// <summary>An import happens once per content and options, whoever asks, and survives being killed half-way.</summary>
public sealed class ModelCacheTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly ModelCache _cache;

    public ModelCacheTests()
    {
        _cache = new ModelCache(_folder["cache"]);
        SyntheticModel.Write(Source, new SyntheticShape(), seed: 1);
    }

    private string Source => _folder["source"];

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void GetOrImport_SameSource_ImportsOnce()
    {
        var first = Import(out var imported);
        var second = Import(out var importedAgain);

        Assert.True(imported);
        Assert.False(importedAgain);
        Assert.Equal(first.Directory, second.Directory);
    }

    [Fact]
    public void GetOrImport_CopyOfASmallModel_IsTheSameModel()
    {
        var first = Import(out _);
        var copy = Path.Combine(_folder["elsewhere"], "source");
        Directory.CreateDirectory(copy);
        foreach (var file in Directory.GetFiles(Source)) File.WriteAllBytes(Path.Combine(copy, Path.GetFileName(file)), File.ReadAllBytes(file));

        Assert.Equal(first.Directory, _cache.GetOrImport(copy, new ImportOptions()).Directory);
    }

    [Theory]
    [InlineData("model.safetensors")]
    [InlineData("config.json")]
    [InlineData("tokenizer.json")]
    public void GetOrImport_ChangedSource_IsImportedAnew(string file)
    {
        File.WriteAllText(Path.Combine(Source, "tokenizer.json"), "{ }");
        var first = Import(out _);
        var path = Path.Combine(Source, file);
        var bytes = File.ReadAllBytes(path);
        if (file == "model.safetensors") bytes[^1] ^= 1;
        else bytes = [.. bytes, (byte)' '];
        File.WriteAllBytes(path, bytes);

        Assert.NotEqual(first.Description.Fingerprint, Import(out var imported).Description.Fingerprint);
        Assert.True(imported);
    }

    /// <summary>A large file is not read whole: its length, time of last write, header and sampled pages count.</summary>
    [Fact]
    public void Fingerprint_LargeFile_ChangesWithTimeHeaderAndLastPage()
    {
        var path = Path.Combine(Source, "model.safetensors");
        var time = new DateTime(2025, 1, 1, 0, 0, 0, DateTimeKind.Utc);
        var length = SourceFingerprint.WholeBytes + 12_345;
        var original = Fingerprint(_ => { }, time);

        Assert.Equal(original, Fingerprint(_ => { }, time));
        Assert.NotEqual(original, Fingerprint(_ => { }, time.AddSeconds(1)));
        Assert.NotEqual(original, Fingerprint(bytes => bytes[9]++, time));
        Assert.NotEqual(original, Fingerprint(bytes => bytes[^1]++, time));
        length++;
        Assert.NotEqual(original, Fingerprint(_ => { }, time));

        string Fingerprint(Action<byte[]> change, DateTime written)
        {
            var bytes = new byte[length];
            change(bytes);
            File.WriteAllBytes(path, bytes);
            File.SetLastWriteTimeUtc(path, written);
            return SourceFingerprint.Compute(new SourceFolder(Source), new ImportOptions());
        }
    }

    [Fact]
    public void GetOrImport_OtherOptions_IsAnotherModel()
    {
        string[] directories =
        [
            Import(out _).Directory,
            _cache.GetOrImport(Source, new ImportOptions { Weights = WeightFormat.Int8 }).Directory,
            _cache.GetOrImport(Source, new ImportOptions { ContextLength = 64 }).Directory,
        ];
        Assert.Equal(3, directories.Distinct().Count());
    }

    [Fact]
    public void GetOrImport_AfterAKillHalfWay_ImportsAndRemovesTheRest()
    {
        // What a killed process leaves: a half-written folder beside the place, and a lock file nobody holds.
        var place = Import(out _).Directory;
        var parent = Path.GetDirectoryName(place)!;
        Directory.Move(place, Path.Combine(parent, $".{Path.GetFileName(place)}.importing"));

        var model = Import(out var imported);

        Assert.True(imported);
        Assert.Equal(place, model.Directory);
        Assert.Equal([place], Directory.GetDirectories(parent));
    }

    [Fact]
    public void GetOrImport_AfterAKillBetweenTheTwoRenames_ImportsAndRemovesTheRest()
    {
        var place = Import(out _).Directory;
        var parent = Path.GetDirectoryName(place)!;
        Directory.Move(place, Path.Combine(parent, $".{Path.GetFileName(place)}.replaced"));

        Assert.Equal(place, Import(out var imported).Directory);

        Assert.True(imported);
        Assert.Equal([place], Directory.GetDirectories(parent));
    }

    [Theory]
    [InlineData("granary.json")]
    [InlineData("model.onnx")]
    [InlineData("model.onnx.data")]
    public void GetOrImport_DamagedFolder_IsReplaced(string file)
    {
        File.Delete(Path.Combine(Import(out _).Directory, file));

        var model = Import(out var imported);

        Assert.True(imported);
        Assert.Equal(model.Description.Fingerprint, ModelDescription.Load(model.Directory).Fingerprint);
    }

    [Fact]
    public async Task GetOrImport_FromManyThreads_ImportsOnce()
    {
        var imports = 0;
        using var start = new Barrier(4);
        var models = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Factory.StartNew(
            () =>
            {
                Assert.True(start.SignalAndWait(TimeSpan.FromMinutes(1)));
                return new ModelCache(_cache.Root).GetOrImport(Source, new ImportOptions(), new Counter(() => Interlocked.Increment(ref imports)));
            },
            TaskCreationOptions.LongRunning)));

        Assert.Equal(1, imports);
        Assert.Single(models.Select(model => model.Directory).Distinct());
    }

    [Fact]
    public async Task GetOrImport_WhileAnotherHoldsTheLock_WaitsAndCanBeCancelled()
    {
        var place = Import(out _).Directory;
        Directory.Delete(place, recursive: true);
        using var cancellation = new CancellationTokenSource();
        var held = FolderLock.Acquire(place, CancellationToken.None);
        Assert.Throws<OperationCanceledException>(() => FolderLock.Acquire(place, new CancellationToken(canceled: true)));
        var waiting = Task.Factory.StartNew(() => _cache.GetOrImport(Source, new ImportOptions(), null, cancellation.Token), TaskCreationOptions.LongRunning);
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        Assert.False(Directory.Exists(place));

        held.Dispose();
        Assert.Equal(place, Import(out _).Directory);
    }

    [Theory]
    [InlineData("\"FormatVersion\": 3", "\"FormatVersion\": 2", "FormatVersion is 2, this build reads 3")]
    [InlineData("\"LayerCount\": 2", "\"LayerCount\": 0", "LayerCount is 0, bounds 1 … 1024")]
    [InlineData("\"KvHeadCount\": 2", "\"KvHeadCount\": 3", "KvHeadCount 3 does not divide HeadCount 4")]
    [InlineData("\"Weights\": \"Float32\"", "\"Weights\": \"Float31\"", "cannot be read")]
    [InlineData("\"Weights\": \"Float32\"", "\"Weights\": 77", "not a known format")]
    [InlineData("\"VocabularySize\": 64", "\"VocabularySize\": 2", "EosTokenIds holds an id outside 0 … 1")]
    [InlineData("\"Architecture\"", "\"Arch\"", "cannot be read")]
    public void Load_DescriptionOutOfBounds_IsRefused(string from, string to, string reason)
    {
        var directory = Import(out _).Directory;
        var path = Path.Combine(directory, ModelDescription.FileName);
        var text = File.ReadAllText(path);
        Assert.Contains(from, text);
        File.WriteAllText(path, text.Replace(from, to));

        Assert.Contains(reason, Assert.Throws<ModelImportException>(() => ModelDescription.Load(directory)).Message);
    }

    private ImportedModel Import(out bool imported)
    {
        var count = 0;
        var model = _cache.GetOrImport(Source, new ImportOptions(), new Counter(() => count++));
        imported = count == 1;
        return model;
    }

    private sealed class Counter(Action begun) : IProgress<ImportProgress>
    {
        public void Report(ImportProgress value)
        {
            if (value.Phase == ImportPhase.Checking) begun();
        }
    }
}
