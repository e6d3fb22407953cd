"""Control flow on values: branches and loops as one operation of the graph.

Bodies are functions of trees of tensors. What a body uses from outside becomes an
operand by itself. Outside a trace a branch is taken at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from graphwright.frontends.tracing import state
from graphwright.frontends.tracing.promotion import as_dtype, result_dtype
from graphwright.frontends.tracing.pytree import Structure, flatten, paths, unflatten
from graphwright.frontends.tracing.rewire import rewired
from graphwright.frontends.tracing.storage import Handle, Trace, array_value, operand_of
from graphwright.frontends.tracing.wrap import strong
from graphwright.ir.arguments import checked
from graphwright.ir.dim import Dim
from graphwright.ir.dtype import DType, bool_, int64
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import ShapeError, TraceError
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType, Type

_MAX_WIDENINGS = 4


class Body:
    """A traced body: what it gives, and what it uses from outside."""

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        types: Sequence[Type],
        make: Callable[[list[Handle]], Any],
    ) -> None:
        b = state.emitter(name)
        self.name = name
        self.trace = Trace(b.subgraph(name), state.current.get(), nested=True)
        self.inputs = [self.trace.input(f"x{i}", t) for i, t in enumerate(types)]
        with self.trace.active():
            leaves, self.structure = flatten(function(make(list(self.inputs))))
            inner = state.emitter(name)
            self.values = [strong(inner, operand_of(inner, x)) for x in leaves]

    def cast(self, dtypes: Sequence[DType]) -> None:
        """Makes its results of these dtypes."""
        with self.trace.active():
            b = state.emitter(self.name)
            pairs = zip(self.values, dtypes, strict=True)
            self.values = [as_dtype(b, v, d) for v, d in pairs]

    @property
    def types(self) -> list[TensorType]:
        """Types of its results."""
        return [TensorType(v.dtype, v.shape) for v in self.values]

    def graph(self, captured: Sequence[int], types: Sequence[Type]) -> Graph:
        """Its graph; it takes all of ``captured``, used or not, after its inputs."""
        graph = self.trace.builder.finish(self.values)
        hidden = self.trace.hidden
        extra = [
            hidden[key].value if key in hidden else Value(t)
            for key, t in zip(captured, types, strict=True)
        ]
        count = len(self.inputs)
        names = (*graph.input_names[:count], *(f"c{i}" for i in range(len(extra))))
        inputs = (*graph.inputs[:count], *extra)
        return replace(graph, inputs=inputs, input_names=names)


def captured_by(bodies: Sequence[Body]) -> tuple[list[int], list[Value]]:
    """Keys and operands of what bodies use from outside, each once."""
    found: dict[int, Value] = {}
    for body in bodies:
        for key, hidden in body.trace.hidden.items():
            if key not in found:
                found[key] = hidden.operand()
    return list(found), list(found.values())


def _types(values: Sequence[Value]) -> list[TensorType]:
    return [TensorType(v.dtype, v.shape) for v in values]


def _operands(b: Emitter, leaves: Sequence[Any]) -> list[Value]:
    return [strong(b, operand_of(b, x)) for x in leaves]


def _tensors(values: Sequence[Value], structure: Structure) -> Any:
    return unflatten(structure, [Handle.make(v) for v in values])


def _scalar_bool(b: Emitter, pred: Any) -> Value:
    value = strong(b, operand_of(b, pred))
    if value.dtype is not bool_:
        value = b.ne(value, 0)
    return b.reshape(value, ())


def _need_same(name: str, what: str, a: Structure, c: Structure) -> None:
    if a != c:
        raise TraceError(f"{state.where()}: {name}: {what} differ in structure")


def _need_types(
    name: str, structure: Structure, a: Sequence[TensorType], c: Any
) -> None:
    for path, s, t in zip(paths(structure, "result"), a, c, strict=True):
        if s != t:
            raise TraceError(
                f"{state.where()}: {name}: {path} is once {s}, once {t}: a carried"
                " value or a branch's result has one shape"
            )


@checked
def cond(
    pred: Any,
    true_fun: Callable[..., Any],
    false_fun: Callable[..., Any],
    *operands: Any,
) -> Any:
    """``true_fun(*operands)`` if ``pred`` holds, else ``false_fun(*operands)``.

    Both must give trees of the same structure and shapes; dtypes are promoted.

    Raises:
        TraceError: If the results do not fit together.
    """
    if not _is_traced(pred):
        return _chosen(true_fun if bool(pred) else false_fun, operands)
    true_fun, false_fun = rewired(true_fun), rewired(false_fun)
    b = state.emitter("cond")
    leaves, structure = flatten(operands)
    values = _operands(b, leaves)

    def body(name: str, function: Callable[..., Any]) -> Body:
        def run(args: Any) -> Any:
            return function(*args)

        return Body(name, run, _types(values), lambda xs: unflatten(structure, xs))

    yes, no = body("then", true_fun), body("else", false_fun)
    _need_same("cond", "the branches' results", yes.structure, no.structure)
    pairs = zip(yes.values, no.values, strict=True)
    dtypes = [result_dtype(v.dtype, w.dtype) for v, w in pairs]
    yes.cast(dtypes)
    no.cast(dtypes)
    _need_types("cond", yes.structure, yes.types, no.types)
    keys, captured = captured_by([yes, no])
    kinds = _types(captured)
    found = state.emitter("cond").emit_all(
        "cond",
        *(_scalar_bool(b, pred), *values, *captured),
        then_graph=yes.graph(keys, kinds),
        else_graph=no.graph(keys, kinds),
        types=tuple(yes.types),
    )
    return _tensors(found, yes.structure)


def _is_traced(x: Any) -> bool:
    return isinstance(x, Handle) and x._cell.owner is not None


def _chosen(function: Callable[..., Any], operands: Any) -> Any:
    """One branch, called with tensors as the traced ones are."""
    leaves, structure = flatten(operands)
    arrays = ((x, isinstance(x, np.ndarray)) for x in leaves)
    tensors = [Handle.make(array_value(x)) if array else x for x, array in arrays]
    return function(*unflatten(structure, tensors))


@checked
def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """``branches[index](*operands)``; an index outside counts as the nearest one."""
    if not branches:
        raise TraceError(f"{state.where()}: switch has no branch to choose")

    def choose(low: int, high: int) -> Any:
        if high - low == 1:
            return branches[low](*operands)
        middle = (low + high) // 2
        return cond(
            index < middle, lambda: choose(low, middle), lambda: choose(middle, high)
        )

    if _is_traced(index):
        return choose(0, len(branches))
    return _chosen(branches[max(0, min(int(index), len(branches) - 1))], operands)


class _Loop:
    """A loop's carried values, whose dtypes grow until the body gives them back."""

    def __init__(self, name: str, b: Emitter, init: Any) -> None:
        self.name, self.b = name, b
        leaves, self.structure = flatten(init)
        self.values = _operands(b, leaves)

    def body(self, make: Callable[[Sequence[TensorType]], tuple[Body, int]]) -> Body:
        """The body for carried types that it keeps; ``make`` gives it for types.

        ``make`` also tells where in the body's results the carried ones begin.

        Raises:
            TraceError: If shapes change, or dtypes without end.
        """
        for _ in range(_MAX_WIDENINGS):
            have = _types(self.values)
            body, at = make(have)
            given = body.types[at : at + len(have)]
            pairs = zip(have, given, strict=True)
            common = [result_dtype(s.dtype, t.dtype) for s, t in pairs]
            if common == [t.dtype for t in have]:
                rest = [t.dtype for t in body.types]
                rest[at : at + len(have)] = common
                body.cast(rest)
                fixed = body.types[at : at + len(have)]
                _need_types(self.name, self.structure, have, fixed)
                return body
            grown = zip(self.values, common, strict=True)
            self.values = [as_dtype(self.b, v, d) for v, d in grown]
        raise TraceError(f"{state.where()}: {self.name}: carried dtypes do not settle")


