"""``gw.diff`` and ``graphwright diff``: what changed, and nothing else."""

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import numpy_helper
from rewrite_examples import EXAMPLES

import graphwright as gw
from graphwright.cli import main
from graphwright.testing import random_graph

DIGITS = Path(str(gw.__file__)).parent / "data" / "digits.onnx"

Capture = pytest.CaptureFixture[str]


def changed_model() -> Any:
    """The digits, one weight and one attribute changed."""
    model = onnx.load(DIGITS)
    weight = model.graph.initializer[0]
    array = numpy_helper.to_array(weight).copy()
    array.flat[0] += 0.5
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    (node,) = [n for n in model.graph.node if n.op_type == "Softmax"]
    node.attribute.append(onnx.helper.make_attribute("axis", 0))
    del node.attribute[:-1]
    return model


@pytest.mark.parametrize("seed", range(10))
def test_a_graph_and_itself(seed: int) -> None:
    graph = random_graph(seed)
    assert gw.diff(graph, graph).same


def test_an_attribute_and_a_weight() -> None:
    report = gw.diff(DIGITS, changed_model())
    (node,) = report.nodes
    assert (node.kind, node.op, node.name) == ("changed", "softmax", "probabilities")
    assert node.what == ("axis 1 became 0",)
    (weight,) = report.weights
    assert weight.elements == 1
    assert weight.max_abs == pytest.approx(0.5)
    assert "softmax 'probabilities'" in str(report)
    assert not report.same


def test_before_and_after_a_pass() -> None:
    graph = EXAMPLES["square"]
    report = gw.diff(graph, gw.optimize(graph, ["simplify"]))
    kinds = {(c.kind, c.op) for c in report.nodes}
    assert ("removed", "pow") in kinds
    assert ("added", "mul") in kinds


def test_inputs_and_outputs() -> None:
    b = gw.Builder()
    x = b.input("x", gw.load(DIGITS).input_types[0])
    graph = b.finish([b.neg(x)], ["y"])
    ends = gw.diff(DIGITS, graph).ends
    assert "input 'image' is gone" in ends
    assert "output 'y' is new" in ends


def test_exit_codes_and_files(capsys: Capture, tmp_path: Path) -> None:
    other, page = tmp_path / "other.onnx", tmp_path / "diff.html"
    onnx.save(changed_model(), other)
    assert main(["diff", str(DIGITS), str(DIGITS)]) == 0
    assert "the graphs are the same" in capsys.readouterr().out
    assert main(["diff", str(DIGITS), str(other), "--json", "--html", str(page)]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["nodes"][0]["what"] == ["axis 1 became 0"]
    assert data["weights"][0]["elements"] == 1
    text = page.read_text(encoding="utf-8")
    assert "axis 1 became 0" in text
    assert '"state"' in text


def test_order_of_nodes_that_do_not_depend_on_each_other() -> None:
    def graph(first: str) -> gw.Graph:
        b = gw.Builder()
        x = b.input("x", gw.spec("float32", (2,)).type)
        names = (first, *({"exp", "tanh"} - {first}))
        made = {name: b.emit(name, x) for name in names}
        return b.finish([b.add(made["exp"], made["tanh"])])

    assert gw.diff(graph("exp"), graph("tanh")).same
