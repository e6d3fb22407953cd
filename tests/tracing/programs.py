"""Random NumPy programs as the text of modules, and what NumPy makes of them."""

import importlib.util
import itertools
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import numpy as np
from hypothesis import strategies as st
from tracing.differences import reason
from tracing.statements import DTYPES, EFFECTS, EXPRESSIONS, SHAPES, weighted

HEAD = """\
import numpy as np

SCALE = np.array([2.0, 1.0, 0.5])


def helper(x, y):
    both = np.concatenate([np.ravel(x), np.ravel(y)])
    both[0] = 3
    return both[::2] * SCALE[0]


def bumped(x):
    x += 1
    return x * 2


TOOLS = {"twice": lambda x: np.stack([x, x])}

"""


def start(kind: str, shape: tuple[int, ...]) -> Any:
    """The array that a program gets: small numbers, none the same as its neighbour."""
    n = int(np.prod(shape, dtype=int))
    values = (np.arange(n) * 5 + 3) % 7 - 2
    return values.reshape(shape).astype(kind)


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings: what NumPy says about values is no concern here."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


_LIMIT = 512
_NAME = re.compile(r"\b[av]\d+\b")
_FAILURES = (
    *(ValueError, TypeError, IndexError, OverflowError, AttributeError),
    *(NameError, RecursionError, RuntimeError, ZeroDivisionError),
)


class Program:
    """A module's text: a function of arrays, with helpers; each line runs in NumPy.

    Attributes:
        inputs: Dtype and shape of each argument.
        lines: The function's statements.
        left_out: For each named class of difference how many statements it took away.
        trusting: Whether statements are added that belong to such a class.
    """

    def __init__(self, inputs: Sequence[tuple[str, tuple[int, ...]]]) -> None:
        self.inputs, self.lines = inputs, list[str]()
        self.left_out: dict[str, int] = {}
        self.trusting = False
        self._reset()

    def _reset(self) -> None:
        """Arrays as they are after all lines."""
        self.space: dict[str, Any] = {}
        exec(HEAD, self.space)
        self.arguments = self.arrays()
        self.names = [f"a{i}" for i in range(len(self.inputs))]
        self.space.update(zip(self.names, self.arguments, strict=True))
        for line in self.lines:
            self._run(line)

    def arrays(self) -> list[Any]:
        """The arguments, fresh."""
        return [start(*row) for row in self.inputs]

    @property
    def here(self) -> dict[str, Any]:
        """The arrays that there are, by name."""
        return {n: self.space[n] for n in self.names}

    def _run(self, line: str) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            exec(line, self.space)
        for n in _NAME.findall(line):
            if n not in self.names and n in self.space:
                self.names.append(n)
        return [str(w.message) for w in caught]

    def add(self, line: str) -> bool:
        """Adds a statement, unless it fails in NumPy or belongs to a named class."""
        before = self.here
        why = None if self.trusting else reason(line, before, None, [])
        if why is None:
            try:
                said = self._run(line)
            except _FAILURES:
                self._reset()
                return False
            why = None if self.trusting else reason(line, before, self.here, said)
        if why is not None:
            self.left_out[why] = self.left_out.get(why, 0) + 1
        large = any(np.size(x) > _LIMIT for x in self.here.values())
        if why is not None or large or not all(map(_known, self.here.values())):
            self._reset()
            return False
        self.lines.append(line)
        return True

    def results(self) -> list[Any]:
        """What it returns."""
        return list(self.here.values())

    def without(self, *words: str) -> "Program":
        """The program without the statements that hold any of some words."""
        made = Program(self.inputs)
        for line in self.lines:
            if not any(word in line for word in words):
                made.add(line)
        return made

    def text(self, namespace: str = "numpy") -> str:
        """The module, its ``np`` a namespace."""
        head = HEAD.replace("import numpy", f"import {namespace}", 1)
        inputs = ", ".join(f"a{i}" for i in range(len(self.inputs)))
        body = "\n".join(f"    {line}" for line in self.lines)
        copies = ", ".join(f"a{i}.copy()" for i in range(len(self.inputs)))
        return (
            f"{head}\ndef program({inputs}):\n{body}\n"
            f"    return [{', '.join(self.names)}]\n\n\n"
            f"def pure({inputs}):\n    return program({copies})\n"
        )

    def __repr__(self) -> str:
        return f"inputs: {self.inputs}\n{self.text()}"


def _known(x: Any) -> bool:
    if isinstance(x, (tuple, list)):
        return all(map(_known, x))
    return isinstance(x, (np.ndarray, np.generic, bool, int)) and (
        np.asarray(x).dtype.kind in "biufc" and np.asarray(x).dtype.itemsize <= 16
    )


def build(r: Random, size: int) -> Program:
    """A program of up to ``size`` statements."""
    rows = [(r.choice(DTYPES), r.choice(SHAPES)) for _ in range(r.randint(1, 3))]
    program = Program(rows)
    count = itertools.count()
    for _ in range(r.randint(1, size)):
        if r.random() < 0.62:
            line = f"v{next(count)} = {weighted(r, EXPRESSIONS)(r, _arrays(program))}"
        else:
            line = weighted(r, EFFECTS)(r, _arrays(program))
        program.add(line)
    return program


def _arrays(program: Program) -> dict[str, Any]:
    return {n: x for n, x in program.here.items() if not isinstance(x, (tuple, list))}


@st.composite
def programs(draw: Any, size: int) -> Program:
    """A program of up to ``size`` statements."""
    return build(draw(st.randoms(use_true_random=False)), size)


_numbers = itertools.count()


@contextmanager
def module(text: str, folder: Path) -> Iterator[ModuleType]:
    """A module of a text, from a real file."""
    name = f"random_program_{next(_numbers)}"
    path = folder / f"{name}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    try:
        spec.loader.exec_module(made)
        yield made
    finally:
        del sys.modules[name]
        path.unlink()
