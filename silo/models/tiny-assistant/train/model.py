"""The network: a Llama of 1,246,592 parameters over packed documents, and its safetensors file."""
import json
import math
import struct
from pathlib import Path

import numpy as np
import torch

import kernels

WIDTH, HEADS, KV_HEADS, HEAD_DIM, INNER, LAYERS, VOCABULARY = 128, 8, 4, 16, 384, 5, 2048
CONTEXT, ROPE_THETA, EPSILON = 1024, 10000.0, 1e-5


def _projection(inputs: int, outputs: int, deviation: float = 0.02) -> torch.nn.Linear:
    layer = torch.nn.Linear(inputs, outputs, bias=False)
    torch.nn.init.normal_(layer.weight, std=deviation)
    return layer


class Norm(torch.nn.Module):
    """Root-mean-square normalisation with a learnt gain."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(WIDTH))

    def forward(self, rows):
        return kernels.RmsNorm.apply(rows, self.weight, EPSILON)


class SelfAttention(torch.nn.Module):
    """Grouped-query attention with rotary positions."""

    def __init__(self):
        super().__init__()
        self.q_proj = _projection(WIDTH, HEADS * HEAD_DIM)
        self.k_proj = _projection(WIDTH, KV_HEADS * HEAD_DIM)
        self.v_proj = _projection(WIDTH, KV_HEADS * HEAD_DIM)
        self.o_proj = _projection(HEADS * HEAD_DIM, WIDTH, 0.02 / math.sqrt(2 * LAYERS))

    def forward(self, rows, offsets, longest, cosine, sine):
        weight = torch.cat((self.q_proj.weight, self.k_proj.weight, self.v_proj.weight))
        mixed = kernels.Attention.apply(rows @ weight.T, offsets, longest, cosine, sine)
        return self.o_proj(mixed)


class FeedForward(torch.nn.Module):
    """The gated feed-forward block."""

    def __init__(self):
        super().__init__()
        self.gate_proj = _projection(WIDTH, INNER)
        self.up_proj = _projection(WIDTH, INNER)
        self.down_proj = _projection(INNER, WIDTH, 0.02 / math.sqrt(2 * LAYERS))

    def forward(self, rows):
        weight = torch.cat((self.gate_proj.weight, self.up_proj.weight))
        return self.down_proj(kernels.SwiGlu.apply(rows @ weight.T))


class Layer(torch.nn.Module):
    """One pre-normalised transformer block."""

    def __init__(self):
        super().__init__()
        self.self_attn = SelfAttention()
        self.mlp = FeedForward()
        self.input_layernorm = Norm()
        self.post_attention_layernorm = Norm()

    def forward(self, rows, *layout):
        rows = rows + self.self_attn(self.input_layernorm(rows), *layout)
        return rows + self.mlp(self.post_attention_layernorm(rows))


class TinyAssistant(torch.nn.Module):
    """Maps packed token ids to final hidden rows; the embedding doubles as the output matrix."""

    def __init__(self):
        super().__init__()
        self.embed_tokens = torch.nn.Embedding(VOCABULARY, WIDTH)
        torch.nn.init.normal_(self.embed_tokens.weight, std=0.02)
        self.layers = torch.nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = Norm()
        frequency = ROPE_THETA ** -(torch.arange(0, HEAD_DIM, 2) / HEAD_DIM)
        angle = torch.outer(torch.arange(CONTEXT).float(), frequency)
        self.register_buffer("cosine", angle.cos().contiguous(), persistent=False)
        self.register_buffer("sine", angle.sin().contiguous(), persistent=False)

    def forward(self, tokens, offsets):
        """Hidden rows for `tokens`, documents being the ranges between consecutive `offsets`."""
        longest = int((offsets[1:] - offsets[:-1]).max())
        rows = self.embed_tokens(tokens)
        for layer in self.layers:
            rows = layer(rows, offsets, longest, self.cosine, self.sine)
        return self.norm(rows)

    def logits(self, hidden):
        """Vocabulary logits of hidden rows."""
        return hidden @ self.embed_tokens.weight.T


def save_weights(state: dict, path: Path) -> None:
    """Writes a float16 safetensors file with the Hugging Face Llama names."""
    header, chunks, position = {"__metadata__": {"format": "pt"}}, [], 0
    for name in sorted(state):
        data = state[name].to(torch.float16).numpy().tobytes()
        header["model." + name] = {"dtype": "F16", "shape": list(state[name].shape),
                                   "data_offsets": [position, position + len(data)]}
        chunks.append(data)
        position += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    partial = Path(str(path) + ".partial")
    partial.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(chunks))
    partial.rename(path)


def load_weights(path: Path) -> dict:
    """Reads such a file back as float32 tensors."""
    data = Path(path).read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    state = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        array = np.frombuffer(data[begin:end], dtype=np.float16).astype(np.float32)
        state[name[len("model."):]] = torch.from_numpy(array).reshape(entry["shape"])
    return state
