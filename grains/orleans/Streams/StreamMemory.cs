using Granary.Grains.Sessions;
using Microsoft.Extensions.Options;

namespace Granary.Grains.Streams;

/// <summary>What journals take; those that were written least recently go first.</summary>
internal sealed class StreamMemory(IOptions<StreamJournalOptions> options) : HeldMemory(options.Value.MemoryBytes);
