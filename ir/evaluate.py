"""The reference evaluator: each op's ``compute``, one after the other."""

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from graphwright.ir.dim import Expr, bounds, solve, symbols
from graphwright.ir.dim import evaluate as evaluate_dim
from graphwright.ir.dtype import string
from graphwright.ir.emitter import Value
from graphwright.ir.errors import FeedError, GraphwrightError, ShapeError
from graphwright.ir.graph import Graph, Node
from graphwright.ir.op import Op, Tier
from graphwright.ir.ops.create import BindDims
from graphwright.ir.ops.effects import Effect
from graphwright.ir.types import TensorType, Type
from graphwright.ir.verify import check_guard

Env = dict[str, int]


_Unsolved: TypeAlias = tuple[Expr, int, int, str]
"""A dim that is not bound yet: dim, actual size, axis, and of what."""


def bind_shape(
    type_: Type, shape: Sequence[int], env: Env, what: str
) -> list[_Unsolved]:
    """Binds the symbols of a type from an actual shape; what cannot be solved yet.

    Raises:
        FeedError: If rank or a size differs, or a symbol gets a second value.
    """
    if not isinstance(type_, TensorType) or type_.shape is None:
        return []
    if len(shape) != len(type_.shape):
        raise FeedError(
            f"{what} has {len(shape)} axes {tuple(shape)}, the graph takes {type_}"
        )
    unsolved: list[_Unsolved] = []
    for axis, (dim, size) in enumerate(zip(type_.shape, shape, strict=True)):
        if isinstance(dim, Expr):
            if not _bind_dim(dim, size, axis, what, env):
                unsolved.append((dim, size, axis, what))
        elif dim != size:
            raise FeedError(
                f"{what} has size {size} on axis {axis}, the graph takes {type_}"
            )
    return unsolved


def _bind_dim(dim: Expr, size: int, axis: int, what: str, env: Env) -> bool:
    """Checks a dim, or binds its one free symbol; whether that was possible."""
    free = symbols(dim) - env.keys()
    if not free:
        value = evaluate_dim(dim, env)
        if value != size:
            raise FeedError(
                f"{what} has size {size} on axis {axis} where {dim} = {value} is bound"
                " already by another input"
            )
        return True
    if len(free) > 1:
        return False
    try:
        found = solve(dim, size, env)
    except ShapeError:  # not linear: perhaps another dim gives the symbol
        return False
    if found is None:
        raise FeedError(f"{what} has size {size} on axis {axis}, which {dim} cannot be")
    env[next(iter(free))] = found
    return True


def bind_inputs(graph: Graph, feeds: Sequence[Any], env: Env) -> None:
    """Binds the symbols of a graph's inputs from the arrays fed.

    A dim such as ``n*m`` waits until other dims have given all symbols but one.

    Raises:
        FeedError: If a shape does not fit, or a dim cannot be solved.
    """
    unsolved: list[_Unsolved] = []
    for v, name, x in zip(graph.inputs, graph.input_names, feeds, strict=True):
        unsolved += bind_shape(v.type, getattr(x, "shape", ()), env, f"input {name!r}")
    while unsolved:
        left = [
            (dim, size, axis, what)
            for dim, size, axis, what in unsolved
            if not _bind_dim(dim, size, axis, what, env)
        ]
        if len(left) == len(unsolved):
            dim, size, axis, what = left[0]
            free = ", ".join(sorted(symbols(dim) - env.keys()))
            raise FeedError(
                f"{what} has size {size} on axis {axis}, but {dim} alone does not say"
                f" what {free} is: give it an axis of its own on some input"
            )
        unsolved = left


def as_array(value: Any, type_: Type) -> Any:
    """A result as an array of its declared dtype; host values pass."""
    if not isinstance(type_, TensorType):
        return value
    if isinstance(value, np.ndarray):
        return value
    return np.asarray(value, type_.dtype.numpy)


def bind_op(op: Op, env: Mapping[str, int]) -> Op:
    """The op with all its dims known."""
    return op.bind(env) if env else op


