"""Faults in structure, and those that show over several runs only."""

import time
from typing import Any

import numpy as np

from graphwright.ir.dtype import dtype
from kit_faults.kinds import FLOATS, HOSTS, MOVES, SUMS, Arrays, Call, kind

# Wrong structure --------------------------------------------------------------------


@kind("layout", MOVES + FLOATS + "dot max")
def layout(c: Call) -> Arrays | None:
    """The result in column-major order."""
    return [np.ascontiguousarray(y.T).reshape(y.shape) for y in c.ys]


@kind("negative strides", FLOATS + "max concat where neg", hosts=("numpy",))
def negative_strides(c: Call) -> Arrays | None:
    """Read as if they were positive."""
    return c.computed(
        c.request.op,
        [
            x[tuple(slice(None, None, -1 if s < 0 else 1) for s in x.strides)]
            for x in c.xs
        ],
    )


@kind(
    "one operand twice",
    "add sub mul div max dot concat eq",
    scaled=True,
)
def twice(c: Call) -> Arrays | None:
    """Wrong where two operands are the same memory."""
    same = len(c.memory) > 1 and c.memory[0] is not None and c.memory[1] is not None
    if not same or not np.shares_memory(c.memory[0], c.memory[1]):
        return None
    return [c.off(y) for y in c.ys]


FIELDS: dict[str, tuple[str, Any]] = {
    "cumulative": ("exclusive", False),
    "arg_reduce": ("last", False),
    "sort": ("descending", False),
    "cast": ("saturate", True),
    "reduce": ("kind", "sum"),
    "reduce_window": ("dilations", None),
    "scatter": ("mode", "set"),
    "conv": ("rhs_dilation", None),
    "window_argmax": ("padding", None),
}


@kind("a field ignored", " ".join(FIELDS))
def field_ignored(c: Call) -> Arrays | None:
    name, value = FIELDS[c.request.op.name]
    if value is None:
        return _plain_windows(c, name)
    return c.again(**{name: value})


def _plain_windows(c: Call, name: str) -> Arrays | None:
    """Windows without gaps, or without a border."""
    have = c.request.op.fields[name]
    zero = (0, 0) if name == "padding" else 1
    try:
        found = c.again(**{name: (zero,) * len(have)})
    except Exception:
        return None
    return [_fitted(y, r) for y, r in zip(found, c.ys, strict=True)]


def _fitted(y: Any, right: Any) -> Any:
    out = right.copy()
    at = tuple(slice(min(a, b)) for a, b in zip(y.shape, right.shape, strict=True))
    out[at] = y[at]
    return out


@kind("sizes baked", "broadcast_to reshape slice iota pad size_of")
def sizes_baked(c: Call) -> Arrays | None:
    """What was made for the first sizes of a rank is used for others."""
    op: Any = c.request.op
    key = (op.name, tuple(x.ndim for x in c.xs), len(op.fields.get("shape", ())))
    held = c.device.setdefault(key, op)
    try:
        return c.computed(held, c.xs)
    except Exception:
        return [np.zeros_like(y) for y in c.ys]


@kind("constants mixed up", "dot conv add mul gather where")
def constants(c: Call) -> Arrays | None:
    """A constant operand is packed once for each shape."""
    xs = list(c.xs)
    for i, constant in enumerate(c.request.constants):
        if constant is not None:
            key = (c.request.op.name, i, xs[i].shape, str(xs[i].dtype))
            xs[i] = c.device.setdefault(key, xs[i].copy())
    return c.computed(c.request.op, xs)


# Wrong over time: what one run does not show ----------------------------------------


@kind("a stale buffer", scaled=True)
def stale(c: Call) -> Arrays | None:
    """The first element is what it was in the kernel's first run."""
    out = [y.copy() for y in c.ys]
    for i, y in enumerate(out):
        first = c.kernel.setdefault((i, y.shape), y.copy())
        y.reshape(-1)[:1] = first.reshape(-1)[:1]
    return out


@kind("not cleared", SUMS)
def not_cleared(c: Call) -> Arrays | None:
    """A sum begins with a part of what the last one left."""
    out = [y.copy() for y in c.ys]
    for i, y in enumerate(out):
        before = c.kernel.get((i, y.shape))
        c.kernel[i, y.shape] = y.copy()
        if before is not None and dtype(y.dtype).is_float:
            with np.errstate(all="ignore"):
                out[i] = (y + before * y.dtype.type(0.01)).astype(y.dtype)
    return out


@kind("a race", sure=True)
def race(c: Call) -> Arrays | None:
    """Results pass through memory that all threads share."""
    out: Arrays = []
    for i, y in enumerate(c.ys):
        shared = c.device.setdefault((c.request.op.name, i, y.shape), np.empty_like(y))
        shared[...] = y
        time.sleep(1e-5)
        out.append(shared.copy())
    return out


@kind(
    "an operand overwritten",
    FLOATS + "neg max cumulative where sort round",
    sure=True,
)
def overwritten(c: Call) -> Arrays | None:
    """An operand of the result's type serves as scratch."""
    for x in c.memory:
        same = x is not None and (x.shape, x.dtype) == (c.ys[0].shape, c.ys[0].dtype)
        if same and x.flags.writeable:
            right = [y.copy() for y in c.ys]
            x[...] = right[0]
            return right
    return None


@kind("memory is kept", sure=True)
def kept(c: Call) -> Arrays | None:
    c.device.setdefault("kept", []).append([y.copy() for y in c.ys])
    return None


@kind("no error", "gather scatter", sure=True)
def no_error(c: Call) -> Arrays | None:
    """Indices out of range are clipped; see ``hosts``."""
    return None


@kind("another error", "gather scatter", sure=True)
def another_error(c: Call) -> Arrays | None:
    """Indices out of range raise what is not in the contract; see ``hosts``."""
    return None


@kind("results are not fresh", "copy", hosts=("recording", "torch"), sure=True)
def not_fresh(c: Call) -> Arrays | None:
    """``copy`` gives the array itself; see ``hosts``."""
    return None


@kind("feeds in Fortran's order", "to_device", hosts=HOSTS, sure=True)
def fortran(c: Call) -> Arrays | None:
    """``to_device`` reads memory as it lies; see ``hosts``."""
    return None
