"""Checks of compiled graphs: memory of feeds and results, sizes, threads, errors."""

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from graphwright.backends.contract import Backend
from graphwright.backends.executable import Executable
from graphwright.compiled import compile as compile_graph
from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.dim import symbol
from graphwright.ir.dtype import DTYPES, float32, int64
from graphwright.ir.errors import FeedError, GraphwrightError
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType
from graphwright.testing.compare import assert_within
from graphwright.testing.conformance import Check
from graphwright.testing.report import FALLS_BACK, PASSES, WRONG, Finding

RUNS = 1000
"""In which memory may not grow."""

_WARM, _LEAK = 200, 4 << 20
_TURNS = (3, 0, 1, 17, 3, 64, 1, 0, 130, 3)


def network() -> Graph:
    """``max(x w + b, 0)``, its transpose, ``x * x``, and ``x`` itself."""
    b, rng = Builder("network"), np.random.default_rng(0)
    x = b.input("x", TensorType(float32, (symbol("n"), 8)))
    w = b.constant_of(Constant.of(rng.standard_normal((8, 5)).astype(np.float32)))
    bias = b.constant_of(Constant.of(rng.standard_normal(5).astype(np.float32)))
    y = b.max(b.add(b.dot(x, w), bias), 0)
    return b.finish([y, b.transpose(y, (1, 0)), b.mul(x, x), x])


def rows(n: int, seed: int = 0) -> Any:
    """A feed of the network."""
    made = np.random.default_rng([seed, n]).standard_normal((n, 8))
    return made.astype(np.float32)


def executable_checks() -> Iterator[Check]:
    """Checks of what an executable does over many runs."""
    found: dict[str, Callable[[Backend], Executable | None]] = {
        "strides of feeds": _strides,
        "sizes in turn": _sizes,
        "results are their own": _fresh,
        "feeds stay": _unchanged,
        "constants stay": _constants,
        "variables": _variables,
        "variables of feeds": _variables_of_feeds,
        "threads": _threads,
        "errors": _errors,
        "values on the way": _observed,
        "memory": _growth,
    }
    for name, function in found.items():
        yield Check(
            "executables", name, "primitives", partial(_checked, name, function)
        )


def _checked(
    name: str,
    function: Callable[[Backend], Executable | None],
    backend: Backend,
    every: int,
) -> Iterator[Finding]:
    try:
        exe = function(backend)
    except Exception as error:
        words = f"{type(error).__name__}: {str(error)[:400]}"
        yield Finding("executables", name, name, WRONG, words)
        return
    lacking = sorted({f.op for f in exe.fallbacks}) if exe is not None else []
    status = FALLS_BACK if lacking else PASSES
    yield Finding("executables", name, name, status, ", ".join(lacking))


def _holds(graph: Graph, exe: Executable, feeds: Sequence[Any]) -> list[Any]:
    """Asserts that a run is right; its results."""
    want = evaluate(graph, feeds)
    got = exe.run(None, dict(zip(graph.input_names, feeds, strict=True)))
    assert_within(graph, feeds, want, got)
    return got


def _strides(backend: Backend) -> None:
    for name in ("float32", "float64", "int64", "uint8", "bool", "float16"):
        b = Builder("strides")
        x = b.input("x", TensorType(DTYPES[name], (4, 6)))
        graph = b.finish([b.concat([x, x], 0), b.transpose(x, (1, 0))])
        exe = compile_graph(graph, backend=backend)
        plain = np.arange(24).reshape(4, 6).astype(DTYPES[name].numpy)
        for feed in _laid_out(plain):
            _holds(graph, exe, [feed])


def _laid_out(x: Any) -> Iterator[Any]:
    """The same shape in other memory: turned, spread, read-only, off its alignment."""
    yield x[::-1]
    yield x[:, ::-1]
    yield np.asfortranarray(x)
    yield np.repeat(x, 2, axis=1)[:, ::2]
    yield np.broadcast_to(x[:1], x.shape)
    frozen = x.copy()
    frozen.flags.writeable = False
    yield frozen
    line = np.empty(x.nbytes + 1, np.uint8)[1:]
    shifted = line.view(x.dtype).reshape(x.shape)
    shifted[...] = x
    yield shifted


def _sizes(backend: Backend) -> Executable:
    graph = network()
    exe = compile_graph(graph, backend=backend)
    for turn, n in enumerate(_TURNS):
        _holds(graph, exe, [rows(n, turn)])
    return exe


def _fresh(backend: Backend) -> Executable:
    graph = network()
    exe = compile_graph(graph, backend=backend)
    first, second = rows(5, 1), rows(5, 2)
    found = _holds(graph, exe, [first])
    kept = [x.copy() for x in found]
    more = _holds(graph, exe, [second])
    for before, after in zip(kept, found, strict=True):
        assert np.array_equal(before, after), "a second run changes the first's results"
    shared = [first, second, *found, *more]
    for i, x in enumerate(shared):
        for y in shared[:i]:
            assert not np.shares_memory(x, y), "results share memory"
    return exe


def _unchanged(backend: Backend) -> Executable:
    graph, feed = network(), rows(9)
    exe, before = compile_graph(graph, backend=backend), feed.copy()
    results = _holds(graph, exe, [feed])
    assert np.array_equal(feed, before), "a run changes its inputs"
    for x in results:
        x.fill(7)
    assert np.array_equal(feed, before), "results share memory with inputs"
    return exe


