"""Small tensors: a function of them runs at once, by what it did the time before.

To defer an operation, to find its structure again and to run it compiled takes some ten
times as long as NumPy needs for a few numbers. So what an array function emits for
small operands is noted as a ``Recipe``, a list of ops on numbered arrays, and from then
on only that runs. It holds for all operands of the same dtypes and shapes: a function
that looks at their values, or whose sizes depend on them, has no recipe.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, TypeAlias

import numpy as np

from graphwright.backends.contract import Backend
from graphwright.backends.registry import choose_backend
from graphwright.frontends.tracing.lazy import (
    Call,
    Deferred,
    Key,
    LazyEmitter,
    Walk,
    kernel_of,
    leaf,
)
from graphwright.frontends.tracing.placement import default
from graphwright.frontends.tracing.storage import SMALL, Cell, Handle
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import DType
from graphwright.ir.emitter import Value
from graphwright.ir.errors import GraphwrightError
from graphwright.ir.op import Tier, Trait
from graphwright.ir.types import TensorType

MAX_RECIPES = 256
_MAX_STEPS = 16

Convert: TypeAlias = Callable[[LazyEmitter, tuple[Any, ...], dict[str, Any]], list[Any]]
Step: TypeAlias = tuple[Callable[..., Any], tuple[int, ...]]

_STATIC = frozenset((int, bool, str, type(None), DType, np.dtype, type))


class _NoRecipe(Exception):
    """A function does what cannot be done again without looking."""


class _Stand(Deferred):
    """Stands for an operand of which only the type may be known."""

    __slots__ = ()

    @property
    def data(self) -> Any:
        """Nothing: whoever reads it depends on it."""
        raise _NoRecipe

    @data.setter
    def data(self, _: Any) -> None:
        pass


class _Noting(LazyEmitter):
    """Defers what a function emits; refuses what depends on operands' values."""

    __slots__ = ()

    def emit_all(self, name: str, *operands: Value, **fields: Any) -> tuple[Value, ...]:
        """Adds a call whose sizes are known."""
        found = super().emit_all(name, *operands, **fields)
        if any(not isinstance(v, Deferred) or v.call is None for v in found):
            raise _NoRecipe
        return found

    def known(self, value: Value) -> Constant | None:
        """Only constants are."""
        if isinstance(value, _Stand) or self.producer(value) is not None:
            raise _NoRecipe
        return super().known(value)

    def fresh_symbol(self, minimum: int | None = 0) -> Any:
        """There is none."""
        raise _NoRecipe

    def bind_dims(self, x: Value, minimum: int | None = 0) -> Any:
        """Reads values."""
        raise _NoRecipe

    def subgraph(self, name: str) -> Any:
        """Loops are compiled."""
        raise _NoRecipe


class Recipe:
    """What a function does to arrays: steps, each of which adds one.

    Args:
        result: What the function gave for what stood for the operands.
        stands: What stood for them.
        backend: What runs the steps.

    Attributes:
        type: Type of the result.
    """

    __slots__ = ("_constants", "_last", "_steps", "type")

    def __init__(self, result: Any, stands: Sequence[_Stand], backend: Backend) -> None:
        if type(result) is not Deferred or result.call is None:
            raise _NoRecipe
        walk = Walk((result,))
        if len(walk.calls) > _MAX_STEPS or result.index:
            raise _NoRecipe
        constants = [v for v in walk.leaves if not isinstance(v, _Stand)]
        spread = _spread(walk.calls, result.call)
        kept = [call for call in walk.calls if call not in spread]
        rows: dict[Any, int] = {
            v: i for i, v in enumerate([*stands, *constants, *kept])
        }
        if any(v.index for call in walk.calls for v in _operands(call)):
            raise _NoRecipe
        steps: list[Step] = []
        for call in kept:
            sources = [
                v.call.operands[0] if v.call in spread else v for v in _operands(call)
            ]
            places = tuple([rows[v if v.call is None else v.call] for v in sources])
            steps.append((_function(backend, call), places))
        self._constants = [v.data for v in constants]
        self._steps, self._last = steps[:-1], steps[-1]
        self.type = TensorType(result.dtype, result.shape)

    def __call__(self, arrays: list[Any]) -> "np.ndarray[Any, Any]":
        """The result for the operands' arrays; nobody may write to it."""
        arrays += self._constants
        function, places = self._last
        with np.errstate(all="ignore"):
            for step, inputs in self._steps:
                arrays.append(_first(step(*[arrays[i] for i in inputs])))
            found = _first(function(*[arrays[i] for i in places]))
        found.flags.writeable = False
        return found


def _operands(call: Call) -> Any:
    """Deferred values all, outside a trace."""
    return call.operands


