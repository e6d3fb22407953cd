"""Small torch modules through ``torch.onnx.export(dynamo=True)``."""

import warnings
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from common import Example, Suite, integers, random
from torch import Tensor, nn
from torch_modules import (
    BATCH,
    BATCH_SEQUENCE,
    MODULES,
    SEQUENCES,
    Attention,
    Entry,
    Function,
    Recurrent,
    decoder,
    encoder,
    enliven,
    mlp,
    of,
    pairs,
    seq,
)

warnings.filterwarnings("ignore")


class Branch(nn.Module):
    """A branch on the data."""

    def forward(self, x: Tensor) -> Tensor:
        """Return a sine or a cosine."""
        return torch.cond(
            x.sum() > 0, lambda x: x.sin() + 1, lambda x: x.cos() * 2, (x,)
        )


class Nested(nn.Module):
    """A branch within a branch, with weights in both."""

    def __init__(self) -> None:
        """Two dense layers."""
        super().__init__()
        self.left = nn.Linear(6, 6)
        self.right = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        """Return one of three."""

        def inner(x: Tensor) -> Tensor:
            return torch.cond(x.max() > 1, self.right, torch.neg, (x,))

        return torch.cond(x.sum() > 0, self.left, inner, (x,))


class Scan(nn.Module):
    """A running state by ``scan``."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last state and every state."""
        from torch._higher_order_ops.scan import scan

        def step(state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
            new = torch.tanh(0.5 * state + x)
            return new, new * 2

        return scan(step, torch.zeros(x.shape[1]), x)  # type: ignore[no-any-return]


class While(nn.Module):
    """A loop until the data says so."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the count and the value."""
        from torch._higher_order_ops.while_loop import while_loop

        return while_loop(  # type: ignore[no-any-return]
            lambda i, x: x.sum() < 100.0,
            lambda i, x: (i + 1, x * 2),
            (torch.tensor(0), x.abs() + 0.1),
        )


def fourier(x: Tensor) -> tuple[Tensor, ...]:
    """Real and complex Fourier transforms."""
    whole = torch.fft.fft(x, dim=1)
    half = torch.fft.rfft(x, dim=1)
    back = torch.fft.irfft(half, n=x.shape[1], dim=1)
    return whole.real, whole.imag, half.abs(), back


def spectrum(x: Tensor) -> Tensor:
    """A short-time Fourier transform."""
    window = torch.hann_window(8)
    y = torch.stft(x, 8, 4, window=window, center=False, return_complex=True)
    return torch.view_as_real(y)


def complex_product(x: Tensor, y: Tensor) -> Tensor:
    """A product of complex numbers given as pairs."""
    return torch.view_as_real(torch.view_as_complex(x) * torch.view_as_complex(y))


def bits(i: Tensor, j: Tensor) -> tuple[Tensor, ...]:
    """Bits of integers."""
    return i & j, i | j, i ^ j, ~i


def fold(x: Tensor) -> Tensor:
    """Windows summed back into an image."""
    return nn.functional.fold(x, (4, 4), 3, padding=1)


def nonzero(x: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs whose size depends on the data."""
    return x.nonzero(), x[x > 0]


OWN = [
    Entry("attention", Attention, SEQUENCES, BATCH_SEQUENCE),
    Entry("encoder", encoder, SEQUENCES, BATCH_SEQUENCE),
    Entry(
        "decoder",
        decoder,
        [seq(1, 2, 5) + seq(2, 2, 4), seq(3, 1, 3) + seq(4, 1, 6)],
        ({0: "batch", 1: "target"}, {0: "batch", 1: "source"}),
    ),
    Entry(
        "half_encoder",
        lambda: encoder().half(),
        [
            (random(1, 2, 5, 16, dtype="float16"),),
            (random(2, 1, 3, 16, dtype="float16"),),
        ],
        BATCH_SEQUENCE,
        rtol=1e-2,
        atol=1e-2,
    ),
    Entry("cond", Branch, pairs(((3, 4),), ((3, 4),), ((3, 4),))),
    Entry("cond_nested", Nested, pairs(((2, 6),), ((2, 6),), ((2, 6),))),
    Entry("scan", Scan, pairs(((5, 4),), ((5, 4),))),
    Entry("while_loop", While, pairs(((3, 4),), ((3, 4),))),
    Entry("fourier", of(fourier), pairs(((2, 8),), ((2, 8),))),
    Entry("stft", of(spectrum), pairs(((2, 32),), ((2, 32),))),
    Entry("complex_product", of(complex_product), pairs(((3, 2),) * 2, ((3, 2),) * 2)),
    Entry("expm1", of(torch.expm1), pairs(((3, 4),), ((3, 4),))),
    Entry(
        "bits", of(bits), [(integers(i, 9, 3, 4), integers(9, 9, 4)) for i in range(2)]
    ),
    Entry(
        "lstm_dynamic",
        lambda: Recurrent(nn.LSTM(16, 8, batch_first=True)),
        pairs(((2, 5, 16),), ((1, 5, 16),)),
        BATCH,
    ),
    Entry("nonzero", of(nonzero), pairs(((3, 4),), ((3, 4),))),
    Entry("mlp_opset21", mlp, pairs(((2, 8),), ((1, 8),)), BATCH, opset=21),
    Entry(
        "rms_norm_opset23",
        lambda: nn.RMSNorm(8),
        pairs(((2, 8),), ((1, 8),)),
        BATCH,
        opset=23,
    ),
    Entry("rms_norm", lambda: nn.RMSNorm(8), pairs(((2, 8),), ((1, 8),)), BATCH),
    Entry("fold", of(fold), pairs(((2, 27, 16),), ((1, 27, 16),)), BATCH),
    Entry(
        "bucketize",
        of(lambda x: torch.bucketize(x, torch.linspace(-1, 1, 5))),
        pairs(((3, 4),), ((3, 4),)),
    ),
    Entry(
        "one_hot",
        of(lambda i: torch.nn.functional.one_hot(i, 6).float()),
        [(integers(1, 6, 4),), (integers(2, 6, 4),)],
    ),
    Entry("outer", of(torch.outer), pairs(((3,), (4,)), ((3,), (4,)))),
    Entry(
        "matmul_ranks",
        of(torch.matmul),
        pairs(
            ((2, 3, 4), (4, 5)),
        )
        * 2,
        (),
    ),
]


def export(entry: Entry, **options: Any) -> Example:
    """One module as the dynamo exporter writes it."""
    torch.manual_seed(0)
    module = enliven(entry.build())
    first = tuple(map(torch.as_tensor, entry.cases[0]))
    shapes: Any = tuple(map(dict, entry.dynamic)) or None
    if shapes and isinstance(module, Function):
        shapes = (shapes,)
    program = torch.onnx.export(
        module,
        first,
        dynamo=True,
        dynamic_shapes=shapes,
        opset_version=entry.opset,
        verbose=False,
        **options,
    )
    assert program is not None
    return Example(program.model_proto, entry.cases, **entry.tolerance)


def brain() -> Example:
    """A bfloat16 module: torch is the oracle, ONNX Runtime lacks the kernels."""
    cases = [random(i, n, 8) for i, n in enumerate((2, 1))]
    entry = Entry("bfloat16", Brain, [(c,) for c in cases], BATCH)
    example = export(entry)
    torch.manual_seed(0)
    module = enliven(Brain())
    with torch.no_grad():
        found = [[module(torch.as_tensor(c)).numpy()] for c in cases]
    return replace(example, expected=found, oracle="torch", rtol=3e-2, atol=3e-2)


class Brain(nn.Module):
    """A bfloat16 perceptron between float32 borders."""

    def __init__(self) -> None:
        """Build it."""
        super().__init__()
        self.body = mlp().bfloat16()

    def forward(self, x: Tensor) -> Tensor:
        """Cast, run, cast back."""
        return self.body(x.bfloat16()).float()  # type: ignore[no-any-return]


if __name__ == "__main__":
    suite = Suite("torch_dynamo", ("torch", "onnxscript", "onnx", "onnxruntime"))
    for entry in (*MODULES, *OWN):
        suite.add(entry.name, partial(export, entry))
    suite.add("bfloat16", brain)
    suite.add("unoptimised", partial(export, replace(MODULES[0]), optimize=False))
    suite.close()
