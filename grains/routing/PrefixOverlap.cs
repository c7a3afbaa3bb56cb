namespace Granary.Routing;

/// <summary>How many leading blocks of a prompt a replica has without a gap, each counted where it is reached soonest.</summary>
/// <param name="Device">On its device.</param>
/// <param name="Host">In its host's memory.</param>
/// <param name="Disk">On its host's disk.</param>
/// <param name="Expected">Nowhere yet, but a request is on its way there or being computed that will bring them.</param>
public readonly record struct PrefixOverlap(int Device, int Host, int Disk, int Expected)
{
    public int Blocks => Device + Host + Disk + Expected;
}
