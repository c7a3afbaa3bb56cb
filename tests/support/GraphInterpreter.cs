namespace Granary.Tests.Support;

/// <summary>Runs an imported graph on one sequence in float64, operator by operator, as the operators are specified.</summary>
/// <remarks>Checks the graph and its weights without ONNX Runtime: what it yields must equal <see cref="NaiveTransformer"/>.</remarks>
public sealed class GraphInterpreter(string directory)
{
    private readonly OnnxModelReader _model = new(directory);
    private readonly Dictionary<string, (int Rows, double[] Data)> _values = [];
    private readonly Dictionary<string, double[]> _constants = [];
    private readonly Dictionary<string, int[]> _chosen = [];

    /// <summary>Hidden states of the last run's rows, row-major.</summary>
    public double[] Hidden => _values["hidden"].Data;

    /// <returns>Logits of the rows, row-major.</returns>
    public double[] Run(int[] tokens, int[] rows)
    {
        _values.Clear();
        _chosen["hidden_rows"] = rows;
        _chosen["logit_rows"] = [.. Enumerable.Range(0, rows.Length)];
        foreach (var node in _model.Nodes) Run(node, tokens);
        return _values["logits"].Data;
    }

    private void Run(OnnxNode node, int[] tokens)
    {
        switch (node.Operation)
        {
            case "Gather" when node.Inputs[1] == "token_ids":
                var table = Constant(node.Inputs[0]);
                var width = (int)_model.Tensors[node.Inputs[0]].Dimensions[1];
                Set(node, tokens.Length, [.. tokens.SelectMany(token => table[(token * width)..((token + 1) * width)])]);
                break;
            case "Gather":
                var (rows, data) = _values[node.Inputs[0]];
                width = data.Length / rows;
                var chosen = _chosen[node.Inputs[1]];
                Set(node, chosen.Length, [.. chosen.SelectMany(row => data[(row * width)..((row + 1) * width)])]);
                break;
            case "SimplifiedLayerNormalization":
                Set(node, _values[node.Inputs[0]].Rows, Norm(_values[node.Inputs[0]], Constant(node.Inputs[1]), node.Attributes["epsilon"]));
                break;
            case "SkipSimplifiedLayerNormalization":
                var bias = node.Inputs.Length > 3 ? Constant(node.Inputs[3]) : null;
                var (count, left) = _values[node.Inputs[0]];
                var right = _values[node.Inputs[1]].Data;
                var sum = left.Select((x, i) => x + right[i] + (bias?[i % bias.Length] ?? 0)).ToArray();
                Set(node, count, Norm((count, sum), Constant(node.Inputs[2]), node.Attributes["epsilon"]));
                if (node.Outputs.Length > 3) _values[node.Outputs[3]] = (count, sum);
                break;
            case "MatMul":
                var shape = _model.Tensors[node.Inputs[1]].Dimensions;
                Set(node, _values[node.Inputs[0]].Rows, Product(_values[node.Inputs[0]], Constant(node.Inputs[1]), (int)shape[0], (int)shape[1]));
                break;
            case "MatMulNBits":
                Set(node, _values[node.Inputs[0]].Rows, Product(_values[node.Inputs[0]], Dequantize(node), (int)node.Attributes["K"], (int)node.Attributes["N"]));
                break;
            case "Add":
                var (addRows, addends) = _values[node.Inputs[0]];
                var vector = Constant(node.Inputs[1]);
                Set(node, addRows, [.. addends.Select((x, i) => x + vector[i % vector.Length])]);
                break;
            case "Split":
                Split(node);
                break;
            case "QuickGelu":
                Set(node, _values[node.Inputs[0]].Rows, [.. _values[node.Inputs[0]].Data.Select(x => x / (1 + Math.Exp(-node.Attributes["alpha"] * x)))]);
                break;
            case "Mul":
                var factors = _values[node.Inputs[1]].Data;
                Set(node, _values[node.Inputs[0]].Rows, [.. _values[node.Inputs[0]].Data.Select((x, i) => x * factors[i])]);
                break;
            case "PagedAttention":
                Attend(node);
                break;
            default:
                throw new NotSupportedException(node.Operation);
        }
    }

    private void Set(OnnxNode node, int rows, double[] data) => _values[node.Outputs[0]] = (rows, data);

    private double[] Constant(string name)
    {
        if (!_constants.TryGetValue(name, out var values)) _constants[name] = values = [.. _model.Floats(name).Select(x => (double)x)];
        return values;
    }

