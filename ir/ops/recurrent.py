"""Recurrences over the first axis of a sequence, in one direction.

A cell is stated once, in the emitter's vocabulary; ``Arrays`` is that vocabulary on
NumPy arrays, so that ``compute`` and ``decompose`` cannot differ.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from graphwright.ir.dim import Dim, product
from graphwright.ir.dtype import dtype, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.op import Op, Tier, Trait
from graphwright.ir.rules import need, need_kind, ranked, same_dtype
from graphwright.ir.types import TensorType, agree

Activation = tuple[str, float, float]
"""Name, alpha and beta of a function."""


class Arrays:
    """What cells say of an emitter, on arrays of ``xp``, numpy or cupy."""

    NAMES: ClassVar[dict[str, str]] = {
        **{n: n for n in ("abs", "exp", "matmul", "reshape", "tanh", "transpose")},
        "add": "add",
        "sub": "subtract",
        "mul": "multiply",
        "div": "divide",
        "max": "maximum",
        "min": "minimum",
        "lt": "less",
        "neg": "negative",
        "where": "where",
        "zeros_like": "zeros_like",
    }

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        vars(self).update({own: getattr(xp, name) for own, name in self.NAMES.items()})

    def expand_dims(self, x: Any, axes: Sequence[int]) -> Any:
        """New axes of size 1."""
        return self.xp.expand_dims(x, tuple(axes))

    def concat(self, xs: Sequence[Any], axis: int) -> Any:
        """Arrays one after the other."""
        return self.xp.concatenate(xs, axis)

    def unary(self, name: str, x: Any) -> Any:
        """NumPy's function of this name."""
        return getattr(self.xp, name)(x)

    def split(self, x: Any, sizes: Sequence[int], axis: int) -> list[Any]:
        """Consecutive parts of these sizes."""
        ends = list(itertools.accumulate(sizes))[:-1]
        found: list[Any] = self.xp.split(x, ends, axis)
        return found


def _sigmoid(m: Any, x: Any) -> Any:
    """``1 / (1 + e^-x)`` by the hyperbolic tangent, which cannot overflow."""
    return m.add(m.mul(m.tanh(m.mul(x, 0.5)), 0.5), 0.5)


def _softplus(m: Any, x: Any) -> Any:
    """``log(1 + e^x)``."""
    tail = m.unary("log1p", m.exp(m.neg(m.abs(x))))
    return m.add(m.max(x, 0.0), tail)


def _elu(m: Any, x: Any, alpha: float) -> Any:
    below = m.mul(m.unary("expm1", m.min(x, 0.0)), alpha)
    return m.where(m.lt(x, 0.0), below, x)


ACTIVATIONS: dict[str, Callable[[Any, Any, float, float], Any]] = {
    "relu": lambda m, x, _a, _b: m.max(x, 0.0),
    "tanh": lambda m, x, _a, _b: m.tanh(x),
    "sigmoid": lambda m, x, _a, _b: _sigmoid(m, x),
    "affine": lambda m, x, a, b: m.add(m.mul(x, a), b),
    "leakyrelu": lambda m, x, a, _b: m.where(m.lt(x, 0.0), m.mul(x, a), x),
    "thresholdedrelu": lambda m, x, a, _b: m.where(m.lt(x, a), m.zeros_like(x), x),
    "scaledtanh": lambda m, x, a, b: m.mul(m.tanh(m.mul(x, b)), a),
    "hardsigmoid": lambda m, x, a, b: m.min(m.max(m.add(m.mul(x, a), b), 0.0), 1.0),
    "elu": lambda m, x, a, _b: _elu(m, x, a),
    "softsign": lambda m, x, _a, _b: m.div(x, m.add(m.abs(x), 1.0)),
    "softplus": lambda m, x, _a, _b: _softplus(m, x),
}
"""Functions of (vocabulary, x, alpha, beta) by name."""

Step = Callable[[Any, Sequence[Any], Sequence[Any], Sequence[Any]], Any]


def scan(
    b: Emitter, step: Step, state: Sequence[Value], lines: Sequence[Value], fixed: Any
) -> tuple[Value, ...]:
    """A loop over the first axis of ``lines``.

    ``step(b, state, items, fixed)`` gives the next state and the items to stack.
    """
    body = b.subgraph("step")
    slices = [TensorType(v.dtype, v.shape[1:]) for v in lines]
    types = [TensorType(v.dtype, v.shape) for v in (*state, *fixed)]
    inner = [body.input(f"state{i}", t) for i, t in enumerate(types[: len(state)])]
    items = [body.input(f"item{i}", t) for i, t in enumerate(slices)]
    others = [body.input(f"fixed{i}", t) for i, t in enumerate(types[len(state) :])]
    after, found = step(body, inner, items, others)
    length = lines[0].shape[0]
    stacked = [TensorType(v.dtype, (length, *v.shape)) for v in found]
    return b.emit_all(
        "scan",
        *state,
        *lines,
        *fixed,
        types=(*types[: len(state)], *stacked),
        body=body.finish([*after, *found]),
        carried=len(state),
        scanned=len(lines),
        in_axes=(0,) * len(lines),
        out_axes=(0,) * len(found),
        reverse=(False,) * len(lines),
        out_reverse=(False,) * len(found),
    )


