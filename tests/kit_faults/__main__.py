"""Puts 30 faults into copies of backends, and says which of them the kit finds.

    PYTHONPATH=tests python -m kit_faults --seed 1

Each fault counts only if it shows in a graph that is none of the kit's. A third of them
change results by less than 1e-3.
"""

import argparse
import sys
import time

from graphwright.testing import conform
from kit_faults.hosts import clean
from kit_faults.hunt import COUNT, SMALL, draw, look_for
from kit_faults.kinds import HOSTS


def main() -> int:
    parser = argparse.ArgumentParser(prog="kit_faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--first", type=int, default=0, help="from this one on")
    parser.add_argument("--last", type=int, default=COUNT, help="up to before this one")
    parser.add_argument("--every", type=int, default=8, help="as the kit's")
    parser.add_argument("--clean", action="store_true", help="look for false alarms")
    args = parser.parse_args()
    return alarms(args.every) if args.clean else hunt(args)


def hunt(args: argparse.Namespace) -> int:
    missed = small = asked = 0
    for index, fault in enumerate(draw(args.seed, min(args.count, args.last))):
        if index < args.first:
            continue
        asked += 1
        start = time.process_time()
        finding = look_for(fault, args.every)
        seconds = time.process_time() - start
        small += fault.kind.scaled and fault.size < SMALL
        missed += finding is None
        said = "SURVIVES" if finding is None else f"found by {finding.part}: {finding}"
        _say(f"{index:2} {fault} -> {said[:150]} ({seconds:.1f} s)")
    found = asked - missed
    _say(f"seed {args.seed}: {found} of {asked} found, {small} below {SMALL:g}")
    return int(missed > 1)


def alarms(every: int) -> int:
    wrong = 0
    for host in HOSTS:
        report = conform(clean(host), every=every)
        wrong += report.counts()["wrong"]
        _say(str(report))
    return int(wrong > 0)


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
