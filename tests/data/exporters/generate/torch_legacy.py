"""Small torch modules through ``torch.onnx.export(dynamo=False)``."""

import io
import warnings
from functools import partial

import onnx
import torch
from common import Example, Suite, integers, random
from torch import Tensor, nn
from torch_modules import (
    BATCH,
    MODULES,
    Attention,
    Entry,
    Recurrent,
    encoder,
    enliven,
    mlp,
    of,
    pairs,
)

warnings.filterwarnings("ignore")


@torch.jit.script
def branch(x: Tensor) -> Tensor:
    """A branch on the data."""
    if bool(x.sum() > 0):
        return x.sin() + 1
    return x.cos() * 2


@torch.jit.script
def power(x: Tensor, n: Tensor) -> Tensor:
    """A loop whose count is an input."""
    y = x
    for _ in range(int(n)):
        y = torch.tanh(y * 1.5)
    return y


@torch.jit.script
def until(x: Tensor) -> Tensor:
    """A loop until the data says so."""
    while bool(x.sum() < 100.0):
        x = x * 2
    return x


@torch.jit.script
def collect(x: Tensor) -> Tensor:
    """A list filled in a loop, then stacked."""
    parts: list[Tensor] = []
    for i in range(x.size(0)):
        parts.append(x[i] * i)
    return torch.stack(parts)


class Scripted(nn.Module):
    """A module that calls a scripted function."""

    def __init__(self, function: torch.jit.ScriptFunction) -> None:
        """Keep the function."""
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Call it."""
        return self.function(x)  # type: ignore[no-any-return]


class Twice(nn.Module):
    """Two layers of one kind, written as calls of a function."""

    def __init__(self) -> None:
        """Two norms and two dense layers."""
        super().__init__()
        self.body = nn.Sequential(
            nn.LayerNorm(4), nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 4)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Run them."""
        return self.body(x)  # type: ignore[no-any-return]


class Power(nn.Module):
    """Calls ``power``."""

    def forward(self, x: Tensor, n: Tensor) -> Tensor:
        """Call it."""
        return power(x, n)  # type: ignore[no-any-return]


class Packed(nn.Module):
    """A recurrent layer over sequences of different lengths."""

    def __init__(self) -> None:
        """A two-way LSTM."""
        super().__init__()
        self.layer = nn.LSTM(6, 4, bidirectional=True, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Pack, run, pad again."""
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        out, (state, _) = self.layer(packed)
        return nn.utils.rnn.pad_packed_sequence(out, batch_first=True)[0], state


def unique(i: Tensor) -> tuple[Tensor, ...]:
    """Distinct values, where each went, and how many."""
    return torch.unique(i, return_inverse=True, return_counts=True)  # type: ignore[no-any-return]


def nonzero(x: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs whose size depends on the data."""
    return x.nonzero(), x.masked_select(x > 0)


ONE = pairs(((3, 4),), ((3, 4),), ((3, 4),))
SEQUENCES = pairs(((2, 5, 16),), ((1, 9, 16),))
RECURRENT = ({0: "batch", 1: "sequence"},)

EQUAL = pairs(((2, 5, 16),), ((2, 5, 16),))
HALF = [(x.astype("float16"),) for (x,) in EQUAL]

OWN = [
    Entry("if", lambda: Scripted(branch), ONE, BATCH),
    Entry(
        "loop_count",
        Power,
        [(random(1, 3, 4), integers(1, 1) + 3), (random(2, 3, 4), integers(1, 1) + 5)],
    ),
    Entry("loop_while", lambda: Scripted(until), [(abs(x[0]),) for x in ONE], BATCH),
    Entry("loop_list", lambda: Scripted(collect), pairs(((3, 4),), ((5, 4),)), BATCH),
    Entry(
        "lstm_packed",
        Packed,
        [
            (random(1, 3, 5, 6), [*integers(0, 1, 3), 5, 3, 2]),
            (random(2, 3, 5, 6), [*integers(0, 1, 3), 5, 5, 1]),
        ],
    ),
    Entry("attention", Attention, EQUAL),
    Entry("encoder", encoder, EQUAL),
    Entry(
        "half_encoder",
        lambda: encoder().half(),
        HALF,
        rtol=1e-2,
        atol=1e-2,
        recheck=False,
    ),
    Entry("unique", of(unique), [(integers(1, 6, 12),), (integers(2, 6, 12),)]),
    Entry("nonzero", of(nonzero), ONE),
    Entry("mlp_opset11", mlp, pairs(((2, 8),), ((1, 8),)), BATCH, opset=11),
    Entry("mlp_opset9", mlp, pairs(((2, 8),), ((1, 8),)), BATCH, opset=9),
    Entry(
        "lstm_dynamic",
        lambda: Recurrent(nn.LSTM(16, 8, bidirectional=True, batch_first=True)),
        SEQUENCES,
        RECURRENT,
    ),
    Entry(
        "gru_dynamic",
        lambda: Recurrent(nn.GRU(16, 8, batch_first=True)),
        SEQUENCES,
        RECURRENT,
    ),
    Entry(
        "argmax_opset13",
        of(lambda x: (x.argmax(1), x.topk(2)[1], x.sort(0)[0])),
        ONE,
        opset=13,
    ),
]


LACKING = ("trigonometry",)  # has operators that this exporter lacks


def export(entry: Entry, **options: object) -> Example:
    """One module as the TorchScript exporter writes it."""
    torch.manual_seed(0)
    module = enliven(entry.build())
    first = tuple(map(torch.as_tensor, entry.cases[0]))
    names = [f"input{i}" for i in range(len(first))]
    buffer = io.BytesIO()
    torch.onnx.export(
        module,
        first,
        buffer,
        dynamo=False,
        input_names=names,
        dynamic_axes={n: dict(d) for n, d in zip(names, entry.dynamic, strict=False)},
        opset_version=entry.opset,
        **options,
    )
    model = onnx.load_from_string(buffer.getvalue())
    return Example(model, entry.cases, **entry.tolerance)


if __name__ == "__main__":
    suite = Suite("torch_legacy", ("torch", "onnx", "onnxruntime"))
    for entry in (*MODULES, *OWN):
        if entry.name not in LACKING:
            suite.add(entry.name, partial(export, entry))
    normed = Entry("functions", Twice, ONE, BATCH)
    shared = {nn.LayerNorm, nn.Linear}
    suite.add(normed.name, partial(export, normed, export_modules_as_functions=shared))
    suite.close()
