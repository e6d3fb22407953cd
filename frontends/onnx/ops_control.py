"""Control flow of ONNX: If, Loop and Scan."""

from collections.abc import Sequence
from typing import Any

from graphwright.frontends.onnx.context import Context
from graphwright.frontends.onnx.functions import passed_through
from graphwright.frontends.onnx.loops import Outer, inner_symbols, widened_body
from graphwright.frontends.onnx.registry import converter
from graphwright.ir.dim import Dim, maximum
from graphwright.ir.dtype import bool_, int64
from graphwright.ir.emitter import Value
from graphwright.ir.errors import ModelError, ShapeError
from graphwright.ir.graph import Graph
from graphwright.ir.rules import forget, plain, settle
from graphwright.ir.types import ANY, SequenceType, TensorType, Type, type_symbols


@converter("If")
def if_(c: Context) -> Sequence[Value]:
    """One of two sub-graphs; in the place of the node where it is known which."""
    branches = [c.graph("then_branch"), c.graph("else_branch")]
    known = c.b.known(c[0])
    if known is not None:
        return c.importer.inline_subgraph(branches[0 if known.array().all() else 1])
    captured = c.importer.captured(*branches)
    then_graph, else_graph = (
        c.importer.import_subgraph(proto, (), captured) for proto in branches
    )
    if len(then_graph.outputs) != len(else_graph.outputs):
        raise ModelError("the branches of If differ in the number of results")
    outer = Outer(c)
    types = [
        outer.joined(
            [
                outer.type(t, inner_symbols(then_graph)),
                outer.type(e, inner_symbols(else_graph)),
            ]
        )
        for t, e in zip(then_graph.output_types, else_graph.output_types, strict=True)
    ]
    operands = c.importer.capture_operands(captured)
    fields = {"then_graph": then_graph, "else_graph": else_graph, **outer.fields(types)}
    return c.b.emit_all("cond", c[0], *operands, **fields)


# Loop ---------------------------------------------------------------------------------


@converter("Loop")
def loop(c: Context) -> Sequence[Value]:
    """A body run a number of times, or while it says so."""
    return _Loop(c).results()


class _Loop:
    """One Loop: carried values that the body passes on unchanged are invariants."""

    def __init__(self, c: Context) -> None:
        self.c, self.proto = c, c.graph("body")
        given = [_present(c, i) for i in range(2, len(c.inputs))]
        if len(self.proto.input) != len(given) + 2 or len(self.proto.output) <= len(
            given
        ):
            raise ModelError(
                f"Loop carries {len(given)} values, its body takes"
                f" {len(self.proto.input)} and gives {len(self.proto.output)}"
            )
        self.initial = given
        self.fixed = [
            passed_through(self.proto, i + 1, i + 2) for i in range(len(given))
        ]

    def results(self) -> Sequence[Value]:
        """The final carried values, then the stacked ones."""
        c = self.c
        changing = [
            v for v, fixed in zip(self.initial, self.fixed, strict=True) if not fixed
        ]
        proto = _without(self.proto, self.fixed, 2, 1)
        captured = c.importer.captured(proto)
        captured.update(
            (info.name, v)
            for info, v, fixed in zip(
                list(self.proto.input)[2:], self.initial, self.fixed, strict=True
            )
            if fixed
        )
        body = widened_body(
            c, self.proto, changing, lambda types: self._body(proto, types, captured), 1
        )
        outer = Outer(c)
        items = body.graph.output_types[1 + len(changing) :]
        types = [outer.type(t, body.inner) for t in body.carried]
        count = self._count(body.graph)
        types += [_stacked(outer, t, body.inner, count, 0) for t in items]
        fields = {"body": body.graph, "carried": len(changing), **outer.fields(types)}
        operands = [*self._limits(), *changing, *c.importer.capture_operands(captured)]
        found = iter(c.b.emit_all("while_loop", *operands, **fields))
        carried = [
            v if fixed else next(found)
            for v, fixed in zip(self.initial, self.fixed, strict=True)
        ]
        return [*carried, *found]

    def _body(self, proto: Any, types: Sequence[Type], captured: Any) -> Graph:
        lead: list[Type] = [TensorType(int64, ()), TensorType(bool_, ())]
        names = [info.name for info in proto.input]
        given = dict(zip(names, [*lead, *types], strict=True))
        run = self.c.importer.open_subgraph(proto.name or "body", given, captured)
        for info in list(proto.input)[:2]:
            run.with_declared_axis(info)
        return run.finish(proto)

    def _limits(self) -> list[Value]:
        """The trip count, negative for none, and the first condition."""
        c = self.c
        trips, going = c.optional(0), c.optional(1)
        zero = c.b.scalar(0, int64)
        trips = (
            c.b.scalar(-1, int64) if trips is None else c.b.max(_scalar(c, trips), zero)
        )
        return [trips, c.b.scalar(True, bool_) if going is None else _scalar(c, going)]

    def _count(self, body: Graph) -> Dim | None:
        """How many iterations run, where no condition ends the loop early."""
        trips, going = self.c.optional(0), self.c.optional(1)
        if trips is None or not (going is None or self._always(going)):
            return None
        end = body.outputs[0]
        stays = end is body.inputs[1]
        known = body.constants.get(end)
        if not stays and (known is None or not known.array().all()):
            return None
        contents = _scalar(self.c, trips).tensor.contents
        return maximum(contents[0], 0) if contents and contents[0] is not None else None

    def _always(self, going: Value) -> bool:
        known = self.c.b.known(going)
        return known is not None and bool(known.array().all())


