"""Time `import graphwright` beside `import numpy`, each less an empty process.

    python benchmarks/import_cost.py [--processes 15]

The processes take turns, so that a busy machine slows all of them alike. Printed: the
median wall time of each, what it costs over an empty process, and the ratio to numpy's.
"""

import argparse
import statistics
import subprocess
import sys
import time

SCRIPTS = {
    "(empty)": "pass",
    "numpy": "import numpy",
    "graphwright": "import graphwright",
}


def milliseconds(script: str) -> float:
    """Wall time of one process that runs a script."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", script], check=True)
    return 1e3 * (time.perf_counter() - start)


def medians(processes: int) -> dict[str, float]:
    """The median time of each script; a first round fills the disk's caches."""
    taken: dict[str, list[float]] = {name: [] for name in SCRIPTS}
    for turn in range(processes + 1):
        for name, script in SCRIPTS.items():
            spent = milliseconds(script)
            if turn:
                taken[name].append(spent)
    return {name: statistics.median(times) for name, times in taken.items()}


def main() -> None:
    """Read the command line, time, print."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--processes", type=int, default=15, help="of each kind")
    found = medians(cli.parse_args().processes)
    empty = found["(empty)"]
    print(f"{'import':<12} {'median ms':>10} {'less empty':>11} {'to numpy':>9}")
    for name, median in found.items():
        cost = median - empty
        ratio = cost / (found["numpy"] - empty)
        print(f"{name:<12} {median:10.1f} {cost:11.1f} {ratio:9.2f}")


if __name__ == "__main__":
    main()
