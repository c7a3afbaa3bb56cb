using Granary.Engine.Onnx.Import;

namespace Granary.Engine.Onnx.Graph;

/// <summary>A dimension of a graph's input or output: a name or a number.</summary>
internal readonly record struct GraphDimension(string? Name, long Value)
{
    public static implicit operator GraphDimension(string name) => new(name, 0);

    public static implicit operator GraphDimension(long value) => new(null, value);
}

/// <summary>An attribute of a node: exactly one value is set.</summary>
internal readonly record struct GraphAttribute(string Name, long? Integer, float? Real)
{
    public GraphAttribute(string name, long value) : this(name, value, null)
    {
    }

    public GraphAttribute(string name, float value) : this(name, null, value)
    {
    }
}

/// <summary>A constant and its place in the external data file.</summary>
internal sealed record GraphInitializer(string Name, TensorContent Content, long Offset);

/// <summary>Collects an ONNX graph and writes it as a model whose constants lie in one external file.</summary>
/// <remarks>
/// IR version 10, opset 21, <c>com.microsoft</c> 1 and our own domain. Offsets are multiples of <see cref="WeightAlignment"/>,
/// so that ONNX Runtime maps the pages of the file instead of copying them.
/// </remarks>
internal sealed class GraphBuilder(string name, string weightsFileName)
{
    public const int WeightAlignment = 4096;
    public const string Standard = "";
    public const string Microsoft = "com.microsoft";

    private const int IrVersion = 10;
    private const int Opset = 21;
    private const int FloatAttribute = 1;
    private const int IntegerAttribute = 2;
    private const int ExternalLocation = 1;

    private readonly ProtoWriter _nodes = new();
    private readonly ProtoWriter _inputs = new();
    private readonly ProtoWriter _outputs = new();
    private readonly List<GraphInitializer> _initializers = [];

    public IReadOnlyList<GraphInitializer> Initializers => _initializers;

    /// <summary>Length of the external file with all constants added so far.</summary>
    public long WeightsLength { get; private set; }

    public void Input(string input, OnnxElementType type, params GraphDimension[] dimensions) =>
        _inputs.Message(11, ValueInfo(input, type, dimensions));

    public void Output(string output, OnnxElementType type, params GraphDimension[] dimensions) =>
        _outputs.Message(12, ValueInfo(output, type, dimensions));

    /// <summary>Adds a constant behind the last one.</summary>
    /// <returns>Its name.</returns>
    public string Constant(string constant, TensorContent content)
    {
        var offset = (WeightsLength + WeightAlignment - 1) / WeightAlignment * WeightAlignment;
        _initializers.Add(new GraphInitializer(constant, content, offset));
        WeightsLength = checked(offset + content.ByteLength);
        return constant;
    }

    /// <summary>Adds a node with one output, named after the node.</summary>
    /// <returns>The output's name.</returns>
    public string Node(string domain, string operation, string node, string[] inputs, params GraphAttribute[] attributes)
    {
        Node(domain, operation, node, inputs, [node], attributes);
        return node;
    }

    public void Node(string domain, string operation, string node, string[] inputs, string[] outputs, params GraphAttribute[] attributes)
    {
        var proto = new ProtoWriter();
        foreach (var input in inputs) proto.String(1, input);
        foreach (var output in outputs) proto.String(2, output);
        proto.String(3, node);
        proto.String(4, operation);
        foreach (var attribute in attributes) proto.Message(5, Attribute(attribute));
        if (domain.Length > 0) proto.String(7, domain);
        _nodes.Message(1, proto);
    }

    /// <summary>Writes the model, without the constants' bytes.</summary>
    public void WriteModel(Stream stream)
    {
        var initializers = new ProtoWriter();
        foreach (var initializer in _initializers) initializers.Message(5, Tensor(initializer));
        var graphName = new ProtoWriter();
        graphName.String(2, name);

        var graph = new ProtoWriter();
        foreach (var part in (ReadOnlySpan<ProtoWriter>)[_nodes, graphName, initializers, _inputs, _outputs]) graph.Append(part.Written);

        var model = new ProtoWriter();
        model.Integer(1, IrVersion);
        model.String(2, "granary");
        model.Message(7, graph);
        model.Message(8, OperatorSet(Standard, Opset));
        model.Message(8, OperatorSet(Microsoft, 1));
        model.Message(8, OperatorSet(GraphContract.Domain, 1));
        stream.Write(model.Written);
    }

    /// <summary>Writes the constants in order, each at its offset.</summary>
    public void WriteWeights(TensorSink sink)
    {
        foreach (var initializer in _initializers)
        {
            sink.PadTo(initializer.Offset);
            Write(initializer, sink);
            if (sink.Position != initializer.Offset + initializer.Content.ByteLength)
                throw new InvalidOperationException($"Constant {initializer.Name} ends at {sink.Position}, expected {initializer.Offset + initializer.Content.ByteLength}.");
        }
    }

    private static void Write(GraphInitializer initializer, TensorSink sink)
    {
        try
        {
            initializer.Content.WriteTo(sink);
        }
        catch (OverflowException exception)
        {
            throw new ModelImportException($"{initializer.Name}: {exception.Message}", exception);
        }
    }

    private ProtoWriter Tensor(GraphInitializer initializer)
    {
        var proto = new ProtoWriter();
        foreach (var dimension in initializer.Content.Dimensions) proto.Integer(1, dimension);
        proto.Integer(2, (long)initializer.Content.ElementType);
        proto.String(8, initializer.Name);
        proto.Message(13, KeyValue("location", weightsFileName));
        proto.Message(13, KeyValue("offset", initializer.Offset.ToString(System.Globalization.CultureInfo.InvariantCulture)));
        proto.Message(13, KeyValue("length", initializer.Content.ByteLength.ToString(System.Globalization.CultureInfo.InvariantCulture)));
        proto.Integer(14, ExternalLocation);
        return proto;
    }

    private static ProtoWriter KeyValue(string key, string value)
    {
        var proto = new ProtoWriter();
        proto.String(1, key);
        proto.String(2, value);
        return proto;
    }

    private static ProtoWriter Attribute(GraphAttribute attribute)
    {
        var proto = new ProtoWriter();
        proto.String(1, attribute.Name);
        if (attribute.Real is { } real) proto.Float(2, real);
        else proto.Integer(3, attribute.Integer ?? 0);
        proto.Integer(20, attribute.Real is null ? IntegerAttribute : FloatAttribute);
        return proto;
    }

    private static ProtoWriter OperatorSet(string domain, int version)
    {
        var proto = new ProtoWriter();
        proto.String(1, domain);
        proto.Integer(2, version);
        return proto;
    }

    private static ProtoWriter ValueInfo(string value, OnnxElementType type, GraphDimension[] dimensions)
    {
        var shape = new ProtoWriter();
        foreach (var dimension in dimensions)
        {
            var proto = new ProtoWriter();
            if (dimension.Name is null) proto.Integer(1, dimension.Value);
            else proto.String(2, dimension.Name);
            shape.Message(1, proto);
        }

        var tensor = new ProtoWriter();
        tensor.Integer(1, (long)type);
        tensor.Message(2, shape);
        var typeProto = new ProtoWriter();
        typeProto.Message(1, tensor);
        var info = new ProtoWriter();
        info.String(1, value);
        info.Message(2, typeProto);
        return info;
    }
}