def _present(c: Context, i: int) -> Value:
    value = c.optional(i)
    if value is None:
        raise ModelError(f"{c.op_type}: carried value {i - 2} is left out")
    return value


def _scalar(c: Context, x: Value) -> Value:
    """A one-element tensor as a 0-d one, where its rank is known."""
    return x if x.tensor.shape is None else c.b.reshape(x, ())


def _without(
    proto: Any, fixed: Sequence[bool], first_input: int, first_output: int
) -> Any:
    """A body without the inputs and outputs of invariants."""
    if not any(fixed):
        return proto
    copy = type(proto)()
    copy.CopyFrom(proto)
    for i in reversed([i for i, gone in enumerate(fixed) if gone]):
        del copy.input[first_input + i]
        del copy.output[first_output + i]
    return copy


def _stacked(
    outer: Outer, item: Type, inner: frozenset[str], count: Dim | None, axis: int
) -> Type:
    """The type of items of one type along a new axis.

    Raises:
        ShapeError: If they are no tensors.
    """
    if not isinstance(item, TensorType):
        raise ShapeError(f"a loop stacks tensors, not {item}")
    known = outer.type(TensorType(item.dtype, item.shape), inner)
    assert isinstance(known, TensorType)
    if known.shape is None:
        return known
    axis = axis + len(known.shape) + 1 if axis < 0 else axis
    shape = list(known.shape)
    shape.insert(axis, outer.dim() if count is None else count)
    return known.with_shape(shape)


@converter("SequenceMap", since=17)
def sequence_map(c: Context) -> Sequence[Value]:
    """A body applied to each element of sequences; tensors are the same for all."""
    b, proto, values = c.b, c.graph("body"), c.values()
    elements = [_item_type(c, v) for v in values]
    captured = c.importer.captured(proto)
    graph = c.importer.import_subgraph(proto, elements, captured)
    own = frozenset[str]().union(inner_symbols(graph), *map(type_symbols, elements))
    own -= frozenset[str]().union(*(type_symbols(v.type) for v in values))
    kept = [forget(plain(t), own, lambda: ANY) for t in graph.output_types]
    names = [f"item{i}" for i in range(len(values))]
    given = dict(zip(names, values, strict=True))
    lead = {"i": TensorType(int64, ()), "going": TensorType(bool_, ())}
    sums = {f"out{k}": SequenceType(t) for k, t in enumerate(kept)}
    run = c.importer.open_subgraph("map", {**lead, **sums}, {**given, **captured})
    inner = Context(run.b, c.node, c.version, [], run)
    items = [_item_at(inner, run.lookup(n), run.lookup("i")) for n in names]
    held = [run.lookup(n) for n in captured if c.b.known(captured[n]) is None]
    outer = Outer(inner)
    fields = outer.fields([outer.type(t, own) for t in graph.output_types])
    found = run.b.emit_all("call", *items, *held, graph=graph, **fields)
    grown = [
        run.b.emit("sequence_insert", run.lookup(name), y)
        for name, y in zip(sums, found, strict=True)
    ]
    body = run.b.finish([run.lookup("going"), *grown])
    first = [b.emit("sequence_empty", element=t) for t in kept]
    operands = [b.emit("sequence_length", values[0]), b.scalar(True, bool_), *first]
    operands += c.importer.capture_operands({**given, **captured})
    types = tuple(sums.values())
    return b.emit_all(
        "while_loop", *operands, body=body, carried=len(kept), types=types
    )


def _item_type(c: Context, v: Value) -> Type:
    if not isinstance(v.type, SequenceType):
        return v.type
    return settle(v.type.element, c.b.fresh_symbol)


def _item_at(c: Context, v: Value, i: Value) -> Value:
    if not isinstance(v.type, SequenceType):
        return v
    outer = Outer(c)
    types = [settle(v.type.element, outer.dim)]
    return c.b.emit("sequence_at", v, i, **outer.fields(types))


# Scan ---------------------------------------------------------------------------------


