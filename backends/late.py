"""Steps whose sizes a run finds out: kernels bound again, symbols from results."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from graphwright.backends.arena import aligned
from graphwright.backends.contract import Backend, Into
from graphwright.backends.frame import address, contiguous, stand_in
from graphwright.backends.host import fetched, placed
from graphwright.backends.lease import Lender
from graphwright.ir.dim import Dim, Expr, symbol
from graphwright.ir.evaluate import Env, check_guards, define_symbols
from graphwright.ir.graph import Node
from graphwright.ir.types import Guard, TensorType, Type

_MOST_BINDINGS = 4


class Again:
    """A kernel for sizes that came up in a run, for many threads.

    The first call is all that most sizes see; from the second on it stays bound to
    where operands and results lie.
    """

    def __init__(self, kernel: Into) -> None:
        self._kernel, self._met = kernel, False
        self._idle: list[_Bound] = []

    def __call__(self, *operands: Any) -> tuple[Any, ...]:
        """The results."""
        if not self._met:
            self._met = True
            found = self._kernel(*operands)
            return found if isinstance(found, tuple) else (found,)
        try:
            bound = self._idle.pop()
        except IndexError:
            bound = _Bound(self._kernel)
        try:
            return bound(operands)
        finally:
            self._idle.append(bound)


class _Bound:
    """Memory for one call at a time, and the kernel bound to it."""

    def __init__(self, kernel: Into) -> None:
        self._kernel = kernel
        self._scratch = aligned(kernel.scratch_bytes)
        self._lenders = [Lender(place) for place in kernel.places]
        self._calls: dict[Any, Callable[[], object]] = {}

    def __call__(self, operands: Sequence[Any]) -> tuple[Any, ...]:
        results: list[Any] = [lender.lend() for lender in self._lenders]
        key = (*map(address, operands), *(x.base.address for x in results))
        call = self._calls.get(key) or self._bind(key, results, operands)
        if call is None:
            self._kernel.run(*results, *operands)
        else:
            call()
        return tuple(results)

    def _bind(
        self, key: Any, results: Sequence[Any], operands: Sequence[Any]
    ) -> Callable[[], object] | None:
        """What does the same to the same arrays; None where that cannot be known."""
        kernel = self._kernel
        ends = [stand_in(x) for x in results]
        fixed = [
            x if i in kernel.unread else stand_in(x) for i, x in enumerate(operands)
        ]
        known = all(x is not None for x in (*ends, *fixed))
        if kernel.bind is None or not known or not contiguous(fixed, kernel):
            return None
        if len(self._calls) >= _MOST_BINDINGS:
            self._calls.pop(next(iter(self._calls)))
        call = self._calls[key] = kernel.bind(self._scratch, *ends, *fixed)
        return call


Settle = Callable[[Sequence[Any], Sequence[Any], Env], list[Any]]
"""Gives results as the backend's arrays, for operands, results and symbols."""


def settling(node: Node, guards: Sequence[Guard], backend: Backend) -> Settle:
    """What is done with a node's results: symbols that it finds out are bound."""
    types = [v.type for v in node.results]
    define = _definer(node) if node.op.defined_symbols() else None
    told = not node.results  # only then operands say what symbols are

    def settle(operands: Sequence[Any], results: Sequence[Any], env: Env) -> list[Any]:
        pairs = zip(results, types, strict=True)
        arrays = [placed(x, t, backend) for x, t in pairs]
        if define is not None:
            rows = zip(operands, node.operands, strict=True) if told else ()
            define([fetched(x, v.type, backend) for x, v in rows], arrays, env)
            check_guards([*guards], env)
        return arrays

    return settle


_Define: TypeAlias = Callable[[Sequence[Any], Sequence[Any], Env], None]


def _definer(node: Node) -> _Define:
    """What binds the symbols that a node finds out, given operands and results.

    Results whose sizes are numbers and whole symbols are only compared with these.
    """
    define = partial(define_symbols, node)
    names: dict[Dim, str] = {symbol(n): n for n in node.op.defined_symbols()}
    rows = [_sizes(v.type, names) for v in node.results]
    if not rows or None in rows:
        return define

    def compared(operands: Sequence[Any], results: Sequence[Any], env: Env) -> None:
        for name in names.values():
            env.pop(name, None)
        for row, x in zip(rows, results, strict=True):
            if not _fits(row, x.shape, env):  # which is an error
                define(operands, results, env)

    return compared


def _sizes(type_: Type, names: Mapping[Dim, str]) -> list[int | str] | None:
    """Sizes as numbers and names of symbols; None if there are others."""
    if not isinstance(type_, TensorType) or type_.shape is None:
        return None
    found = [names.get(dim, dim) for dim in type_.shape]
    plain = [size for size in found if not isinstance(size, Expr)]
    return plain if len(plain) == len(found) else None


def _fits(row: Any, shape: Sequence[int], env: Env) -> bool:
    """Whether a shape is as declared; symbols met for the first time are bound."""
    pairs = zip(row, shape, strict=False)
    same = [(env.setdefault(d, n) if type(d) is str else d) == n for d, n in pairs]
    return len(row) == len(shape) and all(same)
