"""Views: how a part of a tensor's storage is read, and written back.

A view is a path of ops from the storage's value: movements (``slice``, ``transpose``,
``reshape``, ``broadcast_to``), a part of complex numbers, or the bits as another dtype.
Writing to it moves the new part back along the path.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

from graphwright.ir.dim import Dim, product
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.op import Op

Path: TypeAlias = tuple[Op, ...]

STEPS = ("slice", "transpose", "reshape", "broadcast_to", "complex_part", "bitcast")


def read_path(b: Emitter, base: Value, path: Path) -> Value:
    """The part of a value that a path leads to."""
    for op in path:
        base = b.emit(op.name, base, **op.fields)
    return base


def write_path(b: Emitter, base: Value, path: Path, part: Value) -> Value:
    """The value with a part replaced.

    Raises:
        ValueError: If the path repeats elements: such a view is read-only.
    """
    if not path:
        return part
    op, rest = path[0], path[1:]
    fields = op.fields
    if rest:
        part = write_path(b, b.emit(op.name, base, **fields), rest, part)
    if op.name == "slice":
        start, step = fields["start"], fields["step"]
        return b.emit("update_slice", base, part, start=start, step=step)
    if op.name == "transpose":
        perm = fields["perm"]
        return b.transpose(part, sorted(range(len(perm)), key=perm.__getitem__))
    if op.name == "reshape":
        return b.reshape(part, base.shape)
    if op.name == "complex_part":
        return _with_part(b, base, part, fields["part"])
    if op.name == "bitcast":
        return b.emit("bitcast", part, dtype=base.dtype)
    raise ValueError("assignment destination is read-only: it was broadcast")


def _with_part(b: Emitter, base: Value, part: Value, which: str) -> Value:
    """Complex numbers, their real or imaginary parts replaced."""
    if which == "real":
        return b.emit("complex", part, b.emit("complex_part", base, part="imag"))
    return b.emit("complex", b.emit("complex_part", base, part="real"), part)


def path_between(b: Emitter, start: Value, end: Value) -> Path | None:
    """The steps that made one value from another; None if more than those did."""
    ops: list[Op] = []
    while end is not start:
        made = b.producer(end)
        if made is None or made.op.name not in STEPS:
            return None
        ops.append(made.op)
        end = made.operands[0]
    return tuple(reversed(ops))


# Strides ------------------------------------------------------------------------------


def is_view(shape: Sequence[Dim], path: Path) -> bool:
    """Whether NumPy could follow the path by strides alone, from contiguous storage.

    Only a reshape may be impossible. Where sizes are not known it counts as that,
    unless the new ones are made of the old ones whatever these are.
    """
    if all(op.name != "reshape" for op in path):
        return True
    sizes, steps = list(shape), _contiguous(shape)
    for op in path:
        found = _follow(op, sizes, steps)
        if found is None:
            return False
        sizes, steps = found
    return True


def is_dense(shape: Sequence[Dim], path: Path) -> bool:
    """Whether the path leads to elements that lie side by side in C order."""
    sizes, steps = list(shape), _contiguous(shape)
    for op in path:
        found = _follow(op, sizes, steps)
        if found is None:
            return False
        sizes, steps = found
    rows = zip(sizes, steps, _contiguous(sizes), strict=True)
    return 0 in sizes or all(n == 1 or step == want for n, step, want in rows)


def _contiguous(shape: Sequence[Dim]) -> list[Dim]:
    steps: list[Dim] = []
    step: Dim = 1
    for size in reversed(shape):
        steps.append(step)
        step = step * size
    return steps[::-1]


_Layout: TypeAlias = tuple[list[Dim], list[Dim]]


def _follow(op: Op, sizes: list[Dim], steps: list[Dim]) -> _Layout | None:
    fields = op.fields
    if op.name == "slice":
        return list(fields["size"]), [
            s * by for s, by in zip(steps, fields["step"], strict=True)
        ]
    if op.name == "transpose":
        perm = fields["perm"]
        return [sizes[p] for p in perm], [steps[p] for p in perm]
    if op.name == "complex_part":
        return sizes, [2 * s for s in steps]
    if op.name == "bitcast":
        return sizes, steps
    if op.name == "broadcast_to":
        shape = fields["shape"]
        lead = len(shape) - len(sizes)
        kept = [
            step if size is n or size == n else 0
            for step, size, n in zip(steps, sizes, shape[lead:], strict=True)
        ]
        return list(shape), [0] * lead + kept
    shape = list(fields["shape"])
    if steps == _contiguous(sizes):  # sizes need not be known
        return shape, _contiguous(shape)
    found = reshaped_steps(sizes, steps, shape)
    return None if found is None else (shape, found)


def reshaped_steps(
    sizes: Sequence[Dim], steps: Sequence[Dim], shape: Sequence[Dim]
) -> list[Dim] | None:
    """Strides (in elements) of a reshape without a copy; None if there are none."""
    if 0 in sizes or 0 in shape:
        return _contiguous(shape)
    old = [(n, s) for n, s in zip(sizes, steps, strict=True) if n != 1]
    new = [n for n in shape if n != 1]
    found: list[Dim] = []
    i = j = 0
    while i < len(old) and j < len(new):
        ends = _matching(old, new, i, j)
        if ends is None:
            return None
        step, group = old[ends[0] - 1][1], new[j : ends[1]]
        found += [step * inner for inner in _contiguous(group)]
        i, j = ends
    rest = iter(found)
    return [0 if n == 1 else next(rest, 1) for n in shape]


def _matching(
    old: Sequence[tuple[Dim, Dim]], new: Sequence[Dim], i: int, j: int
) -> tuple[int, int] | None:
    """Ends of the least groups of old axes from ``i`` and new ones from ``j``.

    They have as many elements, and the old ones lie as one line of equal steps.
    """
    ends = (
        (p, q)
        for p in range(i + 1, len(old) + 1)
        for q in range(j + 1, len(new) + 1)
        if product(n for n, _ in old[i:p]) == product(new[j:q])
    )
    found = next(ends, None)
    pairs = pairwise(old[i : found[0]]) if found is not None else ()
    lined = all(outer == inner * step for (_, outer), (inner, step) in pairs)
    return found if lined else None


def check_writable(path: Path) -> None:
    """Raises ValueError if a path repeats elements."""
    if any(op.name == "broadcast_to" for op in path):
        raise ValueError("assignment destination is read-only: it was broadcast")
