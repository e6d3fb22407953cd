"""Tasks in forked processes: what they change, or break, is theirs alone."""

import gc
import os
import pickle
import resource
import select
import signal
import traceback
import warnings
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class _Child:
    number: int
    process: int


def in_children(
    task: Callable[[T], R], items: Iterable[T], jobs: int, seconds: int
) -> Generator[tuple[T, R | None]]:
    """What a task gives for each item, in order; None if its process died.

    A few processes run at once, each for one item; all that the parent has imported,
    they have too. Those that run when the caller wants no more are killed.

    Args:
        task: Called in the child.
        items: What it is called with.
        jobs: How many children run at once.
        seconds: Processor time after which a child is killed.
    """
    gc.collect()
    gc.freeze()  # else collections in children copy the parent's pages
    queue = enumerate(items)
    waiting: dict[int, T] = {}
    running: dict[int, _Child] = {}
    done: dict[int, R | None] = {}
    turn = 0
    try:
        while True:
            while len(running) < jobs and (new := next(queue, None)) is not None:
                number, waiting[number] = new
                pipe, process = _fork(task, new[1], seconds)
                running[pipe] = _Child(number, process)
            if turn in done:
                yield waiting.pop(turn), done.pop(turn)
                turn += 1
            elif running:
                for pipe in select.select(list(running), [], [])[0]:
                    child = running.pop(pipe)
                    done[child.number] = _read(pipe, child.process)
            else:
                return
    finally:
        for pipe, child in running.items():
            os.kill(child.process, signal.SIGKILL)
            _read(pipe, child.process)


def _fork(task: Callable[[T], R], item: T, seconds: int) -> tuple[int, int]:
    """Starts a child; the end of the pipe from which its result is read, and its id."""
    there, here = os.pipe()
    with warnings.catch_warnings():  # Python 3.12 warns of threads: they do not matter
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process:
        os.close(here)
        return there, process
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
        with os.fdopen(here, "wb") as stream:
            stream.write(pickle.dumps(task(item)))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _read(pipe: int, process: int) -> Any:
    with os.fdopen(pipe, "rb") as stream:
        said = stream.read()
    os.waitpid(process, 0)
    return pickle.loads(said) if said else None
