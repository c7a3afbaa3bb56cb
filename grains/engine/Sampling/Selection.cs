namespace Granary.Engine.Sampling;

/// <summary>Finds the best of many logits without sorting them.</summary>
/// <remarks>Better means a higher logit, or among equals the lower place: a strict order, so each selection is a definite set.</remarks>
internal static class Selection
{
    public static bool IsBetter(ReadOnlySpan<float> logits, int a, int b) => logits[a] > logits[b] || (logits[a] == logits[b] && a < b);

    /// <summary>Writes 0, 1, 2, …</summary>
    public static void Number(Span<int> places)
    {
        for (var i = 0; i < places.Length; i++) places[i] = i;
    }

    /// <summary>Moves the places of the <paramref name="count"/> best to the front, in no particular order.</summary>
    /// <param name="places">Of <paramref name="logits"/>.</param>
    /// <param name="count">Between 1 and their number.</param>
    public static void Best(Span<int> places, ReadOnlySpan<float> logits, int count)
    {
        var (low, high) = (0, places.Length);
        while (high - low > 1)
        {
            var middle = Partition(places, logits, low, high);
            if (middle == count || middle == count - 1) return;
            if (middle > count) high = middle;
            else low = middle + 1;
        }
    }

    /// <summary>The worst of some places.</summary>
    public static int Worst(ReadOnlySpan<int> places, ReadOnlySpan<float> logits)
    {
        var worst = places[0];
        foreach (var place in places)
        {
            if (IsBetter(logits, worst, place)) worst = place;
        }

        return worst;
    }

    /// <summary>Splits [low, high) into better ones, a pivot and worse ones.</summary>
    /// <returns>Where the pivot is.</returns>
    public static int Partition(Span<int> places, ReadOnlySpan<float> logits, int low, int high)
    {
        var last = high - 1;
        var center = low + (high - low) / 2;
        (places[center], places[last]) = (places[last], places[center]);
        var pivot = places[last];
        var pivotLogit = logits[pivot];
        var middle = low;
        for (var i = low; i < last; i++)
        {
            var place = places[i];
            var logit = logits[place];
            if (!(logit > pivotLogit || (logit == pivotLogit && place < pivot))) continue;
            (places[i], places[middle]) = (places[middle], place);
            middle++;
        }

        (places[middle], places[last]) = (places[last], places[middle]);
        return middle;
    }
}