def _spread(calls: Sequence[Call], last: Call) -> set[Call]:
    """Calls that repeat elements where NumPy would do so by itself."""
    users: dict[Any, list[Call]] = {}
    for call in calls:
        for v in _operands(call):
            users.setdefault(v.call, []).append(call)
    found = {c for c in calls if c.op.name == "broadcast_to" and c is not last}
    return {c for c in found if all(_repeats(user, found) for user in users[c])}


def _repeats(user: Call, spread: set[Call]) -> bool:
    """Whether a call broadcasts, and has an operand of its result's shape."""
    if Trait.ELEMENTWISE not in user.op.traits or user.op.tier is not Tier.PRIMITIVE:
        return False
    mine = [v for v in _operands(user) if v.call not in spread]
    return any(v.shape == w.shape for v in mine for w in _operands(user) if w is not v)


def _first(found: Any) -> "np.ndarray[Any, Any]":
    """A kernel's first result."""
    if type(found) is np.ndarray:
        return found
    return np.asarray(found[0] if type(found) is tuple else found)


def _function(backend: Backend, call: Call) -> Callable[..., Any]:
    """What runs a call on arrays: no kernel is worth its preparations here."""
    op = call.op
    if op.tier is Tier.CONTROL or Trait.RANDOM in op.traits:
        raise _NoRecipe
    if Trait.ELEMENTWISE in op.traits and op.tier is Tier.PRIMITIVE:
        return partial(op.compute, np)
    return kernel_of(backend, op, tuple([v.tensor for v in call.operands]))


class Recipes:
    """The recipes of one array function, by the kinds of its arguments.

    Args:
        function: The function over an emitter.
        convert: Makes values of its arguments.
        array: Whether a 0-d result is an array.
    """

    __slots__ = ("_array", "_convert", "_found", "_function")

    def __init__(
        self, function: Callable[..., Any], convert: Convert, *, array: bool
    ) -> None:
        self._function, self._convert, self._array = function, convert, array
        self._found: dict[Key, Recipe | None] = {}

    def run(self, args: tuple[Any, ...], options: dict[str, Any]) -> Handle | None:
        """The function's result, or None where it has to be called as it is."""
        home = default()
        if home is not numpy_backend():
            return None
        arrays: list[Any] = []
        key: list[Any] = []
        for x in args:
            if type(x) is Handle.concrete:
                value = x.small_value(SMALL)
                if value is None or (value.home is not None and value.home is not home):
                    return None
                arrays.append(value.data)
                key += (value.tensor.dtype, value.data.shape)
            elif not _note(x, key):
                return None
        for name, x in options.items():
            key.append(name)
            if not _note(x, key):
                return None
        if not arrays:
            return None
        kinds = tuple(key)
        try:
            recipe = self._found[kinds]
        except KeyError:
            recipe = self._learn(kinds, args, options, home)
        if recipe is None:
            return None
        made = Handle.concrete.on(Cell(leaf(recipe(arrays), recipe.type, home), None))
        return made.boxed() if self._array else made

    def _learn(
        self,
        key: Key,
        args: tuple[Any, ...],
        options: dict[str, Any],
        home: Backend,
    ) -> Recipe | None:
        """Notes what the function does for arguments of these kinds."""
        stands: list[_Stand] = []
        shown: list[Any] = []
        for x in args:
            if isinstance(x, Handle):
                type_ = x.type_of()
                stands.append(_Stand(TensorType(type_.dtype, type_.dims)))
            shown.append(stands[-1] if isinstance(x, Handle) else x)
        b, options = _Noting(), dict(options)
        try:
            values = self._convert(b, tuple(shown), options)
            found = Recipe(self._function(b, *values, **options), stands, home)
        except _CANNOT:
            found = None
        if len(self._found) >= MAX_RECIPES:
            self._found.clear()
        self._found[key] = found
        return found


_CANNOT = (
    *(_NoRecipe, GraphwrightError, ArithmeticError, LookupError),
    *(AttributeError, TypeError, ValueError),
)
"""What says that there is no recipe: the function itself, called as it is, says why."""


def _note(x: Any, key: list[Any]) -> bool:
    """Adds what tells a static argument from others; False if nothing does."""
    kind = type(x)
    if kind in _STATIC:
        key += (kind, x)
    elif kind is float or kind is complex:
        key += (kind, repr(x))  # which tells -0.0 from 0.0
    elif kind is tuple and all(type(part) is int for part in x):
        key += (kind, x)
    else:
        return False
    return True


@cache
def numpy_backend() -> Backend:
    """The one that runs small tensors at once."""
    return choose_backend("numpy")
