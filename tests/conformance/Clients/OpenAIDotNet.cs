using System.ClientModel;
using System.ClientModel.Primitives;
using Granary.Tests.Conformance.Support;
using OpenAI;
using OpenAI.Chat;

namespace Granary.Tests.Conformance.Clients;

/// <summary>The official .NET client, pointed at a silo.</summary>
internal static class OpenAIDotNet
{
    public static readonly ChatMessage[] Question = [new UserChatMessage("What is the capital of France?")];

    /// <param name="key">Silos without keys take any.</param>
    /// <param name="retries">None by default: what a silo says once is what a test is about.</param>
    /// <param name="timeout">For one try.</param>
    public static OpenAIClient Of(RunningSilo silo, string key = "none", int retries = 0, TimeSpan? timeout = null) =>
        new(new ApiKeyCredential(key), Options(silo, retries, timeout));

    public static ChatClient ChatOf(RunningSilo silo, TimeSpan? timeout = null, string model = Api.Model) =>
        Of(silo, timeout: timeout).GetChatClient(model);

    private static OpenAIClientOptions Options(RunningSilo silo, int retries, TimeSpan? timeout) => new()
    {
        Endpoint = new Uri(silo.Address, "/v1"),
        RetryPolicy = new ClientRetryPolicy(retries),
        NetworkTimeout = timeout ?? TimeSpan.FromMinutes(1),
    };

    /// <summary>The fields of an error's body, as the client hands it on.</summary>
    public static (string? Parameter, string? Code) ErrorOf(ClientResultException exception)
    {
        var error = Api.CheckError(System.Text.Json.Nodes.JsonNode.Parse(exception.GetRawResponse()!.Content.ToString())!);
        return ((string?)error["param"], (string?)error["code"]);
    }
}
