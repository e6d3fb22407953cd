"""Comparison: it finds what is wrong, says where, and raises no false alarm."""

import base64
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphwright.backends.contract import Kernel, Request
from graphwright.backends.numpy.backend import NumpyBackend
from graphwright.ir.builder import Builder
from graphwright.ir.dtype import DTYPES, float32
from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType
from graphwright.testing import assert_accurate, assert_agree, bounds_of, random_graph
from graphwright.testing.compare import _excess
from graphwright.testing.random_graphs import FLOAT32
from graphwright.testing.recipes_control import TEXT
from graphwright.testing.shadow import Bound
from graphwright.testing.values import inputs_for

SHAPE = (4, 5)


class Faulty(NumpyBackend):
    """Gives something else for one op."""

    name = "faulty"

    def __init__(self, op: str, fault: Callable[..., Any]) -> None:
        self.op, self.fault = op, fault

    def kernel(self, request: Request) -> Kernel:
        right = super().kernel(request)
        if request.op.name != self.op:
            return right
        return lambda *arrays: self.fault(right(*arrays), *arrays)


def graph_of(make: Callable[[Builder, Value], Value], dtype: str = "float32") -> Graph:
    b = Builder()
    return b.finish([make(b, b.input("x", TensorType(DTYPES[dtype], SHAPE)))])


def one_element(y: Any, *_: Any) -> Any:
    y = y.copy()
    y[-1] = y[-1] * np.float32(1 + 1e-5)
    return y


FAULTS: list[tuple[str, Any, Any]] = [
    ("exp", lambda b, x: b.exp(x), one_element),
    ("exp", lambda b, x: b.exp(x), lambda y, *_: y * np.float32(1 + 1e-5)),
    ("exp", lambda b, x: b.exp(x), lambda y, *_: y.astype(np.float64)),
    ("exp", lambda b, x: b.exp(x), lambda y, *_: y[:-1]),
    ("tanh", lambda b, x: b.tanh(b.tanh(x)), lambda y, x: x),
    ("neg", lambda b, x: b.neg(x), one_element),
    ("transpose", lambda b, x: b.transpose(x, (1, 0)), lambda y, x: y[::-1]),
    ("reduce", lambda b, x: b.sum(x, [1]), lambda y, x: x[:, 1:].sum(1)),
    ("sort", lambda b, x: b.sort(x, 0)[1], lambda y, x: (y[0], y[1][::-1])),
    ("lt", lambda b, x: b.lt(x, 0), lambda y, x, _: x <= x[0, 0]),
]


@pytest.mark.parametrize(("op", "make", "fault"), FAULTS)
def test_faults_are_found(op: str, make: Any, fault: Any) -> None:
    graph = graph_of(make)
    inputs = inputs_for(graph, 1)
    assert_agree(graph, inputs, optimize=False)
    with pytest.raises(AssertionError):
        assert_agree(graph, inputs, backend=Faulty(op, fault), optimize=False)


def test_sums_in_a_narrow_type_are_found() -> None:
    b = Builder()
    x = b.input("x", TensorType(DTYPES["float16"], (4096,)))
    graph = b.finish([b.sum(x, [0])])
    inputs = [np.ones(4096, np.float16)]

    def narrow(_: Any, x: Any) -> Any:
        return np.add.accumulate(x * np.float16(0.999), dtype=np.float16)[-1]

    with pytest.raises(AssertionError, match="within"):
        assert_agree(graph, inputs, backend=Faulty("reduce", narrow), optimize=False)


def test_special_results_must_be_the_same() -> None:
    graph = graph_of(lambda b, x: b.log(x))
    inputs = [np.full(SHAPE, -1, np.float32)]
    assert_agree(graph, inputs)

    def zeros(y: Any, _: Any) -> Any:
        return np.nan_to_num(y)

    with pytest.raises(AssertionError, match="nan"):
        assert_agree(graph, inputs, backend=Faulty("log", zeros), optimize=False)


def test_another_order_of_summation_is_no_fault() -> None:
    b = Builder()
    x = b.input("x", TensorType(float32, (3000,)))
    graph = b.finish([b.sum(x, [0])])
    inputs = [np.random.default_rng(0).standard_normal(3000).astype(np.float32)]

    def one_by_one(_: Any, x: Any) -> Any:
        return np.add.accumulate(x, dtype=np.float32)[-1]

    assert_agree(graph, inputs, backend=Faulty("reduce", one_by_one), optimize=False)


def test_the_message_names_the_worst_element() -> None:
    graph = graph_of(lambda b, x: b.exp(x))
    inputs = inputs_for(graph, 1)

    def fault(y: Any, _: Any) -> Any:
        y = y.copy()
        y[2, 3] = 7
        return y

    with pytest.raises(AssertionError, match=r"'out0'.*7\.0 at \[2, 3\]"):
        assert_agree(graph, inputs, backend=Faulty("exp", fault), optimize=False)


