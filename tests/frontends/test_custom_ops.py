"""Ops from outside the library: one class, known to every part of it."""

from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from onnx_graphs import run

import graphwright as gw
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.op import OPS, Op, Tier
from graphwright.ir.types import TensorType
from graphwright.passes.gradients import gradient
from graphwright.testing import RecordingBackend, assert_agree, cases
from graphwright.testing.maker import Maker


class Lerp(Op):
    """``x + weight * (y - x)``."""

    name, domain = "test_lerp", "org.test"
    tier: ClassVar[Tier] = Tier.COMPOSITE
    weight: float = 0.5
    exact: bool = False
    marks: tuple[int, ...] = ()

    def result_type(self, x: TensorType, y: TensorType) -> TensorType:
        return TensorType(x.dtype, x.shape)

    def compute(self, xp: Any, x: Any, y: Any) -> Any:
        return (x + self.weight * (y - x)).astype(x.dtype)

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        x, y = operands
        return b.add(x, b.mul(b.sub(y, x), self.weight))

    @staticmethod
    def recipe(m: Maker) -> Any:
        x = m.tensor("f")
        return m.emit("test_lerp", x, m.like(x), weight=0.25)


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPS, "test_lerp", Lerp)


OPS.pop("test_lerp")  # other tests go over all ops


def model(**attributes: Any) -> Any:
    helper = onnx.helper
    node = helper.make_node("Lerp", ["x", "y"], ["z"], domain="org.test", **attributes)
    infos = [helper.make_tensor_value_info(n, 1, ["n"]) for n in "xyz"]
    graph = helper.make_graph([node], "g", infos[:2], infos[2:])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("org.test", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


X, Y = np.arange(3, dtype=np.float32), np.ones(3, np.float32)


def test_import_and_export() -> None:
    made = model(weight=0.25, exact=1, marks=[1, 2])
    want = X + 0.25 * (Y - X)
    np.testing.assert_allclose(run(made, {"x": X, "y": Y})[0], want)
    graph = gw.load(made)
    assert graph.nodes[0].op == Lerp(weight=0.25, exact=True, marks=(1, 2))
    again = gw.export(graph)
    (node,) = again.graph.node
    assert (node.domain, node.op_type) == ("org.test", "Lerp")
    assert {o.domain: o.version for o in again.opset_import}["org.test"] == 1
    assert gw.load(again) == graph


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"colour": 1}, "no field colour"),
        ({"weight": onnx.helper.make_tensor("t", 1, [1], [2.0])}, "no number"),
    ],
)
def test_attributes_that_do_not_fit(attributes: dict[str, Any], words: str) -> None:
    with pytest.raises(gw.ModelError, match=words):
        gw.load(model(**attributes))


def test_another_domain_is_unknown() -> None:
    made = model()
    made.graph.node[0].domain = made.opset_import[1].domain = "org.other"
    with pytest.raises(gw.UnsupportedOpError, match=r"org\.other.*custom_op\.py"):
        gw.load(made)


def test_another_name_of_the_domain_is_unknown() -> None:
    made = model()
    made.graph.node[0].op_type = "lerp"
    with pytest.raises(gw.UnsupportedOpError, match=r"org\.test has Lerp"):
        gw.load(made)


def test_tracing_eager_lazy_and_mapped() -> None:
    op = Lerp(weight=0.25)
    want = X + 0.25 * (Y - X)
    np.testing.assert_allclose(gw.apply(op, X, Y).numpy(), want)
    np.testing.assert_allclose(gw.jit(lambda x, y: gw.apply(op, x, y))(X, Y), want)
    rows = gw.vmap(lambda x: gw.apply(op, x, gw.asarray(Y)))(np.stack([X, X]))
    np.testing.assert_allclose(np.asarray(rows), [want, want])
    spec = gw.spec("float32", ("n",))
    graph = gw.trace(lambda x, y: gw.apply(op, x, y), spec, spec)
    assert gw.parse(str(graph)) == graph
    assert "test_custom_ops.py" in str(graph.nodes[0].source)


def test_passes_gradients_and_backends() -> None:
    for case in cases("test_lerp"):
        assert_agree(case.graph, case.inputs, backend=RecordingBackend())
        assert_agree(case.graph, case.inputs, backend="numpy")
    graph = gradient(gw.load(model(weight=0.25)), wrt=["x"])
    found = gw.compile(graph, backend="numpy", strict=True).run(None, {"x": X, "y": Y})
    np.testing.assert_allclose(found[-1], np.full(3, 0.75))
    assert gw.check(graph, backend="cuda").ok
