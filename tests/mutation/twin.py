"""The passes once more in this process, one of them with a change.

What they are made with, ``rules`` and ``pattern`` among it, both have in common.
"""

import importlib
import sys
from dataclasses import dataclass
from typing import Any

import graphwright.bisection
import graphwright.passes.manager
import graphwright.passes.roll
import graphwright.testing.passcheck
import graphwright.testing.random_graphs
from mutation.hook import install
from mutation.operators import Mutant, modules

USERS = (
    graphwright.passes.manager,
    graphwright.testing.passcheck,
    graphwright.testing.random_graphs,
    graphwright.bisection,
    graphwright.passes.roll,
)
"""Modules that hold passes and are imported anew with them."""


@dataclass(frozen=True)
class Twin:
    """Modules that hold the changed passes.

    Attributes:
        manager: Twin of ``graphwright.passes.manager``.
        passcheck: Twin of ``graphwright.testing.passcheck``.
        random_graphs: Twin of ``graphwright.testing.random_graphs``: aims by patterns.
        bisection: Twin of ``graphwright.bisection``.
        roll: Twin of ``graphwright.passes.roll``, whose limits can be set.
    """

    manager: Any
    passcheck: Any
    random_graphs: Any
    bisection: Any
    roll: Any


def changed(mutant: Mutant) -> Twin:
    """The changed passes; what was imported before goes on with the unchanged ones.

    For a process that ends after it: whatever is imported later has the change.
    """
    passes = {
        f"graphwright.passes.{name}" for name in (*modules(), "pipeline", "lower")
    }
    for name in passes | {module.__name__ for module in USERS}:
        sys.modules.pop(name, None)
    install(mutant.module, mutant.number)
    return Twin(*(importlib.import_module(module.__name__) for module in USERS))