    private static double[] Norm((int Rows, double[] Data) input, double[] weight, double epsilon)
    {
        var result = new double[input.Data.Length];
        for (var row = 0; row < input.Rows; row++)
        {
            var part = input.Data.AsSpan(row * weight.Length, weight.Length);
            var squares = 0.0;
            foreach (var x in part) squares += x * x;
            for (var i = 0; i < weight.Length; i++) result[row * weight.Length + i] = part[i] / Math.Sqrt(squares / weight.Length + epsilon) * weight[i];
        }

        return result;
    }

    private static double[] Product((int Rows, double[] Data) input, double[] matrix, int inputs, int outputs)
    {
        var result = new double[input.Rows * outputs];
        for (var row = 0; row < input.Rows; row++)
        {
            for (var k = 0; k < inputs; k++)
            {
                var x = input.Data[row * inputs + k];
                for (var n = 0; n < outputs; n++) result[row * outputs + n] += x * matrix[k * outputs + n];
            }
        }

        return result;
    }

    private double[] Dequantize(OnnxNode node)
    {
        var (inputs, outputs, bits) = ((int)node.Attributes["K"], (int)node.Attributes["N"], (int)node.Attributes["bits"]);
        var bytes = _model.Bytes(node.Inputs[1]);
        var scales = Constant(node.Inputs[2]);
        var blocks = (inputs + 31) / 32;
        var matrix = new double[inputs * outputs];
        for (var n = 0; n < outputs; n++)
        {
            for (var k = 0; k < inputs; k++)
            {
                var element = n * blocks * 32 + k;
                var level = bits == 8 ? bytes[element] - 128 : (bytes[element / 2] >> (element % 2 * 4) & 15) - 8;
                matrix[k * outputs + n] = level * scales[n * blocks + k / 32];
            }
        }

        return matrix;
    }

    private void Split(OnnxNode node)
    {
        var (rows, data) = _values[node.Inputs[0]];
        var width = data.Length / rows / 2;
        for (var part = 0; part < 2; part++)
            _values[node.Outputs[part]] = (rows, [.. Enumerable.Range(0, rows).SelectMany(row => data[((2 * row + part) * width)..((2 * row + part + 1) * width)])]);
    }

    private void Attend(OnnxNode node)
    {
        var (tokens, packed) = _values[node.Inputs[0]];
        var (heads, kvHeads, window) = ((int)node.Attributes["num_heads"], (int)node.Attributes["kv_num_heads"], (int)node.Attributes["local_window_size"]);
        var width = packed.Length / tokens;
        var size = width / (heads + 2 * kvHeads);
        var rotated = new double[packed.Length];
        packed.CopyTo(rotated, 0);
        for (var t = 0; t < tokens; t++)
        {
            for (var head = 0; head < heads + kvHeads; head++)
            {
                var part = rotated.AsSpan(t * width + head * size, size);
                if (node.Inputs.Length > 13) Norm((1, part.ToArray()), Constant(node.Inputs[head < heads ? 12 : 13]), node.Attributes["qk_norm_epsilon"]).CopyTo(part);
                Rotate(part, t, Constant(node.Inputs[8]), Constant(node.Inputs[9]), (int)_model.Tensors[node.Inputs[8]].Dimensions[1]);
            }
        }

        var output = new double[tokens * heads * size];
        for (var t = 0; t < tokens; t++)
        {
            for (var head = 0; head < heads; head++)
            {
                var query = rotated.AsSpan(t * width + head * size, size);
                var first = window < 0 ? 0 : Math.Max(0, t + 1 - window);
                var kv = head / (heads / kvHeads);
                var weights = new double[t + 1 - first];
                for (var s = first; s <= t; s++)
                {
                    var key = rotated.AsSpan(s * width + (heads + kv) * size, size);
                    for (var d = 0; d < size; d++) weights[s - first] += query[d] * key[d] / Math.Sqrt(size);
                }

                var top = weights.Max();
                var sum = weights.Sum(x => Math.Exp(x - top));
                for (var s = first; s <= t; s++)
                {
                    for (var d = 0; d < size; d++)
                        output[(t * heads + head) * size + d] += Math.Exp(weights[s - first] - top) / sum * rotated[s * width + (heads + kvHeads + kv) * size + d];
                }
            }
        }

        Set(node, tokens, output);
    }

    private static void Rotate(Span<double> head, int position, double[] cos, double[] sin, int half)
    {
        for (var i = 0; i < half; i++)
        {
            var (a, b, c, s) = (head[i], head[i + half], cos[position * half + i], sin[position * half + i]);
            head[i] = a * c - b * s;
            head[i + half] = b * c + a * s;
        }
    }
}
