using System.Collections.Concurrent;
using Orleans;
using Orleans.Runtime;
using Orleans.Storage;

namespace Granary.Tests.Cluster.Sessions;

/// <summary>A storage that outlives the silos, counts its writings, and fails when it is told to.</summary>
internal sealed class ScriptedStorage(IGrainStorageSerializer serializer, ScriptedStorage.Records records) : IGrainStorage
{
    public Task ReadStateAsync<T>(string grainType, GrainId grainId, IGrainState<T> grainState)
    {
        if (!records.Stored.TryGetValue((grainType, grainId), out var record))
        {
            (grainState.ETag, grainState.RecordExists) = (null, false);
            return Task.CompletedTask;
        }

        grainState.State = serializer.Deserialize<T>(new BinaryData(record.State));
        (grainState.ETag, grainState.RecordExists) = (record.Tag, true);
        return Task.CompletedTask;
    }

    public Task WriteStateAsync<T>(string grainType, GrainId grainId, IGrainState<T> grainState)
    {
        Interlocked.Increment(ref records.Writes);
        var tag = $"{records.Writes}";
        switch (records.NextWrite)
        {
            case Outcome.Fails:
                throw new OrleansException("The storage is gone.");
            case Outcome.IsDoneAndFails:
                records.NextWrite = Outcome.Succeeds;
                records.Stored[(grainType, grainId)] = (serializer.Serialize(grainState.State).ToArray(), tag);
                throw new OrleansException("The storage is slow.");
        }

        var known = records.Stored.TryGetValue((grainType, grainId), out var record) ? record.Tag : null;
        if (known != grainState.ETag) throw new InconsistentStateException($"It is {known}, not {grainState.ETag}.");
        records.Stored[(grainType, grainId)] = (serializer.Serialize(grainState.State).ToArray(), tag);
        (grainState.ETag, grainState.RecordExists) = (tag, true);
        return Task.CompletedTask;
    }

    public Task ClearStateAsync<T>(string grainType, GrainId grainId, IGrainState<T> grainState)
    {
        records.Stored.TryRemove((grainType, grainId), out _);
        (grainState.ETag, grainState.RecordExists) = (null, false);
        return Task.CompletedTask;
    }

    /// <summary>What all silos share.</summary>
    internal sealed class Records
    {
        public int Writes;

        public ConcurrentDictionary<(string State, GrainId Grain), (byte[] State, string Tag)> Stored { get; } = new();

        public Outcome NextWrite { get; set; }
    }

    internal enum Outcome
    {
        Succeeds,

        /// <summary>Until told otherwise.</summary>
        Fails,

        /// <summary>Once.</summary>
        IsDoneAndFails,
    }
}
