"""Autograd functions over kernels.cpp, which is compiled on first use into a cache folder."""
import ctypes
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("kernels.cpp")
FLAGS = ["-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-fopenmp", "-shared", "-fPIC"]
QUERY_WIDTH, HEADS, HEAD_DIM = 128, 8, 16  # the shapes kernels.cpp is written for
ROWS_PER_CHUNK = 256


def _load() -> ctypes.CDLL:
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"tiny-assistant-kernels-{digest}.so"
    if not library.exists():
        partial = library.with_suffix(f".{os.getpid()}")
        subprocess.run(["g++", *FLAGS, "-o", str(partial), str(SOURCE), "-lm"], check=True)
        partial.rename(library)
    return ctypes.CDLL(str(library))


_library = _load()


def _call(name: str, *arguments) -> None:
    """Passes tensors as pointers, integers as int64 and floats as float."""
    converted = []
    for argument in arguments:
        if isinstance(argument, torch.Tensor):
            assert argument.is_contiguous()
            converted.append(ctypes.c_void_p(argument.data_ptr()))
        elif isinstance(argument, int):
            converted.append(ctypes.c_int64(argument))
        else:
            converted.append(ctypes.c_float(argument))
    getattr(_library, name)(*converted)


class RmsNorm(torch.autograd.Function):
    """Root-mean-square normalisation of rows."""

    @staticmethod
    def forward(ctx, rows, weight, epsilon):
        output, inverse = torch.empty_like(rows), rows.new_empty(rows.shape[0])
        _call("rms_norm_forward", rows, weight, output, inverse, rows.shape[0], rows.shape[1], epsilon)
        ctx.save_for_backward(rows, weight, inverse)
        return output

    @staticmethod
    def backward(ctx, grad):
        rows, weight, inverse = ctx.saved_tensors
        grad_rows = torch.empty_like(rows)
        partials = rows.new_empty(-(-rows.shape[0] // ROWS_PER_CHUNK), rows.shape[1])
        _call("rms_norm_backward", rows, weight, inverse, grad.contiguous(), grad_rows, partials, *rows.shape)
        return grad_rows, partials.sum(0), None


class SwiGlu(torch.autograd.Function):
    """silu(gate) * up for rows that hold gate and up side by side."""

    @staticmethod
    def forward(ctx, gate_up):
        output = gate_up.new_empty(gate_up.shape[0], gate_up.shape[1] // 2)
        _call("swiglu_forward", gate_up, output, *output.shape)
        ctx.save_for_backward(gate_up)
        return output

    @staticmethod
    def backward(ctx, grad):
        (gate_up,) = ctx.saved_tensors
        grad_gate_up = torch.empty_like(gate_up)
        _call("swiglu_backward", gate_up, grad.contiguous(), grad_gate_up, *grad.shape)
        return grad_gate_up


class CrossEntropy(torch.autograd.Function):
    """Sum of weighted cross entropies of logit rows."""

    @staticmethod
    def forward(ctx, logits, targets, weights):
        gradient, losses = logits.clone(), torch.empty_like(weights)
        _call("cross_entropy", gradient, targets, weights, losses, *logits.shape)
        ctx.save_for_backward(gradient)
        return losses.sum()

    @staticmethod
    def backward(ctx, grad):
        (gradient,) = ctx.saved_tensors
        return gradient * grad, None, None


class Attention(torch.autograd.Function):
    """Rotary causal attention inside each packed document."""

    @staticmethod
    def forward(ctx, qkv, offsets, longest, cosine, sine):
        output, lse = qkv.new_empty(qkv.shape[0], QUERY_WIDTH), qkv.new_empty(qkv.shape[0], HEADS)
        _call("attention_forward", qkv, output, lse, offsets, len(offsets) - 1, longest, cosine, sine)
        ctx.save_for_backward(qkv, output, lse, offsets, cosine, sine)
        ctx.longest = longest
        return output

    @staticmethod
    def backward(ctx, grad):
        qkv, output, lse, offsets, cosine, sine = ctx.saved_tensors
        grad_qkv = torch.empty_like(qkv)
        _call("attention_backward", qkv, output, lse, grad.contiguous(), grad_qkv, offsets,
              len(offsets) - 1, ctx.longest, cosine, sine)
        return grad_qkv, None, None, None, None
