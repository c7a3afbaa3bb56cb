namespace Granary.Client;

/// <summary>Bounds of what a request may ask for, the same over grains and over HTTP.</summary>
public static class GenerationLimits
{
    /// <summary>Characters of a model's name, a cache salt or a session's id.</summary>
    public const int MaxNameLength = 256;

    /// <summary>Messages of a conversation.</summary>
    public const int MaxMessages = 4096;

    /// <summary>Choices of one request over grains; a gateway has a setting for it.</summary>
    public const int MaxChoices = 32;

    /// <summary>Tokens of a completion that says nothing: OpenAI's.</summary>
    public const int DefaultCompletionTokens = 16;

    /// <summary>Likeliest tokens reported with each, of a chat.</summary>
    public const int MaxTopLogprobs = 20;

    /// <summary>Likeliest tokens reported with each, of a completion: OpenAI's.</summary>
    public const int MaxCompletionLogprobs = 5;

    /// <summary>Temperature: OpenAI's.</summary>
    public const float MaxTemperature = 2;

    /// <summary>Repetition penalty: what the engine takes without losing a logit.</summary>
    public const float MinRepetitionPenalty = 0.01f;

    public const float MaxRepetitionPenalty = 10;

    /// <summary>Presence and frequency penalty, in either direction: OpenAI's.</summary>
    public const float MaxPenalty = 2;

    /// <summary>A token's bias, in either direction: OpenAI's.</summary>
    public const float MaxBias = 100;

    /// <summary>Token ids with a bias.</summary>
    public const int MaxLogitBias = 1024;

    /// <summary>Token ids that end a choice.</summary>
    public const int MaxStopTokenIds = 256;

    /// <summary>Stop strings.</summary>
    public const int MaxStops = 16;

    /// <summary>Characters of one stop string.</summary>
    public const int MaxStopLength = 512;

    /// <summary>Texts of one embedding request.</summary>
    public const int MaxEmbeddingInputs = 2048;
}
