namespace Granary.Engine.Sampling;

/// <summary>Philox4x32-10: random numbers as a function of a counter and a key, without state.</summary>
/// <remarks>Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11; checked against the Random123 vectors.</remarks>
internal static class Philox
{
    private const int Rounds = 10;

    public static (uint X0, uint X1, uint X2, uint X3) Block(uint c0, uint c1, uint c2, uint c3, uint k0, uint k1)
    {
        for (var round = 0; round < Rounds; round++)
        {
            var product0 = (ulong)0xD2511F53 * c0;
            var product1 = (ulong)0xCD9E8D57 * c2;
            (c0, c1, c2, c3) = ((uint)(product1 >> 32) ^ c1 ^ k0, (uint)product1, (uint)(product0 >> 32) ^ c3 ^ k1, (uint)product0);
            k0 += 0x9E3779B9;
            k1 += 0xBB67AE85;
        }

        return (c0, c1, c2, c3);
    }

    /// <summary>The draw for one place of one choice, in [0, 1), 53 bits.</summary>
    public static double Uniform(ulong seed, int choice, int position)
    {
        var (x0, x1, _, _) = Block((uint)position, 0, (uint)choice, 0, (uint)seed, (uint)(seed >> 32));
        return ((((ulong)x0 << 32) | x1) >> 11) * (1.0 / (1UL << 53));
    }
}
