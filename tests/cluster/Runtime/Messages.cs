using System.Collections.Immutable;
using Orleans;

namespace Granary.Tests.Cluster.Runtime;

[GenerateSerializer]
public enum Color
{
    Red,
    Green = 7,
}

[GenerateSerializer]
public abstract record Shape([property: Id(0)] string Name);

[GenerateSerializer]
public sealed record Circle(string Name, [property: Id(0)] double Radius) : Shape(Name);

[GenerateSerializer, Immutable]
public readonly record struct Point([property: Id(0)] int X, [property: Id(1)] int Y);

[GenerateSerializer]
public sealed record Node
{
    [Id(0)]
    public required string Text { get; init; }

    [Id(1)]
    public Node? Next { get; init; }
}

/// <summary>A type without a serializer.</summary>
public sealed class Unmarked
{
    public int Value { get; set; }
}

/// <summary>One of each kind of member that a message has.</summary>
[GenerateSerializer]
public sealed record Everything
{
    [Id(0)]
    public required string Text { get; init; }

    [Id(1)]
    public int[]? Numbers { get; init; }

    [Id(2)]
    public List<string>? Words { get; init; }

    [Id(3)]
    public Dictionary<int, float>? Map { get; init; }

    [Id(4)]
    public Color Color { get; init; }

    [Id(5)]
    public Guid Id { get; init; }

    [Id(6)]
    public DateTimeOffset? When { get; init; }

    [Id(7)]
    public TimeSpan Span { get; init; }

    [Id(8)]
    public Shape? Shape { get; init; }

    [Id(9)]
    public Point[]? Points { get; init; }

    [Id(10)]
    public ImmutableArray<int> Fixed { get; init; } = [];

    [Id(11)]
    public Node? Chain { get; init; }

    [Id(12)]
    public (int A, string B) Pair { get; init; }

    [Id(13)]
    public byte[]? Bytes { get; init; }

    [Id(14)]
    public ulong Large { get; init; }

    [Id(15)]
    public double? Ratio { get; init; }

    [Id(16)]
    public HashSet<string>? Set { get; init; }

    /// <summary>Has no id, so it does not travel.</summary>
    public string Local { get; init; } = "";
}
