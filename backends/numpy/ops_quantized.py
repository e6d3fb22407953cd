"""Kernels of regions between integers of 8 bits: products and sums."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from graphwright.backends.contract import Kernel, Request
from graphwright.backends.numpy.kernels import scratch
from graphwright.backends.numpy.kernels.conv import ConvPlan, plan_conv
from graphwright.backends.numpy.kernels.matmul import matmul
from graphwright.backends.numpy.kernels.quantized import (
    Exact,
    Finish,
    Term,
    bind_finish,
    bind_load,
    exact_sums,
    finish_bytes,
)
from graphwright.backends.numpy.kernels.threads import in_turn
from graphwright.backends.numpy.table import writing
from graphwright.ir.dtype import float32, int32
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.ops.fused import Fused
from graphwright.ir.ops.linalg import Conv, Dot
from graphwright.ir.record import record
from graphwright.ir.types import TensorType

_LINEAR = ("add", "sub", "mul", "div")


class _Declined(Exception):
    pass


def quantized_region(op: Fused, request: Request) -> Kernel | None:
    """The kernel of a region, or None where it has another form."""
    try:
        return _Reader(op.body, request).kernel()
    except _Declined:
        return None


@dataclass(slots=True)
class _Sum:
    """``clip(sum of terms + shift)``: a real value, as the body has it so far."""

    terms: list[Term]
    shift: Any = 0.0
    low: Any = None
    high: Any = None

    def scaled(self, factor: Any) -> None:
        if self.low is not None or self.high is not None:
            if np.size(factor) != 1 or np.min(factor) <= 0:
                raise _Declined
            self.low = None if self.low is None else self.low * float(factor)
            self.high = None if self.high is None else self.high * float(factor)
        self.shift = self.shift * factor
        self.terms = [Term(t.source, t.factor * factor, t.zero) for t in self.terms]

    def moved(self, by: Any) -> None:
        if self.low is not None or self.high is not None:
            raise _Declined
        self.shift = self.shift + by

    def bounded(self, name: str, bound: float) -> None:
        if name == "max" and self.high is None:
            self.low = bound if self.low is None else max(self.low, bound)
        elif name == "min" and (self.low is None or self.low <= bound):
            self.high = bound if self.high is None else min(self.high, bound)
        else:
            raise _Declined


@dataclass(slots=True)
class _Operand:
    """An operand of a product: 8-bit integers, their zero point, views on the way."""

    index: int
    zero: int
    views: list[Node]

    def reach(self, dtype: "np.dtype[Any]") -> int:
        """The largest magnitude of a centred integer."""
        info = np.iinfo(dtype)
        return max(int(info.max) - self.zero, self.zero - int(info.min))

    def array(self, x: Any) -> Any:
        for node in self.views:
            x = node.op.compute(np, x)
        return x


class _Reader:
    """Reads a body and makes its kernel."""

    def __init__(self, body: Graph, request: Request) -> None:
        self.body, self.request = body, request
        self.makers = body.producers()
        self.index = {v: i for i, v in enumerate(body.inputs)}
        roots = [n for n in body.nodes if n.op.name in ("conv", "dot")]
        self.root = roots[0] if roots else None
        self.sums: dict[Value, _Sum] = {}
        self.result: Finish | None = None

    def kernel(self) -> Kernel:
        """The kernel of the body."""
        (out,) = self.body.outputs
        if out.rank == 0 or 0 in self._shape(out):
            raise _Declined
        self.product = None if self.root is None else self._product(self.root)
        for node in self.body.nodes:
            self._take(node)
        finish = self.result or self._ending(self.sums.get(out))
        return self._written(finish, out)

    def _shape(self, v: Value) -> tuple[int, ...]:
        shape: Any = v.shape
        return tuple(shape)

    # After the product ----------------------------------------------------------------

    def _take(self, node: Node) -> None:
        if not any(v in self.sums for v in node.operands):
            if node.op.name == "dequantize" and node.operands[0] in self.index:
                self._input(node)
            return
        (result,) = node.results
        if node.op.name == "quantize":
            self._end(node)
        elif node.op.name in ("cast", "transpose", "dequantize"):
            self.sums[result] = self._passed(node)
        elif node.op.name in _LINEAR or node.op.name in ("max", "min"):
            self.sums[result] = self._combined(node)
        else:
            raise _Declined

    def _input(self, node: Node) -> None:
        """A quantised operand of a sum."""
        x, scale, *zero = node.operands
        point = int(self._number(zero[0])) if zero else 0
        factor = np.float64(self._number(scale))
        term = Term(self.index[x], np.asarray(factor), point)
        self.sums[node.results[0]] = _Sum([term])

    def _passed(self, node: Node) -> _Sum:
        """The product as a real value."""
        found = self.sums[node.operands[0]]
        if node.op.name == "dequantize":
            if len(node.operands) > 2:
                raise _Declined
            found.scaled(self._vector(node.operands[1], node.results[0]))
        if node.op.name == "cast" and node.results[0].dtype is not float32:
            raise _Declined
        return found

    def _combined(self, node: Node) -> _Sum:
        x, y = node.operands
        one, other = self.sums.get(x), self.sums.get(y)
        name = node.op.name
        if one is not None and other is not None:
            if name not in ("add", "sub") or one is other:
                raise _Declined
            other.scaled(np.float64(-1 if name == "sub" else 1))
            other.moved(0.0)
            one.moved(other.shift)
            one.terms += other.terms
            return one
        found, fixed = (one, y) if one is not None else (other, x)
        assert found is not None
        c = self._vector(fixed, node.results[0])
        if found is other and name in ("sub", "div"):
            raise _Declined
        if name in ("max", "min"):
            found.bounded(name, float(self._number(fixed)))
        elif name in ("add", "sub"):
            found.moved(c if name == "add" else -c)
        else:
            found.scaled(c if name == "mul" else 1 / c)
        return found

    def _end(self, node: Node) -> None:
        x, scale, *zero = node.operands
        found = self.sums[x]
        found.scaled(1 / np.float64(self._number(scale)))
        point = int(self._number(zero[0])) if zero else 0
        info = np.iinfo(node.results[0].dtype.numpy)
        low, high = float(info.min), float(info.max)
        if found.low is not None:
            low = min(max(low, float(np.rint(found.low)) + point), high)
        if found.high is not None:
            high = max(min(high, float(np.rint(found.high)) + point), low)
        found.low = found.high = None
        self.result = self._ending(found, True, point, low, high)

    def _ending(self, found: _Sum | None, rounds: bool = False, *more: Any) -> Finish:
        if found is None:
            raise _Declined
        terms = [
            Term(t.source, np.asarray(t.factor, np.float32), t.zero)
            for t in found.terms
        ]
        shift = np.asarray(found.shift, np.float32)
        given = more or (0, found.low, found.high)
        return Finish(tuple(terms), shift if shift.any() else None, rounds, *given)

    def _constant(self, v: Value) -> Any:
        """The array that a value repeats."""
        maker = self.makers.get(v)
        if maker is not None and maker.op.name == "broadcast_to":
            v = maker.operands[0]
        held = self.body.constants.get(v)
        if held is None and v in self.index:
            held = self.request.constants[self.index[v]]
        if held is None:
            raise _Declined
        return held.array()

    def _number(self, v: Value) -> Any:
        array = self._constant(v)
        if array.size == 0 or array.min() != array.max():
            raise _Declined
        return array.reshape(-1)[0]

    def _vector(self, v: Value, like: Value) -> Any:
        """Numbers of float64, one or one for each of the last axis."""
        array = np.asarray(self._constant(v), np.float64)
        if array.size == 1:
            return array.reshape(())
        if array.shape[-1] != like.shape[-1] or array.size != array.shape[-1]:
            raise _Declined
        return array.reshape(-1)

    # The product ----------------------------------------------------------------------

    def _operand(self, v: Value) -> _Operand:
        zero, views = 0, list[Node]()
        while v not in self.index:
            maker = self.makers.get(v)
            if maker is None:
                raise _Declined
            if maker.op.name == "sub":
                zero += int(self._number(maker.operands[1]))
            elif maker.op.name in ("transpose", "reshape"):
                views.insert(0, maker)
            elif maker.op.name != "cast":
                raise _Declined
            v = maker.operands[0]
        return _Operand(self.index[v], zero, views)

    def _product(self, root: Node) -> "_Convolution | _Product":
        self.sums[root.results[0]] = _Sum([Term(-1, np.asarray(1.0))])
        x, w = (self._operand(v) for v in root.operands)
        held = self.request.constants[w.index]
        given = self.request.types[x.index]
        if not isinstance(given, TensorType) or given.dtype.bits != 8:
            raise _Declined
        if root.op.dtype is not int32:  # type: ignore[attr-defined]
            raise _Declined
        reach = x.reach(given.dtype.numpy)
        if isinstance(root.op, Dot):
            return self._dot(root, x, w, reach)
        if held is None or w.views or w.zero:
            raise _Declined
        assert isinstance(root.op, Conv)
        return self._conv(root, root.op, x, held.array(), reach)

    def _conv(
        self, root: Node, op: Conv, x: _Operand, weights: Any, reach: int
    ) -> "_Convolution":
        rank = root.results[0].rank
        last = (0, *range(2, rank), 1)
        users = [n for n in self.body.nodes if root.results[0] in n.operands]
        turned = len(users) == 1 and getattr(users[0].op, "perm", None) == last
        back = tuple(np.argsort(last).tolist())
        if not turned or not x.views or getattr(x.views[-1].op, "perm", None) != back:
            raise _Declined
        x.views.pop()
        data = self._shape(root.operands[0])
        exact = exact_sums(reach, weights, 0, 1)
        if len(exact.cuts) > 1 and op.groups > 1:
            exact = Exact(np.dtype(np.float64), ((0, weights.shape[1]),))
        plans = [
            plan_conv(
                [*(data[i] for i in last[:-1]), (high - low) * op.groups],
                weights[:, low:high].astype(exact.dtype),
                strides=op.strides,
                pads=op.padding,  # type: ignore[arg-type]
                dilations=op.rhs_dilation,
                lhs_dilations=op.lhs_dilation,
                groups=op.groups,
                layout="NHWC",
                rearranged=False,
            )
            for low, high in exact.cuts
        ]
        return _Convolution(x, plans, exact)

    def _dot(self, root: Node, x: _Operand, w: _Operand, reach: int) -> "_Product":
        held, given = self.request.constants[w.index], self.request.types[w.index]
        assert isinstance(given, TensorType)
        shape = self._shape(root.operands[1])
        if held is not None:
            weights = w.array(held.array()).astype(np.int64) - w.zero
            exact = exact_sums(reach, weights, weights.ndim - 1, weights.ndim - 2)
            held = weights.astype(exact.dtype)
            return _Product(x, None, held, exact, self._both(root))
        if given.dtype.bits != 8:
            raise _Declined
        most = shape[-2] * reach * w.reach(given.dtype.numpy)
        dtype = np.dtype(np.float32 if most <= 1 << 24 else np.float64)
        exact = Exact(dtype, ((0, shape[-2]),))
        return _Product(x, w, None, exact, self._both(root))

    def _both(self, root: Node) -> tuple[tuple[int, ...], ...]:
        return tuple(self._shape(v) for v in (*root.operands, *root.results))

    # All of it ------------------------------------------------------------------------

    def _written(self, finish: Finish, out: Value) -> Kernel:
        product, channels = self.product, self._shape(out)[-1]
        size = finish_bytes(channels) + (product.scratch_bytes if product else 0)
        indices = [t.source for t in finish.terms]

        def bind(memory: Any, target: Any, *operands: Any) -> Any:
            arena = scratch.Arena(memory)
            stages: list[Any] = []
            total: Any = product.bind(arena, operands, stages) if product else None
            sources = [total if i < 0 else operands[i] for i in indices]
            stages.append(bind_finish(finish, sources, target, arena))
            return in_turn(stages)

        def run(target: Any, *operands: Any) -> None:
            memory = scratch.take(size)
            bind(memory, target, *map(np.ascontiguousarray, operands))()
            scratch.give(memory)

        held = self.request.constants
        read = {i for i in indices if i >= 0} | (product.reads if product else set())
        unread = tuple(i for i, c in enumerate(held) if c is not None and i not in read)
        return writing(self.request, run, bind=bind, scratch_bytes=size, unread=unread)


@record(frozen=True, slots=True)
class _Convolution:
    """Centred integers as floats, and their convolution with constant weights."""

    x: _Operand
    plans: list[ConvPlan]
    exact: Exact

    @property
    def reads(self) -> set[int]:
        """Operands which are read in a run."""
        return {self.x.index}

    @property
    def scratch_bytes(self) -> int:
        """Bytes of scratch: operands, results, and what the plans ask for."""
        shapes = [shape for p in self.plans for shape in (p.x_shape, p.out_shape)]
        sizes = [scratch.nbytes(shape, self.exact.dtype) for shape in shapes]
        return sum(sizes) + self._room

    @property
    def _room(self) -> int:
        return max(scratch.nbytes((p.scratch_bytes,), np.uint8) for p in self.plans)

    def bind(self, arena: scratch.Arena, operands: Any, stages: list[Any]) -> Any:
        """Adds what computes the product, and returns where it will be."""
        source = self.x.array(operands[self.x.index])
        memory = arena.array((self._room,), np.uint8)
        total: Any = None
        for plan, cut in zip(self.plans, self.exact.cuts, strict=True):
            part = source if len(self.plans) == 1 else source[..., slice(*cut)]
            data = arena.array(plan.x_shape, self.exact.dtype)
            done, total = total, arena.array(plan.out_shape, self.exact.dtype)
            stages.append(bind_load(part, data, self.x.zero))
            stages.append(plan.bind(memory, data, total, done))
        return total


@record(frozen=True, slots=True)
class _Product:
    """Centred integers as floats, and their matrix product."""

    x: _Operand
    y: _Operand | None
    weights: Any
    exact: Exact
    shapes: tuple[tuple[int, ...], ...]

    @property
    def reads(self) -> set[int]:
        """Operands which are read in a run."""
        return {self.x.index} | ({self.y.index} if self.y is not None else set())

    @property
    def scratch_bytes(self) -> int:
        """Bytes of scratch: both operands and the results."""
        shapes = [*self.shapes, self.shapes[-1]]
        return sum(scratch.nbytes(shape, self.exact.dtype) for shape in shapes)

    def bind(self, arena: scratch.Arena, operands: Any, stages: list[Any]) -> Any:
        """Adds what computes the product, and returns where it will be."""
        shapes = [*self.shapes, self.shapes[-1]]
        left, right, *totals = (arena.array(s, self.exact.dtype) for s in shapes)
        source = self.x.array(operands[self.x.index])
        stages.append(bind_load(source, left, self.x.zero))
        weights = self.weights
        if self.y is not None:
            source = self.y.array(operands[self.y.index])
            stages.append(bind_load(source, right, self.y.zero))
            weights = right
        done: Any = None
        for cut, total in zip(self.exact.cuts, totals, strict=False):
            part = slice(*cut)
            pair = left[..., part], weights[..., part, :]
            stages.append(partial(matmul, *pair, out=total, residual=done))
            done = total
        return done