@checked
def while_loop(
    cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init: Any
) -> Any:
    """``state = body_fun(state)`` from ``init`` on, while ``cond_fun(state)`` holds.

    The state is a tree of tensors whose shapes stay; dtypes are promoted.

    Raises:
        TraceError: If the body gives another structure or other shapes.
    """
    cond_fun, body_fun = rewired(cond_fun), rewired(body_fun)
    b = state.emitter("while_loop")
    loop = _Loop("while_loop", b, init)

    def make(types: Sequence[TensorType]) -> tuple[Body, int]:
        def run(carry: Any) -> Any:
            new = body_fun(carry)
            _need_same(
                "while_loop", "state and result", flatten(new)[1], loop.structure
            )
            return _truth(cond_fun(new)), new

        inner = (TensorType(int64, ()), TensorType(bool_, ()), *types)
        return Body("body", run, inner, lambda xs: unflatten(loop.structure, xs[2:])), 1

    body = loop.body(make)
    start = cond_fun(_tensors(loop.values, loop.structure))
    first = _scalar_bool(b, start)
    trips = b.scalar(-1, int64)
    return _tensors(_run_while(b, body, loop, trips, first, ()), loop.structure)


def _truth(pred: Any) -> Handle:
    return Handle.make(_scalar_bool(state.emitter("condition"), pred))


def _run_while(
    b: Emitter, body: Body, loop: _Loop, trips: Value, first: Value, scanned: Any
) -> tuple[Value, ...]:
    keys, captured = captured_by([body])
    return state.emitter(loop.name).emit_all(
        "while_loop",
        *(trips, first, *loop.values, *captured),
        body=body.graph(keys, _types(captured)),
        carried=len(loop.values),
        types=(*_types(loop.values), *scanned),
    )


