using Granary.GrainInterfaces.Errors;
using Granary.GrainInterfaces.Sessions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans;
using Orleans.Placement;
using Orleans.Runtime;

namespace Granary.Grains.Sessions;

/// <summary>Keeps one response in the default storage until it is deleted or expires.</summary>
/// <remarks>Ids are asked for by anybody: an activation that has nothing to keep goes at once.</remarks>
[PreferLocalPlacement]
internal sealed partial class StoredResponseGrain(
    [PersistentState("response")] IPersistentState<StoredResponseState> stored, StoredResponseMemory memory, IGrainFactory grains,
    IOptions<StoredResponseOptions> options, TimeProvider time, ILogger<StoredResponseGrain> logger) : Grain, IStoredResponseGrain
{
    private string Id => this.GetPrimaryKeyString();

    private TimeSpan Remaining => stored.State.ExpiresAt - time.GetUtcNow();

    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        if (stored.State.Response is not null && Remaining > TimeSpan.Zero) await HoldAsync();
    }

    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        memory.Remove(Id);
        return Task.CompletedTask;
    }

    public async Task StoreAsync(StoredResponse response, CancellationToken cancellationToken = default)
    {
        if (stored.State.Response is not null) throw new RequestRefusedException($"Response '{Id}' is stored already; it cannot be changed.", "id");
        var max = options.Value.MaxConversationBytes;
        if (response.Input.Length > max)
        {
            DeactivateOnIdle();
            throw new RequestRefusedException($"The conversation has {response.Input.Length} bytes; at most {max} are stored.", "input");
        }

        stored.State = new() { Response = response, ExpiresAt = time.GetUtcNow() + options.Value.Lifetime };
        await stored.WriteStateAsync(cancellationToken);
        await HoldAsync();
    }

    public async Task<StoredResponse?> GetAsync(CancellationToken cancellationToken = default)
    {
        if (stored.State.Response is { } response && Remaining > TimeSpan.Zero) return response;
        await ForgetAsync();
        return null;
    }

    public async Task<bool> DeleteAsync(CancellationToken cancellationToken = default)
    {
        var existed = stored.State.Response is not null && Remaining > TimeSpan.Zero;
        await ForgetAsync();
        return existed;
    }

    /// <summary>Sees to the response's end; where the storage is memory, nobody else would.</summary>
    private async Task HoldAsync()
    {
        var remaining = Remaining > TimeSpan.Zero ? Remaining : TimeSpan.Zero; // The shortest lives end while they are written.
        this.RegisterGrainTimer(
            static (grain, _) => grain.ForgetAsync(), this, new GrainTimerCreationOptions { DueTime = remaining, Period = Timeout.InfiniteTimeSpan });
        if (!memory.IsBounded) return;
        DelayDeactivation(remaining + TimeSpan.FromMinutes(1)); // Not before the timer.
        var response = stored.State.Response!;
        // Each waits for older ones only, so they never wait for each other.
        foreach (var oldest in memory.Add(Id, response.Body.Length + response.Input.Length))
        {
            try
            {
                await grains.GetGrain<IStoredResponseGrain>(oldest).DeleteAsync();
            }
            catch (Exception exception) when (exception is OrleansException or TimeoutException)
            {
                LogNotDropped(oldest, exception);
            }
        }
    }

    private async Task ForgetAsync()
    {
        DeactivateOnIdle();
        if (stored.RecordExists) await stored.ClearStateAsync();
        memory.Remove(Id);
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Response {Id} could not be dropped to make room; it stays until it expires.")]
    private partial void LogNotDropped(string id, Exception exception);
}

/// <summary>What is written, once.</summary>
[GenerateSerializer, Alias("granary.stored-response-state")]
internal sealed class StoredResponseState
{
    /// <summary>Null before it is stored and after it is cleared.</summary>
    [Id(0)]
    public StoredResponse? Response { get; set; }

    [Id(1)]
    public DateTimeOffset ExpiresAt { get; set; }
}
