"""Count the steps of plans beside the nodes that ONNX Runtime is left with.

    python benchmarks/steps.py FOLDER [--only RE]

FOLDER holds ``*.onnx``. ONNX Runtime's nodes are those of the model that it saves after
all its optimisations (``SessionOptions.optimized_model_filepath``). On both sides views
stand apart: a reshape of what lies in the arena leaves nothing to do in a run, and ONNX
Runtime reshapes in place. Exit status 1 if a network has more kernels than there.
"""

import argparse
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

import onnx
import onnxruntime as ort

import graphwright as gw
from graphwright.ir.graph import Node
from graphwright.ir.ops.fused import Fused

RESHAPING = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
"""What ONNX Runtime does without touching elements."""


def rival_nodes(path: Path, folder: Path) -> Counter[str]:
    """How many nodes of each type ONNX Runtime's optimised model has."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    del session
    model = onnx.load(options.optimized_model_filepath, load_external_data=False)
    return Counter(node.op_type for node in model.graph.node)


def steps(path: Path) -> tuple[Counter[str], int]:
    """How many kernels of each kind a plan for the numpy backend has, and views."""
    exe = gw.compile(path, backend="numpy")
    sizes = dict.fromkeys(exe.graph.input_symbols(), 1)
    rows = exe.plan_for(**sizes).steps
    kernels = Counter(_kind(step.node) for step in rows if not step.views)
    return kernels, len(rows) - kernels.total()


def _kind(node: Node) -> str:
    return f"{node.op.kind} region" if isinstance(node.op, Fused) else node.op.name


def main() -> None:
    """Read the command line, count, print."""
    cli = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cli.add_argument("folder", type=Path)
    cli.add_argument("--only", default="")
    given = cli.parse_args()
    failed = False
    titles = ("kernels", "views", "ONNX Runtime", "views")
    print("network         ", *(f"{title:>12}" for title in titles), " kernels by kind")
    for path in sorted(given.folder.glob("*.onnx")):
        if not re.search(given.only, path.stem):
            continue
        ours, views = steps(path)
        with tempfile.TemporaryDirectory() as folder:
            theirs = rival_nodes(path, Path(folder))
        reshaping = sum(theirs[name] for name in RESHAPING)
        rivals = theirs.total() - reshaping
        failed |= ours.total() > rivals
        cells = (ours.total(), views, rivals, reshaping)
        words = ", ".join(f"{kind} {n}" for kind, n in ours.most_common())
        print(f"{path.stem:<16}", *(f"{cell:>12}" for cell in cells), f" {words}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
