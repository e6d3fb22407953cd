"""graphwright on PyTorch, op by op: a function for each primitive, and no more.

Where elements only move, ``positions`` says where from, and PyTorch takes them there.
Floats of 8 and 16 bits are computed in float32, unsigned integers in int64. Declined,
for PyTorch has no kernels: uint64, integers below 8 bits, strings, and the order of
complex numbers; and their powers, which differ at zeros and infinities.
"""

from math import prod
from typing import Any

import numpy as np
import torch

import graphwright as gw
from graphwright.backends.movement import places, positions
from graphwright.ir.dtype import DTYPES, DType
from graphwright.ir.ops.index import Gather
from graphwright.ir.ops.linalg import conv_windows
from graphwright.ir.ops.reduce import identity

NATIVE = "bool int8 int16 int32 int64 float32 float64 complex64 complex128"
SMALL = "float16 bfloat16 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz"


def whole(x: Any) -> bool:
    return not (x.is_floating_point() or x.is_complex())


def div(op: Any, x: Any, y: Any) -> Any:
    if not whole(x):
        return x / y
    trap = (y == 0) | (y == -1)
    q = torch.div(x, torch.where(trap, 1, y), rounding_mode="trunc")
    return torch.where(trap, torch.where(y == 0, 0, -x), q)


def rem(op: Any, x: Any, y: Any) -> Any:
    if whole(x):
        return torch.where(y == 0, 0, x - div(op, x, y) * y)
    # One alone is NaN for large quotients.
    return torch.fmod(torch.fmod(x.double(), y.double() * 2.0**500), y.double())


def pow(op: Any, x: Any, y: Any) -> Any:
    if not whole(x):
        return x**y
    unit = torch.where(x == -1, 1 - 2 * (y & 1), (x == 1).to(x.dtype))
    return torch.where(y < 0, unit, x ** y.clamp(min=0))


def shift(op: Any, x: Any, y: Any) -> Any:
    fits = (y >= 0) & (y < 8 * x.element_size())
    if op.name == "shl":
        return torch.where(fits, x << torch.where(fits, y, 0), 0)
    return x >> torch.where(fits, y, 8 * x.element_size() - 1)


def own(array: Any) -> DType:
    return DTYPES[str(array.dtype).removeprefix("torch.")]


def converted(array: Any, dtype: DType) -> Any:
    array = array.real if array.is_complex() and dtype.kind != "c" else array
    if dtype.name == "float8_e4m3fn":  # PyTorch gives 448 for all that is larger
        array = torch.where(array.float().abs() > 464, torch.nan, array)
    return array.to(getattr(torch, dtype.name))


def cast(op: Any, x: Any) -> Any:
    if op.saturate and op.dtype.is_float and op.dtype.bits == 8:
        return x.clamp(*op.dtype.limits)
    if not op.dtype.is_int:
        return x != 0 if op.dtype.kind == "b" else x
    if not x.is_floating_point():
        return x.long().clamp(*op.dtype.limits) if op.saturate else x
    (low, high), y = op.dtype.limits, torch.where(x.isnan(), 0, x).long()
    y = torch.where(x >= high + 1.0, high, torch.where(x <= low - 1.0, low, y))
    return y if op.saturate else x.long()


def over(kind: str, x: Any, axes: Any) -> Any:
    keep = [i for i in range(x.ndim) if i not in axes]
    x = x.permute(*keep, *axes).flatten(len(keep)) if axes else x[..., None]
    if kind in ("sum", "prod"):
        return getattr(torch, kind)(x, -1, dtype=x.dtype)
    x = torch.cat([x, x.new_full((*x.shape[:-1], 1), identity(kind, own(x)))], -1)
    return getattr(x, f"a{kind}")(-1)


def arg_reduce(op: Any, x: Any) -> Any:
    found = getattr((x.flip(op.axis) if op.last else x) + 0, f"arg{op.kind}")(op.axis)
    return x.shape[op.axis] - 1 - found if op.last else found


def cumulative(op: Any, x: Any) -> Any:
    x = x.flip(op.axis) if op.reverse else x
    y = getattr(torch, f"cum{op.kind}")(x, op.axis)
    y = (y if op.kind in ("sum", "prod") else y.values).to(x.dtype)
    if op.exclusive and y.numel():
        first = torch.tensor([0]), identity(op.kind, own(x))
        y = y.roll(1, op.axis).index_fill(op.axis, *first)
    return y.flip(op.axis) if op.reverse else y


def tensor(array: Any) -> Any:
    """A copy; what NumPy itself lacks crosses as its bits."""
    array, name = np.array(array, order="C"), array.dtype.name
    bits = f"i{array.itemsize}" if name in SMALL.split() else array.dtype
    return torch.from_numpy(array.view(bits)).view(getattr(torch, name))


def made(op: Any, *xs: Any) -> Any:
    """What hangs on no elements, or on a key alone."""
    return tensor(op.compute(np, *map(np.asarray, xs)))


def picked(at: Any, *xs: Any) -> Any:
    return torch.cat([x.flatten() for x in xs])[tensor(at)]


