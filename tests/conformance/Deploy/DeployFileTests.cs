using System.Collections;
using System.Reflection;
using System.Runtime.Versioning;
using System.Text.RegularExpressions;
using Granary.Silo.Hosting;
using Granary.Tests.Conformance.Clients;
using Granary.Tests.Conformance.Support;

namespace Granary.Tests.Conformance.Deploy;

/// <summary>What the files under <c>deploy/</c> say of the silo is true: they are read here, and asked of a running one where they can be.</summary>
[Collection(SiloTests.Name)]
public sealed partial class DeployFileTests(SiloFixture fixture)
{
    public static TheoryData<string> YamlFiles => [.. DeployFiles.Named("*.yaml").Select(DeployFiles.Relative)];

    public static TheoryData<string> Scripts => [.. DeployFiles.Named("*.sh").Select(DeployFiles.Relative)];

    public static TheoryData<string> Dockerfiles => [.. DeployFiles.Named("Dockerfile*").Select(DeployFiles.Relative)];

    [Theory, MemberData(nameof(YamlFiles))]
    public void YamlFile_Parses(string file) => Assert.NotEmpty(DeployFiles.Yaml(DeployFiles.PathOf(file)));

    [Theory, MemberData(nameof(Scripts)), SupportedOSPlatform("linux")]
    public async Task Script_Parses(string file)
    {
        var bash = await OtherPrograms.RunAsync("bash", ["-n", DeployFiles.PathOf(file)]);
        Assert.True(bash.ExitCode == 0, bash.Tail);
        Assert.True(File.GetUnixFileMode(DeployFiles.PathOf(file)).HasFlag(UnixFileMode.UserExecute), $"{file} cannot be executed.");
    }

    /// <summary>A key that the silo does not know is a setting that silently does nothing.</summary>
    [Fact]
    public void EveryConfigurationKey_Exists()
    {
        var keys = (from path in DeployFiles.Named("*")
                    from Match match in Key().Matches(File.ReadAllText(path))
                    select (File: DeployFiles.Relative(path), Key: match.Value)).Distinct().ToList();
        Assert.True(keys.Count > 10);
        Assert.DoesNotContain(keys, key => !Exists(typeof(GranaryOptions), key.Key.Split("__")[1..]));
    }

    [Theory]
    [InlineData("Cluster__SiloNmae", false)]
    [InlineData("Cluster", false)]
    [InlineData("Gateway__ApiKeys__0", true)]
    [InlineData("Gateway__ApiKeys__first", false)]
    [InlineData("Quantize", true)]
    public void Exists_TellsKeysApart(string key, bool exists) => Assert.Equal(exists, Exists(typeof(GranaryOptions), key.Split("__")));

    [Fact]
    public async Task EveryProbe_AsksAPathThatAnswers()
    {
        var containers = DeployFiles.Resources().Values.Where(resource => resource.Text("kind") == "StatefulSet").SelectMany(set => set.Items("spec", "template", "spec", "containers"));
        var paths = new List<string>();
        foreach (var container in containers)
        {
            var ports = container.Items("ports").Select(port => port.Text("name")).ToList();
            foreach (var probe in (string[])["startupProbe", "readinessProbe", "livenessProbe"])
            {
                foreach (var kind in (string[])["httpGet", "tcpSocket"])
                {
                    if (container.At(probe, kind) is not { } action) continue;
                    Assert.Contains(action.Text("port"), ports);
                    if (kind == "httpGet") paths.Add(action.Text("path"));
                }
            }
        }

        Assert.Equal(["/health/live", "/health/ready"], paths.Distinct().Order());
        foreach (var path in paths.Append(DeployFiles.Resources()["StatefulSet/granary"].Text("spec", "template", "metadata", "annotations", "prometheus.io/path")))
            Assert.True((await fixture.Http.GetAsync(path)).IsSuccessStatusCode, path);
    }

