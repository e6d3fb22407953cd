"""Recipes by op: how each op comes into a graph.

An op class may have one of its own: a static method ``recipe(maker)``.
"""

import inspect
from collections.abc import Callable

from graphwright.ir.errors import UnsupportedOpError
from graphwright.ir.op import OPS, Op, Trait
from graphwright.testing.maker import Recipe

RECIPES: dict[str, Recipe] = {}
ALONE: set[str] = set()
"""Ops that random graphs leave out."""


def recipe(name: str, *, alone: bool = False) -> Callable[[Recipe], Recipe]:
    """Registers the recipe of an op.

    Args:
        name: The op.
        alone: Whether random graphs leave it out, because its results are not unique
            (eigenvectors) or nothing else takes them (maps).
    """

    def register(function: Recipe) -> Recipe:
        RECIPES[name] = function
        if alone:
            ALONE.add(name)
        return function

    return register


def recipe_for(name: str) -> Recipe:
    """The recipe of an op.

    Raises:
        UnsupportedOpError: If it has none.
    """
    own: Recipe | None = getattr(OPS.get(name), "recipe", None)
    found = own or RECIPES.get(name)
    if found is None:
        raise UnsupportedOpError(
            f"{name} has no recipe: give its class a static method recipe(maker)"
        )
    return found


def is_plain(cls: type[Op]) -> bool:
    """Whether an op is elementwise, takes equal types and needs no fields."""
    named = getattr(cls, "kinds", None) or cls.arity or cls.name in _ACTIVATIONS
    return Trait.ELEMENTWISE in cls.traits and bool(named)


_ACTIVATIONS = ("sigmoid", "softplus", "gelu")


def arity(cls: type[Op]) -> int:
    """How many operands an elementwise op takes."""
    if cls.arity is not None:
        return cls.arity
    return len(inspect.signature(cls.compute).parameters) - 2


def kinds_of(cls: type[Op]) -> str:
    """Which kinds of dtypes an elementwise op takes."""
    return str(getattr(cls, "kinds", "f"))
