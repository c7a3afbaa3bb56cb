"""A minimal encoder and decoder for the model's tokenizer.json (byte-level BPE)."""
import json
from pathlib import Path

import regex

MODEL_FOLDER = Path(__file__).resolve().parent.parent


def byte_alphabet() -> dict:
    """The printable character that stands for each byte in a byte-level vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = {byte: chr(byte) for byte in printable}
    others = (byte for byte in range(256) if byte not in alphabet)
    alphabet.update({byte: chr(256 + index) for index, byte in enumerate(others)})
    return alphabet


class Tokenizer:
    """Encodes text, special tokens included, and decodes ids."""

    def __init__(self, path: Path = MODEL_FOLDER / "tokenizer.json"):
        description = json.loads(Path(path).read_text(encoding="utf-8"))
        self.vocabulary = description["model"]["vocab"]
        self.ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(description["model"]["merges"])}
        self.special = {token["content"]: token["id"] for token in description["added_tokens"]}
        self.pattern = regex.compile(description["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"])
        self.special_pattern = regex.compile("(" + "|".join(map(regex.escape, self.special)) + ")")
        self.alphabet = byte_alphabet()
        self.bytes = {character: byte for byte, character in self.alphabet.items()}
        self.tokens = {number: token for token, number in {**self.vocabulary, **self.special}.items()}
        self.cache = {}

    def _word(self, word: str) -> list:
        """Ids of one pre-token, by merging the lowest-ranked pair until none is left."""
        if word in self.cache:
            return self.cache[word]
        parts = [self.alphabet[byte] for byte in word.encode()]
        while len(parts) > 1:
            rank, place = min((self.ranks.get(pair, len(self.ranks)), i) for i, pair in enumerate(zip(parts, parts[1:])))
            if rank == len(self.ranks):
                break
            parts[place:place + 2] = [parts[place] + parts[place + 1]]
        self.cache[word] = [self.vocabulary[part] for part in parts]
        return self.cache[word]

    def encode(self, text: str) -> list:
        """Token ids of `text`."""
        ids = []
        for part in self.special_pattern.split(text):
            if part in self.special:
                ids.append(self.special[part])
            else:
                for word in self.pattern.findall(part):
                    ids += self._word(word)
        return ids

    def decode(self, ids) -> str:
        """Text of `ids`; special tokens appear as written."""
        data = b""
        for token in (self.tokens[number] for number in ids):
            data += token.encode() if token in self.special else bytes(self.bytes[character] for character in token)
        return data.decode(errors="replace")