    [Fact]
    public void Ports_AreTheSameEverywhere()
    {
        var resources = DeployFiles.Resources();
        var settings = resources["ConfigMap/granary"].Map("data");
        var ports = resources["StatefulSet/granary"].Items("spec", "template", "spec", "containers", "0", "ports").ToDictionary(port => port.Text("name"), port => port.Text("containerPort"));
        Assert.Equal(settings["Granary__Cluster__SiloPort"], ports["silo"]);
        Assert.Equal(settings["Granary__Cluster__GatewayPort"], ports["gateway"]);
        Assert.EndsWith($":{ports["http"]}", settings["ASPNETCORE_URLS"], StringComparison.Ordinal);
        Assert.Contains(
            $"tcp://$(POD_IP):{ports["links"]}", resources["StatefulSet/granary"].Items("spec", "template", "spec", "containers", "0", "env").Where(entry => entry.At("value") is not null).Select(entry => entry.Text("value")));
        Assert.Equal(ports["http"], resources["StatefulSet/granary"].Text("spec", "template", "metadata", "annotations", "prometheus.io/port"));
        Assert.Equal($"granary-redis:{resources["Service/granary-redis"].Text("spec", "ports", "0", "port")}", settings["Granary__Cluster__Redis"]);
        foreach (var dockerfile in DeployFiles.Named("Dockerfile*"))
        {
            var text = File.ReadAllText(dockerfile);
            Assert.Equal([ports["http"], ports["silo"], ports["gateway"], ports["links"]], Expose().Match(text).Groups[1].Value.Split(' '));
            Assert.Contains($"ASPNETCORE_URLS=http://0.0.0.0:{ports["http"]}\n", text, StringComparison.Ordinal);
            Assert.Contains($"/dev/tcp/127.0.0.1/{ports["http"]} ", text, StringComparison.Ordinal);
        }

        var compose = DeployFiles.Yaml(DeployFiles.PathOf("compose.yaml"))[0];
        Assert.Equal(ports["silo"], compose.Text("x-environment", "Granary__Cluster__SiloPort"));
        Assert.Equal(ports["gateway"], compose.Text("x-environment", "Granary__Cluster__GatewayPort"));
        Assert.EndsWith($":{ports["http"]}", compose.Text("services", "gateway", "ports", "0"), StringComparison.Ordinal);
        foreach (var silo in (string[])["gateway", "silo-2", "silo-3"])
        {
            var environment = compose.At("services", silo, "environment")!;
            Assert.Equal((silo, $"tcp://{silo}:{ports["links"]}"), (environment.Text("Granary__Cluster__SiloName"), environment.Text("Granary__Links__Endpoint")));
        }
    }

    [Fact]
    public void KubernetesResources_ReferToWhatIsThere()
    {
        var resources = DeployFiles.Resources();
        foreach (var set in resources.Values.Where(resource => resource.Text("kind") == "StatefulSet"))
        {
            var (pod, labels) = (set.At("spec", "template", "spec")!, set.Map("spec", "template", "metadata", "labels"));
            Assert.Contains($"Service/{set.Text("spec", "serviceName")}", resources.Keys);
            Assert.Subset(labels.ToHashSet(), set.Map("spec", "selector", "matchLabels").ToHashSet());
            var volumes = (pod.At("volumes") is null ? [] : pod.Items("volumes").Select(volume => volume.Text("name")))
                .Concat(set.Items("spec", "volumeClaimTemplates").Select(claim => claim.Text("metadata", "name"))).ToHashSet();
            Assert.Equal(volumes, pod.Items("containers", "0", "volumeMounts").Select(mount => mount.Text("name")).ToHashSet());
            Assert.Equal("true", pod.Text("securityContext", "runAsNonRoot"));
            Assert.Equal("false", pod.Text("containers", "0", "securityContext", "allowPrivilegeEscalation"));
        }

        var silo = resources["StatefulSet/granary"].At("spec", "template", "spec")!;
        Assert.Contains($"ConfigMap/{silo.Text("containers", "0", "envFrom", "0", "configMapRef", "name")}", resources.Keys);
        var secret = silo.Items("volumes").Single(volume => volume.At("secret") is not null);
        var mount = silo.Items("containers", "0", "volumeMounts").Single(mount => mount.Text("name") == secret.Text("name")).Text("mountPath");
        foreach (var key in (string[])["Granary__Gateway__ApiKeysFile", "Granary__Links__SecretFile"])
        {
            var file = resources["ConfigMap/granary"].Map("data")[key];
            Assert.Contains(Path.GetFileName(file), resources[$"Secret/{secret.Text("secret", "secretName")}"].Map("stringData").Keys);
            Assert.Equal(mount, Path.GetDirectoryName(file));
        }

        foreach (var service in resources.Values.Where(resource => resource.Text("kind") == "Service"))
        {
            var selected = resources.Values.Single(resource =>
                resource.Text("kind") == "StatefulSet" && !service.Map("spec", "selector").Except(resource.Map("spec", "template", "metadata", "labels")).Any());
            var ports = selected.Items("spec", "template", "spec", "containers", "0", "ports").Select(port => port.Text("name"));
            Assert.Empty(service.Items("spec", "ports").Select(port => port.Text("targetPort")).Except(ports));
        }

        Assert.Subset(
            resources["StatefulSet/granary"].Map("spec", "template", "metadata", "labels").ToHashSet(), resources["PodDisruptionBudget/granary"].Map("spec", "selector", "matchLabels").ToHashSet());
        Assert.True(resources["PodDisruptionBudget/granary"].Number("spec", "maxUnavailable") < resources["StatefulSet/granary"].Number("spec", "replicas"));
    }

