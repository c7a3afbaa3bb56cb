using System.Text;
using System.Text.Json;

namespace Granary.Text.Tokenization;

/// <summary>Reads a tokenizer's files into <see cref="TokenizerParts"/>.</summary>
internal static class TokenizerLoader
{
    public static TokenizerParts Load(string directory)
    {
        var configPath = Path.Combine(directory, "tokenizer_config.json");
        TokenizerJson? config = File.Exists(configPath) ? TokenizerJson.Read(configPath) : null;
        var main = Path.Combine(directory, "tokenizer.json");
        if (File.Exists(main)) return FromTokenizerJson(TokenizerJson.Read(main), config);

        var vocabulary = Path.Combine(directory, "vocab.json");
        var merges = Path.Combine(directory, "merges.txt");
        if (!File.Exists(vocabulary) || !File.Exists(merges)) throw new TokenizerException("The model's folder has neither tokenizer.json nor vocab.json with merges.txt.");
        if (new FileInfo(merges).Length > TokenizerJson.MaxFileBytes) throw new TokenizerException($"{Path.GetFileName(merges)} has more than {TokenizerJson.MaxFileBytes} bytes.");
        return FromVocabularyAndMerges(TokenizerJson.Read(vocabulary), Path.GetFileName(merges), File.ReadLines(merges), config);
    }

    /// <param name="files">Content by file name.</param>
    public static TokenizerParts Load(IReadOnlyDictionary<string, byte[]> files)
    {
        TokenizerJson? config = Find("tokenizer_config.json");
        if (Find("tokenizer.json") is { } main) return FromTokenizerJson(main, config);
        if (Find("vocab.json") is { } vocabulary && files.TryGetValue("merges.txt", out var merges))
            return FromVocabularyAndMerges(vocabulary, "merges.txt", Encoding.UTF8.GetString(merges).ReplaceLineEndings("\n").TrimEnd('\n').Split('\n'), config);
        throw new TokenizerException("The model has neither tokenizer.json nor vocab.json with merges.txt.");

        TokenizerJson? Find(string name) => files.TryGetValue(name, out var content) ? TokenizerJson.Parse(name, content) : null;
    }

    private static TokenizerParts FromTokenizerJson(TokenizerJson root, TokenizerJson? config)
    {
        var model = root.Required("model");
        if (model.OptionalString("type") is { } type && type != "BPE") throw model.Bad($"has the type '{type}'; only BPE is supported");
        foreach (var affix in (string[])["continuing_subword_prefix", "end_of_word_suffix"])
        {
            if (model.OptionalString(affix) is { Length: > 0 }) throw model.Bad($"has a '{affix}', which is not supported");
        }

        var vocabulary = ReadVocabulary(model.Required("vocab"));
        var preTokenizers = PreTokenizer.Read(root.Child("pre_tokenizer"), out var byteLevel);
        var added = root.Child("added_tokens") is null ? [] : root.Items("added_tokens").Select(ReadAdded).ToList();
        CheckAdded(root, vocabulary, added);
        var (bos, eos) = (TokenName(config, "bos_token"), TokenName(config, "eos_token"));
        var (prefix, suffix) = PostProcessor.Read(root.Child("post_processor"));
        PostProcessor.Configure(config, Id(vocabulary, added, bos), Id(vocabulary, added, eos), ref prefix, ref suffix);

        return new TokenizerParts
        {
            Vocabulary = vocabulary,
            Merges = ReadMerges(model.Items("merges"), vocabulary),
            UnknownToken = model.OptionalString("unk_token"),
            ByteFallback = model.Flag("byte_fallback", false),
            FuseUnknown = model.Flag("fuse_unk", false),
            IgnoreMerges = model.Flag("ignore_merges", false),
            ByteLevel = byteLevel,
            Added = added,
            Normalizer = Normalizer.Read(root.Child("normalizer")),
            PreTokenizers = preTokenizers,
            Decoder = TokenDecoder.Read(root.Child("decoder")),
            Prefix = prefix,
            Suffix = suffix,
            BosToken = bos,
            EosToken = eos,
        };
    }

