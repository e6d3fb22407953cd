"""Walks over logical expressions."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphwright.backends.codegen.expr import Expr
from graphwright.backends.codegen.index import Axis, Index
from graphwright.backends.codegen.narrow import taken_apart


def indices_of(expr: Expr) -> Iterator[Index]:
    """Indices that a node itself holds."""
    if expr.op == "index":
        yield expr.value
    elif expr.op == "within":
        yield expr.value.index
    elif expr.op == "read":
        yield expr.value.index
        yield from (guard.index for guard in expr.value.guards)
    elif expr.op == "reduce" and expr.value.part is not None:
        yield expr.value.part


def children_of(expr: Expr) -> Iterator[Expr]:
    """Operands, and what its indices compute in the run."""
    yield from expr.args
    for index in indices_of(expr):
        for item in index.items():
            yield item.value


def ordered(exprs: Iterable[Expr]) -> list[Expr]:
    """All expressions below some, each once, operands first."""
    found: dict[Expr, None] = {}
    stack = [(expr, False) for expr in reversed(list(exprs))]
    while stack:
        expr, done = stack.pop()
        if done:
            found.setdefault(expr)
        elif expr not in found:
            stack.append((expr, True))
            stack += [(child, False) for child in children_of(expr)]
    return list(found)


def reductions_of(exprs: Iterable[Expr]) -> list[Expr]:
    """The reductions among them, inner ones first."""
    return [expr for expr in ordered(exprs) if expr.op == "reduce"]


def lie_along(reduction: Expr, axes: Sequence[Axis]) -> bool:
    """Whether what is reduced lies side by side along the last of some axes."""
    below = (x for expr in ordered(reduction.args) for x in indices_of(expr))
    return bool(axes) and any(x.factor(axes[-1]) == 1 for x in below)


def axes_by_expr(exprs: Iterable[Expr]) -> dict[Expr, frozenset[Axis]]:
    """For all expressions below some, the axes that each hangs on."""
    found: dict[Expr, frozenset[Axis]] = {}
    for expr in ordered(exprs):
        axes = {axis for index in indices_of(expr) for axis in index.axes()}
        for child in children_of(expr):
            axes |= found[child]
        if expr.op == "reduce":
            axes -= set(expr.value.axes)
        found[expr] = frozenset(axes)
    return found


def free_axes(expr: Expr) -> frozenset[Axis]:
    """Axes that an expression hangs on."""
    return axes_by_expr([expr])[expr]


def with_axes(
    exprs: Sequence[Expr],
    axes: Mapping[Axis, Index],
    within: Callable[[tuple[Axis, ...]], tuple[Axis, ...]],
) -> list[Expr]:
    """Expressions with axes replaced; ``within`` says what becomes of reductions'."""
    made: dict[Expr, Expr] = {}
    for expr in ordered(exprs):
        value: Any = _value(expr, axes, made)
        if expr.op == "reduce":
            value = replace(value, axes=within(value.axes))
        args = tuple(made[arg] for arg in expr.args)
        made[expr] = replace(expr, args=args, value=value)
    return [made[expr] for expr in exprs]


def _value(expr: Expr, axes: Mapping[Axis, Index], made: Mapping[Expr, Expr]) -> Any:
    """What a node holds, axes and expressions in its indices replaced."""

    def index(x: Index) -> Index:
        return x.replaced(axes, made.__getitem__)

    if expr.op == "index":
        return index(expr.value)
    if expr.op == "within":
        return replace(expr.value, index=index(expr.value.index))
    if expr.op == "reduce" and expr.value.part is not None:
        return replace(expr.value, part=index(expr.value.part))
    if expr.op != "read":
        return expr.value
    guards = tuple(replace(g, index=index(g.index)) for g in expr.value.guards)
    return replace(expr.value, index=index(expr.value.index), guards=guards)


def expanded(exprs: Sequence[Expr]) -> list[Expr]:
    """Expressions with narrow floats taken apart."""

    def apart(expr: Expr) -> Expr:
        return taken_apart(expr) if expr.op in ("rounded", "decoded") else expr

    return changed(exprs, apart)


def changed(exprs: Sequence[Expr], change: Callable[[Expr], Expr]) -> list[Expr]:
    """Expressions in which each is changed, operands first."""
    return _rebuilt(exprs, {}, change)


def substituted(exprs: Sequence[Expr], by: Mapping[Expr, Expr]) -> list[Expr]:
    """Expressions in which others stand for some."""
    return _rebuilt(exprs, by, lambda expr: expr)


def _rebuilt(
    exprs: Sequence[Expr], by: Mapping[Expr, Expr], change: Callable[[Expr], Expr]
) -> list[Expr]:
    """Expressions with some replaced, and all that hangs on them changed."""
    made = dict(by)
    for expr in ordered(exprs):
        if expr in made:
            continue
        own = expr
        if any(made[child] is not child for child in children_of(expr)):
            args = tuple(made[arg] for arg in expr.args)
            own = replace(expr, args=args, value=_value(expr, {}, made))
        made[expr] = change(own)
    return [made[expr] for expr in exprs]