class Evaluator:
    """Runs a graph op by op.

    Args:
        xp: numpy, or a library of the same interface.
        state: Variables by name.
    """

    def __init__(
        self, xp: Any = np, state: MutableMapping[str, Any] | None = None
    ) -> None:
        self.xp = xp
        self.state = {} if state is None else state

    def run(
        self, graph: Graph, feeds: Sequence[Any], env: Mapping[str, int] | None = None
    ) -> list[Any]:
        """Outputs of the graph for positional inputs.

        Raises:
            FeedError: If an input does not fit.
            GraphwrightError: What an op raises, with its source.
        """
        bound: Env = dict(env or {})
        values: dict[Value, Any] = {}
        bind_inputs(graph, feeds, bound)
        values.update(zip(graph.inputs, feeds, strict=True))
        for name, constant in graph.variables.items():
            self.state.setdefault(name, constant.array())
        guards = list(graph.guards)
        guards = check_guards(guards, bound)
        last = last_uses(graph)
        for index, node in enumerate(graph.nodes):
            operands = [_read(graph, values, v) for v in node.operands]
            results = self.step(node, operands, bound)
            values.update(zip(node.results, results, strict=True))
            for v in last.get(index, ()):
                values.pop(v, None)
            if guards and node.op.defined_symbols():
                guards = check_guards(guards, bound)
        return [_read(graph, values, v) for v in graph.outputs]

    def step(self, node: Node, operands: list[Any], env: Env) -> Sequence[Any]:
        """Results of one node; ``env`` grows by the symbols that it defines.

        Raises:
            GraphwrightError: What its op raises, with its source.
        """
        try:
            results = self._apply(node, operands, env)
        except GraphwrightError as error:
            if node.source is None or str(node.source) in str(error):
                raise
            raise type(error)(f"{node.source}: {error}") from error
        results = [
            as_array(r, v.type) for r, v in zip(results, node.results, strict=True)
        ]
        if node.op.defined_symbols():
            self._define(node, operands, results, env)
        return results

    def _apply(self, node: Node, operands: list[Any], env: Env) -> Sequence[Any]:
        op = bind_op(node.op, env)
        if isinstance(op, Effect):
            return op.apply(self.state, operands)
        if op.tier is Tier.CONTROL:
            return op.run(lambda graph, args: self.run(graph, args, env), operands)
        with np.errstate(all="ignore"):
            found = op.compute(self.xp, *operands)
        return found if isinstance(found, tuple) else (found,)

    def _define(
        self, node: Node, operands: list[Any], results: Sequence[Any], env: Env
    ) -> None:
        define_symbols(node, operands, results, env)


def define_symbols(
    node: Node, operands: Sequence[Any], results: Sequence[Any], env: Env
) -> None:
    """Binds the symbols that a node finds out, from its operand or its results.

    Raises:
        ShapeError: If a size is less than its symbol allows.
    """
    for name in node.op.defined_symbols():
        env.pop(name, None)
    if isinstance(node.op, BindDims):
        for dim, item in zip(
            node.op.dims, np.asarray(operands[0]).tolist(), strict=True
        ):
            if isinstance(dim, Expr):
                (name,) = symbols(dim)
                least = bounds(dim)[0]
                if least is not None and item < least:
                    place = node.source or node.op.name
                    raise ShapeError(f"{place}: size {item} is less than {least}")
                env[name] = item
        return
    for v, r in zip(node.results, results, strict=True):
        if hasattr(r, "shape"):
            bind_shape(v.type, tuple(r.shape), env, f"a result of {node.op.name}")


def check_guards(guards: list[Any], env: Env) -> list[Any]:
    """Checks the guards whose symbols are bound; returns the others.

    Raises:
        ShapeError: If one does not hold.
    """
    waiting: list[Any] = []
    for guard in guards:
        if (symbols(guard.left) | symbols(guard.right)) - env.keys():
            waiting.append(guard)
            continue
        left, right = evaluate_dim(guard.left, env), evaluate_dim(guard.right, env)
        problem = check_guard(guard, left, right)
        if problem:
            raise ShapeError(problem)
    return waiting


def _read(graph: Graph, values: dict[Value, Any], v: Value) -> Any:
    return values[v] if v in values else graph.constants[v].array()


def last_uses(graph: Graph) -> dict[int, list[Value]]:
    """Values that are not needed after each node, by the node's index."""
    last: dict[Value, int] = {}
    for index, node in enumerate(graph.nodes):
        for v in (*node.operands, *node.results):
            last[v] = index
    for v in graph.outputs:
        last.pop(v, None)
    rows: dict[int, list[Value]] = {}
    for v, index in last.items():
        rows.setdefault(index, []).append(v)
    return rows


def evaluate(
    graph: Graph, feeds: Sequence[Any], state: MutableMapping[str, Any] | None = None
) -> list[Any]:
    """Outputs of a graph on arrays, op by op, in NumPy.

    Raises:
        FeedError: If inputs do not fit the graph.
    """
    if len(feeds) != len(graph.inputs):
        names = ", ".join(graph.input_names)
        raise FeedError(f"{graph.name} takes ({names}), got {len(feeds)} inputs")
    arrays = [_as_feed(x, v.type) for x, v in zip(feeds, graph.inputs, strict=True)]
    return Evaluator(np, state).run(graph, arrays)


def _as_feed(x: Any, type_: Type) -> Any:
    if not isinstance(type_, TensorType):
        return x
    array = np.asarray(x, object) if type_.dtype is string else np.asarray(x)
    if array.dtype != type_.dtype.numpy:
        raise FeedError(f"an input has dtype {array.dtype}, the graph takes {type_}")
    return array
