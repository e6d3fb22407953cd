"""What compilers look for in networks, through both of torch's exporters.

Rotary embeddings, SwiGLU, RMS norms, attention with its masks and shared heads, as
published code writes them: the models' names say which, and which exporter.
"""

import io
import warnings
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from common import Array, Example, Suite, random
from torch import Tensor, nn
from torch_modules import Function, enliven

warnings.filterwarnings("ignore")

# Rotary embeddings


def halves(x: Tensor) -> Tensor:
    """``(-v, u)`` of halves ``(u, v)``."""
    u, v = x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]
    return torch.cat((-v, u), dim=-1)


def neighbours(x: Tensor) -> Tensor:
    """``(-v, u)`` of neighbours ``(u, v)``."""
    return torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2)


def rotary_llama(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, ...]:
    """Queries and keys, halves."""
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    return q * cos + halves(q) * sin, k * cos + halves(k) * sin


def rotary_neox(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The first half of each head alone."""
    part, rest = x[..., :4], x[..., 4:]
    return torch.cat((part * cos + halves(part) * sin, rest), dim=-1)


def rotary_gptj(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Neighbours, each angle for both."""
    return x * cos + neighbours(x) * sin


def rotary_split(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Halves, one angle a pair."""
    u, v = x.chunk(2, -1)
    return torch.cat((u * cos - v * sin, v * cos + u * sin), dim=-1)


def rotary_pairs(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Neighbours, one angle a pair."""
    u, v = x.reshape(*x.shape[:-1], -1, 2).unbind(-1)
    return torch.stack((u * cos - v * sin, v * cos + u * sin), dim=-1).flatten(-2)


# Activations and norms


def swish(x: Tensor) -> tuple[Tensor, ...]:
    """Four spellings of the same, and one with a factor."""
    return (
        *(F.silu(x), x * torch.sigmoid(x), x / (1 + torch.exp(-x))),
        x * (1 / (1 + torch.exp(-x))),
        x * torch.sigmoid(1.702 * x),
    )


class Gated(nn.Module):
    """SwiGLU."""

    def __init__(self, width: int = 8, inner: int = 16) -> None:
        """Three products."""
        super().__init__()
        self.gate = nn.Linear(width, inner, bias=False)
        self.up = nn.Linear(width, inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        return self.down(F.silu(self.gate(x)) * self.up(x))  # type: ignore[no-any-return]


class Rms(nn.Module):
    """An RMS norm as a model spells it."""

    def __init__(self, width: int, kind: str = "llama") -> None:
        """A scale."""
        super().__init__()
        self.weight, self.kind = nn.Parameter(torch.ones(width)), kind

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis."""
        w, e = self.weight, 1e-6
        match self.kind:
            case "torch":
                return F.rms_norm(x, w.shape, w, e)
            case "gemma":
                wide = x.float()
                power = wide.pow(2).mean(-1, keepdim=True)
                return wide * torch.rsqrt(power + e) * (1.0 + w.float())
            case "divided":
                return x / torch.sqrt((x * x).mean(-1, keepdim=True) + e) * w
            case "power":
                return x * (x.square().mean(-1, keepdim=True) + e) ** -0.5 * w
            case "sum":
                total = (x * x).sum(-1, keepdim=True) / x.shape[-1]
                return x * torch.rsqrt(total + e) * w
            case _:
                wide = x.to(torch.float32)
                power = wide.pow(2).mean(-1, keepdim=True)
                return w * (wide * torch.rsqrt(power + e)).to(x.dtype)


# Attention


def repeated(x: Tensor, times: int) -> Tensor:
    """Heads of keys or values, each for several of queries."""
    n, heads, rows, size = x.shape
    wide = x[:, :, None].expand(n, heads, times, rows, size)
    return wide.reshape(n, heads * times, rows, size)


def eager(kind: str, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention written out, with a mask of some spelling."""
    k, v = repeated(k, 2), repeated(v, 2)
    s = q @ k.transpose(2, 3) * (q.shape[-1] ** -0.5)
    n, least = s.shape[-1], torch.finfo(s.dtype).min
    lower = torch.tril(torch.ones(n, n))
    match kind:
        case "triu":
            s = s + torch.triu(torch.full((n, n), float("-inf")), 1)
        case "triu_min":
            s = s + torch.triu(torch.full((n, n), least), 1)
        case "fill":
            s = s.masked_fill(lower == 0, float("-inf"))
        case "where_min":
            s = torch.where(lower.bool(), s, torch.full([], least))
        case "where":
            s = torch.where(lower.bool(), s, torch.tensor(float("-inf")))
    p = F.softmax(s, dim=-1, dtype=torch.float32).to(q.dtype)
    return (p @ v).transpose(1, 2).contiguous()


def fused(kind: str, q: Tensor, k: Tensor, v: Tensor, *mask: Tensor) -> Tensor:
    """Torch's own attention."""
    how = {"is_causal": kind in ("causal", "grouped")}
    if kind == "grouped":
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=True, **how)
    k, v = repeated(k, 2), repeated(v, 2)
    bias = mask[0] > 0 if kind == "bool" else mask[0] if mask else None
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, **how)


class Decoder(nn.Module):
    """A block with norms of queries and keys, rotary embedding and shared heads."""

    def __init__(self, own: bool, heads: int = 4, groups: int = 2) -> None:
        """Weights; ``own`` uses torch's attention."""
        super().__init__()
        self.own, self.ratio, self.size, width = own, heads // groups, 8, 32
        self.q = nn.Linear(width, heads * self.size, bias=False)
        self.k = nn.Linear(width, groups * self.size, bias=False)
        self.v = nn.Linear(width, groups * self.size, bias=False)
        self.o = nn.Linear(heads * self.size, width, bias=False)
        self.q_norm, self.k_norm = Rms(self.size), Rms(self.size)
        self.before, self.after, self.mlp = Rms(width), Rms(width), Gated(width, 48)

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        n, rows, _ = x.shape
        y = self.before(x)
        q = self.q_norm(self.q(y).view(n, rows, -1, self.size)).transpose(1, 2)
        k = self.k_norm(self.k(y).view(n, rows, -1, self.size)).transpose(1, 2)
        v = self.v(y).view(n, rows, -1, self.size).transpose(1, 2)
        speed = 1.0 / (10000.0 ** (torch.arange(0, self.size, 2).float() / self.size))
        half = torch.arange(rows).float()[:, None] * speed
        angles = torch.cat((half, half), dim=-1)
        cos, sin = angles.cos()[None, None], angles.sin()[None, None]
        q, k = q * cos + halves(q) * sin, k * cos + halves(k) * sin
        k, v = repeated(k, self.ratio), repeated(v, self.ratio)
        if self.own:
            a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            s = q @ k.transpose(2, 3) * self.size**-0.5
            least = torch.full((rows, rows), torch.finfo(x.dtype).min)
            s = s + torch.triu(least, 1)
            a = F.softmax(s, dim=-1, dtype=torch.float32).to(q.dtype) @ v
        x = x + self.o(a.transpose(1, 2).reshape(n, rows, -1))
        return x + self.mlp(self.after(x))  # type: ignore[no-any-return]


class Vision(nn.Module):
    """Attention of one product for queries, keys and values."""

    def __init__(self, kind: str) -> None:
        """Two products."""
        super().__init__()
        self.kind, self.qkv, self.out = kind, nn.Linear(16, 48), nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        n, rows, width = x.shape
        y = self.qkv(x)
        if self.kind == "chunk":
            parts = (t.reshape(n, rows, 4, 4).transpose(1, 2) for t in y.chunk(3, -1))
            q, k, v = parts
        else:
            q, k, v = y.reshape(n, rows, 3, 4, 4).permute(2, 0, 3, 1, 4).unbind(0)
        if self.kind == "eager":
            a = ((q * 0.5) @ k.transpose(-2, -1)).softmax(-1) @ v
        else:
            a = F.scaled_dot_product_attention(q, k, v)
        return self.out(a.transpose(1, 2).reshape(n, rows, width))  # type: ignore[no-any-return]


Build = Callable[[], nn.Module]
HEADS = (random(1, 2, 4, 6, 8), random(2, 2, 2, 6, 8), random(3, 2, 2, 6, 8))
WHOLE = [random(s, 2, 6, 8) for s in (4, 5)]
HALF = [random(s, 6, 4) for s in (6, 7)]
MASK = random(8, 2, 1, 6, 6)
MASK[..., 0] = 1  # a query that may attend no key is exported as something else


def of(function: Callable[..., object]) -> Build:
    """What builds a module around a function."""
    return lambda: Function(function)


MODULES: dict[str, tuple[Build, Sequence[Array]]] = {
    "rotary_llama": (of(rotary_llama), (*HEADS[:2], *WHOLE)),
    "rotary_neox": (of(rotary_neox), (HEADS[0], *HALF)),
    "rotary_gptj": (of(rotary_gptj), (HEADS[0], random(9, 6, 8), random(10, 6, 8))),
    "rotary_split": (of(rotary_split), (HEADS[0], *HALF)),
    "rotary_pairs": (of(rotary_pairs), (HEADS[0], *HALF)),
    "swish": (of(swish), (random(1, 2, 8),)),
    "gated": (Gated, (random(1, 2, 3, 8),)),
    **{
        f"rms_{kind}": (partial(Rms, 8, kind), (random(1, 2, 3, 8),))
        for kind in ("llama", "torch", "gemma", "divided", "power", "sum")
    },
    **{
        f"eager_{kind}": (of(partial(eager, kind)), HEADS)
        for kind in ("plain", "triu", "triu_min", "fill", "where_min", "where")
    },
    **{
        f"fused_{kind}": (of(partial(fused, kind)), HEADS)
        for kind in ("plain", "causal", "grouped")
    },
    **{
        f"fused_{kind}": (of(partial(fused, kind)), (*HEADS, MASK))
        for kind in ("bool", "float")
    },
    "decoder_fused": (lambda: Decoder(True), (random(1, 2, 6, 32),)),
    "decoder_eager": (lambda: Decoder(False), (random(1, 2, 6, 32),)),
    **{
        f"vision_{kind}": (partial(Vision, kind), (random(1, 2, 5, 16),))
        for kind in ("unbind", "chunk", "eager")
    },
}


def build(name: str, dynamo: bool) -> Example:
    """A module, exported, and what torch makes of its case."""
    torch.manual_seed(0)
    make, arrays = MODULES[name]
    module = enliven(make())
    tensors = tuple(map(torch.from_numpy, arrays))
    with torch.no_grad():
        found = module(*tensors)
    outputs = found if isinstance(found, tuple) else (found,)
    if dynamo:
        program = torch.onnx.export(module, tensors, dynamo=True, verbose=False)
        model = program.model_proto  # type: ignore[union-attr]
    else:
        file = io.BytesIO()
        torch.onnx.export(module, tensors, file, dynamo=False, opset_version=17)  # type: ignore[arg-type]
        model = onnx.load_from_string(file.getvalue())
    names = [v.name for v in model.graph.input]
    case = {n: np.asarray(a) for n, a in zip(names, arrays, strict=True)}
    expected = [[np.asarray(y.detach()) for y in outputs]]
    return Example(model, [case], expected=expected, oracle="torch")


def main() -> None:
    """Build all, or those named on the command line."""
    suite = Suite("torch_patterns", ("torch", "onnxscript"))
    for name in MODULES:
        for dynamo in (False, True):
            label = f"{name}_{'dynamo' if dynamo else 'legacy'}"
            suite.add(label, partial(build, name, dynamo))
    suite.close()


if __name__ == "__main__":
    main()