def moved(op: Any, *xs: Any) -> Any:
    return picked(positions(op, xs, torch.Tensor.numpy), *xs[op.moves])


def scatter(op: Any, *xs: Any) -> Any:
    if op.mode == "set":  # the result has elements of the first and the last operand
        return picked(positions(op, xs, torch.Tensor.numpy, slice(0, 3, 2)), *xs[::2])
    find = Gather(axis=op.axis, batch_dims=op.batch_dims)
    at = tensor(positions(find, xs[:2], torch.Tensor.numpy)).flatten()
    kind = {"add": "sum", "mul": "prod", "min": "amin", "max": "amax"}[op.mode]
    line = xs[0].flatten().scatter_reduce(0, at, xs[2].flatten(), kind)
    return line.reshape(xs[0].shape)


def reduce_window(op: Any, x: Any) -> Any:
    at = op.windows(np, places(x.shape), x.numel())
    y = picked(at, x, x.new_full((1,), identity(op.kind, own(x))))
    return over(op.kind, y, range(x.ndim, y.ndim))


def window_argmax(op: Any, x: Any) -> Any:
    at, n = op.windows(np, places(x.shape), -1), x.shape[x.ndim - len(op.window) :]
    y = picked(at, x, x.new_full((1,), identity("max", own(x)))).flatten(x.ndim)
    at = tensor(at).flatten(x.ndim)
    first = at.gather(-1, (at >= 0).byte().argmax(-1, True))
    best = at.gather(-1, (y + 0).argmax(-1, True))
    best = torch.where(best < 0, first, best)[..., 0]
    return torch.where(best < 0, -1, best % max(prod(n), 1))


def conv(op: Any, x: Any, w: Any) -> Any:
    parts, g, (m, c) = op.batch_groups, op.groups, w.shape[:2]
    x, w = (x.long(), w.long()) if whole(x) else (x, w)
    at = conv_windows(np, places(x.shape, 1), w.shape[2:], op)
    out, taps, batch = at.shape[2 : x.ndim], prod(w.shape[2:]), x.shape[0] // parts
    at = at.reshape(parts, batch, g, c, prod(out), taps)
    y = picked(at, x.new_zeros(1), x), w.reshape(parts, g, m // parts // g, c, taps)
    return torch.einsum("pbgcot,pgmct->bpgmo", *y).reshape(batch, m, *out)


def add(op: Any, x: Any, y: Any) -> Any:
    if not x.is_complex():
        return x + y
    return torch.complex(x.real + y.real, x.imag + y.imag)  # inf + 0 is NaN otherwise


def fft(op: Any, x: Any) -> Any:
    return getattr(torch.fft, op.kind)(x, op.n, op.axis) if x.numel() else made(op, x)


SAME = "mul eq lt atan2 where complex neg abs floor ceil round trunc sqrt exp expm1 log"
SAME += " log1p sin cos tanh erf max min"
NAMES = {n: n for n in SAME.split()} | {n: f"bitwise_{n}" for n in ("and", "or", "xor")}
MOVING = "reshape transpose broadcast_to slice pad concat dynamic_update_slice gather"
OWN: Any = (add, div, rem, pow, cast, arg_reduce, cumulative, reduce_window, conv)
OWN += (scatter, window_argmax, fft)

TABLE = {
    **{n: lambda op, *xs, t=t: getattr(torch, t)(*xs) for n, t in NAMES.items()},
    **{function.__name__: function for function in OWN},
    **dict.fromkeys(MOVING.split(), moved),
    **dict.fromkeys(("iota", "random_bits", "size_of"), made),
    **dict.fromkeys(("shl", "shr"), shift),
    "sub": lambda op, x, y: add(op, x, -y),
    "bitcast": lambda op, x: x.view(getattr(torch, op.dtype.name)),
    "complex_part": lambda op, x: getattr(x, op.part),
    "nonzero": lambda op, x: torch.nonzero(x).T,
    "sort": lambda op, x: x.sort(dim=op.axis, descending=op.descending, stable=True),
    "sum_to": lambda op, x: x.sum_to_size(op.shape),
    "reduce": lambda op, x: over(op.kind, x, op.axes),
    "dot": lambda op, x, y: x.long() @ y.long() if whole(x) else x @ y,
}


class TorchBackend(gw.TableBackend):
    """Runs ops on PyTorch's tensors in memory."""

    name = "torch"
    contract = 1
    table = TABLE
    wide = dict.fromkeys(("uint8", "uint16", "uint32"), "int64")
    wide |= dict.fromkeys(SMALL.split(), "float32")
    dtypes = frozenset([*NATIVE.split(), *wide])
    convert = staticmethod(converted)
    to_device = staticmethod(tensor)

    def accepts(self, op: Any, types: Any) -> bool:
        """Not powers of complex numbers, which differ at zeros, nor their order."""
        return op.name not in ("pow", "sort") or types[0].dtype.kind != "c"

    def to_host(self, array: Any) -> Any:
        """The tensor's memory as an array."""
        if array.is_complex():
            return array.numpy()
        bits = getattr(torch, f"int{8 * array.element_size()}")
        return array.view(bits).numpy().view(own(array).numpy)
