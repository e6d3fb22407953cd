"""Rewrites that do something else, for a while."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from graphwright.passes.pipeline import CANONICALIZE, SIMPLIFY


@contextmanager
def faulty(name: str, function: Callable[..., Any]) -> Iterator[None]:
    """A block in which a local rewrite does something else, in all passes."""
    sets = {id(rules): rules for rules in (CANONICALIZE, SIMPLIFY)}
    before = {key: list(rules.rewrites) for key, rules in sets.items()}
    for key, rules in sets.items():
        rules.rewrites[:] = [
            replace(r, function=function) if r.name == name else r for r in before[key]
        ]
        rules.forget()
    try:
        yield
    finally:
        for key, rules in sets.items():
            rules.rewrites[:] = before[key]
            rules.forget()
