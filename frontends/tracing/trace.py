"""``trace``: the graph of a Python function."""

from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature
from operator import itemgetter
from typing import Any

import numpy as np

from graphwright.frontends.tracing import state
from graphwright.frontends.tracing.pytree import Structure, flatten, paths, unflatten
from graphwright.frontends.tracing.rewire import Reads, Rewiring
from graphwright.frontends.tracing.spec import Spec
from graphwright.frontends.tracing.storage import (
    Cell,
    Handle,
    Hidden,
    NeedsStatic,
    Trace,
    operand_of,
)
from graphwright.frontends.tracing.wrap import strong
from graphwright.ir.arguments import checked
from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.dlpack import from_dlpack
from graphwright.ir.dtype import complex128, dtype, float64
from graphwright.ir.emitter import Value
from graphwright.ir.errors import TraceError
from graphwright.ir.graph import Graph, Source
from graphwright.ir.record import record
from graphwright.ir.types import TensorType

_WEAK = {float: float64, complex: complex128}


@record(frozen=True, slots=True)
class Leaf:
    """What a leaf of the arguments is to a trace.

    Attributes:
        type: Its type, None where it is static.
        weak: Whether it is a Python number, whose value a run gives.
        value: The static value.
        alias: The number of the leaf that is the same array.
    """

    type: TensorType | None
    weak: bool = False
    value: Any = None
    alias: int | None = None


def is_array(x: Any) -> bool:
    """Whether a leaf is an array-like that becomes an input."""
    return isinstance(x, (Handle, np.ndarray, np.generic)) or hasattr(x, "__dlpack__")


def array_type(x: Any) -> TensorType:
    """The type of an array-like."""
    if isinstance(x, Handle):
        type_ = x.type_of()
        return TensorType(type_.dtype, type_.dims)
    if not isinstance(x, (np.ndarray, np.generic)):
        x = from_dlpack(x)
    return TensorType(dtype(x.dtype), x.shape)


def leaf_of(x: Any) -> Leaf:
    """A leaf by what it is: arrays and floats are inputs, all else is static."""
    if isinstance(x, Leaf):
        return x
    if isinstance(x, Spec):
        return Leaf(x.type)
    if is_array(x):
        return Leaf(array_type(x))
    if type(x) in _WEAK:
        return Leaf(TensorType(_WEAK[type(x)], ()), weak=True)
    return Leaf(None, value=x)


def argument_names(
    function: Callable[..., Any], structure: Structure, count: int
) -> list[str]:
    """A name for each leaf of ``(args, kwargs)``: the parameter's, and the way in."""
    try:
        parameters = list(signature(function).parameters)
    except (TypeError, ValueError):
        parameters = []
    (_, _, (args, options)) = structure
    names: list[str] = []
    for i, child in enumerate(args[2]):
        names += paths(child, parameters[i] if i < len(parameters) else f"arg{i}")
    for key, child in zip(options[1], options[2], strict=True):
        names += paths(child, key)
    return names[:count]


@record(frozen=True, slots=True)
class Traced:
    """A function traced for some kinds of arguments.

    Attributes:
        graph: Takes the array leaves, then what the trace captured; gives the array
            leaves of the result, then the new contents of what it wrote to.
        hidden: What was captured, in the order of the inputs.
        outputs: Leaves of the result: None for the next output, or a static value.
        structure: The result's.
        written: For each extra output: the number of the leaf, or (from ``len(leaves)``
            on) of the captured thing that it is written to.
        reads: Names that the function read.
    """

    graph: Graph
    hidden: list[Hidden]
    outputs: list[tuple[Any] | None]
    structure: Structure
    written: list[int]
    reads: Reads

    def result(self, arrays: Sequence[Any]) -> Any:
        """The result as the function would give it, of the graph's outputs."""
        rest = iter(arrays)
        leaves = [next(rest) if o is None else o[0] for o in self.outputs]
        if self.structure is None:
            return leaves[0]
        return unflatten(self.structure, leaves)

    def maker(self) -> Callable[[list[Any]], Any]:
        """``result``, or what does the same sooner for one output or a tuple."""
        if any(o is not None for o in self.outputs):
            return self.result
        if self.structure == flatten(tuple(self.outputs))[1]:
            return tuple
        return itemgetter(0) if self.structure is None else self.result


def run_trace(
    function: Callable[..., Any],
    leaves: Sequence[Leaf],
    structure: Structure,
    names: Sequence[str],
    builder: Builder,
) -> Traced:
    """Traces a function on ``(args, kwargs)`` of a structure with these leaves."""
    builder.source = Source(name_of(function), _definition(function))
    trace = Trace(builder)
    rewiring = trace.rewiring = Rewiring()
    handles: list[Any] = []
    for leaf, name in zip(leaves, names, strict=True):
        if leaf.alias is not None:
            handles.append(handles[leaf.alias])
        elif leaf.type is None:
            handles.append(rewiring.argument(name, leaf.value))
        else:
            handles.append(trace.input(name, leaf.type, weak=leaf.weak))
    args, options = unflatten(structure, handles)
    with trace.active(), state.explaining_sizes():
        found = rewiring.function(function)(*args, **options)
        rewiring.check_effects([leaf.value for leaf in leaves])
        rewiring.check_arguments((args, options), structure, handles, names)
        results, shape = flatten(found)
        values, outputs = _outputs(results, rewiring)
        written = _written(handles, trace)
        for i in written:
            values.append(_cell(handles, trace, i).value)
    hidden = list(trace.hidden.values())
    graph = builder.finish(values)
    return Traced(graph, hidden, outputs, shape, written, rewiring.reads)


