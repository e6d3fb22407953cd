"""The changes that passes make, one by one: counted, and stopped after so many.

Every place that changes a graph asks ``exhausted`` before and says ``note`` after, once
for each instance of a rewrite. Within ``limited(n)`` only the first ``n`` changes are
made, always the same ones, so that a search over ``n`` finds the one that breaks a
graph (as LLVM's ``-opt-bisect-limit`` does). Outside of it both cost next to nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from graphwright.ir.graph import Node, Source
from graphwright.ir.record import record


@record(frozen=True, slots=True)
class Step:
    """One change of a graph.

    Attributes:
        pass_name: Name of the pass that made it.
        rewrite: Name of the rewrite; the pass's name where it has none of its own.
        op: Name of the op that it replaced, if it was one.
        source: Where that op's node comes from.
    """

    pass_name: str
    rewrite: str
    op: str = ""
    source: Source | None = None

    def __str__(self) -> str:
        place = f" of {self.op}" if self.op else ""
        place += f" from {self.source}" if self.source else ""
        inside = f" in {self.pass_name}" if self.pass_name != self.rewrite else ""
        return f"{self.rewrite}{inside}{place}"


@dataclass
class Steps:
    """The changes made so far, and how many may be made.

    Attributes:
        limit: How many changes are made at most; any number if None.
        taken: The changes made, in order.
        pass_name: The pass that runs.
        failed: Whether the last change is one that failed.
    """

    limit: int | None = None
    taken: list[Step] = field(default_factory=list[Step])
    pass_name: str = ""
    failed: bool = False

    @property
    def exhausted(self) -> bool:
        """Whether no more changes may be made."""
        return self.limit is not None and len(self.taken) >= self.limit


_CURRENT: ContextVar[Steps | None] = ContextVar("steps", default=None)


@contextmanager
def limited(limit: int | None = None) -> Iterator[Steps]:
    """A block in which passes note their changes, and make so many at most."""
    steps = Steps(limit)
    token = _CURRENT.set(steps)
    try:
        yield steps
    finally:
        _CURRENT.reset(token)


def exhausted() -> bool:
    """Whether a pass has to leave the graph as it is from now on."""
    steps = _CURRENT.get()
    return steps is not None and steps.exhausted


def note(rewrite: str, node: Node | None = None) -> None:
    """Notes a change that was made, of a node."""
    steps = _CURRENT.get()
    if steps is not None:
        name = steps.pass_name or rewrite
        op, source = (node.op.name, node.source) if node is not None else ("", None)
        steps.taken.append(Step(name, rewrite, op, source))


def note_failure(rewrite: str, node: Node | None = None) -> None:
    """Notes a change during which an error was raised, once."""
    steps = _CURRENT.get()
    if steps is not None and not steps.failed:
        note(rewrite, node)
        steps.failed = True


@contextmanager
def running(pass_name: str) -> Iterator[None]:
    """A block in which a pass runs; what it does not note itself is one change."""
    steps = _CURRENT.get()
    if steps is None:
        yield
        return
    before, steps.pass_name = steps.pass_name, pass_name
    try:
        yield
    except Exception:
        note_failure(pass_name)
        raise
    finally:
        steps.pass_name = before


def count() -> int:
    """How many changes were noted so far."""
    steps = _CURRENT.get()
    return 0 if steps is None else len(steps.taken)
