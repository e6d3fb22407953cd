"""Draws changes of the passes by seed, and says which the tests and ``bisect`` catch.

    PYTHONPATH=tests python -m mutation --seed 1

A drawn change counts if it is a fault: some graph, made from seeds that the tests do
not use, gives a result out of bounds or an error. Changes that move no result in the
time given (a rewrite that applies more or less often, code that never runs), or whose
graph is out of bounds without them too, are put aside and counted. A third of the
faults move results by less than 1e-3.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutation.hook import VARIABLE
from mutation.hunt import is_fault_of_its_own
from mutation.operators import KINDS, ROOT, Mutant, guilty, modules, mutants

SUITE = (
    ("tests/passes/test_rewrites.py", "tests/passes/test_guards.py"),
    ("tests/passes/test_rewrite_forms.py", "tests/passes/test_random_passes.py"),
    ("tests/passes", "tests/testing/test_random_graphs.py"),
)
"""What has to catch a change, in parts, the quickest first: most need no more."""

PYTEST = (
    *("-m", "pytest", "-x", "-q", "--no-header"),
    *("-p", "mutation.hook", "-p", "no:cacheprovider"),
)

SMALL = 1e-3


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
        return f"{words:9}{blame:7} {moved:>8} {self.seconds:5.1f} s  {self.mutant}"


def _run(mutant: Mutant, words: Sequence[str], limit: float) -> Any:
    env = {**os.environ, VARIABLE: f"{mutant.module}:{mutant.number}"}
    env["PYTHONPATH"] = str(ROOT / "tests")
    try:
        return subprocess.run(
            [sys.executable, *words],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        return None


def examine(mutant: Mutant, seconds: float) -> dict[str, Any]:
    """What ``mutation.hunt`` says of a change."""
    names = ",".join(sorted(guilty(mutant)))
    words = ("-m", "mutation.hunt", names, str(seconds))
    done = _run(mutant, words, 40 * seconds + 60)  # it counts processor time itself
    if done is None or done.returncode == -signal.SIGXCPU:
        return {"fault": True, "moved": float("inf"), "message": "does not end"}
    if done.returncode or not done.stdout.strip():
        return {"fault": False, "stillborn": True, "message": done.stderr[-300:]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    case = found.pop("case", None)
    if case is not None and not is_fault_of_its_own(case):
        return {"fault": False, "message": "differs without the change, too"}
    return found


def judge(verdict: Verdict, limit: float = 300) -> Verdict:
    """Whether the suite catches a change."""
    start = time.monotonic()
    for paths in SUITE:
        done = _run(verdict.mutant, (*PYTEST, *paths), limit)
        verdict.caught = done is None or done.returncode != 0
        if verdict.caught:
            words = (done.stdout if done else "").splitlines()
            verdict.test = next((w for w in words if "FAILED" in w), "")
            break
    verdict.seconds = time.monotonic() - start
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
    faults: list[Verdict]
    harmless: list[Mutant]

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


def draw(seed: int, count: int, seconds: float, jobs: int) -> Draw:
    """Faults of a seed, examined a few at a time."""
    found = Draw(count, [], [])
    order = shuffled(seed)
    with ThreadPoolExecutor(jobs) as pool:
        while not found.full:
            batch = [next(order) for _ in range(jobs)]
            for mutant, said in zip(
                batch, pool.map(lambda m: examine(m, seconds), batch), strict=True
            ):
                if not said["fault"]:
                    found.harmless.append(mutant)
                    continue
                verdict = Verdict(mutant, said)
                if found.room(verdict.moved) and not found.full:
                    found.faults.append(verdict)
    return found


def main() -> int:
    """Draws, judges and reports; exit status 1 if more than one in twenty survives."""
    parser = argparse.ArgumentParser(prog="mutation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=15.0, help="for each hunt")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path, help="where to write what was found")
    given = parser.parse_args()
    found = draw(given.seed, given.count, given.seconds, given.jobs)
    start = time.monotonic()
    with ThreadPoolExecutor(given.jobs) as pool:
        verdicts = list(pool.map(judge, found.faults))
    seconds = time.monotonic() - start
    lines = [str(v) for v in sorted(verdicts, key=lambda v: v.caught)]
    caught, named = sum(v.caught for v in verdicts), sum(v.named for v in verdicts)
    small = sum(v.moved < SMALL for v in verdicts)
    lines.append(
        f"seed {given.seed}: {caught} of {len(verdicts)} caught in {seconds:.0f} s,"
        f" {named} named by bisect; {small} move results by less than {SMALL};"
        f" {len(found.harmless)} changes moved no result and were put aside"
    )
    sys.stdout.write("\n".join(lines) + "\n")
    if given.json:
        rows = [
            {**vars(v), "mutant": str(v.mutant), "named": v.named} for v in verdicts
        ]
        aside = [str(m) for m in found.harmless]
        given.json.write_text(json.dumps({"faults": rows, "aside": aside}, indent=1))
    return int(min(caught, named) < len(verdicts) * 19 / 20)


if __name__ == "__main__":
    sys.exit(main())
