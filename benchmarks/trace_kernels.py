"""Time traced array programs beside NumPy, jax.jit and Numba, in one process.

    python benchmarks/trace_kernels.py [--only NAME,...] [--sizes 32K,1M,64M]
        [--dtypes float64,float32] [--backend numpy] [--peers jax,numba] [--json FILE]

Each program is plain NumPy: ``gw.jit`` takes it as it stands. JAX (on the CPU, with
float64) runs the same source with ``numpy`` replaced by ``jax.numpy``, where a program
writes to no array; Numba compiles those that it can. Results, and arguments as the call
left them, are checked before and after. Runs come in blocks with rests between, because
idle thread pools spin and disturb the next one; the order turns around from round to
round; of each block the median counts, of the blocks the least. Copying arguments that
a program writes to is not timed. Printed: milliseconds, ratios to NumPy's time, and the
geometric means of these by size.
"""

import argparse
import importlib
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
from array_programs import PROGRAMS
from array_programs.case import Case

import graphwright as gw

SIZES = {"32K": 32 << 10, "1M": 1 << 20, "64M": 64 << 20}
ROUNDS, REST, BLOCK = 5, 0.05, 0.12

Runner = Callable[..., Any]


def copied(arguments: tuple[Any, ...]) -> list[Any]:
    """Arguments that may be written to."""
    return [x.copy() if isinstance(x, np.ndarray) else x for x in arguments]


def arrays(result: Any, arguments: list[Any]) -> list[Any]:
    """Results, and arguments as the call left them, on the host."""
    found = list(result) if isinstance(result, tuple) else [result]
    return [np.asarray(x) for x in (*found, *arguments)]


def agrees(case: Case, dtype: str, found: list[Any], wanted: list[Any]) -> bool:
    """Whether results are the same, up to rounding."""
    rtol = case.rtol if dtype == "float64" else 2e-4
    for x, y in zip(found, wanted, strict=False):
        scale = float(np.abs(y[np.isfinite(y)]).max(initial=0))
        if x.shape != y.shape or not np.allclose(x, y, rtol, rtol * scale):
            return False
    return True


def jax_runner(case: Case, arguments: tuple[Any, ...]) -> Runner | None:
    """The program on ``jax.numpy``, compiled; what it gives has arrived."""
    if not case.functional:
        return None
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    source = case.function
    names = {**source.__globals__, "np": importlib.import_module("jax.numpy")}
    copy = FunctionType(source.__code__, names, source.__name__)
    static = [i for i, x in enumerate(arguments) if isinstance(x, int)]
    compiled = jax.jit(copy, static_argnums=static)
    try:
        compiled(*arguments)
    except jax.errors.ConcretizationTypeError:  # sizes that depend on data
        return None
    return lambda *args: jax.block_until_ready(compiled(*args))


def numba_runner(case: Case, arguments: tuple[Any, ...]) -> Runner | None:
    """The program compiled by Numba, if it can."""
    if not case.numba:
        return None
    numba = importlib.import_module("numba")
    compiled: Runner = numba.njit(case.function)
    try:
        compiled(*copied(arguments))
    except numba.core.errors.NumbaError:
        return None
    return compiled


PEERS = {"jax": jax_runner, "numba": numba_runner}


def block(run: Runner, arguments: tuple[Any, ...], count: int) -> float:
    """Median seconds of a few runs, each on its own copy of the arguments."""
    times: list[float] = []
    own = copied(arguments)
    for _ in range(count):
        for x, fresh in zip(own, arguments, strict=True):
            if isinstance(x, np.ndarray):
                x[...] = fresh
        start = time.perf_counter()
        run(*own)
        times.append(time.perf_counter() - start)
    time.sleep(REST)
    return statistics.median(times)


def measured(
    runners: dict[str, Runner], arguments: tuple[Any, ...], rounds: int
) -> dict[str, float]:
    """Seconds by system, in alternating order."""
    best: dict[str, float] = {}
    for number in range(rounds):
        order = list(runners) if number % 2 == 0 else list(runners)[::-1]
        for name in order:
            once = best.get(name) or block(runners[name], arguments, 1)
            count = max(2, min(200, int(BLOCK / max(once, 1e-7))))
            seconds = block(runners[name], arguments, count)
            best[name] = min(best.get(name, math.inf), seconds)
    return best


def timed(case: Case, dtype: str, size: int, options: Any) -> dict[str, Any]:
    """A row: seconds of each system on one program, checked before and after."""
    arguments = case.make(size, np.dtype(dtype).type)
    expected = copied(arguments)
    wanted = arrays(case.function(*expected), expected)
    runners = {"numpy": case.function}
    runners["graphwright"] = gw.jit(case.function, backend=options.backend)
    for name in options.peers:
        made = PEERS[name](case, arguments)
        if made is not None:
            runners[name] = made
    right = _right(runners, case, dtype, arguments, wanted)
    sound = {name: run for name, run in runners.items() if right[name]}
    seconds = measured(sound, arguments, options.rounds)
    again = _right(runners, case, dtype, arguments, wanted)
    wrong = [n for n in runners if not (right[n] and again[n])]
    return {"program": case.name, "dtype": dtype, "seconds": seconds, "wrong": wrong}


def _right(
    runners: dict[str, Runner],
    case: Case,
    dtype: str,
    arguments: tuple[Any, ...],
    wanted: list[Any],
) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for name, run in runners.items():
        own = copied(arguments)
        results = arrays(run(*own), own)
        found[name] = agrees(case, dtype, results, wanted)
    return found


def shown(row: dict[str, Any]) -> str:
    """A row for people."""
    base = row["seconds"]["numpy"]
    rest = "  ".join(
        f"{name} {seconds / base:6.2f}"
        for name, seconds in row["seconds"].items()
        if name != "numpy"
    )
    wrong = f"  WRONG: {', '.join(row['wrong'])}" if row["wrong"] else ""
    label = f"{row['program']} {row['dtype']}"
    return f"{label:32s} {row['size']:>4s} {base * 1e3:10.3f} ms  {rest}{wrong}"


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """Geometric means of the ratios to NumPy, by size and over all."""
    lines: list[str] = []
    sizes = list(dict.fromkeys(row["size"] for row in rows))
    for size in [*sizes, None]:
        chosen = [r for r in rows if size is None or r["size"] == size]
        words: list[str] = []
        for name in ("graphwright", *PEERS):
            logs = [
                math.log(r["seconds"][name] / r["seconds"]["numpy"])
                for r in chosen
                if name in r["seconds"]
            ]
            if logs:
                mean = math.exp(statistics.mean(logs))
                words.append(f"{name} {mean:.2f} (of {len(logs)})")
        lines.append(f"{size or 'all':>4s}: {', '.join(words)}")
    return lines


def parsed() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)

    def listed(text: str) -> list[str]:
        return [part for part in text.split(",") if part]

    parser.add_argument("--only", type=listed, default=list(PROGRAMS))
    parser.add_argument("--sizes", type=listed, default=list(SIZES))
    parser.add_argument("--dtypes", type=listed, default=["float64", "float32"])
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--peers", type=listed, default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    options, rows = parsed(), list[dict[str, Any]]()
    with np.errstate(all="ignore"):
        for size in options.sizes:
            for case in map(PROGRAMS.__getitem__, options.only):
                for dtype in case.dtypes:
                    if dtype in options.dtypes:
                        row = timed(case, dtype, SIZES[size], options)
                        rows.append({**row, "size": size})
                        print(shown(rows[-1]), flush=True)
    print("\n".join(summary(rows)))
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