def _definition(function: Callable[..., Any]) -> str:
    """File and line where a function is defined."""
    while isinstance(function, partial):
        function = function.func
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    if code is None:
        return state.where()
    return f"{code.co_filename}:{code.co_firstlineno}"


def _outputs(
    results: Sequence[Any], rewiring: Rewiring
) -> tuple[list[Value], list[tuple[Any] | None]]:
    values: list[Value] = []
    outputs: list[tuple[Any] | None] = []
    b = state.emitter("return")
    for x in results:
        if isinstance(x, Handle) or is_array(x):
            values.append(strong(b, operand_of(b, x)))
            outputs.append(None)
        else:
            outputs.append((rewiring.original(x),))
    return values, outputs


def _cell(handles: Sequence[Any], trace: Trace, i: int) -> Cell:
    if i < len(handles):
        return handles[i]._cell  # type: ignore[no-any-return]
    return list(trace.hidden.values())[i - len(handles)].handle._cell


def _written(handles: Sequence[Any], trace: Trace) -> list[int]:
    """Numbers of the arguments and captured things that were written to."""
    cells: dict[int, int] = {}
    for i, h in enumerate(handles):
        if isinstance(h, Handle) and h._cell.version > 0:
            cells.setdefault(id(h._cell), i)
    captured = enumerate(trace.hidden.values(), len(handles))
    return [*cells.values(), *(i for i, h in captured if h.written)]


def traced_with_numbers(
    function: Callable[..., Any],
    values: Sequence[Any],
    leaves: list[Leaf],
    structure: Structure,
    names: Sequence[str],
    name: str,
) -> Traced:
    """Traces; a Python number whose value the function reads becomes static."""
    while True:
        try:
            return run_trace(function, leaves, structure, names, Builder(name))
        except NeedsStatic as error:
            for i in map(names.index, error.names):
                if not leaves[i].weak or type(values[i]) not in _WEAK:
                    raise
                leaves[i] = Leaf(None, value=values[i])


def name_of(function: Callable[..., Any]) -> str:
    """A function's name, for its graph."""
    return getattr(function, "__name__", type(function).__name__)


@checked
def trace(function: Callable[..., Any], *specs: Any, **named: Any) -> Graph:
    """The graph of a function of arrays.

    Args:
        function: Any Python function of arrays, written for NumPy or for tensors.
        specs: What each argument is: ``gw.spec(...)``, an array whose type is taken, a
            tree of these, or a static value such as an integer or a string.
        named: The same, by keyword.

    Raises:
        TraceError: If the function does what no graph can, with its file and line.
    """
    leaves, structure = flatten((specs, named))
    kinds = [
        leaf_of(x) if not isinstance(x, float) else Leaf(None, value=x) for x in leaves
    ]
    names = argument_names(function, structure, len(leaves))
    traced = traced_with_numbers(
        function, leaves, kinds, structure, names, name_of(function)
    )
    if traced.written:
        where = Source(name_of(function))
        raise TraceError(
            f"{where}: the function writes to its argument or to a global: gw.jit gives"
            " that back to the caller; for a graph, copy and return it"
        )
    if not traced.graph.outputs:
        raise TraceError(f"{name_of(function)} returned no tensor")
    return with_constants(traced)


def with_constants(traced: Traced) -> Graph:
    """The graph with what it captured as constants."""
    graph = traced.graph
    if not traced.hidden:
        return graph
    inner = {
        h.value: Constant.of(_contents(h.origin), h.value.dtype) for h in traced.hidden
    }
    b = Builder(graph.name)  # types are inferred anew: small constants tell of shapes
    b.number_symbols_from(len(graph.symbols()))
    operands = [
        b.constant_of(inner[v]) if v in inner else b.input(name, v.type)
        for v, name in zip(graph.inputs, graph.input_names, strict=True)
    ]
    b.variables = dict(graph.variables)
    return b.finish(b.splice(graph, operands), graph.output_names)


def _contents(origin: Any) -> Any:
    if isinstance(origin, Cell):
        return np.array(Handle.concrete.on(origin).data("a captured tensor"))
    return np.array(origin)


@checked
def eval_shape(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Types of a function's results, as specs, without computing anything."""
    leaves, structure = flatten((args, options))
    names = argument_names(function, structure, len(leaves))
    kinds = [leaf_of(x) for x in leaves]
    traced = traced_with_numbers(
        function, leaves, kinds, structure, names, name_of(function)
    )
    return traced.result([Spec(plain(v)) for v in traced.graph.outputs])


def plain(value: Value) -> TensorType:
    """A value's type without known contents."""
    return TensorType(value.dtype, value.shape)
