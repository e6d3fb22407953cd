"""Time loading, optimising and compiling models, beside onnxscript's optimiser.

    python benchmarks/compile.py FOLDER [--only RE] [--rounds 3]

FOLDER holds ``*.onnx``. Least wall time of the rounds, in milliseconds, in one process
after a small model has been through it all: ``load`` to a typed graph, ``optimize`` by
the default pipeline, ``lower`` with the passes that the numpy backend asks for,
``plan`` with all sizes known (weights are packed), and what ``onnxscript.optimizer``
takes for the same model, loaded before its clock starts.
"""

import argparse
import logging
import re
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import onnxscript.ir
import onnxscript.optimizer

import graphwright as gw


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds, and the result."""
    start = time.perf_counter()
    result = function()
    return 1e3 * (time.perf_counter() - start), result


def ours(path: Path) -> list[float]:
    """Milliseconds of loading, optimising, lowering, planning."""
    load, graph = timed(lambda: gw.load(path))
    optimize, better = timed(lambda: gw.optimize(graph))
    whole, exe = timed(lambda: gw.compile(better, backend="numpy"))
    again, _ = timed(lambda: gw.optimize(better))
    sizes = dict.fromkeys(graph.input_symbols(), 1)
    plan, _ = timed(lambda: exe.plan_for(**sizes))
    return [load, optimize, max(whole - again, 0.0), plan]


def theirs(path: Path) -> float:
    """Milliseconds of onnxscript's optimiser."""
    model = onnxscript.ir.load(path)
    return timed(lambda: onnxscript.optimizer.optimize(model))[0]


def main() -> None:
    """Read the command line, measure, print."""
    cli = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cli.add_argument("folder", type=Path)
    cli.add_argument("--only", default="")
    cli.add_argument("--rounds", type=int, default=3)
    given = cli.parse_args()
    logging.disable()  # onnxscript names each initializer that it leaves alone
    small = Path(str(files("graphwright") / "data" / "digits.onnx"))
    ours(small)
    theirs(small)
    titles = ("load", "optimize", "lower", "plan", "in all", "onnxscript", "ratio")
    print(f"{'network':<16}", *(f"{title:>10}" for title in titles))
    for path in sorted(given.folder.glob("*.onnx")):
        if not re.search(given.only, path.stem):
            continue
        rows = [ours(path) for _ in range(given.rounds)]
        parts = [min(column) for column in zip(*rows, strict=True)]
        rival = min(theirs(path) for _ in range(given.rounds))
        cells = (*parts, sum(parts), rival)
        words = " ".join(f"{cell:10.1f}" for cell in cells)
        print(f"{path.stem:<16} {words} {parts[1] / rival:10.2f}", flush=True)


if __name__ == "__main__":
    main()
