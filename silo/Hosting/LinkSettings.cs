using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Granary.Sharding.Links;
using Microsoft.Extensions.Options;
using LinkOptions = Granary.Sharding.Links.LinkOptions;

namespace Granary.Silo.Hosting;

/// <summary>Turns the settings of tensor links into what the transport takes.</summary>
internal static class LinkSettings
{
    public const int MinSecretBytes = 16;
    private const int MaxSecretBytes = 4096;
    private static readonly string[] Schemes = ["tcp://", "unix:/", "memory:"];

    /// <returns>What is wrong; a message names setting, value and bound.</returns>
    public static IEnumerable<string> Check(GranaryOptions options)
    {
        var links = options.Links;
        if (links.Endpoint is { } endpoint && !Schemes.Any(scheme => endpoint.StartsWith(scheme, StringComparison.Ordinal)))
            yield return $"Granary:Links:Endpoint is '{endpoint}'; it must be tcp://host:port, unix:/path or memory:name.";
        // The secret itself is told to nobody.
        if (links.Secret is { } secret && Encoding.UTF8.GetByteCount(secret) is < MinSecretBytes or > MaxSecretBytes)
            yield return $"Granary:Links:Secret has {Encoding.UTF8.GetByteCount(links.Secret)} bytes; it must have {MinSecretBytes} to {MaxSecretBytes}.";
        if (links.Secret is not null && links.SecretFile is not null)
            yield return "Granary:Links:Secret and Granary:Links:SecretFile are both set; it must be one of them.";
        if (!options.IsWhole && !IsAlone(options) && !HasSecret(links))
            yield return $"Granary:Links:Secret is not set; partitioned replicas ({options.Stages} stages, {options.Ranks} ranks) in a cluster need one.";
        string?[] tls = [links.CertificateFile, links.KeyFile, links.AuthoritiesFile];
        if (tls.Any(file => file is not null) && tls.Any(file => file is null))
            yield return "Granary:Links:CertificateFile, KeyFile and AuthoritiesFile must be set together, or none of them.";
        if (!Enum.IsDefined(links.WireFormat)) yield return $"Granary:Links:WireFormat is {(int)links.WireFormat}; it must be Float32, Float16 or Int8.";
        if (links.Credits is < 2 or > 1024) yield return $"Granary:Links:Credits is {links.Credits}; it must be from 2 to 1024.";
        if (links.SilenceMilliseconds is < 100 or > 60_000) yield return $"Granary:Links:SilenceMilliseconds is {links.SilenceMilliseconds}; it must be from 100 to 60000.";
        if (links.StepTimeoutSeconds is < 1 or > 3600) yield return $"Granary:Links:StepTimeoutSeconds is {links.StepTimeoutSeconds}; it must be from 1 to 3600.";
        if (links.ConnectSeconds is < 1 or > 300) yield return $"Granary:Links:ConnectSeconds is {links.ConnectSeconds}; it must be from 1 to 300.";
        if (options.Silos > 1 && !IsAlone(options))
            yield return $"Granary:Silos is {options.Silos} and Granary:Cluster:Redis is set; silos of one process are a cluster of their own.";
        if (options.Silos > 1 && links.Endpoint is not null)
            yield return $"Granary:Silos is {options.Silos} and Granary:Links:Endpoint is '{links.Endpoint}'; silos of one process have an endpoint each, and choose it.";
    }

    /// <summary>Whether the process is a cluster of its own.</summary>
    public static bool IsAlone(GranaryOptions options) => string.IsNullOrWhiteSpace(options.Cluster.Redis);

    public static bool HasSecret(LinksOptions links) => links.Secret is not null || links.SecretFile is not null;

    /// <param name="drawn">The secret where none is configured.</param>
    /// <exception cref="OptionsValidationException">A file cannot be read, or does not hold what it should.</exception>
    public static LinkOptions Read(LinksOptions links, byte[] drawn) => new()
    {
        ClusterSecret = links.Secret is { } secret ? Encoding.UTF8.GetBytes(secret) : links.SecretFile is { } file ? ReadSecret(file) : drawn,
        PulsePeriod = TimeSpan.FromMilliseconds(links.SilenceMilliseconds / 6.0),
        SilenceLimit = TimeSpan.FromMilliseconds(links.SilenceMilliseconds),
        ConnectTimeout = TimeSpan.FromSeconds(links.ConnectSeconds),
        Credits = links.Credits,
        Tls = links.CertificateFile is null ? null : ReadTls(links),
    };

    private static byte[] ReadSecret(string file)
    {
        var bytes = Guard("SecretFile", file, () => new FileInfo(file).Length <= MaxSecretBytes
            ? Encoding.UTF8.GetBytes(File.ReadAllText(file).TrimEnd())
            : throw new IOException($"it has {new FileInfo(file).Length} bytes, at most {MaxSecretBytes} are read"));
        if (bytes.Length < MinSecretBytes) throw Refusal("SecretFile", file, $"it holds {bytes.Length} bytes, at least {MinSecretBytes} are needed");
        return bytes;
    }

    private static LinkTls ReadTls(LinksOptions links)
    {
        var certificate = Guard("CertificateFile", links.CertificateFile!, () => X509Certificate2.CreateFromPemFile(links.CertificateFile!, links.KeyFile!));
        var authorities = Guard("AuthoritiesFile", links.AuthoritiesFile!, () =>
        {
            var found = new X509Certificate2Collection();
            found.ImportFromPemFile(links.AuthoritiesFile!);
            return found;
        });
        return authorities.Count > 0 ? new(certificate, authorities) : throw Refusal("AuthoritiesFile", links.AuthoritiesFile!, "it holds no certificate");
    }

    private static T Guard<T>(string key, string file, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or CryptographicException)
        {
            throw Refusal(key, file, exception.Message);
        }
    }

    private static OptionsValidationException Refusal(string key, string file, string why) =>
        new(GranaryOptions.Section, typeof(GranaryOptions), [$"Granary:Links:{key} is '{file}': {why}."]);
}
