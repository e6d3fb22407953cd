"""Casts between all element types: rounding, ranges, strings, known contents."""

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx_graphs import model_of, node_model, node_same_as_ort, output_types, run

from graphwright.frontends.onnx.tensors import element_of
from graphwright.ir.dtype import DTYPES
from graphwright.ir.errors import FeedError, ModelError

REAL = [d for d in DTYPES.values() if d.kind in "biuf" and d.name != "float8_e8m0fnu"]


def cast(x: Any, to: str, op_type: str = "Cast", opset: int = 25, **how: Any) -> Any:
    """``x`` as another dtype."""
    how["to"] = element_of(DTYPES[to])
    return run(*node_model(op_type, [np.asarray(x)], opset=opset, **how))[0]


@pytest.mark.parametrize("source", REAL, ids=str)
@pytest.mark.parametrize("to", REAL, ids=str)
def test_small_numbers_keep_their_value(source: Any, to: Any) -> None:
    x = np.array([0, 1, 0, 1]).astype(source.numpy)
    got = cast(x, to.name)
    assert got.dtype == to.numpy
    np.testing.assert_array_equal(got.astype(np.float32), [0, 1, 0, 1])


PLAIN = [np.float32, np.float64, np.float16, np.int8, np.uint8, np.int32, np.int64]


@pytest.mark.parametrize("source", PLAIN)
@pytest.mark.parametrize("to", [*PLAIN, np.bool_, np.uint16])
def test_numbers_in_range(source: Any, to: Any) -> None:
    x = np.array([0, 1, 3.5, 100.75, 127]).astype(source)
    node_same_as_ort(
        "Cast", (x,), to=onnx.helper.np_dtype_to_tensor_dtype(np.dtype(to))
    )


def test_integers_drop_high_bits() -> None:
    x = np.array([300, -1, 200, 2**31 + 5], np.int64)
    for to in (np.int8, np.uint8, np.int32, np.uint64):
        node_same_as_ort(
            "Cast", (x,), to=onnx.helper.np_dtype_to_tensor_dtype(np.dtype(to))
        )
    assert cast([200, -9, 7], "int4").tolist() == [-8, 7, 7]
    assert cast([5, 6, 3], "uint2").tolist() == [1, 2, 3]


EXTREMES = [0.0, -0.0, np.nan, np.inf, -np.inf, 1e9, -1e9, 2.0**-20]
LARGEST = {
    "float8_e4m3fn": 448,
    "float8_e4m3fnuz": 240,
    "float8_e5m2": 57344,
    "float8_e5m2fnuz": 57344,
}