    private static TokenizerParts FromVocabularyAndMerges(TokenizerJson vocabularyFile, string name, IEnumerable<string> lines, TokenizerJson? config)
    {
        var vocabulary = ReadVocabulary(vocabularyFile);
        var merges = new Dictionary<TokenPair, Merge>();
        var number = 0;
        foreach (var line in lines)
        {
            number++;
            if (line.Length == 0 || (number == 1 && line.StartsWith("#version", StringComparison.Ordinal))) continue;
            var parts = line.Split(' ');
            if (parts.Length != 2) throw new TokenizerException($"{name}: line {number} is not two tokens.");
            AddMerge(merges, vocabulary, parts[0], parts[1], number, what => new TokenizerException($"{name}: line {number} {what}."));
        }

        const string EndOfText = "<|endoftext|>";
        var added = vocabulary.TryGetValue(EndOfText, out var id)
            ? [new AddedToken(id, EndOfText, false, false, false, Normalized: false, Special: true)]
            : new List<AddedToken>();
        return new TokenizerParts
        {
            Vocabulary = vocabulary,
            Merges = merges,
            ByteLevel = true,
            Added = added,
            PreTokenizers = PreTokenizer.Gpt2(),
            Decoder = TokenDecoder.ForByteLevel(),
            BosToken = TokenName(config, "bos_token"),
            EosToken = TokenName(config, "eos_token"),
        };
    }

    private static Dictionary<string, int> ReadVocabulary(TokenizerJson json)
    {
        if (json.Element.ValueKind != JsonValueKind.Object) throw json.Bad("is not an object");
        var vocabulary = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var entry in json.Element.EnumerateObject())
        {
            if (entry.Name.Length == 0) throw json.Bad("has an empty token");
            vocabulary[entry.Name] = new TokenizerJson(json.File, $"{json.Path}['{entry.Name}']", entry.Value).AsId();
        }

        return vocabulary.Count > 0 ? vocabulary : throw json.Bad("is empty");
    }

    private static Dictionary<TokenPair, Merge> ReadMerges(IEnumerable<TokenizerJson> items, Dictionary<string, int> vocabulary)
    {
        var merges = new Dictionary<TokenPair, Merge>();
        var rank = 0;
        foreach (var item in items)
        {
            string left, right;
            if (item.Element.ValueKind == JsonValueKind.Array && item.Element.GetArrayLength() == 2)
            {
                left = new TokenizerJson(item.File, $"{item.Path}[0]", item.Element[0]).AsString();
                right = new TokenizerJson(item.File, $"{item.Path}[1]", item.Element[1]).AsString();
            }
            else
            {
                var pair = item.AsString();
                var space = pair.IndexOf(' ', 1 < pair.Length ? 1 : 0);
                if (space <= 0 || space == pair.Length - 1) throw item.Bad("is not two tokens");
                (left, right) = (pair[..space], pair[(space + 1)..]);
            }

            AddMerge(merges, vocabulary, left, right, rank++, item.Bad);
        }

        return merges;
    }

    /// <param name="rank">Place in the list; a pair that stands there twice counts at its later place.</param>
    private static void AddMerge(
        Dictionary<TokenPair, Merge> merges, Dictionary<string, int> vocabulary, string left, string right, int rank, Func<string, TokenizerException> bad)
    {
        if (!vocabulary.TryGetValue(left, out var leftId) || !vocabulary.TryGetValue(right, out var rightId)) throw bad("merges a token that the vocabulary lacks");
        if (!vocabulary.TryGetValue(left + right, out var id)) throw bad("merges into a token that the vocabulary lacks");
        merges[new TokenPair(leftId, rightId)] = new Merge(rank, id);
    }

    private static AddedToken ReadAdded(TokenizerJson json)
    {
        var special = json.Flag("special", false);
        return new AddedToken(
            json.Int("id"), json.String("content"), json.Flag("single_word", false), json.Flag("lstrip", false),
            json.Flag("rstrip", false), json.Flag("normalized", !special), special);
    }

    private static void CheckAdded(TokenizerJson root, Dictionary<string, int> vocabulary, List<AddedToken> added)
    {
        foreach (var token in added)
        {
            if (vocabulary.TryGetValue(token.Content, out var id) && id != token.Id)
            {
                throw root.Bad($"lists the added token '{token.Content}' as {token.Id}, its vocabulary as {id}");
            }
        }
    }

    private static int? Id(Dictionary<string, int> vocabulary, List<AddedToken> added, string? token)
    {
        if (token is null) return null;
        return added.Find(candidate => candidate.Content == token)?.Id ?? (vocabulary.TryGetValue(token, out var id) ? id : null);
    }

    /// <summary>A special token's text: a string, or an object with its content.</summary>
    private static string? TokenName(TokenizerJson? config, string name)
    {
        if (config?.Child(name) is not { } token) return null;
        return token.Element.ValueKind == JsonValueKind.Object ? token.String("content") : token.AsString();
    }
}
