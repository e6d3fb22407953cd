"""The smallest graph and input that still show a finding, and a script beside them."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from graphwright.comparison.diagnose import Fault, fault_of, faulty_rewrite
from graphwright.comparison.findings import Finding
from graphwright.comparison.judge import Judge, Verdicts
from graphwright.comparison.labels import Labelled, labelled
from graphwright.comparison.peers import PeerRunner
from graphwright.comparison.runners import GraphwrightRunner, ReferenceRunner, Runner
from graphwright.comparison.samples import Sample
from graphwright.comparison.windows import Case, concrete, feeds_of, window
from graphwright.display import counted
from graphwright.files import writing
from graphwright.frontends.onnx.save import export
from graphwright.ir.dtype import dtype as dtype_of
from graphwright.ir.errors import GraphwrightError, printable
from graphwright.ir.graph import Graph
from graphwright.testing.shrinking import shrink

SECONDS = 90.0


@dataclass(frozen=True)
class Reproducer:
    """A small case that shows a finding.

    Attributes:
        runner: Who gives the wrong result.
        graph: The graph.
        inputs: One value for each input.
        outputs: What the graph means, in its own dtypes.
        guilty: What is at fault, as far as it was found.
        library: What runs it: ``graphwright``, another system's package, or
            ``passes`` for the reference evaluator after passes.
        options: What it is compiled or optimised with.
    """

    runner: str
    graph: Graph
    inputs: Sequence[Any] = field(repr=False)
    outputs: Sequence[Any] = field(repr=False)
    guilty: str = ""
    library: str = "graphwright"
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __str__(self) -> str:
        count = counted(len(self.graph.nodes), "node")
        words = ", ".join(node.op.name for node in self.graph.nodes[:6])
        return printable(f"shrunk to {count} ({words}) that {self.runner} fails")


def minimal(
    finding: Finding,
    runner: Runner,
    samples: Sequence[Sample],
    original: Labelled,
    seconds: float = SECONDS,
) -> Reproducer | None:
    """The smallest case that still shows a finding; None where none is found.

    It begins with the nodes between values that are right, as far as these show it.
    """
    again = _maker(runner)
    if again is None:
        return None
    fault = Fault()
    if isinstance(runner, GraphwrightRunner):
        fault = fault_of(finding, runner, samples, original)
    fails = _test(again, runner, fault)
    (sample,) = [s for s in samples if s.name == finding.sample]
    for case in _starts(finding, runner, sample, original):
        if not fails(*case):
            continue
        graph, inputs = shrink(*case, fails, seconds=seconds)
        outputs = ReferenceRunner(labelled(graph)).plain(feeds_of(graph, inputs))
        library = getattr(runner, "library", "") or "graphwright"
        return Reproducer(
            runner.name,
            graph,
            inputs,
            outputs,
            fault.text if fault.kind else "",
            library,
        )
    return None


def _starts(
    finding: Finding, runner: Runner, sample: Sample, original: Labelled
) -> list[Case]:
    """Cases to begin with, the smallest first."""
    feeds = sample.feeds
    flat = concrete(original.graph, feeds)
    inputs = [feeds[n] for n in flat.input_names]
    found = [(flat, inputs), (original.graph, inputs)]
    if finding.value not in original.labels:
        return found
    piece = window(original, finding.value, feeds, runner.run(feeds))
    return found if piece is None else [piece, *found]


Maker = Callable[[Graph], Runner]


def _maker(runner: Runner) -> Maker | None:
    """How to make a runner of the same kind for another graph."""
    if isinstance(runner, GraphwrightRunner):
        backend, options = runner.backend, runner.options
        return lambda graph: GraphwrightRunner(
            runner.name, labelled(graph), backend, **options
        )
    if isinstance(runner, PeerRunner):
        kind: Any = type(runner)
        return lambda graph: kind(labelled(graph), graph)
    return None


def _test(again: Maker, runner: Runner, fault: Fault) -> Callable[..., bool]:
    def fails(graph: Graph, inputs: Sequence[Any]) -> bool:
        if fault.kind == "rewrite" and isinstance(runner, GraphwrightRunner):
            found = faulty_rewrite(graph, inputs, runner)
            return found is not None and found.name == fault.name
        feeds = feeds_of(graph, inputs)
        made = again(graph)
        outcome = made.run(feeds)
        verdicts = Judge(labelled(graph))(feeds, {"": outcome}, {"": made.accounts()})
        return not _right(verdicts)

    return fails


def _right(verdicts: Verdicts) -> bool:
    tables = (*verdicts.values.values(), *verdicts.outputs.values())
    return all(rows[""].ok for rows in tables)


# Files ------------------------------------------------------------------------------


def write_case(case: Reproducer, folder: "str | os.PathLike[str]") -> str:
    """Writes ``reproduce.py``, ``case.json``, ``data.npz`` and ``model.onnx``.

    Where ONNX cannot express the graph, its text takes the model's place.

    Returns:
        The path of the script.

    Raises:
        ModelError: If the folder cannot be written.
    """
    place = Path(folder)
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
        return _written(case, place)


def _written(case: Reproducer, place: Path) -> str:
    arrays: dict[str, Any] = {}
    dtypes: dict[str, str] = {}
    for stem, row in (("in", case.inputs), ("out", case.outputs)):
        for i, x in enumerate(row):
            array = np.ascontiguousarray(x)
            name = dtypes[f"{stem}{i}"] = dtype_of(array.dtype).name
            plain = array.dtype.isbuiltin == 1 and name != "bfloat16"
            arrays[f"{stem}{i}"] = array if plain else array.view(f"u{array.itemsize}")
    np.savez(place / "data.npz", **arrays)
    try:
        export(case.graph, place / "model.onnx")
    except GraphwrightError:
        (place / "graph.txt").write_text(str(case.graph), encoding="utf-8")
    about = {
        "runner": case.runner,
        "guilty": case.guilty,
        "inputs": list(case.graph.input_names),
        "dtypes": dtypes,
        "options": dict(case.options),
    }
    (place / "case.json").write_text(json.dumps(about, indent=2), encoding="utf-8")
    path = place / "reproduce.py"
    run = _RUNS[case.library].strip()
    path.write_text(_SCRIPT.replace("# RUN", run), encoding="utf-8")
    return str(path)


_SCRIPT = '''"""Shows a result that is not what the graph beside it means.