def _bound(b: Emitter, x: Any) -> Value:
    """A bound of a loop: one integer."""
    found = as_dtype(b, operand_of(b, x), int64)
    if found.shape:
        raise ShapeError(
            f"{state.where()}: fori_loop counts from one integer to another, got"
            f" {found.type}"
        )
    return found


@checked
def fori_loop(
    lower: Any, upper: Any, body_fun: Callable[[Any, Any], Any], init: Any
) -> Any:
    """``state = body_fun(i, state)`` for ``i`` from ``lower`` up to ``upper``."""
    body_fun = rewired(body_fun)
    b = state.emitter("fori_loop")
    loop = _Loop("fori_loop", b, init)
    begin = Handle.make(_bound(b, lower))
    end = _bound(b, upper)

    def make(types: Sequence[TensorType]) -> tuple[Body, int]:
        def run(args: Any) -> Any:
            i, carry = args
            inner = state.emitter("fori_loop")
            new = body_fun(Handle.make(inner.add(i.read(), begin.read())), carry)
            _need_same("fori_loop", "state and result", flatten(new)[1], loop.structure)
            return _truth(True), new

        def split(xs: list[Handle]) -> Any:
            return xs[0], unflatten(loop.structure, xs[2:])

        inner = (TensorType(int64, ()), TensorType(bool_, ()), *types)
        return Body("body", run, inner, split), 1

    body = loop.body(make)
    trips = b.max(b.sub(end, begin.read()), 0)
    first = b.scalar(True, bool_)
    return _tensors(_run_while(b, body, loop, trips, first, ()), loop.structure)


def _pair(found: Any) -> Any:
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        words = "scan: the function must give a pair: the new carry, and a row"
        raise TraceError(f"{state.where()}: {words}")
    return found


@checked
def scan(
    function: Callable[[Any, Any], Any],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    *,
    reverse: bool = False,
) -> Any:
    """``carry, y = function(carry, x)`` over the rows of ``xs``; the ``y`` are stacked.

    Returns:
        The last carry, and the tree of stacked results.

    Raises:
        TraceError: If rows differ in number, or the carry changes its shapes.
    """
    function = rewired(function)
    b = state.emitter("scan")
    loop = _Loop("scan", b, init)
    rows, row_structure = flatten(xs)
    values = [] if xs is None else _operands(b, rows)
    count = _length(values, length)
    if xs is None:
        values, row_structure = [b.iota((count,), 0, int64)], None
    outer: list[Structure] = []

    def make(types: Sequence[TensorType]) -> tuple[Body, int]:
        def run(args: Any) -> Any:
            carry, x = args
            new, y = _pair(function(carry, None if xs is None else x))
            _need_same("scan", "carry and result", flatten(new)[1], loop.structure)
            outer[:] = [flatten(y)[1]]
            return flatten(new)[0], flatten(y)[0] if y is not None else []

        def split(inputs: list[Handle]) -> Any:
            n = len(types)
            return (
                unflatten(loop.structure, inputs[:n]),
                unflatten(row_structure, inputs[n:]),
            )

        items = [TensorType(v.dtype, v.shape[1:]) for v in values]
        return Body("body", run, (*types, *items), split), 0

    body = loop.body(make)
    carried = len(loop.values)
    stacked = [t.with_shape((count, *t.dims)) for t in body.types[carried:]]
    keys, captured = captured_by([body])
    found = state.emitter("scan").emit_all(
        "scan",
        *(*loop.values, *values, *captured),
        body=body.graph(keys, _types(captured)),
        carried=carried,
        scanned=len(values),
        in_axes=(0,) * len(values),
        out_axes=(0,) * len(stacked),
        reverse=(reverse,) * len(values),
        out_reverse=(reverse,) * len(stacked),
        types=(*_types(loop.values), *stacked),
    )
    ys = _tensors(found[carried:], outer[0]) if stacked else None
    return _tensors(found[:carried], loop.structure), ys


def _length(values: Sequence[Value], length: Dim | None) -> Dim:
    sizes = [v.shape[0] for v in values if v.rank]
    if len(sizes) < len(values):
        raise TraceError(f"{state.where()}: scan: a 0-d tensor has no rows")
    if length is not None:
        sizes.append(length)
    if not sizes:
        raise TraceError(f"{state.where()}: scan needs rows, or their number: length=")
    if any(s != sizes[0] for s in sizes):
        raise TraceError(f"{state.where()}: scan: numbers of rows differ: {sizes}")
    return sizes[0]


@checked
def map(function: Callable[[Any], Any], xs: Any) -> Any:
    """``function`` of each row of ``xs``, stacked."""
    function = rewired(function)
    return scan(lambda _, x: ((), function(x)), (), xs)[1]
