"""Kernels of elementwise ops, and of regions of them with windows and reductions."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphwright.backends.contract import Into, Kernel, Request, graph_of
from graphwright.backends.numpy.functions import (
    FUSABLE,
    Assembler,
    is_known,
    plain_dtypes,
)
from graphwright.backends.numpy.kernels.program import (
    Operand,
    Program,
    Result,
    Source,
)
from graphwright.backends.numpy.kernels.window import Window
from graphwright.backends.numpy.table import kernel_for, place_of
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op
from graphwright.ir.ops.fused import Fused
from graphwright.ir.ops.movement import Slice
from graphwright.ir.ops.reduce import Reduce
from graphwright.ir.ops.slicing import UpdateSlice
from graphwright.ir.types import TensorType, Type

ROWS = frozenset({"erf", "gelu"})
"""Ops that have kernels of their own besides."""

_REDUCTIONS: dict[str, Any] = {
    "sum": np.add,
    "prod": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}


def fuses(op: Op, types: Sequence[Type]) -> bool:
    """Whether an op on operands of these types may stand in a region."""
    dtypes = plain_dtypes(types)
    if dtypes is None:
        return False
    if isinstance(op, UpdateSlice | Slice):
        return True
    if isinstance(op, Reduce):
        return _reduces(types[0])
    if op.name not in FUSABLE:
        return False
    found: Any = op.result_type(*types)
    result = plain_dtypes([found])
    return result is not None and is_known(op, dtypes, result[0])


def _reduces(type_: Type) -> bool:
    assert isinstance(type_, TensorType)
    return type_.dtype.kind in "fi" and type_.dtype.accumulate is type_.dtype


@kernel_for(*FUSABLE - ROWS, "update_slice", "reduce")
def single(request: Request) -> Kernel | None:
    """An op by itself, as a region of one."""
    if not fuses(request.op, request.types):
        return None
    return region(graph_of(request), request)


def elementwise_kernel(op: Fused, request: Request) -> Kernel | None:
    """A region in cache-sized blocks."""
    return region(op.body, request)


def region(body: Graph, request: Request) -> Into | None:
    """The kernel of a body, None where it has nothing to do."""
    try:
        program = _Reader(body).program()
    except _Declined:
        return None
    places = [
        place_of(type_, program.over(i)) for i, type_ in enumerate(request.results)
    ]
    return Into(
        program.run,
        tuple(places),
        bind=program.bind,
        strided=tuple(range(len(body.inputs))),
        scratch_bytes=program.scratch_bytes,
    )


class _Declined(Exception):
    pass


class _Reader:
    """Turns a body into a program."""

    def __init__(self, body: Graph) -> None:
        self.body, self.assembler = body, Assembler()
        self.sources: list[Source] = []
        self.parts = {v: Source(i) for i, v in enumerate(body.inputs)}
        self.written = [
            (n.operands[0], n.op.window(n.operands[1].shape))
            for n in body.nodes
            if isinstance(n.op, UpdateSlice)
        ]
        self.values: dict[Value, Operand] = {}
        self.results: dict[Value, Result] = {}
        for v, constant in body.constants.items():
            if constant.size == 1:
                array = constant.array().reshape(())
                self.values[v] = Operand(array, array.dtype)

    def program(self) -> Program:
        """The program of the whole body."""
        unions, parts = _less_or_equal(self.body)
        for node in self.body.nodes:
            if not _stands(node):
                raise _Declined
            if node in unions:
                operands = [self._operand(v) for v in unions[node]]
                dtype = node.results[0].dtype.numpy
                found = self.assembler.emit(np.less_equal, operands, dtype)
                self.values[node.results[0]] = found
            elif node not in parts:
                self._add(node)
        results = [
            self.results.get(v) or Result(self._operand(v)) for v in self.body.outputs
        ]
        instructions = self.assembler.instructions
        return Program(self._shape(), self.sources, instructions, results)

    def _shape(self) -> Any:
        """The shape that all elementwise values have."""
        for node in self.body.nodes:
            if isinstance(node.op, UpdateSlice):
                return node.operands[1].shape
            if isinstance(node.op, Reduce):
                return node.operands[0].shape
            if node.op.name not in ("slice", "broadcast_to"):
                return node.results[0].shape
        raise _Declined

    def _operand(self, v: Value) -> Operand:
        """A value as instructions read it."""
        if v not in self.values:
            if v not in self.parts:
                raise _Declined
            self.values[v] = Operand(len(self.sources), v.dtype.numpy)
            self.sources.append(self.parts[v])
        return self.values[v]

    def _whole(self, v: Value) -> int:
        """The number of an input of which a window is read or written."""
        part = self.parts.get(v)
        if part is None or part.window is not None or v not in self.body.inputs:
            raise _Declined
        return part.number

    def _add(self, node: Node) -> None:
        op, (result, *_) = node.op, node.results
        if isinstance(op, Slice):
            (x,) = node.operands
            beside = all(op.apart(w) for base, w in self.written if base is x)
            self.parts[result] = Source(self._whole(x), _window_of(op), beside)
        elif op.name == "broadcast_to":
            (x,) = node.operands
            if x in self.values:
                self.values[result] = self.values[x]
            else:
                if x not in self.parts:
                    raise _Declined
                self.parts[result] = self.parts[x]
        elif isinstance(op, UpdateSlice):
            base, part = node.operands
            window = _window_of(op.window(part.shape))
            number = self._whole(base)
            self.results[result] = Result(self._operand(part), number, window)
        elif isinstance(op, Reduce):
            operand = self._operand(node.operands[0])
            if not isinstance(operand.source, int) or not op.axes:
                raise _Declined
            kind = _REDUCTIONS[op.kind]
            self.results[result] = Result(operand, reduce=kind, axes=op.axes)
        else:
            operands = [self._operand(v) for v in node.operands]
            found = self.assembler.lower(op, operands, result.dtype.numpy)
            self.values[result] = found


def _less_or_equal(body: Graph) -> tuple[dict[Node, tuple[Value, ...]], set[Node]]:
    """Nodes that compute ``x <= y`` with x and y, and the two that each is made of."""
    makers, uses = body.makers, body.use_counts()
    found: dict[Node, tuple[Value, ...]] = {}
    parts: set[Node] = set()
    for node in body.nodes:
        pair = [makers.get(v) for v in node.operands] if node.op.name == "or" else []
        both = {n.op.name: n for n in pair if n is not None}
        less, equal = both.get("lt"), both.get("eq")
        if less is None or equal is None or {*less.operands} != {*equal.operands}:
            continue
        if all(uses[v] == 1 for v in node.operands):
            found[node] = less.operands
            parts |= {less, equal}
    return found, parts


def _stands(node: Node) -> bool:
    if any(0 in v.shape for v in (*node.operands, *node.results)):
        return False
    if node.op.name == "broadcast_to":
        return True
    return fuses(node.op, [v.type for v in node.operands])


def _window_of(op: Slice) -> Window:
    """Python slices; one that ends before the first element needs None as its stop."""
    rows: list[slice] = []
    known: Any = zip(op.start, op.size, op.step, strict=True)
    for begin, count, by in known:
        stop = begin + count * by if by < 0 else begin + (count - 1) * by + 1
        rows.append(slice(begin, None if stop < 0 else stop, by))
    return tuple(rows)
