using Granary.Engine.Onnx.Execution;
using Granary.Engine.Onnx.Import;

namespace Granary.Silo.Hosting;

/// <summary>Checks the settings of the device, those that other settings must agree with included.</summary>
internal static class DeviceSettings
{
    public const int MaxId = 255;

    /// <summary>What is wrong, a sentence each: setting, value, bound.</summary>
    public static IEnumerable<string> Check(GranaryOptions options)
    {
        var device = options.Device;
        if (!ExecutionProviders.Names.Contains(device.Provider))
        {
            // Nothing else can be told of a device that is none.
            yield return $"Granary:Device:Provider is '{device.Provider}'; it must be one of {string.Join(", ", ExecutionProviders.Names)}.";
            yield break;
        }

        if (device.Id is < 0 or > MaxId) yield return $"Granary:Device:Id is {device.Id}; it must be from 0 to {MaxId}.";
        else if (device.Id != 0 && !ExecutionProviders.HasSeveralDevices(device.Provider)) yield return $"Granary:Device:Id is {device.Id}; of {device.Provider} it must be 0.";
        if (device.Precision is { } precision)
        {
            if (!Enum.IsDefined(precision)) yield return $"Granary:Device:Precision is {(int)precision}; it must be Float16 or BFloat16.";
            else if (!device.HasOwnMemory) yield return $"Granary:Device:Precision is {precision}; it goes with Granary:Device:Provider cuda, and the provider is '{device.Provider}'.";
        }

        if (device.MemoryBytes < 0) yield return $"Granary:Device:MemoryBytes is {device.MemoryBytes}; it must be from 0 to {long.MaxValue}.";
        if (device.MemoryBytes > 0 && !device.HasOwnMemory)
            yield return $"Granary:Device:MemoryBytes is {device.MemoryBytes}; with provider '{device.Provider}' models are in the machine's memory, which Granary:MemoryBytes bounds.";
        if (device.HasOwnMemory && options.Ranks > 1) yield return $"Granary:Ranks is {options.Ranks}; with Granary:Device:Provider cuda it must be 1 (or 0): a graph for {device.Target} has no sums over ranks.";
        if (device.HasOwnMemory && options.Quantize != WeightFormat.Float32)
            yield return $"Granary:Quantize is {options.Quantize}; with Granary:Device:Provider cuda it must be Float32, which Granary:Device:Precision makes 16 bits.";
        if (ExecutionProviders.WhyMissing(device.Provider) is { } missing) yield return $"Granary:Device:{missing}";
        else if (device is { HasOwnMemory: true, MemoryBytes: 0, Id: >= 0 } && CudaDriver.FindMemoryBytes(device.Id) is null)
            yield return $"Granary:Device:MemoryBytes is 0, and NVIDIA's driver does not know device {device.Id}; where it tells no size, it must be set.";
    }
}