@converter("Scan", since=9)
def scan(c: Context) -> Sequence[Value]:
    """A body run over slices of tensors."""
    proto, scanned = c.graph("body"), c.integer("num_scan_inputs")
    values = c.values()
    carried = len(values) - scanned
    ranks = [v.rank for v in values[carried:]]
    items = len(proto.output) - carried
    given = c.integers("scan_input_axes", [0] * scanned)
    fields = {
        "in_axes": tuple(c.axis(a, r) for a, r in zip(given, ranks, strict=True)),
        "reverse": _flags(c, "scan_input_directions", scanned),
        "out_reverse": _flags(c, "scan_output_directions", items),
    }
    axes = c.integers("scan_output_axes", [0] * items)
    return _scan(c, proto, values, carried, axes, fields)


def _flags(c: Context, name: str, count: int) -> tuple[bool, ...]:
    flags = c.integers(name, [0] * count)
    if len(flags) != count:
        raise ModelError(f"{c.op_type}: {name} has {len(flags)} elements, not {count}")
    return tuple(bool(f) for f in flags)


def _scan(
    c: Context,
    proto: Any,
    values: Sequence[Value],
    carried: int,
    axes: Sequence[int],
    fields: dict[str, Any],
) -> Sequence[Value]:
    scanned = values[carried:]
    slices = [
        _slice_type(v, a) for v, a in zip(scanned, fields["in_axes"], strict=True)
    ]
    captured = c.importer.captured(proto)
    body = widened_body(
        c,
        proto,
        values[:carried],
        lambda types: c.importer.import_subgraph(proto, [*types, *slices], captured),
        0,
    )
    outer = Outer(c)
    count = scanned[0].shape[fields["in_axes"][0]] if scanned else 0
    items = body.graph.output_types[carried:]
    ranks = [len(t.dims) + 1 for t in items if isinstance(t, TensorType)]
    out_axes = [c.axis(a, r) for a, r in zip(axes, ranks, strict=True)]
    types = [outer.type(t, body.inner) for t in body.carried]
    types += [
        _stacked(outer, t, body.inner, count, a)
        for t, a in zip(items, out_axes, strict=True)
    ]
    return c.b.emit_all(
        "scan",
        *values,
        *c.importer.capture_operands(captured),
        body=body.graph,
        carried=carried,
        scanned=len(scanned),
        out_axes=tuple(out_axes),
        **fields,
        **outer.fields(types),
    )


def _slice_type(x: Value, axis: int) -> Type:
    shape = x.shape
    return x.tensor.with_shape((*shape[:axis], *shape[axis + 1 :]))


@converter("Scan")
def scan_8(c: Context) -> Sequence[Value]:
    """Scan over axis 1 for each element of a batch; lengths may differ in it.

    What a sequence shorter than the longest leaves open is 0.
    """
    proto, scanned, lengths = (
        c.graph("body"),
        c.integer("num_scan_inputs"),
        c.optional(0),
    )
    values = [_present(c, i) for i in range(1, len(c.inputs))]
    carried = len(values) - scanned
    rows = [*values, *([] if lengths is None else [lengths])]
    names = [f"row{i}" for i in range(len(rows))]
    types = dict(zip(names, (_slice_type(v, 0) for v in rows), strict=True))
    captured = c.importer.captured(proto)
    run = c.importer.open_subgraph("batch", types, captured)
    inputs = [run.lookup(n) for n in names]
    inner = Context(run.b, c.node, 9, inputs, run)
    longest = inputs[carried].shape[0]
    if lengths is not None:
        (length,) = run.b.bind_dims(run.b.reshape(inputs.pop(), (1,)))
        inputs[carried:] = (run.b.slice_axis(v, 0, 0, length) for v in inputs[carried:])
    items = len(proto.output) - carried
    fields = {
        "in_axes": (0,) * scanned,
        "reverse": _flags(c, "directions", scanned),
        "out_reverse": (False,) * items,
    }
    results = list(_scan(inner, proto, inputs, carried, [0] * items, fields))
    results[carried:] = (_padded(inner, v, longest) for v in results[carried:])
    return _over_batch(
        c, run.b.finish(results), rows, c.importer.capture_operands(captured)
    )


def _padded(c: Context, x: Value, size: Dim) -> Value:
    """Zeros after the end of axis 0, up to a size."""
    if x.shape[0] == size:
        return x
    rest = (0,) * (x.rank - 1)
    return c.b.pad(x, (0, *rest), (size - x.shape[0], *rest))


def _over_batch(
    c: Context, body: Graph, rows: Sequence[Value], invariants: Sequence[Value]
) -> Sequence[Value]:
    """A body run for each element of the first axis of tensors."""
    outer = Outer(c)
    inner, batch = inner_symbols(body), rows[0].shape[0]
    types = [_stacked(outer, t, inner, batch, 0) for t in body.output_types]
    count = len(types)
    return c.b.emit_all(
        "scan",
        *rows,
        *invariants,
        body=body,
        carried=0,
        scanned=len(rows),
        in_axes=(0,) * len(rows),
        reverse=(False,) * len(rows),
        out_axes=(0,) * count,
        out_reverse=(False,) * count,
        **outer.fields(types),
    )
