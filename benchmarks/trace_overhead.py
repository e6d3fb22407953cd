"""What tracing costs: a call on eight floats, an operation traced, a node compiled.

    python benchmarks/trace_overhead.py [--peers jax] [--json FILE]

*Calls*: ``numpy.asarray(f(a, b))`` on two float32[8] arrays, less the same expression
in NumPy: eager (lazy tensors), compiled by ``gw.jit``, and by ``jax.jit``. *Tracing*:
microseconds of the processor an operation and a node, for a chain of ten thousand
operations on NumPy functions. *Compiling*: passes, plan and first run, microseconds an
operation, for chains of 1,000 to 16,000, and the slope of the logarithms. The least of
several repetitions counts.
"""

import argparse
import importlib
import json
import math
import random
import time
import timeit
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import graphwright as gw
from graphwright.backends.compile import lower
from graphwright.backends.executable import Executable

COUNTS = (1000, 4000, 16000)
SHAPE = (8,)

STEPS: list[Callable[[Any, Any, float], Any]] = [
    lambda a, b, i: a + b,
    lambda a, b, i: a * i,
    lambda a, b, i: np.sin(a),
    lambda a, b, i: np.maximum(a, b),
]


def one_op(a: Any, b: Any) -> Any:
    return a + b


def two_ops(a: Any, b: Any) -> Any:
    return (a + b) * b


def chain(count: int) -> Callable[[Any, Any], Any]:
    """A program of so many operations, in an order that no loop could repeat."""
    draw = random.Random(count)
    steps, last = list[int](), -1
    for _ in range(count):  # nor does one follow itself: the pair might be one
        last = (last + draw.randrange(1, len(STEPS))) % len(STEPS)
        steps.append(last)

    def program(a: Any, b: Any) -> Any:
        for i, kind in enumerate(steps):
            a = STEPS[kind](a, b, 1.0 + i)
        return a

    return program


def microseconds(call: Callable[[], object]) -> float:
    """Microseconds of a call: the least of several means."""
    number, _ = timeit.Timer(call).autorange()
    number = max(1, number // 8)
    return min(timeit.repeat(call, number=number, repeat=15)) / number * 1e6


def result(function: Callable[..., Any], *arguments: Any) -> Any:
    """A function's result as an array of NumPy's."""
    return np.asarray(function(*arguments))


def calls(peers: list[str]) -> dict[str, float]:
    """Microseconds that a call costs more than NumPy's expression."""
    a, b = np.arange(8, dtype=np.float32), np.ones(8, np.float32)
    x, y = gw.asarray(a), gw.asarray(b)
    found: dict[str, float] = {}
    for function in (one_op, two_ops):
        name = function.__name__
        base = microseconds(partial(result, function, a, b))
        found[f"{name}: NumPy"] = base
        runs = {
            "eager": partial(result, function, x, y),
            "gw.jit": partial(result, gw.jit(function), a, b),
        }
        if "jax" in peers:
            compiled = importlib.import_module("jax").jit(function)
            runs["jax.jit"] = partial(result, compiled, a, b)
        for system, run in runs.items():
            found[f"{name}: {system}"] = microseconds(run) - base
    return found


def tracing(count: int, repeat: int = 5) -> dict[str, float]:
    """Microseconds of the processor an operation, and a node."""
    spec, program = gw.spec("float64", SHAPE), chain(count)
    best, nodes = math.inf, 1
    for _ in range(repeat):
        start = time.process_time()
        graph = gw.trace(program, spec, spec)
        best = min(best, time.process_time() - start)
        nodes = len(graph.nodes)
    return {"operation": best / count * 1e6, "node": best / nodes * 1e6}


def compiling(count: int, repeat: int = 3) -> float:
    """Seconds of the processor for passes, plan and first run."""
    spec = gw.spec("float64", SHAPE)
    graph = gw.trace(chain(count), spec, spec)
    feeds = [np.ones(SHAPE), np.full(SHAPE, 0.5)]
    best = math.inf
    for _ in range(repeat):
        start = time.process_time()
        lowered, options = lower(graph, backend="numpy")
        Executable(graph, lowered, options).execute(feeds)
        best = min(best, time.process_time() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", default="jax")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report: dict[str, Any] = {"calls": calls(options.peers.split(","))}
    for name, value in report["calls"].items():
        more = "" if name.endswith("NumPy") else " more"
        print(f"{name:20s} {value:8.1f} us{more}", flush=True)
    report["tracing"] = tracing(10_000)
    for name, value in report["tracing"].items():
        print(f"tracing              {value:8.1f} us an {name}", flush=True)
    report["compiling"] = {count: compiling(count) for count in COUNTS}
    for count, seconds in report["compiling"].items():
        print(f"compiling {count:10d} {seconds / count * 1e6:8.1f} us an operation")
    low, high = COUNTS[0], COUNTS[-1]
    rise = report["compiling"][high] / report["compiling"][low]
    report["slope"] = math.log(rise) / math.log(high / low)
    print(f"log-log slope        {report['slope']:8.2f}")
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
