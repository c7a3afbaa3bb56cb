using Orleans;

namespace Granary.GrainInterfaces.Models;

/// <summary>Which models the cluster serves. Key: 0.</summary>
/// <remarks>Its content is what <see cref="IModelGrain"/>s say, again and again: it is rebuilt within their watch's period after it is lost.</remarks>
[Alias("granary.model-index")]
public interface IModelIndexGrain : IGrainWithIntegerKey
{
    /// <summary>A model is served, as the card says. Repeating it renews the entry, which otherwise expires.</summary>
    [Alias("announce")]
    Task AnnounceAsync(ModelCard card, CancellationToken cancellationToken = default);

    /// <summary>A model is served no more.</summary>
    [Alias("withdraw")]
    Task WithdrawAsync(string model, CancellationToken cancellationToken = default);

    /// <summary>The cards of all served models, by name in ordinal order.</summary>
    [Alias("list")]
    Task<ModelCard[]> ListAsync(CancellationToken cancellationToken = default);
}
