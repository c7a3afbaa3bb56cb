using Granary.GrainInterfaces.Routing;
using Granary.Routing;
using Granary.Routing.Policies;
using Granary.Tests.Support;

namespace Granary.Tests.Unit.Routing;

/// <summary>Bookings whose messages are lost, doubled or late.</summary>
public sealed class RoutingTableTests
{
    private static readonly RoutingSettings Settings = new();
    private static readonly RouteRequest Request = new() { RequestId = "r", PromptTokens = 100, MaxTokens = 1 };
    private static readonly ReplicaLife A = new("a", 1);
    private static readonly ReplicaLife B = new("b", 1);

    private readonly Guid _id = Guid.NewGuid();
    private readonly ManualTime _time = new();
    private readonly RoutingTable _table;

    public RoutingTableTests()
    {
        _table = new(Settings, new SecondsPolicy(Settings), _time);
        _table.Adopt([Descriptor(A), Descriptor(B)]);
    }

    [Fact]
    public void Find_OpenBooking_TellsTheSameTicket()
    {
        Assert.Null(_table.Find(_id, Request));
        _table.Route(Request, _id, out var ticket);

        Assert.Same(ticket, _table.Find(_id, Request));
        Assert.Equal(1, _table.Bookings);
    }

    [Fact]
    public void Find_ReplicaWasLostMeanwhile_GivesTheBookingBack()
    {
        _table.Route(Request, _id, out var ticket);
        _table.Miss(ticket!.Replica);

        Assert.Null(_table.Find(_id, Request));
        Assert.Equal(0, _table.Bookings);
        Assert.False(_table.HasEnded(_id)); // It is to be booked elsewhere.
        _table.Route(Request, _id, out var other);
        Assert.NotEqual(ticket.Replica, other!.Replica);
    }

    [Fact]
    public void Find_ReplicaRefusedTheRequest_GivesTheBookingBack()
    {
        _table.Route(Request, _id, out var ticket);

        Assert.Null(_table.Find(_id, Request with { Excluded = [ticket!.Replica] }));
        Assert.Equal(0, _table.Bookings);
    }

    [Fact]
    public void Release_BeforeItsRequestCame_IsRememberedForAWhile()
    {
        Assert.Null(_table.Release(_id));
        Assert.True(_table.HasEnded(_id));

        _time.Advance(TimeSpan.FromSeconds(11));
        _table.Release(Guid.NewGuid());

        Assert.False(_table.HasEnded(_id));
    }

    [Fact]
    public void Release_MoreThanMayBeOpen_ForgetsTheOldest()
    {
        var table = new RoutingTable(Settings with { MaxBookings = 3 }, new SecondsPolicy(Settings), _time);
        var ids = Enumerable.Range(0, 4).Select(_ => Guid.NewGuid()).ToList();
        foreach (var id in ids) table.Release(id);

        Assert.Equal([false, true, true, true], ids.Select(table.HasEnded));
    }

    private static ReplicaDescriptor Descriptor(ReplicaLife life) => new() { Replica = life, ContextLength = 4096, KvCapacityTokens = 65_536 };
}
