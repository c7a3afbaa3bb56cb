namespace Orleans.StandIn.Simulation;

/// <summary>What makes a run of the stand-in repeatable; the clock is the <see cref="TimeProvider"/> in the services.</summary>
public sealed class SimulationOptions
{
    /// <summary>Of every random choice of placement, together with the silo's name. 0 by default.</summary>
    public int Seed { get; set; }
}
