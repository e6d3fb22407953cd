"""Activations and quantization: meaning, decomposition and gradient agree."""

from typing import Any

import numpy as np
import pytest

from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import DTYPES, dtype
from graphwright.ir.errors import DTypeError, ShapeError
from graphwright.ir.evaluate import evaluate
from graphwright.ir.op import OPS
from graphwright.ir.types import TensorType
from graphwright.passes.decompose import decompose_unsupported
from graphwright.passes.gradients import gradient

X = np.concatenate([np.linspace(-12, 12, 48), [0, -0.0, 90, -90]]).reshape(4, 13)

ACTIVATIONS: list[tuple[str, dict[str, Any]]] = [
    ("sigmoid", {}),
    ("softplus", {}),
    ("gelu", {"tanh": False}),
    ("gelu", {"tanh": True}),
    ("softmax", {"axis": 0}),
    ("softmax", {"axis": 1}),
    ("log_softmax", {"axis": 1}),
]

CLOSE = {"float64": 1e-14, "float32": 2e-6, "float16": 1e-3, "bfloat16": 1e-2}


def graph_of(name: str, arrays: Any, **fields: Any) -> Any:
    """A graph of one op on inputs like these arrays."""
    b = Builder()
    types = [TensorType(dtype(x.dtype), x.shape) for x in arrays]
    inputs = [b.input(f"x{i}", t) for i, t in enumerate(types)]
    return b.finish([b.emit(name, *inputs, **fields)])


def both(name: str, *arrays: Any, **fields: Any) -> tuple[Any, Any]:
    """The op's results by ``compute`` and by its decomposition."""
    graph = graph_of(name, arrays, **fields)
    simple = decompose_unsupported(graph, lambda op, types: False)
    assert name not in {node.op.name for node in simple.nodes}
    (whole,), (parts,) = evaluate(graph, arrays), evaluate(simple, arrays)
    assert whole.dtype == parts.dtype
    return whole, parts


@pytest.mark.parametrize(("name", "fields"), ACTIVATIONS)
@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "bfloat16"])
def test_activations_decompose(name: str, fields: dict[str, Any], kind: str) -> None:
    x = X.astype(DTYPES[kind].numpy)
    whole, parts = (y.astype(np.float64) for y in both(name, x, **fields))
    np.testing.assert_allclose(whole, parts, rtol=CLOSE[kind], atol=1e-45)


@pytest.mark.parametrize(("name", "fields"), ACTIVATIONS)
def test_activations_of_special_values(name: str, fields: dict[str, Any]) -> None:
    x = np.array([[np.nan, np.inf, -np.inf], [3e38, -3e38, 0]], np.float32)
    whole, parts = both(name, x, **fields)
    np.testing.assert_array_equal(whole, parts)


@pytest.mark.parametrize(("name", "fields"), ACTIVATIONS)
def test_gradients(name: str, fields: dict[str, Any]) -> None:
    x = np.random.default_rng(0).standard_normal((3, 4))
    weights = np.random.default_rng(1).standard_normal((3, 4))
    b = Builder()
    value = b.input("x", TensorType(DTYPES["float64"], (3, 4)))
    weighted = b.mul(b.emit(name, value, **fields), b.constant_of(Constant.of(weights)))
    graph = b.finish([b.sum(weighted, [0, 1])])
    got = evaluate(gradient(graph, wrt=["x"]), [x])[-1]
    want = np.empty_like(x)
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = 1e-5
        (up,), (down,) = evaluate(graph, [x + step]), evaluate(graph, [x - step])
        want[index] = (up - down) / 2e-5
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("to", ["uint8", "int16", "int4", "uint2", "float8_e4m3fn"])
@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("with_zero", [False, True])
def test_quantization_decomposes(to: str, kind: str, with_zero: bool) -> None:
    x = X.astype(DTYPES[kind].numpy)
    scale = np.linspace(0.1, 1, 13).astype(x.dtype)
    zero = [np.ones(13).astype(DTYPES[to].numpy)] if with_zero else []
    whole, parts = both("quantize", x, scale, *zero, dtype=DTYPES[to])
    np.testing.assert_array_equal(whole.astype(float), parts.astype(float))
    back = both("dequantize", whole, scale, *zero, dtype=DTYPES[kind])
    np.testing.assert_array_equal(*back)


def test_operands_that_do_not_fit() -> None:
    x, q = np.ones((2, 3), np.float32), np.ones((2, 3), np.int8)
    with pytest.raises(DTypeError):
        graph_of("sigmoid", [q])
    with pytest.raises(ShapeError):
        graph_of("softmax", [x], axis=2)
    with pytest.raises(ShapeError):
        graph_of("quantize", [x, np.ones((4, 2, 3), np.float32)], dtype=DTYPES["int8"])
    with pytest.raises(DTypeError):
        graph_of("quantize", [x, x.astype(np.float16)], dtype=DTYPES["int8"])
    with pytest.raises(DTypeError):
        graph_of("quantize", [x, x, q], dtype=DTYPES["uint8"])
    with pytest.raises(DTypeError):
        graph_of("dequantize", [q, x], dtype=DTYPES["int8"])


def saturated(x: Any, to: str) -> Any:
    """A saturating cast."""
    return OPS["cast"](dtype=DTYPES[to], saturate=True).compute(np, x)


@pytest.mark.parametrize("kind", ["int2", "uint4", "int8", "uint8", "int32", "uint64"])
def test_saturating_casts_to_integers(kind: str) -> None:
    low, high = DTYPES[kind].limits
    x = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 1.9, -0.5])
    want = [0, high, low, high, low, 1, 0]
    assert [int(v) for v in saturated(x, kind)] == want
    whole = np.array([0, 1, -(2**62), 2**62])
    got = [int(v) for v in saturated(whole, kind)]
    assert got == [0, 1, max(low, -(2**62)), min(high, 2**62)]


def test_saturating_int64_at_its_ends() -> None:
    x = np.array([2.0**63, -(2.0**63), 2.0**62, 9.3e18])
    assert saturated(x, "int64").tolist() == [2**63 - 1, -(2**63), 2**62, 2**63 - 1]


def test_a_cast_from_float64_rounds_once() -> None:
    x = np.array([1 + 2.0**-8 + 2.0**-40, 1 + 2.0**-8, 1e300, -1e300, np.nan])
    got = OPS["cast"](dtype=DTYPES["bfloat16"]).compute(np, x)
    want = [1 + 2.0**-7, 1, np.inf, -np.inf, np.nan]
    np.testing.assert_array_equal(got.astype(np.float64), want)