python reproduce.py
"""

import json
from pathlib import Path

import ml_dtypes  # noqa: F401 (dtypes that NumPy lacks)
import numpy as np

HERE = Path(__file__).parent
CASE = json.loads((HERE / "case.json").read_text(encoding="utf-8"))
DATA = np.load(HERE / "data.npz", allow_pickle=False)


def array(name):
    return DATA[name].view(np.dtype(CASE["dtypes"][name]))


NAMES = CASE["inputs"]
FEEDS = {name: array(f"in{i}") for i, name in enumerate(NAMES)}
WANT = [array(f"out{i}") for i in range(len(DATA.files) - len(NAMES))]

# RUN

np.set_printoptions(precision=17)
print(CASE["runner"], "-", CASE["guilty"])
for have, want in zip(got, WANT):
    print("got ", np.asarray(have).ravel()[:8])
    print("want", want.ravel()[:8])
'''

_RUNS = {
    "graphwright": """
import graphwright as gw

exe = gw.compile(HERE / "model.onnx", backend=CASE["runner"], **CASE["options"])
got = exe.run(None, FEEDS)
""",
    "passes": """
import graphwright as gw
from graphwright.ir.evaluate import evaluate

graph = gw.optimize(gw.load(HERE / "model.onnx"), **CASE["options"])
got = evaluate(graph, list(FEEDS.values()))
""",
    "onnxruntime": """
import onnxruntime

session = onnxruntime.InferenceSession(HERE / "model.onnx")
got = session.run(None, FEEDS)
""",
    "openvino": """
import openvino

hints = {"INFERENCE_PRECISION_HINT": "f32"}
compiled = openvino.Core().compile_model(HERE / "model.onnx", "CPU", hints)
got = list(compiled([FEEDS[name] for name in NAMES]).values())
""",
    "onnx": """
from onnx.reference import ReferenceEvaluator

got = ReferenceEvaluator(HERE / "model.onnx").run(None, FEEDS)
""",
}