class Recurrent(Op):
    """A recurrent layer in one direction.

    Operands: ``x [T, N, I]``, weights ``[G H, I]`` and ``[G H, H]`` of the input and
    of the state for the cell's G gates, their biases one after the other ``[2 G H]``,
    initial states ``[N, H]``, then, as the flags say, peepholes and the integer
    lengths ``[N]`` of the sequences. Results: ``[T, N, H]``, zeros behind the end of a
    sequence, and the final states.

    Attributes:
        activations: The cell's functions.
        clip: Bound of the gates before they go into them; 0 for none.
        reverse: Whether it runs from the end of each sequence.
        lengths: Whether there are lengths.
    """

    tier: ClassVar[Tier] = Tier.COMPOSITE
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.REDUCTION})
    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1
    functions: ClassVar[int] = 1
    activations: tuple[Activation, ...]
    clip: float = 0.0
    reverse: bool = False
    lengths: bool = False

    @property
    def extras(self) -> int:
        """How many operands there are between states and lengths."""
        return 0

    def result_type(self, x: TensorType, *rest: TensorType) -> tuple[TensorType, ...]:
        ranked(self.name, x, *rest)
        floats = rest[: 3 + self.states + self.extras]
        same_dtype(self.name, x, *floats)
        need_kind(self.name, x, "f")
        known = all(a[0] in ACTIVATIONS for a in self.activations)
        need(
            known and len(self.activations) == self.functions,
            f"{self.name}: activations",
        )
        need(
            len(rest) == len(floats) + self.lengths, f"{self.name}: operands and flags"
        )
        need(x.rank == 3 and rest[1].rank == 2, f"{self.name} of {x} with {rest[1]}")
        size = rest[1].dims[1]
        wanted: list[tuple[Dim, ...]]
        wanted = [(self.gates * size, x.dims[2]), (self.gates * size, size)]
        wanted += [(2 * self.gates * size,)]
        wanted += [(x.dims[1], size)] * self.states
        for t, shape in zip(rest, wanted, strict=False):
            fits = t.rank == len(shape)
            fits = fits and all(
                agree(*d) is not None for d in zip(t.dims, shape, strict=True)
            )
            need(fits, f"{self.name} of {x}: {t} where {list(shape)} is expected")
        state = TensorType(x.dtype, (x.dims[1], size))
        return (TensorType(x.dtype, (*x.dims[:2], size)), *[state] * self.states)

    def flops(self, operands: Any, results: Any) -> Dim:
        x, w = operands[:2]
        both = x.dims[2] + results[0].dims[2]
        return product((2, x.dims[0], x.dims[1], w.dims[0], both))

    def prepare(self, m: Any, w: Any, r: Any, bias: Any, extra: Any) -> tuple[Any, ...]:
        """Weights of the input, what is added to it, and what each step needs."""
        raise NotImplementedError(self.name)

    def step(self, m: Any, x: Any, state: Sequence[Any], fixed: Sequence[Any]) -> Any:
        """The next state from the input's share of the gates."""
        raise NotImplementedError(self.name)

    def act(self, m: Any, i: int, x: Any) -> Any:
        """Function number ``i`` of a gate, clipped before."""
        if self.clip:
            x = m.min(m.max(x, -self.clip), self.clip)
        name, alpha, beta = self.activations[i]
        return ACTIVATIONS[name](m, x, alpha, beta)

    def compute(self, xp: Any, x: Any, *rest: Any) -> Any:
        wide = dtype(x.dtype).accumulate.numpy
        count = 3 + self.states + self.extras
        w, r, bias, *more = (v.astype(wide, copy=False) for v in rest[:count])
        state, extra = more[: self.states], more[self.states :]
        m = Arrays(xp)
        w, shift, fixed = self.prepare(m, w, r, bias, extra)
        gates = xp.matmul(x.astype(wide, copy=False), w) + shift
        y = xp.zeros((*x.shape[:2], state[0].shape[1]), wide)
        order = range(len(x))
        for t in reversed(order) if self.reverse else order:
            after = self.step(m, gates[t], state, fixed)
            if self.lengths:
                here = (t < rest[-1])[:, None]
                y[t] = xp.where(here, after[0], 0)
                state = [
                    xp.where(here, a, s) for a, s in zip(after, state, strict=True)
                ]
            else:
                y[t], state = after[0], after
        return tuple(v.astype(x.dtype, copy=False) for v in (y, *state))

    def decompose(self, b: Emitter, *operands: Value) -> tuple[Value, ...]:
        own, wide = operands[0].dtype, operands[0].dtype.accumulate
        count = 4 + self.states + self.extras
        x, w, r, bias, *more = (b.cast(v, wide) for v in operands[:count])
        state, extra = more[: self.states], more[self.states :]
        w, shift, fixed = self.prepare(b, w, r, bias, extra)
        gates = b.add(b.matmul(x, w), shift)
        lines = [gates]
        if self.lengths:
            time = b.iota((x.shape[0], 1), 0, int64)
            ends = b.expand_dims(b.cast(operands[-1], int64), [0])
            lines.append(b.expand_dims(b.lt(time, ends), [2]))
        lines = [b.flip(v, [0]) if self.reverse else v for v in lines]
        *final, y = scan(b, self._scanned, state, lines, fixed)
        y = b.flip(y, [0]) if self.reverse else y
        return tuple(b.cast(v, own) for v in (y, *final))

    def _scanned(self, b: Emitter, state: Any, items: Any, fixed: Any) -> Any:
        after = self.step(b, items[0], state, fixed)
        if not self.lengths:
            return after, [after[0]]
        y = b.where(items[1], after[0], b.zeros_like(after[0]))
        kept = [b.where(items[1], a, s) for a, s in zip(after, state, strict=True)]
        return kept, [y]


