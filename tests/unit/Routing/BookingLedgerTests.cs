using Granary.GrainInterfaces.Routing;
using Granary.Routing;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Routing;

public sealed class BookingLedgerTests
{
    private static readonly ReplicaLife A = new("m/0", 1);
    private static readonly ReplicaLife B = new("m/1", 1);

    private readonly ManualTime _time = new();
    private readonly RoutingSettings _settings = new() { SettleTime = TimeSpan.FromMilliseconds(100), BookingLease = TimeSpan.FromMinutes(1) };

    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, 30)];

    [Fact]
    public void Book_CountsUntilAReportThatCanShowIt()
    {
        var ledger = new BookingLedger(_settings, _time);
        Book(ledger, A, 30);
        Assert.Equal(Work(30), ledger.Unseen(A));

        _time.Advance(TimeSpan.FromMilliseconds(50));
        ledger.Reported(A, _time.GetTimestamp()); // The request may still be on its way.
        Assert.Equal(Work(30), ledger.Unseen(A));

        _time.Advance(TimeSpan.FromMilliseconds(50));
        ledger.Reported(A, _time.GetTimestamp());
        Assert.Equal(default, ledger.Unseen(A));
        Assert.Equal(1, ledger.BookedRequests(A));
        Assert.Equal(default, ledger.Unseen(B));
    }

    [Fact]
    public void Expire_LeaseOver_EndsOnlyOldBookings()
    {
        var ledger = new BookingLedger(_settings, _time);
        Book(ledger, A, 1);
        _time.Advance(TimeSpan.FromSeconds(40));
        Book(ledger, A, 2);
        _time.Advance(TimeSpan.FromSeconds(20));

        Assert.Equal(1, ledger.Expire());
        Assert.Equal(Work(2), ledger.Unseen(A));
        Assert.Equal(0, ledger.Expire());
    }

    [Fact]
    public void IsFull_AtTheBound()
    {
        var ledger = new BookingLedger(_settings with { MaxBookings = 2 }, _time);
        var first = Book(ledger, A, 1);
        Assert.False(ledger.IsFull);
        Book(ledger, B, 1);
        Assert.True(ledger.IsFull);
        ledger.Release(first);
        Assert.False(ledger.IsFull);
    }

    [Fact]
    public void HomeOf_IsWhereTheOldestOpenBookingWent()
    {
        var ledger = new BookingLedger(_settings, _time);
        Assert.Null(ledger.HomeOf("g"));
        var first = Book(ledger, A, 1, "g");
        var second = Book(ledger, B, 1, "g");
        Book(ledger, B, 1, "h");
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
        var ledger = new BookingLedger(_settings, _time);
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
                    open.Add((Book(ledger, life, tokens, group), life, tokens, group, _time.GetUtcNow(), false));
                    break;
                case 2 when open.Count > 0:
                    var leaving = random.Next(open.Count);
                    ledger.Release(open[leaving].Id);
                    ledger.Release(open[leaving].Id);
                    open.RemoveAt(leaving);
                    break;
                case 3:
                    ledger.Reported(life, _time.GetTimestamp());
                    open = [.. open.Select(b => b.Life == life && _time.GetUtcNow() - b.At >= _settings.SettleTime ? b with { Seen = true } : b)];
                    break;
                case 4:
                    _time.Advance(TimeSpan.FromMilliseconds(random.Next(5000)));
                    var expired = open.RemoveAll(b => _time.GetUtcNow() - b.At >= _settings.BookingLease);
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
                var expected = unseen.Aggregate(default(BookedWork), (sum, b) => sum + Work(b.Tokens));
                Assert.Equal(expected with { PrefillSeconds = 0 }, ledger.Unseen(each) with { PrefillSeconds = 0 });
                Assert.Equal(expected.PrefillSeconds, ledger.Unseen(each).PrefillSeconds, 9);
                Assert.Equal(open.Count(b => b.Life == each), ledger.BookedRequests(each));
            }
        }
    }

    private static BookedWork Work(int tokens) => new(1, tokens, tokens / 2, tokens / 1000.0);

    private static Guid Book(BookingLedger ledger, ReplicaLife life, int tokens, string? group = null)
    {
        var request = new RouteRequest { RequestId = "r", PromptTokens = tokens, MaxTokens = 1, Group = group };
        var booking = new Booking(new() { BookingId = Guid.NewGuid(), Replica = life }, request, Work(tokens), 0);
        ledger.Book(booking);
        return booking.Id;
    }
}
