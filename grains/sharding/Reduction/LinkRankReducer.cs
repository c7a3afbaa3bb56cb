using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using Granary.Engine.Execution;
using Granary.Sharding.Links;

namespace Granary.Sharding.Reduction;

/// <summary>Sums over the ranks of a stage, exchanged over a link to each of them.</summary>
/// <remarks>
/// Two ways to the same bits. Either every rank sends its part to every other and each adds up all; or each rank adds up only its own slice of rows and
/// sends the sum. The latter moves less where there are more ranks, but takes a second round: it is chosen by size. Parts travel in the wire format, and
/// the own part goes through it as well; sums always travel as float32. Payloads go in chunks that the system's buffers hold, one chunk ahead of what is
/// awaited, so that adding and transport overlap. Used by one thread at a time.
/// </remarks>
public sealed unsafe class LinkRankReducer : IRankReducer, IDisposable
{
    /// <summary>Parts up to this size take the single round: there a second one costs more than bytes do.</summary>
    private const int SingleRoundBytes = 32 << 10;

    private const int ChunkBytes = 64 << 10;

    /// <summary>Chunks sent before the first is awaited; the link's credits allow for it.</summary>
    private const int Ahead = 2;

    private const int TagBytes = 16;

    private readonly int _rank;
    private readonly ITensorLink?[] _links;
    private readonly WireFormat _format;
    private readonly TimeProvider _time;
    private readonly byte[] _tag = new byte[TagBytes];
    private readonly byte[] _peerTag = new byte[TagBytes];
    private readonly float*[] _parts; // One chunk of each other rank.
    private float* _memory;
    private int _partCapacity; // Values of a chunk that there is room for.
    private byte[] _encoded = [];
    private long _step;
    private int _operation;
    private long _waitTicks;
    private bool _disposed;

    /// <param name="rank">The own place among the links.</param>
    /// <param name="links">To each rank of the stage, by rank; null at the own one. Disposed with this.</param>
    /// <param name="format">Of parts on the links; the same on all ranks.</param>
    public LinkRankReducer(int rank, IReadOnlyList<ITensorLink?> links, WireFormat format, TimeProvider time)
    {
        if (rank < 0 || rank >= links.Count) throw new ArgumentOutOfRangeException(nameof(rank), rank, $"There are {links.Count} ranks.");
        for (var other = 0; other < links.Count; other++)
        {
            if (links[other] is null != (other == rank)) throw new ArgumentException($"Rank {rank} needs a link to every other rank and none to itself; rank {other} is wrong.", nameof(links));
        }

        _rank = rank;
        _links = [.. links];
        _format = format;
        _time = time;
        _parts = new float*[links.Count];
    }

    /// <summary>How long the rank has waited for others so far.</summary>
    public TimeSpan Waited => new(Interlocked.Read(ref _waitTicks));

    /// <summary>Says which step the sums that follow belong to; all ranks must agree on it.</summary>
    public void BeginStep(long step)
    {
        _step = step;
        _operation = 0;
    }

    public void AllReduce(Span<float> values, int columns)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (columns < 1 || values.Length % columns != 0) throw new ArgumentException($"{values.Length} values are no rows of {columns} columns.", nameof(columns));
        if (_links.Length == 1 || values.IsEmpty) return;
        var rows = values.Length / columns;
        var chunkRows = Math.Clamp(ChunkBytes / (columns * sizeof(float)), 1, rows);
        Reserve(chunkRows, columns);
        fixed (float* start = values)
        {
            var matrix = new Matrix(start, rows, columns, chunkRows);
            if (TakesOneRound(rows, columns)) Gather(matrix);
            else ScatterAndGather(matrix);
        }

