using System.Diagnostics.CodeAnalysis;
using System.Runtime.ExceptionServices;

namespace Orleans.Runtime;

/// <summary>One state of one grain, in a storage that was added by the program.</summary>
/// <remarks>As in the genuine runtime, what such a storage throws reaches the grain as an <see cref="OrleansException"/>.</remarks>
internal sealed class ProvidedState<T>(Storage.IGrainStorage storage, string name, GrainId grain) : IPersistentState<T>, IStateReader
{
    private readonly GrainState<T> _state = new(Default());

    [AllowNull]
    public T State
    {
        get => _state.State;
        set => _state.State = value ?? Default();
    }

    public string? Etag => _state.ETag;

    public bool RecordExists => _state.RecordExists;

    public Task ReadAsync() => ReadStateAsync();

    public async Task ReadStateAsync()
    {
        await AskAsync("read", () => storage.ReadStateAsync(name, grain, _state));
        if (!_state.RecordExists || _state.State is null) _state.State = Default();
    }

    public Task WriteStateAsync() => AskAsync("written", () => storage.WriteStateAsync(name, grain, _state));

    public async Task ClearStateAsync()
    {
        await AskAsync("cleared", () => storage.ClearStateAsync(name, grain, _state));
        _state.State = Default();
    }

    private async Task AskAsync(string what, Func<Task> ask)
    {
        try
        {
            await ask();
        }
        catch (Exception exception)
        {
            if (exception is OrleansException) ExceptionDispatchInfo.Throw(exception);
            throw new OrleansException($"State {name} of {grain} could not be {what}: {exception.Message}", exception);
        }
    }

    private static T Default() => typeof(T).IsValueType || typeof(T) == typeof(string) ? default! : Activator.CreateInstance<T>();
}
