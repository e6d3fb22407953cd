"""Trees of arguments and results: tuples, lists, dicts, dataclasses of leaves."""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple, TypeAlias

Structure: TypeAlias = Any
"""A hashable description of a tree: ``LEAF``, or kind, keys and children."""

LEAF = None


class _Default(NamedTuple):
    """The kind of a ``defaultdict``: what it makes of a missing key counts too."""

    factory: Any


_DICTS = (dict, OrderedDict, defaultdict)


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
    kind: Any = type(tree)
    if kind is defaultdict:
        kind = _Default(tree.default_factory)
    return kind, names, tuple([_flatten(x, leaves) for x in items])


def _children(tree: Any) -> tuple[tuple[Any, ...], Sequence[Any]] | None:
    """Names and items of an inner node; None of a leaf."""
    kind = type(tree)
    if kind is tuple or kind is list:
        return (), tree
    if kind in _DICTS:
        return tuple(tree), list(tree.values())
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return tree._fields, tree
    if is_dataclass(tree) and not isinstance(tree, type):
        names = tuple(f.name for f in fields(tree) if hasattr(tree, f.name))
        return names, [getattr(tree, n) for n in names]
    return None


def leaves_as(structure: Structure, tree: Any) -> list[Any] | None:
    """What stands in a tree where a structure has its leaves; None if it is another."""
    if structure is LEAF:
        return [tree]
    children = _children(tree)
    if children is None or children[0] != structure[1]:
        return None
    if len(children[1]) != len(structure[2]):
        return None
    found: list[Any] = []
    for part, item in zip(structure[2], children[1], strict=True):
        leaves = leaves_as(part, item)
        if leaves is None:
            return None
        found += leaves
    return found


def unflatten(structure: Structure, leaves: Sequence[Any]) -> Any:
    """The tree of a structure with these leaves."""
    return _built(structure, iter(leaves))


def _built(part: Structure, leaves: Iterator[Any]) -> Any:
    """A part of the tree; no closure that would keep the leaves alive in a circle."""
    if part is LEAF:
        return next(leaves)
    kind, names, children = part
    return _made(kind, names, [_built(c, leaves) for c in children])


def _made(kind: Any, names: tuple[Any, ...], items: list[Any]) -> Any:
    """The inner node of a kind with these children."""
    if kind in _DICTS:
        return kind(zip(names, items, strict=True))
    if isinstance(kind, _Default):
        return defaultdict(kind.factory, zip(names, items, strict=True))
    if isinstance(kind, type) and is_dataclass(
        kind
    ):  # a copy: what its constructor checks was checked before
        made = object.__new__(kind)
        for name, item in zip(names, items, strict=True):
            object.__setattr__(made, name, item)
        return made
    return kind(*items) if hasattr(kind, "_fields") else kind(items)


def paths(structure: Structure, root: str = "") -> list[str]:
    """A name for each leaf, such as ``params.w`` or ``xs[2]``."""
    if structure is LEAF:
        return [root]
    kind, names, children = structure
    found: list[str] = []
    for i, child in enumerate(children):
        mapping = kind in _DICTS or isinstance(kind, _Default)
        key = f"[{names[i]!r}]" if mapping else f".{names[i]}" if names else f"[{i}]"
        found += paths(child, root + key)
    return found


def map_leaves(function: Callable[..., Any], tree: Any) -> Any:
    """The tree with a function applied to each leaf."""
    leaves, structure = flatten(tree)
    return unflatten(structure, [function(x) for x in leaves])
