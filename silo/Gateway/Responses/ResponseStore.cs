using System.Text.Encodings.Web;
using System.Text.Json;
using Granary.GrainInterfaces.Sessions;
using Orleans;
using Orleans.Runtime;

namespace Granary.Silo.Gateway.Responses;

/// <summary>Stored responses, wherever in the cluster they are.</summary>
internal sealed class ResponseStore(IGrainFactory grains)
{
    /// <summary>How items are stored: as they are sent.</summary>
    public static readonly JsonSerializerOptions JsonOptions = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static readonly TimeSpan RetryAfterSilence = TimeSpan.FromSeconds(1);

    /// <returns>Null where there is none of this id, or none any more.</returns>
    /// <exception cref="ApiException">The cluster does not answer.</exception>
    public Task<StoredResponse?> FindAsync(string id, CancellationToken cancellationToken) =>
        ResponseIds.IsResponse(id) ? AskAsync(() => Grain(id).GetAsync(cancellationToken)) : Task.FromResult<StoredResponse?>(null);

    /// <exception cref="ApiException">The cluster does not answer, or the conversation is too large.</exception>
    public Task StoreAsync(string id, StoredResponse response, CancellationToken cancellationToken) => AskAsync(async () =>
    {
        await Grain(id).StoreAsync(response, cancellationToken);
        return true;
    });

    /// <returns>Whether there was one.</returns>
    /// <exception cref="ApiException">The cluster does not answer.</exception>
    public Task<bool> DeleteAsync(string id, CancellationToken cancellationToken) =>
        ResponseIds.IsResponse(id) ? AskAsync(() => Grain(id).DeleteAsync(cancellationToken)) : Task.FromResult(false);

    private IStoredResponseGrain Grain(string id) => grains.GetGrain<IStoredResponseGrain>(id);

    private static async Task<T> AskAsync<T>(Func<Task<T>> ask)
    {
        try
        {
            return await ask();
        }
        catch (Exception exception) when (exception is OrleansException or TimeoutException)
        {
            throw ApiException.StorageUnavailable("Stored responses cannot be reached now.", RetryAfterSilence);
        }
    }
}
