using Orleans;

namespace Granary.GrainInterfaces.Sessions;

/// <summary>The text of one answered response, for who asks for it again or goes on from it. Key: the response's id.</summary>
/// <remarks>
/// A response is written once and never changed, so any number of responses can go on from it. It lives until it is
/// deleted or expires; a storage in memory may drop the oldest before.
/// </remarks>
[Alias("granary.stored-response-grain")]
public interface IStoredResponseGrain : IGrainWithStringKey
{
    /// <summary>Keeps the response.</summary>
    /// <exception cref="Errors.RequestRefusedException">Its conversation is too large, or there is a response of this id already.</exception>
    [Alias("store")]
    Task StoreAsync(StoredResponse response, CancellationToken cancellationToken = default);

    /// <summary>The response; null where there is none, or none any more.</summary>
    [Alias("get")]
    Task<StoredResponse?> GetAsync(CancellationToken cancellationToken = default);

    /// <summary>Forgets the response. Responses that went on from it keep what they took over.</summary>
    /// <returns>Whether there was one.</returns>
    [Alias("delete")]
    Task<bool> DeleteAsync(CancellationToken cancellationToken = default);
}

/// <summary>One answered response and everything that it answered, in the API's own JSON: that form is public and stays readable.</summary>
/// <remarks>
/// The conversation is whole and not a link to the response before: a turn then reads one grain however long the conversation is,
/// and it needs none of the earlier responses, which may be deleted or expire. The price is room, which is bounded.
/// </remarks>
/// <param name="Body">The response object, UTF-8.</param>
/// <param name="Input">A list of the items that it answered, those of earlier turns first, UTF-8.</param>
/// <param name="Session">Key of the session that it is a turn of; null where it is of none.</param>
[GenerateSerializer, Immutable, Alias("granary.stored-response")]
public sealed record StoredResponse([property: Id(0)] byte[] Body, [property: Id(1)] byte[] Input, [property: Id(2)] string? Session = null);
