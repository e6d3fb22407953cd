"""Draws changes of the passes by seed, and says which the tests and ``bisect`` catch.

    PYTHONPATH=tests python -m mutation --seed 1

A drawn change counts if it is a fault: some graph, made from seeds that the tests do
not use, gives a result out of bounds or an error, and does not without the change.
Changes that move no result of the graphs that are tried (a rewrite that applies more or
less often, code that never runs) are put aside and counted. A third of the faults move
results by less than 1e-3: once there are enough of the others, only numbers and dtypes
are changed.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from mutation.children import in_children
from mutation.hook import VARIABLE
from mutation.hunt import hunt
from mutation.operators import KINDS, ROOT, Mutant, guilty, modules, mutants

PYTEST = (
    *(sys.executable, "-m", "pytest", "-x", "-q", "--no-header"),
    *("-p", "mutation.hook", "-p", "no:cacheprovider"),
    *("tests/passes", "tests/testing/test_random_graphs.py"),
)
"""What has to catch a change; tests that are about it run first."""

SMALL = 1e-3
SLIGHT = frozenset({"coefficient", "dtype"})
"""Kinds of changes that may move results by less than that."""

HUNT_SECONDS, SUITE_SECONDS = 120, 600
"""Processor time after which something does not end."""


@dataclass
class Verdict:
    """What became of a change."""

    mutant: Mutant
    found: dict[str, Any]
    caught: bool = False
    test: str = ""
    seconds: float = 0.0

    @property
    def moved(self) -> float:
        """How far results moved, of the largest element."""
        return float(self.found.get("moved", 0.0))

    @property
    def named(self) -> bool:
        """Whether ``bisect`` named what is guilty."""
        return self.found.get("blamed") in guilty(self.mutant)

    def __str__(self) -> str:
        words = "caught" if self.caught else "SURVIVES"
        blame = "named" if self.named else f"bisect: {self.found.get('blamed')}"
        moved = f"{self.moved:.1e}"
        times = f"{self.found.get('seconds', 0.0):4.1f} s {self.seconds:5.1f} s"
        return f"{words:9}{blame:7} {moved:>8} {times}  {self.mutant}"


def examine(mutant: Mutant, tries: int) -> dict[str, Any]:
    """What ``hunt`` says of a change, and how long it took."""
    start = time.process_time()
    return {**hunt(mutant, tries), "seconds": time.process_time() - start}


ENDLESS = {"fault": True, "moved": float("inf"), "message": "does not end"}


def judge(verdict: Verdict) -> Verdict:
    """Whether the suite catches a change, and how long it took."""
    mutant = verdict.mutant
    env = {**os.environ, VARIABLE: f"{mutant.module}:{mutant.number}"}
    env["PYTHONPATH"] = str(ROOT / "tests")
    done = subprocess.run(
        PYTEST, cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    verdict.caught = done.returncode != 0
    words = done.stdout.splitlines()
    verdict.test = next((w for w in words if w.startswith(("FAILED", "ERROR"))), "")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    verdict.seconds = used.ru_utime + used.ru_stime
    return verdict


def shuffled(seed: int) -> Iterator[Mutant]:
    """All changes in an order that the seed gives, each kind as often as others."""
    rng = random.Random(seed)
    by_kind: dict[str, list[Mutant]] = {kind: [] for kind in KINDS}
    for module in modules():
        for mutant in mutants(module):
            by_kind[mutant.kind].append(mutant)
    for group in by_kind.values():
        rng.shuffle(group)
    while any(by_kind.values()):
        for kind in rng.sample(KINDS, len(KINDS)):
            if by_kind[kind]:
                yield by_kind[kind].pop()


@dataclass
class Draw:
    """Faults drawn so far, and what was put aside."""

    count: int
    faults: list[Verdict] = field(default_factory=list[Verdict])
    harmless: list[Mutant] = field(default_factory=list[Mutant])
    examined: int = 0

    def room(self, moved: float) -> bool:
        """Whether a fault of this size is still wanted."""
        small = -(-self.count // 3)
        have = sum(v.moved < SMALL for v in self.faults)
        if moved < SMALL:
            return have < small
        return len(self.faults) - have < self.count - small

    @property
    def full(self) -> bool:
        """Whether all are drawn."""
        return len(self.faults) >= self.count

    def add(self, mutant: Mutant, said: dict[str, Any]) -> None:
        """Takes what was found out about a change."""
        self.examined += 1
        verdict = Verdict(mutant, said)
        if not said["fault"]:
            self.harmless.append(mutant)
        elif self.room(verdict.moved):
            self.faults.append(verdict)


def draw(seed: int, count: int, tries: int, jobs: int) -> Draw:
    """The faults of a seed, examined a few at a time."""
    found = Draw(count)
    order = list(shuffled(seed))

    def take(some: Iterable[Mutant], enough: Callable[[], bool]) -> None:
        task = partial(examine, tries=tries)
        with closing(in_children(task, some, jobs, HUNT_SECONDS)) as answers:
            for mutant, said in answers:
                found.add(mutant, said or ENDLESS)
                if enough():
                    break

    take(order, lambda: not found.room(1.0))
    rest = order[found.examined :]
    take((m for m in rest if m.kind in SLIGHT), lambda: found.full)
    return found


def report(found: Draw, verdicts: list[Verdict], drawing: float, judging: float) -> str:
    """What came out, a line for each fault and one for all."""
    caught, named = sum(v.caught for v in verdicts), sum(v.named for v in verdicts)
    small = sum(v.moved < SMALL for v in verdicts)
    rows = [str(v) for v in sorted(verdicts, key=lambda v: v.caught)]
    return "\n".join(
        [
            *rows,
            f"{caught} of {len(verdicts)} caught, {named} named by bisect;"
            f" {small} move results by less than {SMALL};"
            f" {found.examined} changes examined in {drawing:.0f} s, of which"
            f" {len(found.harmless)} moved no result; tests ran {judging:.0f} s",
        ]
    )


def main() -> int:
    """Draws, judges and reports; exit status 1 if more than one in twenty survives."""
    parser = argparse.ArgumentParser(prog="mutation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--tries", type=int, default=200, help="graphs for each hunt")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path, help="where to write what was found")
    given = parser.parse_args()
    start = time.monotonic()
    found = draw(given.seed, given.count, given.tries, given.jobs)
    drawn = time.monotonic()
    ran = in_children(judge, found.faults, given.jobs, SUITE_SECONDS)
    verdicts = [said or replace(fault, caught=True) for fault, said in ran]
    times = drawn - start, time.monotonic() - drawn
    sys.stdout.write(f"seed {given.seed}\n{report(found, verdicts, *times)}\n")
    if given.json:
        rows = [
            {**vars(v), "mutant": str(v.mutant), "named": v.named} for v in verdicts
        ]
        aside = [str(m) for m in found.harmless]
        given.json.write_text(json.dumps({"faults": rows, "aside": aside}, indent=1))
    good = min(sum(v.caught for v in verdicts), sum(v.named for v in verdicts))
    return int(good < len(verdicts) * 19 / 20)


if __name__ == "__main__":
    sys.exit(main())
