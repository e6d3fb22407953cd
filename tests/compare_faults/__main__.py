"""Draws faults of kernels and of passes by seed, and says what ``gw.compare`` finds.

    PYTHONPATH=tests python -m compare_faults --seed 1

A fault counts if it is one: some graph, made from seeds that no test uses, gives a
result out of bounds. Half are in kernels, half in passes, and a third of them move
results by less than 1e-3. The exit status is 1 if two or more are not found, or if of
three or more the first line does not name what is guilty.
"""

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from mutation.__main__ import shuffled
from mutation.hook import VARIABLE
from mutation.hunt import graphs
from mutation.operators import ROOT, guilty

import graphwright as gw
from compare_faults.kernels import SMALL, KernelFault
from compare_faults.kernels import draw as draw_kernel
from compare_faults.rewrites import blamed, outcome


@dataclass(frozen=True)
class Result:
    """What became of a fault."""

    name: str
    moved: float
    found: bool
    named: bool
    verdict: str

    def __str__(self) -> str:
        said = "named " if self.named else "FOUND " if self.found else "MISSED"
        return f"{said} {self.moved:8.1e} {self.name}\n         {self.verdict[:230]}"


def judged(fault: KernelFault) -> Result:
    """What a comparison says of a faulty kernel."""
    report = gw.compare(fault.graph, [fault.backend()], list(fault.feeds()))
    named = f"guilty: the kernel of faulty for {fault.op}(" in report.verdict
    name = f"kernel of {fault.op}: {fault.what}"
    return Result(name, fault.moved, not report.ok, named, report.verdict)


def of_kernels(seed: int, count: int, small: int) -> Iterator[Result]:
    """Faulty kernels: so many, of which so many are small."""
    for index in range(count):
        rng = random.Random(f"{seed}/{index}")
        yield judged(draw_kernel(rng, small=index < small))


def of_rewrites(seed: int, count: int, small: int, seconds: float) -> Iterator[Result]:
    """Changed passes: so many, of which so many are small."""
    left = {True: small, False: count - small}
    for mutant in shuffled(seed):
        if not any(left.values()):
            return
        names = guilty(mutant)
        said = _hunt(f"{mutant.module}:{mutant.number}", names, seconds)
        if not said.get("fault") or not left[said["moved"] < SMALL]:
            continue
        if outcome(*next(islice(graphs(names), said["graphs"], None))) is not None:
            continue  # wrong without it, too
        left[said["moved"] < SMALL] -= 1
        named = said["found"] and bool(blamed(said["verdict"]) & names)
        yield Result(str(mutant), said["moved"], said["found"], named, said["verdict"])


def _hunt(mutant: str, names: set[str], seconds: float) -> dict[str, Any]:
    env = {**os.environ, VARIABLE: mutant, "PYTHONPATH": str(ROOT / "tests")}
    words = ("-m", "compare_faults.rewrites", ",".join(sorted(names)), str(seconds))
    try:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=20 * seconds + 60,
        )
    except subprocess.TimeoutExpired:
        return {}
    lines = done.stdout.splitlines()
    found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return found


def main() -> int:
    """Draws, compares and reports."""
    parser = argparse.ArgumentParser(prog="compare_faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=6.0, help="for each hunt")
    parser.add_argument("--only", choices=("kernels", "rewrites"))
    given = parser.parse_args()
    half, small = given.count // 2, given.count // 6
    results: list[Result] = []
    parts: dict[str, Callable[[], Iterator[Result]]] = {
        "kernels": lambda: of_kernels(given.seed, given.count - half, small),
        "rewrites": lambda: of_rewrites(given.seed, half, small, given.seconds),
    }
    for name, make in parts.items():
        if given.only in (None, name):
            for result in make():
                results.append(result)
                _say(str(result))
    found, named = sum(r.found for r in results), sum(r.named for r in results)
    tiny = sum(r.moved < SMALL for r in results)
    _say(
        f"seed {given.seed}: {found} of {len(results)} found, {named} named first;"
        f" {tiny} move results by less than {SMALL}"
    )
    return int(found < len(results) - 1 or named < len(results) - 2)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
