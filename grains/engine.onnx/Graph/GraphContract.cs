namespace Granary.Engine.Onnx.Graph;

/// <summary>Names and shapes at the border between a model graph and what runs it.</summary>
/// <remarks>
/// T tokens of B sequences, N of them with hidden states, S of those with logits; W block-table entries a row; L layers, H query heads, K KV heads, d head
/// size.
/// <code>
/// inputs   token_ids                  int32 [T]
///          cumulative_sequence_length int32 [B + 1]
///          past_seqlens               int32 [B]
///          block_table                int32 [B, W]
///          hidden_rows                int32 [N]    tokens
///          logit_rows                 int32 [S]    places in hidden_rows
///          key_cache.{l}              float [blocks, block_tokens, K, d]   l = 0 … L - 1
///          value_cache.{l}            float [blocks, block_tokens, K, d]
/// outputs  hidden                     float [N, hidden]    after the final norm
///          logits                     float [S, vocabulary]
///          key_cache_out.{l}, value_cache_out.{l}: bound to the same memory as the inputs
/// </code>
/// The graph of one shard has what its part needs of that. Stages: token_ids is an input of the first only, every later one has
/// <c>hidden_in</c> float [T, hidden] instead, the residual stream in front of its first norm; hidden_rows, logit_rows, hidden and logits belong to
/// the last only, every earlier one ends with <c>hidden_out</c> float [T, hidden], the residual stream behind its last layer. Layers keep
/// their numbers in the model. Ranks: K is the rank's KV heads, logits are its columns of the vocabulary, and token_ids are rows of its
/// embedding table: its vocabulary's rows and, behind them, one of zeros for every id that another rank holds.
/// A graph for CUDA (<c>com.microsoft.PagedAttention</c>) computes in 16 bits, caches included, with float only at the border, and takes in addition
/// <code>
///          slot_mapping               int32 [T]    where each token's key and value go: block · block_tokens + place in the block
///          attention_metadata         int32 [2]    in CPU memory: most tokens of a sequence in the step, and in all
/// </code>
/// Between the shape's first and last element a block's memory is the attention kernel's own: nothing else reads it.
/// </remarks>
public static class GraphContract
{
    public const string TokenIds = "token_ids";
    public const string CumulativeSequenceLength = "cumulative_sequence_length";
    public const string PastSequenceLengths = "past_seqlens";
    public const string BlockTable = "block_table";
    public const string HiddenRows = "hidden_rows";
    public const string LogitRows = "logit_rows";
    public const string Hidden = "hidden";
    public const string Logits = "logits";
    public const string SlotMapping = "slot_mapping";
    public const string AttentionMetadata = "attention_metadata";
    public const string HiddenIn = "hidden_in";
    public const string HiddenOut = "hidden_out";

    /// <summary>Domain of our own operators.</summary>
    public const string Domain = "granary";

    /// <summary>
    /// Paged attention over packed tokens, with the inputs and attributes of <c>com.microsoft.PagedAttention</c>:
    /// query [T, H·d], key [T, K·d], value [T, K·d] (or packed query [T, (H + 2K)·d] with key and value absent), key_cache,
    /// value_cache, cumulative_sequence_length, past_seqlens, block_table, cos_cache [positions, rotary/2], sin_cache →
    /// output [T, H·d], key_cache_out, value_cache_out.
    /// Attributes: num_heads, kv_num_heads, scale (float, 0 = 1/sqrt(d)), do_rotary, rotary_interleaved, local_window_size (keys a query sees, its own included; -1 = all), softcap (0 = off).
    /// With per-head norms (Qwen3) inputs 10 slot_mapping and 11 head_sink are absent and 12 q_norm_weight [d], 13 k_norm_weight [d] follow,
    /// with the attribute qk_norm_epsilon: queries and keys are normalised before they are rotated.
    /// </summary>
    public const string PagedAttention = "PagedAttention";

    /// <summary>
    /// Sum over the ranks of a stage: values [rows, columns], the rank's own → sums [rows, columns], the same on every rank. Stands behind
    /// the embedding, the output projection and the down projection of graphs that are cut into ranks, and in no others.
    /// </summary>
    public const string AllReduce = "AllReduce";

    public static string KeyCache(int layer) => $"key_cache.{layer}";

    public static string ValueCache(int layer) => $"value_cache.{layer}";

    public static string KeyCacheOut(int layer) => $"key_cache_out.{layer}";

    public static string ValueCacheOut(int layer) => $"value_cache_out.{layer}";
}
