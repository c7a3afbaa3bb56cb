namespace Granary.Text.Tokenization;

/// <summary>A growing list of ids that takes spans.</summary>
internal sealed class IdList(int capacity)
{
    private int[] _items = new int[Math.Max(capacity, 16)];

    public int Count { get; private set; }

    public void Append(int id)
    {
        if (Count == _items.Length) Array.Resize(ref _items, _items.Length * 2);
        _items[Count++] = id;
    }

    public void Append(ReadOnlySpan<int> ids)
    {
        if (_items.Length - Count < ids.Length) Array.Resize(ref _items, Math.Max(_items.Length * 2, Count + ids.Length));
        ids.CopyTo(_items.AsSpan(Count));
        Count += ids.Length;
    }

    public void Clear() => Count = 0;

    public int[] ToArray() => _items.AsSpan(0, Count).ToArray();
}