class Rnn(Recurrent):
    """``h' = f(x W + h R + b)`` (Elman, 1990)."""

    name = "rnn"

    def prepare(self, m: Any, w: Any, r: Any, bias: Any, extra: Any) -> tuple[Any, ...]:
        size = r.shape[0]
        first, second = m.split(bias, [size, size], 0)
        w, r = m.transpose(w, (1, 0)), m.transpose(r, (1, 0))
        return w, m.add(first, second), [r]

    def step(self, m: Any, x: Any, state: Sequence[Any], fixed: Sequence[Any]) -> Any:
        return [self.act(m, 0, m.add(x, m.matmul(state[0], fixed[0])))]


class Gru(Recurrent):
    """Update gate z, reset gate r, candidate (Cho et al., 2014): ``(1 - z) c + z h``.

    ``linear_before_reset`` multiplies by r after the state's weights, not before.
    """

    name = "gru"
    gates = 3
    functions = 2
    linear_before_reset: bool = False

    def prepare(self, m: Any, w: Any, r: Any, bias: Any, extra: Any) -> tuple[Any, ...]:
        size = r.shape[1]
        parts = [3 * size, 2 * size, size]
        shift, both, own = m.split(bias, parts, 0)
        turned = m.transpose(r, (1, 0))
        gate, candidate = m.split(turned, parts[1:], 1)
        head, tail = m.split(shift, parts[1:], 0)
        head = m.add(head, both)
        joined = [head, tail if self.linear_before_reset else m.add(tail, own)]
        w = m.transpose(w, (1, 0))
        return w, _joined(m, joined), [gate, candidate, own]

    def step(self, m: Any, x: Any, state: Sequence[Any], fixed: Sequence[Any]) -> Any:
        (h,), (gate, candidate, own) = state, fixed
        size = candidate.shape[0]
        update, reset, rest = m.split(x, [size] * 3, 1)
        z, r = m.split(m.matmul(h, gate), [size] * 2, 1)
        z, r = self.act(m, 0, m.add(update, z)), self.act(m, 0, m.add(reset, r))
        if self.linear_before_reset:
            inner = m.mul(r, m.add(m.matmul(h, candidate), own))
        else:
            inner = m.matmul(m.mul(r, h), candidate)
        c = self.act(m, 1, m.add(rest, inner))
        return [m.add(c, m.mul(z, m.sub(h, c)))]


def _joined(m: Any, parts: list[Any]) -> Any:
    return m.concat(parts, 0)


class Lstm(Recurrent):
    """Gates i, o, f and candidate g: ``c' = f c + i g``, ``h' = o h(c')``.

    Hochreiter and Schmidhuber (1997); with ``peepholes [3 H]`` for i, o, f, Gers and
    Schmidhuber (2000). ``coupled`` makes f be ``1 - i``.
    """

    name = "lstm"
    gates = 4
    states = 2
    functions = 3
    peepholes: bool = False
    coupled: bool = False

    @property
    def extras(self) -> int:
        return int(self.peepholes)

    def prepare(self, m: Any, w: Any, r: Any, bias: Any, extra: Any) -> tuple[Any, ...]:
        first, second = m.split(bias, [r.shape[0]] * 2, 0)
        holes = m.split(extra[0], [r.shape[1]] * 3, 0) if extra else []
        w, r = m.transpose(w, (1, 0)), m.transpose(r, (1, 0))
        return w, m.add(first, second), [r, *holes]

    def step(self, m: Any, x: Any, state: Sequence[Any], fixed: Sequence[Any]) -> Any:
        (h, c), (r, *holes) = state, fixed
        gates = m.add(x, m.matmul(h, r))
        i, o, f, g = m.split(gates, [r.shape[0]] * 4, 1)
        if holes:
            i, f = m.add(i, m.mul(holes[0], c)), m.add(f, m.mul(holes[2], c))
        i = self.act(m, 0, i)
        f = m.add(m.neg(i), 1.0) if self.coupled else self.act(m, 0, f)
        c = m.add(m.mul(f, c), m.mul(i, self.act(m, 1, g)))
        o = m.add(o, m.mul(holes[1], c)) if holes else o
        name, alpha, beta = self.activations[2]
        return [m.mul(self.act(m, 0, o), ACTIVATIONS[name](m, c, alpha, beta)), c]