    /// <summary>Kustomizations list every file beside them, and patches name what they change.</summary>
    [Fact]
    public void Kustomizations_ListWhatIsThere()
    {
        var resources = DeployFiles.Resources();
        foreach (var path in DeployFiles.Named("kustomization.yaml"))
        {
            var (folder, root) = (Path.GetDirectoryName(path)!, DeployFiles.Yaml(path)[0]);
            var patches = root.At("patches") is null ? [] : root.Items("patches").Select(patch => patch.Text("path")).ToArray();
            var listed = root.Items("resources").Select(entry => ((YamlDotNet.RepresentationModel.YamlScalarNode)entry).Value!).Concat(patches).ToList();
            Assert.All(listed, entry => Assert.True(Path.Exists(Path.Combine(folder, entry)), $"{DeployFiles.Relative(path)}: {entry}"));
            Assert.Empty(Directory.EnumerateFiles(folder, "*.yaml").Select(file => Path.GetFileName(file)!).Except(listed).Except(["kustomization.yaml"]));
            foreach (var patch in patches.SelectMany(patch => DeployFiles.Yaml(Path.Combine(folder, patch))))
            {
                var target = resources[$"{patch.Text("kind")}/{patch.Text("metadata", "name")}"];
                Assert.Equal(target.Text("apiVersion"), patch.Text("apiVersion"));
                Assert.Equal(target.Text("spec", "template", "spec", "containers", "0", "name"), patch.Text("spec", "template", "spec", "containers", "0", "name"));
            }
        }
    }

    /// <summary>A pod is killed only after load balancers have let go of it and its sequences had their time.</summary>
    [Fact]
    public void GracePeriods_CoverTheDrain()
    {
        var drain = new GranaryOptions().ShutdownSeconds;
        var pod = DeployFiles.Resources()["StatefulSet/granary"].At("spec", "template", "spec")!;
        var leaving = pod.Number("containers", "0", "lifecycle", "preStop", "exec", "command", "1");
        Assert.True(pod.Number("terminationGracePeriodSeconds") >= leaving + drain + 10);
        Assert.True(int.Parse(DeployFiles.Yaml(DeployFiles.PathOf("compose.yaml"))[0].Text("x-silo", "stop_grace_period").TrimEnd('s')) >= drain + 10);
    }

    /// <summary>The very command of the image, run against a silo here, and against nobody.</summary>
    [Theory, MemberData(nameof(Dockerfiles))]
    public async Task HealthCheck_TellsWhetherTheSiloAnswers(string file)
    {
        var command = System.Text.Json.JsonSerializer.Deserialize<string[]>(HealthCheck().Match(File.ReadAllText(DeployFiles.PathOf(file))).Groups[1].Value)!;

        var answered = await RunAsync(fixture.Silo.Address.Port);
        Assert.True(answered.ExitCode == 0, answered.Tail);
        Assert.NotEqual(0, (await RunAsync(FreePort.Find())).ExitCode);

        Task<ProgramResult> RunAsync(int port) => OtherPrograms.RunAsync(command[0], [.. command[1..^1], command[^1].Replace("/8080 ", $"/{port} ", StringComparison.Ordinal)]);
    }

    /// <summary>Whether a value can be bound at the path: not a section, and an index where there is a list.</summary>
    private static bool Exists(Type type, string[] path)
    {
        if (typeof(IEnumerable).IsAssignableFrom(type) && type != typeof(string))
            return path is [var index, .. var rest] && int.TryParse(index, out var place) && place >= 0 && Exists(type.GetGenericArguments()[0], rest);
        if (path.Length == 0) return type.Namespace is not { } space || !space.StartsWith("Granary", StringComparison.Ordinal) || type.IsEnum;
        return type.GetProperty(path[0], BindingFlags.Public | BindingFlags.Instance | BindingFlags.IgnoreCase) is { } property && Exists(property.PropertyType, path[1..]);
    }

    [GeneratedRegex(@"Granary__\w+")]
    private static partial Regex Key();

    [GeneratedRegex(@"EXPOSE (.+)")]
    private static partial Regex Expose();

    [GeneratedRegex(@"HEALTHCHECK .*\\\n\s+CMD (\[.*\])")]
    private static partial Regex HealthCheck();
}
