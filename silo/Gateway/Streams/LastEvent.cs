namespace Granary.Silo.Gateway.Streams;

/// <summary>How far a client is with a whole stream: <c>ID/POSITION,POSITION</c>, behind which <c>/u</c> says that it has the usage, and <c>/d</c> that it has everything.</summary>
/// <param name="Stream">The response's id.</param>
/// <param name="Positions">Of each choice; null for a client that has nothing.</param>
internal sealed record LastEvent(string Stream, StreamPosition[]? Positions, StreamStage Stage)
{
    /// <summary>The header a client comes back with.</summary>
    public const string Header = "Last-Event-ID";

    private const int MaxChoices = 1024;

    /// <summary>What the request says; null where it says nothing.</summary>
    /// <exception cref="ApiException">It is no id of ours.</exception>
    public static LastEvent? Find(HttpRequest request)
    {
        var text = request.Headers[Header].ToString();
        if (text.Length == 0) return null;
        return Parse(text) ?? throw ApiException.Invalid(
            Header, $"{Header} is '{(text.Length <= 100 ? text : text[..100] + "…")}'; it must be the id of an event of a stream from here, as ID/POSITIONS.");
    }

    private static LastEvent? Parse(string text)
    {
        var parts = text.Split('/');
        if (parts.Length is < 2 or > 3 || !IsStream(parts[0])) return null;
        StreamStage stage;
        switch (parts.Length == 2 ? "" : parts[2])
        {
            case "" when parts.Length == 2: stage = StreamStage.Choices; break;
            case "u": stage = StreamStage.Usage; break;
            case "d": stage = StreamStage.Done; break;
            default: return null;
        }

        var texts = parts[1].Split(',', MaxChoices + 1);
        if (texts.Length > MaxChoices) return null;
        var positions = new StreamPosition[texts.Length];
        for (var i = 0; i < texts.Length; i++)
        {
            if (!StreamPosition.TryParse(texts[i], out positions[i])) return null;
        }

        return new(parts[0], positions, stage);
    }

    /// <summary>Whether it can be the id of a stream from here; others need not be looked for.</summary>
    public static bool IsStream(string id)
    {
        var mark = id.LastIndexOfAny(['-', '_']);
        return mark > 0 && id[..mark] is "chatcmpl" or "cmpl" or "resp" && Guid.TryParseExact(id.AsSpan(mark + 1), "N", out _);
    }
}

/// <summary>What of a stream is behind its choices.</summary>
internal enum StreamStage
{
    /// <summary>Nothing yet.</summary>
    Choices = 0,

    /// <summary>The frame that tells the usage.</summary>
    Usage = 1,

    /// <summary>Everything.</summary>
    Done = 2,
}
