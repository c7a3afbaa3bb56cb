using Granary.Client;
using Granary.GrainInterfaces;
using Granary.GrainInterfaces.Routing;
using Granary.Tests.Cluster.Grains;

namespace Granary.Tests.Cluster.Delivery;

public sealed class JournalTests
{
    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, 40)];

    /// <summary>Names are made as tokens come: they are those that the whole sequence has, whatever size of blocks a ticket told meanwhile.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void Route_TokensWereDelivered_NamesAreThoseOfAllTokens(int seed)
    {
        var random = new Random(seed);
        var (prompt, replayed) = (GrainsFixture.Prompt(seed, random.Next(1, 80)), GrainsFixture.Prompt(seed + 1, random.Next(0, 40)));
        var salt = random.Next(2) == 0 ? "salt" : null;
        var request = GrainsFixture.Request("m", [.. prompt, .. replayed], maxTokens: 1000) with { ReplayedTokens = replayed.Length, CacheSalt = salt };
        var journal = new Journal(request);
        var all = request.PromptTokenIds.ToList();
        var own = PromptBlocks.Fingerprint(prompt, PromptBlocks.Of(prompt, salt), salt);

        for (var round = 0; round < 6; round++)
        {
            var blockTokens = random.Next(4) == 0 ? 8 : PromptBlocks.DefaultTokens;
            var route = journal.Route(blockTokens);
            Assert.Equal(PromptBlocks.Of(all.ToArray(), salt, blockTokens), route.Blocks);
            Assert.Equal((all.Count, blockTokens, own), (route.PromptTokens, route.BlockTokens, route.Fingerprint));
            for (var i = random.Next(40); i > 0; i--)
            {
                var chunk = new TokenChunk { Index = journal.Position, TokenId = random.Next(256) };
                all.Add(chunk.TokenId);
                journal.Deliver(ref chunk);
            }
        }
    }
}