@pytest.mark.parametrize("source", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("to", LARGEST)
def test_float8_saturates(source: Any, to: str) -> None:
    top = LARGEST[to]
    with np.errstate(over="ignore"):
        x = np.array(EXTREMES).astype(source)
    got = cast(x, to).astype(np.float32)
    tiny = np.array(2.0**-20).astype(DTYPES[to].numpy).astype(np.float32)
    want = [0, 0, np.nan, top, -top, top, -top, tiny]
    np.testing.assert_array_equal(got, want)
    loose = cast(x, to, saturate=0).astype(np.float32)
    over = np.inf if to == "float8_e5m2" else np.nan
    np.testing.assert_array_equal(np.abs(loose[3:7]), [over] * 4)


def test_float8_rounds_once() -> None:
    """A float64 just above the middle of two float8 numbers, and not after float32."""
    x = np.array([17.0 + 2.0**-40, 17.0, 19.0])
    assert cast(x, "float8_e4m3fn").astype(float).tolist() == [18, 16, 20]


@pytest.mark.parametrize(
    ("mode", "saturate", "want"),
    [
        ("up", 1, [1, 2, 2, 2, 4, 2.0**127]),
        ("up", 0, [1, 2, 2, 2, 4, np.nan]),
        ("down", 1, [1, 1, 1, 1, 2, 2.0**127]),
        ("nearest", 1, [1, 1, 2, 2, 2, 2.0**127]),
        ("nearest", 0, [1, 1, 2, 2, 2, np.nan]),
    ],
)
def test_powers_of_two(mode: str, saturate: int, want: list[float]) -> None:
    x = np.array([1, 1.25, 1.5, 1.75, 2.5, 3e38], np.float32)
    got = cast(x, "float8_e8m0fnu", round_mode=mode, saturate=saturate)
    np.testing.assert_array_equal(got.astype(np.float64), want)
    nan = cast(np.array([np.nan], np.float32), "float8_e8m0fnu", round_mode=mode)
    assert np.isnan(nan.astype(np.float32)).all()


def test_unknown_round_mode() -> None:
    with pytest.raises(ModelError, match="round_mode"):
        cast(np.float32(1), "float8_e8m0fnu", round_mode="sideways")


def test_strings_of_numbers() -> None:
    x = np.array([1, 0.1, 314.15926, 1e-5, 1e30, np.nan, np.inf, -np.inf], np.float32)
    words = ["1", "0.1", "314.15927", "1e-05", "1e+30", "NaN", "INF", "-INF"]
    assert cast(x, "string").tolist() == words
    assert cast(np.array([-3, 2**62]), "string").tolist() == ["-3", str(2**62)]
    assert cast(np.array([True, False]), "string").tolist() == ["1", "0"]
    assert cast(np.array([0.5], np.float16), "string").tolist() == ["0.5"]


def test_numbers_of_strings() -> None:
    words = np.array(["3.14", "1e-5", "1E8", "+INF", "-inf", "nan", "42"], object)
    want = [3.14, 1e-5, 1e8, np.inf, -np.inf, np.nan, 42]
    np.testing.assert_array_equal(cast(words, "float32"), np.array(want, np.float32))
    np.testing.assert_array_equal(cast(words, "float64"), want)
    whole = np.array(["-5", str(2**62 + 1), "100.5"], object)
    assert cast(whole, "int64").tolist() == [-5, 2**62 + 1, 100]
    assert cast(whole[:1], "uint8").tolist() == [251]
    assert cast(np.array(["1.5", "0"], object), "bool").tolist() == [True, False]


@pytest.mark.parametrize("to", ["float32", "int64"])
def test_words_are_no_numbers(to: str) -> None:
    with pytest.raises(FeedError, match="hello"):
        cast(np.array(["hello"], object), to)


def test_types_by_name() -> None:
    x = np.array([1.5, -2.5], np.float32)
    for word, to in (
        ("INT32", np.int32),
        ("DOUBLE", np.float64),
        ("float", np.float32),
    ):
        (got,) = run(*node_model("Cast", [x], opset=1, to=word))
        np.testing.assert_array_equal(got, x.astype(to))
    with pytest.raises(ModelError, match="no element type"):
        run(*node_model("Cast", [x], opset=1, to="quaternion"))


def test_like_another_tensor() -> None:
    x, like = np.array([1.7, -1.7], np.float32), np.zeros((), np.int16)
    (got,) = run(*node_model("CastLike", [x, like], opset=21))
    assert got.dtype == np.int16
    assert got.tolist() == [1, -1]


@pytest.mark.parametrize(
    ("source", "to"), [("int4", "uint4"), ("float4_e2m1fn", "uint4"), ("uint2", "int2")]
)
def test_bits_of_narrow_types(source: str, to: str) -> None:
    values = np.array([0, 1, -1 if source != "uint2" else 3]).astype(
        DTYPES[source].numpy
    )
    there = cast(values, to, "BitCast", 26)
    assert there.dtype == DTYPES[to].numpy
    back = cast(there, source, "BitCast", 26)
    np.testing.assert_array_equal(back.astype(np.float32), values.astype(np.float32))


def test_bits_of_another_width() -> None:
    with pytest.raises(TypeError, match="widths differ"):
        cast(np.float32(1), "int64", "BitCast", 26)


def test_sizes_are_followed_through_casts() -> None:
    text = """g (float[N, M] x) => (float[A] y) {
        shape = Shape (x)
        narrow = Cast <to = 6> (shape)
        wide = Cast <to = 7> (narrow)
        size = ReduceProd <keepdims = 1> (wide)
        y = Reshape (x, size)
    }"""
    assert output_types(text) == "float32[M*N]"


def test_sizes_as_truth_values() -> None:
    text = """g (float[3, 0] x) => (bool[2] y) {
        shape = Shape (x)
        y = Cast <to = 9> (shape)
    }"""
    assert output_types(text) == "bool[2]{1, 0}"
    (got,) = run(model_of(text), {"x": np.zeros((3, 0), np.float32)})
    assert got.tolist() == [True, False]
