namespace Granary.Grains;

/// <summary>A state that is of no use from some time on: a storage may drop it then, where its grain did not come to it.</summary>
public interface IExpiringState
{
    DateTimeOffset ExpiresAt { get; }
}