        _operation++;
    }

    /// <summary>Ends the links from any thread; a sum that is under way fails on all ranks.</summary>
    public void Abort(string reason)
    {
        foreach (var link in _links) link?.Abort(reason);
    }

    /// <summary>Ends the links and frees the buffers; no sum may be under way.</summary>
    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        foreach (var link in _links) link?.Dispose();
        NativeMemory.AlignedFree(_memory);
        _memory = null;
    }

    private bool TakesOneRound(int rows, int columns)
    {
        var part = ActivationCodec.Bytes(_format, rows, columns);
        return part <= SingleRoundBytes || rows < _links.Length
            || (long)part * _links.Length <= (long)part + ActivationCodec.Bytes(WireFormat.Float32, rows, columns);
    }

    /// <summary>Every rank gets every part, and adds up all rows.</summary>
    private void Gather(in Matrix matrix)
    {
        var chunks = matrix.Chunks(matrix.Rows);
        for (var sent = 0; sent < Math.Min(Ahead, chunks); sent++) SendParts(matrix, 0, matrix.Rows, sent);
        for (var chunk = 0; chunk < chunks; chunk++)
        {
            AddParts(matrix, 0, matrix.Rows, chunk);
            if (chunk + Ahead < chunks) SendParts(matrix, 0, matrix.Rows, chunk + Ahead);
        }
    }

    /// <summary>Every rank gets the parts of its slice of rows, adds them up, and sends the sums to every other.</summary>
    private void ScatterAndGather(in Matrix matrix)
    {
        var chunks = matrix.Chunks((matrix.Rows + _links.Length - 1) / _links.Length); // Of the longest slice.
        var (from, to) = Slice(matrix.Rows, _rank);
        for (var sent = 0; sent < Math.Min(Ahead, chunks); sent++) SendSlices(matrix, sent);
        for (var chunk = 0; chunk < chunks; chunk++)
        {
            EncodeOwn(matrix, from, to, chunk);
            AddParts(matrix, from, to, chunk);
            if (chunk + Ahead < chunks) SendSlices(matrix, chunk + Ahead);
        }

        for (var sent = 0; sent < Math.Min(Ahead, chunks); sent++) SendSums(matrix, from, to, sent);
        for (var chunk = 0; chunk < chunks; chunk++)
        {
            ReceiveSums(matrix, chunk);
            if (chunk + Ahead < chunks) SendSums(matrix, from, to, chunk + Ahead);
        }
    }

    private (int From, int To) Slice(int rows, int rank) => ((int)((long)rows * rank / _links.Length), (int)((long)rows * (rank + 1) / _links.Length));

    /// <summary>Sends one chunk of the own part to every other rank.</summary>
    private void SendParts(in Matrix matrix, int from, int to, int chunk)
    {
        var own = matrix.Chunk(from, to, chunk, out var row);
        ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(own);
        if (_format != WireFormat.Float32)
        {
            var encoded = _encoded.AsSpan(0, ActivationCodec.Bytes(_format, own.Length / matrix.Columns, matrix.Columns));
            ActivationCodec.Encode(_format, own, matrix.Columns, encoded);
            ActivationCodec.Decode(_format, encoded, matrix.Columns, own); // All ranks add what the others see.
            bytes = encoded;
        }

        for (var other = 0; other < _links.Length; other++)
        {
            if (other != _rank) Send(other, row, matrix.Columns, bytes);
        }
    }

    /// <summary>Sends every other rank one chunk of what it adds up.</summary>
    private void SendSlices(in Matrix matrix, int chunk)
    {
        for (var other = 0; other < _links.Length; other++)
        {
            if (other == _rank) continue;
            var (from, to) = Slice(matrix.Rows, other);
            var part = matrix.Chunk(from, to, chunk, out var row);
            if (part.IsEmpty) continue;
            if (_format == WireFormat.Float32)
            {
                Send(other, row, matrix.Columns, MemoryMarshal.AsBytes(part));
                continue;
            }

            var encoded = _encoded.AsSpan(0, ActivationCodec.Bytes(_format, part.Length / matrix.Columns, matrix.Columns));
            ActivationCodec.Encode(_format, part, matrix.Columns, encoded);
            Send(other, row, matrix.Columns, encoded);
        }
    }

    private void EncodeOwn(in Matrix matrix, int from, int to, int chunk)
    {
        var own = matrix.Chunk(from, to, chunk, out _);
        if (_format == WireFormat.Float32 || own.IsEmpty) return;
        var encoded = _encoded.AsSpan(0, ActivationCodec.Bytes(_format, own.Length / matrix.Columns, matrix.Columns));
        ActivationCodec.Encode(_format, own, matrix.Columns, encoded);
        ActivationCodec.Decode(_format, encoded, matrix.Columns, own);
    }

    /// <summary>Receives every other rank's part of one chunk and adds all up, in the order of ranks.</summary>
    private void AddParts(in Matrix matrix, int from, int to, int chunk)
    {
        var own = matrix.Chunk(from, to, chunk, out var row);
        if (own.IsEmpty) return;
        var bytes = ActivationCodec.Bytes(_format, own.Length / matrix.Columns, matrix.Columns);
        for (var other = 0; other < _links.Length; other++)
        {
            if (other == _rank) continue;
            var part = new Span<float>(_parts[other], own.Length);
            if (_format == WireFormat.Float32)
            {
                Receive(other, row, matrix.Columns, MemoryMarshal.AsBytes(part));
            }
            else
            {
                var encoded = _encoded.AsSpan(0, bytes);
                Receive(other, row, matrix.Columns, encoded);
                ActivationCodec.Decode(_format, encoded, matrix.Columns, part);
            }
        }

        fixed (float* sum = own)
        {
            _parts[_rank] = sum;
            Add(sum, own.Length);
        }
    }

    private void SendSums(in Matrix matrix, int from, int to, int chunk)
    {
        var sums = matrix.Chunk(from, to, chunk, out var row);
        if (sums.IsEmpty) return;
        for (var other = 0; other < _links.Length; other++)
        {
            if (other != _rank) Send(other, row, matrix.Columns, MemoryMarshal.AsBytes(sums));
        }
    }

    private void ReceiveSums(in Matrix matrix, int chunk)
    {
        for (var other = 0; other < _links.Length; other++)
        {
            if (other == _rank) continue;
            var (from, to) = Slice(matrix.Rows, other);
            var sums = matrix.Chunk(from, to, chunk, out var row);
            if (!sums.IsEmpty) Receive(other, row, matrix.Columns, MemoryMarshal.AsBytes(sums));
        }
    }

    /// <summary>Adds the parts up elementwise; the sum may be one of them.</summary>
    private void Add(float* sum, int count)
    {
        var i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
        {
            var total = Vector.Load(_parts[0] + i);
            for (var rank = 1; rank < _parts.Length; rank++) total += Vector.Load(_parts[rank] + i);
            total.Store(sum + i);
        }

        for (; i < count; i++)
        {
            var total = _parts[0][i];
            for (var rank = 1; rank < _parts.Length; rank++) total += _parts[rank][i];
            sum[i] = total;
        }
    }

    private void Send(int other, int row, int columns, ReadOnlySpan<byte> bytes)
    {
        WriteTag(_tag, row, columns);
        try
        {
            _links[other]!.Send(FrameKind.Partial, _step, _tag, bytes);
        }
        catch (Exception error) when (error is LinkException or ObjectDisposedException)
        {
            throw Failed(other, error.Message, error);
        }
    }

    private void Receive(int other, int row, int columns, Span<byte> bytes)
    {
        var link = _links[other]!;
        try
        {
            var since = _time.GetTimestamp();
            var header = link.Receive();
            Interlocked.Add(ref _waitTicks, _time.GetElapsedTime(since).Ticks);
            if (header.Kind != FrameKind.Partial || header.Step != _step || header.Length != TagBytes + bytes.Length)
            {
                throw Failed(other, $"it sent {header.Kind} of step {header.Step} with {header.Length} bytes, expected {FrameKind.Partial} of step {_step} with {TagBytes + bytes.Length}");
            }

            link.ReadPayload(_peerTag);
            WriteTag(_tag, row, columns);
            if (!_peerTag.AsSpan().SequenceEqual(_tag)) throw Failed(other, $"it is at {TagText(_peerTag)}, expected {TagText(_tag)}");
            link.ReadPayload(bytes);
        }
        catch (Exception error) when (error is LinkException or ObjectDisposedException)
        {
            throw Failed(other, error.Message, error);
        }
    }

    /// <summary>Ends all links, so that the other ranks need not find out by themselves.</summary>
    private StepFailedException Failed(int other, string what, Exception? inner = null)
    {
        var message = $"Rank {_rank} lost rank {other} in sum {_operation} of step {_step}: {what}";
        Abort(message);
        return new(message, inner);
    }

    private void WriteTag(Span<byte> tag, int row, int columns)
    {
        BinaryPrimitives.WriteInt32LittleEndian(tag, _operation);
        BinaryPrimitives.WriteInt32LittleEndian(tag[4..], row);
        BinaryPrimitives.WriteInt32LittleEndian(tag[8..], columns);
        BinaryPrimitives.WriteInt32LittleEndian(tag[12..], (int)_format);
    }

    private static string TagText(ReadOnlySpan<byte> tag) =>
        $"sum {BinaryPrimitives.ReadInt32LittleEndian(tag)}, row {BinaryPrimitives.ReadInt32LittleEndian(tag[4..])} of {BinaryPrimitives.ReadInt32LittleEndian(tag[8..])} columns in format {BinaryPrimitives.ReadInt32LittleEndian(tag[12..])}";

    private void Reserve(int chunkRows, int columns)
    {
        var bytes = _format == WireFormat.Float32 ? 0 : ActivationCodec.Bytes(_format, chunkRows, columns);
        if (bytes > _encoded.Length) _encoded = GC.AllocateUninitializedArray<byte>(bytes);
        var count = chunkRows * columns;
        if (count <= _partCapacity) return;
        NativeMemory.AlignedFree(_memory);
        _memory = null;
        _partCapacity = 0;
        var stride = (count + 15) & ~15; // Whole cache lines.
        _memory = (float*)NativeMemory.AlignedAlloc((nuint)stride * (nuint)_links.Length * sizeof(float), 64);
        for (var rank = 0; rank < _links.Length; rank++) _parts[rank] = _memory + ((nint)stride * rank);
        _partCapacity = count;
    }

    /// <summary>The caller's values, cut into chunks of rows.</summary>
    private readonly struct Matrix(float* start, int rows, int columns, int chunkRows)
    {
        public int Rows => rows;

        public int Columns => columns;

        public int Chunks(int ofRows) => (ofRows + chunkRows - 1) / chunkRows;

        /// <summary>A chunk of the rows from one up to another; empty where there are not so many.</summary>
        public Span<float> Chunk(int from, int to, int chunk, out int row)
        {
            row = Math.Min(from + (chunk * chunkRows), to);
            return new(start + ((nint)row * columns), Math.Min(chunkRows, to - row) * columns);
        }
    }
}
