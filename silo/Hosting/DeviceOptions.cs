using Granary.Engine.Onnx.Execution;
using Granary.Engine.Onnx.Import;

namespace Granary.Silo.Hosting;

/// <summary>The device that this silo's worker is.</summary>
/// <remarks>
/// A device other than the CPU counts as one core: <see cref="GranaryOptions.Cores"/> says otherwise where it is to hold several replicas or shards.
/// </remarks>
public sealed class DeviceOptions
{
    /// <summary>Name of the execution provider: <c>cpu</c>, <c>cuda</c>, <c>tensorrt</c>, <c>openvino</c> or <c>migraphx</c>.</summary>
    /// <value>Default <c>cpu</c>. On <c>cuda</c> everything is on the device; the others run the CPU's graph, attention and KV cache stay in the machine's memory.</value>
    public string Provider { get; set; } = ExecutionProviders.Cpu;

    /// <summary>Which of the provider's devices.</summary>
    public int Id { get; set; }

    /// <summary>Type of weights, activations and KV cache on <c>cuda</c>; of no other provider.</summary>
    /// <value>Default: float16.</value>
    public DevicePrecision? Precision { get; set; }

    /// <summary>Bytes of the device's own memory that all silos of this process may use together; of <c>cuda</c> only.</summary>
    /// <value>Default 0: all that NVIDIA's driver says the device has. What is used of it is what was loaded: other programs on the device are not seen.</value>
    public long MemoryBytes { get; set; }

    internal bool IsCpu => Provider == ExecutionProviders.Cpu;

    /// <summary>Weights and KV caches are not in the machine's memory.</summary>
    internal bool HasOwnMemory => Target != ModelTarget.Cpu;

    /// <summary>What graphs are made for. Those for the CPU run with any provider.</summary>
    internal ModelTarget Target => Provider != ExecutionProviders.Cuda ? ModelTarget.Cpu : Precision == DevicePrecision.BFloat16 ? ModelTarget.CudaBFloat16 : ModelTarget.CudaFloat16;
}

/// <summary>Types of 16 bits.</summary>
public enum DevicePrecision
{
    Float16,
    BFloat16,
}
