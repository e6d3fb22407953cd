"""graphwright in C: whole graphs, compiled by the system's compiler.

Each region becomes one function in a shared library, which is kept under the digest of
its source. Without a compiler the backend says so, and takes nothing.
"""

import ctypes
from collections import Counter
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

import graphwright as gw
from graphwright.backends.contract import Kernel
from graphwright.ir.dtype import DType
from graphwright.ir.errors import IndexBoundsError
from graphwright.ir.op import Op
from graphwright.ir.types import TensorType, Type
from graphwright_c import elements, movement, sums
from graphwright_c.build import compiler, load
from graphwright_c.elements import ELEMENTWISE, body_of
from graphwright_c.writer import Array, C, Writer, number

HEADERS = ("math.h", "stdint.h", "string.h")


SHAPED = {f.__name__: f for f in (sums.conv, sums.reduce_window, sums.window_argmax)}
"""Functions that take the result's shape too."""

STORED = (*SHAPED, "dot", "scatter", "cumulative", "arg_reduce")
"""Ops that read an element of an operand more than once."""

_MOVED: Any = (
    movement.reshape,
    movement.transpose,
    movement.broadcast_to,
    movement.pad,
)
_MOVED += (movement.concat, movement.iota, movement.size_of, movement.gather)
_SUMS = (sums.reduce, sums.sum_to, sums.arg_reduce, sums.cumulative, sums.dot)
_OTHER: Any = (elements.cast, elements.bitcast, movement.scatter, *_MOVED, *_SUMS)

TABLE: dict[str, Callable[..., Array]] = {
    **dict.fromkeys(ELEMENTWISE, elements.elementwise),
    **{f.__name__: f for f in _OTHER},
    **SHAPED,
    "slice": movement.slice_,
    "dynamic_update_slice": movement.update,
}
"""The ops that it runs."""


class CBackend(gw.GraphBackend):
    """Compiles graphs by way of C."""

    name = "c"
    contract = 1

    def unavailable(self) -> str | None:
        """What is missing: a compiler."""
        if compiler():
            return None
        return "there is no C compiler: install gcc or clang, or name one by CC"

    def holds(self, type_: Type) -> bool:
        """Tensors of the dtypes that C has."""
        return isinstance(type_, TensorType) and type_.dtype.name in C

    def claims(self, op: Op, types: Sequence[Type]) -> bool:
        """Ops of the table on dtypes that C has."""
        named = getattr(op, "dtype", None)
        ends = [TensorType(named, ())] if isinstance(named, DType) else []
        if op.name not in TABLE or not all(map(self.holds, [*types, *ends])):
            return False
        dtypes = [t.dtype for t in types if isinstance(t, TensorType)]
        return op.name not in ELEMENTWISE or body_of(op.name, dtypes[-1]) is not None

    def compile(self, graph: gw.Graph) -> Kernel:
        """A function of arrays; each run has scratch of its own."""
        region = Region(graph)
        run = load(region.source)
        constants = [np.array(c.array(), order="C") for c in region.held]
        ends: list[Any] = [(v.tensor.shape, v.dtype.numpy) for v in graph.outputs]

        def call(*arrays: Any) -> tuple[Any, ...]:
            results = [np.empty(shape, dtype) for shape, dtype in ends]
            scratch = np.empty(region.scratch, np.uint8)
            held = (*arrays, *constants, *results, scratch)
            pointers = (ctypes.c_void_p * len(held))(*(x.ctypes.data for x in held))
            bad = run(pointers)
            if bad:
                node = graph.nodes[bad - 1]
                raise IndexBoundsError(
                    f"{node.source or node.op.name}: an index lies outside its axis"
                )
            return tuple(results)

        return call

    def to_device(self, array: Any) -> Any:
        """The array, in C order and aligned: copied where it is not."""
        return np.require(array, requirements=["C", "A"]).reshape(array.shape)


def _number(array: Any, dtype: DType) -> Array:
    """A constant of one element: it stands in the source."""
    text = number(array.reshape(-1)[0], dtype)
    return Array(array.shape, dtype, lambda index: text)


class Region:
    """A graph's source.

    Attributes:
        source: C.
        scratch: Bytes of memory that a run needs for what is computed on the way.
        held: Constants that are passed in.
    """

    def __init__(self, graph: gw.Graph) -> None:
        self.held: list[Any] = []
        self._w, self._graph = Writer(), graph
        self._reads = Counter(v for node in graph.nodes for v in node.operands)
        self._often = {
            v for n in graph.nodes if n.op.name in STORED for v in n.operands
        }
        self._ends: dict[Any, str] = {}
        self._values: dict[Any, Array] = {}
        self._pointers = list[str]()
        self._operands()
        for turn, node in enumerate(graph.nodes, 1):
            self._node(node, turn)
        self._outputs()
        self.source, self.scratch = self._written()

    def _operands(self) -> None:
        for v in self._graph.inputs:
            self._given(v)
        for v, constant in self._graph.constants.items():
            array = constant.array()
            if array.size == 1:
                self._values[v] = _number(array, v.dtype)
            else:
                self.held.append(constant)
                self._given(v)

    def _given(self, v: Any) -> None:
        name = self._w.name("v")
        self._pointers.append(f"const {C[v.dtype.name]} *{name}")
        self._values[v] = self._w.buffer(v.tensor.shape, v.dtype, name)

    def _node(self, node: Any, turn: int) -> None:
        operands = [self._values[v] for v in node.operands]
        (result,) = node.results
        shape, last = result.tensor.shape, (result.dtype,)
        more = (shape,) if node.op.name in SHAPED else ()
        start = len(self._w.lines)
        function = TABLE[node.op.name]
        found = function(self._w, node.op, *last, *operands, *more)
        often = self._reads[result] > 1 or result in self._often
        if found.computes and often and prod(shape):
            found = self._w.store(found)
        for i in range(start, len(self._w.lines)):
            self._w.lines[i] = self._w.lines[i].replace("WHERE", str(turn))
        self._values[result] = found

    def _outputs(self) -> None:
        for v in self._graph.outputs:
            name = self._w.name("v")
            self._pointers.append(f"{C[v.dtype.name]} *restrict {name}")
            self._w.store(self._values[v], name)

    def _written(self) -> tuple[str, int]:
        rows = [f"{text} = p[{i}];" for i, text in enumerate(self._pointers)]
        offset, last = 0, len(self._pointers)
        for text, size in self._w.buffers:
            rows.append(f"{text} = (void *)((char *)p[{last}] + {offset});")
            offset += -(-size // 64) * 64
        lines = [
            *(f"#include <{header}>" for header in HEADERS),
            *self._w.functions.values(),
            "int64_t run(void **p) {",
            *rows,
            *self._w.lines,
            "return 0;",
            "}",
        ]
        return "\n".join(lines) + "\n", max(offset, 1)
