"""Trees of arguments and results: tuples, lists, dicts, dataclasses of leaves."""

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeAlias

Structure: TypeAlias = Any
"""A hashable description of a tree: ``LEAF``, or kind, keys and children."""

LEAF = None

_PLAIN = (tuple, list, dict)


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves of a tree, in order, and what puts them together again."""
    leaves: list[Any] = []
    return leaves, _flatten(tree, leaves)


def _flatten(tree: Any, leaves: list[Any]) -> Structure:
    children = _children(tree)
    if children is None:
        leaves.append(tree)
        return LEAF
    names, items = children
    return type(tree), names, tuple([_flatten(x, leaves) for x in items])


def _children(tree: Any) -> tuple[tuple[Any, ...], Sequence[Any]] | None:
    """Names and items of an inner node; None of a leaf."""
    kind = type(tree)
    if kind is tuple or kind is list:
        return (), tree
    if kind is dict:
        return tuple(tree), list(tree.values())
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return (), tree
    if is_dataclass(tree) and not isinstance(tree, type):
        names = tuple(f.name for f in fields(tree))
        return names, [getattr(tree, n) for n in names]
    return None


def unflatten(structure: Structure, leaves: Sequence[Any]) -> Any:
    """The tree of a structure with these leaves."""
    rest = iter(leaves)

    def build(part: Structure) -> Any:
        if part is LEAF:
            return next(rest)
        kind, names, children = part
        items = [build(c) for c in children]
        if kind is dict:
            return dict(zip(names, items, strict=True))
        if names:
            return kind(**dict(zip(names, items, strict=True)))
        return kind(*items) if hasattr(kind, "_fields") else kind(items)

    return build(structure)


def paths(structure: Structure, root: str = "") -> list[str]:
    """A name for each leaf, such as ``params.w`` or ``xs[2]``."""
    if structure is LEAF:
        return [root]
    kind, names, children = structure
    found: list[str] = []
    for i, child in enumerate(children):
        key = (
            f"[{names[i]!r}]" if kind is dict else f".{names[i]}" if names else f"[{i}]"
        )
        found += paths(child, root + key)
    return found


def map_leaves(function: Callable[..., Any], tree: Any) -> Any:
    """The tree with a function applied to each leaf."""
    leaves, structure = flatten(tree)
    return unflatten(structure, [function(x) for x in leaves])