def _constants(backend: Backend) -> Executable:
    b = Builder("constants")
    x = b.input("x", TensorType(float32, (3,)))
    held = np.arange(3, dtype=np.float32)
    c = b.constant_of(Constant.of(held.copy()))
    graph = b.finish([c, b.reshape(c, (3, 1)), b.add(x, c)])
    exe = compile_graph(graph, backend=backend)
    for turn in range(3):
        for found in _holds(graph, exe, [held + turn]):
            assert found.flags.writeable, "a result cannot be written to"
            found.fill(9)
    return exe


def _variables(backend: Backend) -> Executable:
    b = Builder("count")
    x = b.input("x", TensorType(float32, (3,)))
    total = Constant.of(np.zeros(3, np.float32))
    b.variables["total"] = total
    token = b.emit("token")
    value, token = b.emit_all("read", token, variable="total", type=total.type)
    summed = b.add(value, x)
    b.emit("write", token, summed, variable="total")
    graph = b.finish([summed])
    exe = compile_graph(graph, backend=backend)
    feed = np.arange(3, dtype=np.float32)
    for turn in range(1, 5):
        (found,) = exe.run(None, {"x": feed})
        assert np.array_equal(found, turn * feed), f"run {turn} of a sum: {found}"
        found.fill(99)
    return exe


def _variables_of_feeds(backend: Backend) -> Executable:
    b = Builder("last")
    x = b.input("x", TensorType(float32, (3,)))
    last = Constant.of(np.zeros(3, np.float32))
    b.variables["last"] = last
    value, token = b.emit_all("read", b.emit("token"), variable="last", type=last.type)
    b.emit("write", token, x, variable="last")
    exe = compile_graph(b.finish([value]), backend=backend)
    feed = np.ones(3, np.float32)
    exe.run(None, {"x": feed})
    feed.fill(5)
    (found,) = exe.run(None, {"x": feed})
    assert np.array_equal(found, np.ones(3)), "a variable changes with a feed"
    return exe


def _threads(backend: Backend) -> Executable:
    graph = network()
    exe = compile_graph(graph, backend=backend)
    feeds = [rows(n, turn) for turn in range(6) for n in (1, 7, 64, 300)]
    wants = [evaluate(graph, [feed]) for feed in feeds]

    def run(index: int) -> list[Any]:
        return exe.run(None, {"x": feeds[index]})

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads take turns often: races show
    try:
        with ThreadPoolExecutor(8) as pool:
            for _ in range(3):
                order = list(range(len(feeds)))
                for index, got in zip(order, pool.map(run, order), strict=True):
                    assert_within(graph, [feeds[index]], wants[index], got)
    finally:
        sys.setswitchinterval(interval)
    return exe


def _errors(backend: Backend) -> None:
    line = np.arange(5, dtype=np.float32)
    exe = _indexed(backend, line, np.array([4, 0]), "gather", axis=0)
    _refused(exe, {"x": line.astype(np.float64), "i": np.array([0, 1])}, "float64")
    _refused(exe, {"x": line[:3], "i": np.array([0, 1])}, "3 elements of 5")
    _refused(exe, {"x": line}, "an input less")
    _indexed(backend, line.reshape(1, 5), np.array([4, 0]), "gather", axis=1)
    for mode in ("set", "add", "mul", "max"):
        _indexed(backend, line, np.array([4, 0]), "scatter", axis=0, mode=mode)


def _indexed(
    backend: Backend, x: Any, right: Any, name: str, **fields: Any
) -> Executable:
    """A graph of an op that takes indices, which refuses those out of range."""
    b = Builder("bounds")
    operands = [b.input("x", TensorType(float32, x.shape))]
    operands.append(b.input("i", TensorType(int64, (2,))))
    if name == "scatter":
        operands.append(b.constant_of(Constant.of(np.ones(2, np.float32))))
    graph = b.finish([b.emit(name, *operands, **fields)])
    exe = compile_graph(graph, backend=backend)
    for bad in (5, -1, 2**40):
        _refused(exe, {"x": x, "i": np.array([0, bad])}, f"{name}: index {bad}")
    _holds(graph, exe, [x, right])
    return exe


def _refused(exe: Executable, feeds: dict[str, Any], what: str) -> None:
    try:
        exe.run(None, feeds)
    except (GraphwrightError, FeedError):
        return
    raise AssertionError(f"{what} is taken without an error")


def _observed(backend: Backend) -> Executable:
    graph, feed = network(), rows(6)
    exe, seen = compile_graph(graph, backend=backend), list[Any]()
    with exe.observe(lambda reading: seen.append(reading.array)):
        found = exe.run(None, {"x": feed})
    for x in found[:3]:
        assert any(np.array_equal(x, y) for y in seen), "a result was not shown"
    return exe


def _growth(backend: Backend) -> Executable:
    """Results of 40 kB: to keep those of one run in ten is seen.

    What grows in one half of the runs only, such as a cache elsewhere, is no leak.
    """
    graph, feed = network(), rows(2000)
    exe = compile_graph(graph, backend=backend)
    for _ in range(_WARM):
        exe.execute([feed])
    halves = [_left_by(exe, feed, RUNS // 2) for _ in range(2)]
    more, grown = (min(column) for column in zip(*halves, strict=True))
    assert more < RUNS // 8, f"{RUNS // 2} runs leave {more} objects"
    assert grown < _LEAK // 2, f"{RUNS // 2} runs leave {grown} bytes"
    return exe


def _left_by(exe: Executable, feed: Any, count: int) -> tuple[int, int]:
    """Objects and bytes that there are more of after some runs."""
    gc.collect()
    objects, memory = len(gc.get_objects()), _resident()
    for _ in range(count):
        exe.execute([feed])
    gc.collect()
    return len(gc.get_objects()) - objects, _resident() - memory


def _resident() -> int:
    """Bytes of this process in memory; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
    except OSError:
        return 0
    return pages * 4096