def test_an_inaccurate_reference_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of(lambda b, x: b.exp(x))
    inputs = inputs_for(graph, 1)
    assert_accurate(graph, inputs)
    cls = type(graph.nodes[0].op)

    def poor(self: Any, xp: Any, x: Any) -> Any:
        narrow = x.dtype == np.float32
        return xp.exp(x) * (np.float32(1 + 1e-5) if narrow else 1.0)

    monkeypatch.setattr(cls, "compute", poor)
    with pytest.raises(AssertionError, match="reference"):
        assert_accurate(graph, inputs)


def test_bounds_are_near_the_errors_observed() -> None:
    ratios: list[float] = []
    for seed in range(90):
        graph = random_graph(seed, world=FLOAT32)
        inputs = inputs_for(graph, seed)
        for bound, x in zip(
            bounds_of(graph, inputs), evaluate(graph, inputs), strict=True
        ):
            if bound.tolerance is not None and x.dtype.kind == "f" and x.size:
                error = np.abs(x.astype(np.float64) - bound.value)
                seen = (error > 0) & np.isfinite(bound.tolerance)
                ratios += (bound.tolerance[seen] / error[seen]).tolist()
    assert len(ratios) > 100
    assert min(ratios) > 1
    assert np.median(ratios) < 1000


def test_infinities_are_not_off() -> None:
    b = Builder("masked")
    x = b.input("x", TensorType(float32, (64,)))
    mask = b.constant(np.repeat(np.array([0, -np.inf], np.float32), 32))
    graph = b.finish([b.reduce("sum", b.unary("exp", b.add(x, mask)), [0])])
    (bound,) = bounds_of(graph, [np.ones(64, np.float32)])
    assert bound.tolerance > 12 * np.finfo(np.float32).eps * bound.value


def test_a_foreign_operation_errs_as_its_own_dtype_does() -> None:
    x = Builder("inner")
    inner = x.finish([x.unary("exp", x.input("x", TensorType(float32, (9,))))], ["y"])
    payload = base64.b64encode(str(inner).encode()).decode()
    types, fields = (inner.outputs[0].type,), {"format": TEXT, "kind": "exp"}
    b = Builder("outer")
    v = b.input("x", TensorType(float32, (9,)))
    made = b.emit("foreign", v, payload=payload, types=types, **fields)
    feeds = [np.linspace(-2, 2, 9, dtype=np.float32)]
    (within,) = bounds_of(inner, feeds)
    (bound,) = bounds_of(b.finish([made]), feeds)
    assert np.allclose(bound.tolerance, within.tolerance)


def test_a_softmax_that_one_number_wins_by_chance() -> None:
    b = Builder("huge")
    x = b.mul(b.input("x", TensorType(float32, (1000,))), 1e9)
    (bound,) = bounds_of(b.finish([b.emit("softmax", x, axis=0)]), [np.ones(1000, "f")])
    assert bound.tolerance.min() > 0.5  # an eighth for eight of them is no fault


def test_bounds_of_powers_of_negative_numbers() -> None:
    b = Builder()
    x = b.input("x", TensorType(float32, (2,)))
    graph = b.finish([b.pow(b.sub(b.mul(x, 1.1), x), 2.0)])
    (bound,) = bounds_of(graph, [np.array([1.5, -1.5], np.float32)])
    left, right = bound.tolerance.tolist()
    assert 0.2 < left / right < 5


def test_without_hypothesis_it_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "import graphwright as gw\n"
        "try:\n"
        "    gw.testing.graphs()\n"
        "except gw.BackendUnavailable as error:\n"
        "    print(error)\n"
    )
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 'pip install "graphwright[test]"' in run.stdout, run.stderr


@pytest.mark.parametrize(
    ("got", "tolerance", "right"),
    [
        (complex(np.inf, 1.0), 1e-3, True),
        (complex(np.inf, 1.0005), 1e-3, True),
        (complex(np.inf, 7.0), np.inf, True),
        (complex(np.inf, 1.1), 1e-3, False),
        (complex(-np.inf, 1.0), np.inf, False),
        (complex(1e300, 1.0), np.inf, False),
        (complex(np.inf, np.nan), np.inf, False),
    ],
)
def test_infinite_complex_numbers_are_compared_by_parts(
    got: complex, tolerance: float, right: bool
) -> None:
    want = np.array([complex(np.inf, 1.0)])
    bound = Bound(want, np.array([tolerance]))
    assert bool(_excess(np.array([got]), want, bound).max() == 0) is right
