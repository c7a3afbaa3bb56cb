using Granary.GrainInterfaces.Routing;
using Granary.Grains;
using Granary.Grains.Routing;
using Granary.Tests.Support;

namespace Granary.Tests.Cluster.Grains;

public sealed class BookingLedgerTests
{
    private static readonly ReplicaLife A = new("m/0", 1);
    private static readonly ReplicaLife B = new("m/1", 1);

    private readonly ManualTime _time = new();
    private readonly RouterOptions _options = new() { SettleTime = TimeSpan.FromMilliseconds(100), BookingLease = TimeSpan.FromMinutes(1) };

    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, 30)];

    [Fact]
    public void Book_CountsUntilAReportThatCanShowIt()
    {
        var ledger = new BookingLedger(_options, _time);
        ledger.Book(A, 30);
        Assert.Equal((1, 30L), ledger.Unseen(A));

        _time.Advance(TimeSpan.FromMilliseconds(50));
        ledger.Reported(A, _time.GetTimestamp()); // The request may still be on its way.
        Assert.Equal((1, 30L), ledger.Unseen(A));

        _time.Advance(TimeSpan.FromMilliseconds(50));
        ledger.Reported(A, _time.GetTimestamp());
        Assert.Equal((0, 0L), ledger.Unseen(A));
        Assert.Equal(1, ledger.BookedRequests(A));
        Assert.Equal((0, 0L), ledger.Unseen(B));
    }

    [Fact]
    public void Expire_LeaseOver_EndsOnlyOldBookings()
    {
        var ledger = new BookingLedger(_options, _time);
        ledger.Book(A, 1);
        _time.Advance(TimeSpan.FromSeconds(40));
        ledger.Book(A, 2);
        _time.Advance(TimeSpan.FromSeconds(20));

        Assert.Equal(1, ledger.Expire());
        Assert.Equal((1, 2L), ledger.Unseen(A));
        Assert.Equal(0, ledger.Expire());
    }

    [Fact]
    public void IsFull_AtTheBound()
    {
        _options.MaxBookings = 2;
        var ledger = new BookingLedger(_options, _time);
        var first = ledger.Book(A, 1);
        Assert.False(ledger.IsFull);
        ledger.Book(B, 1);
        Assert.True(ledger.IsFull);
        ledger.Release(first);
        Assert.False(ledger.IsFull);
    }

    [Fact]
    public void HomeOf_IsWhereTheOldestOpenBookingWent()
    {
        var ledger = new BookingLedger(_options, _time);
        Assert.Null(ledger.HomeOf("g"));
        var first = ledger.Book(A, 1, "g");
        var second = ledger.Book(B, 1, "g");
        ledger.Book(B, 1, "h");
        Assert.Equal((A, B), (ledger.HomeOf("g"), ledger.HomeOf("h")));

        ledger.Release(first);
        Assert.Equal(B, ledger.HomeOf("g"));
        ledger.Release(second);
        Assert.Null(ledger.HomeOf("g"));
        Assert.Null(ledger.HomeOf(null));
        ledger.Drop(B);
        Assert.Null(ledger.HomeOf("h"));
    }

    /// <summary>Whatever happens in whatever order, the sums are those of the bookings that are open.</summary>
    [Theory, MemberData(nameof(Seeds))]
    public void AnyOrder_SumsMatchWhatIsOpen(int seed)
    {
        var random = new Random(seed);
        var ledger = new BookingLedger(_options, _time);
        ReplicaLife[] lives = [A, B, new("m/0", 2)];
        var open = new List<(Guid Id, ReplicaLife Life, int Tokens, string? Group, DateTimeOffset At, bool Seen)>();
        string?[] groups = [null, "g", "h"];
        for (var step = 0; step < 500; step++)
        {
            var life = lives[random.Next(lives.Length)];
            switch (random.Next(6))
            {
                case 0 or 1:
                    var tokens = random.Next(100);
                    var group = groups[random.Next(groups.Length)];
                    open.Add((ledger.Book(life, tokens, group), life, tokens, group, _time.GetUtcNow(), false));
                    break;
                case 2 when open.Count > 0:
                    var leaving = random.Next(open.Count);
                    ledger.Release(open[leaving].Id);
                    ledger.Release(open[leaving].Id);
                    open.RemoveAt(leaving);
                    break;
                case 3:
                    ledger.Reported(life, _time.GetTimestamp());
                    open = [.. open.Select(b => b.Life == life && _time.GetUtcNow() - b.At >= _options.SettleTime ? b with { Seen = true } : b)];
                    break;
                case 4:
                    _time.Advance(TimeSpan.FromMilliseconds(random.Next(5000)));
                    var expired = open.RemoveAll(b => _time.GetUtcNow() - b.At >= _options.BookingLease);
                    Assert.Equal(expired, ledger.Expire());
                    break;
                case 5 when random.Next(20) == 0:
                    ledger.Drop(life);
                    open.RemoveAll(b => b.Life == life);
                    break;
            }

            Assert.Equal(open.Count, ledger.Count);
            foreach (var group in groups)
            {
                var oldest = open.FindIndex(b => b.Group is not null && b.Group == group);
                Assert.Equal(oldest < 0 ? null : open[oldest].Life, ledger.HomeOf(group));
            }

            foreach (var each in lives)
            {
                var unseen = open.FindAll(b => b.Life == each && !b.Seen);
                Assert.Equal((unseen.Count, (long)unseen.Sum(b => b.Tokens)), ledger.Unseen(each));
                Assert.Equal(open.Count(b => b.Life == each), ledger.BookedRequests(each));
            }
        }
    }
}
