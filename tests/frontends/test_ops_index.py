"""Operators that read and write at positions, and those that sort."""

from typing import Any

import numpy as np
import pytest
from onnx_graphs import (
    imported,
    model_of,
    node_model,
    node_same_as_ort,
    output_types,
    run,
    same_as_ort,
)

from graphwright.ir.errors import IndexBoundsError, ModelError

RNG = np.random.default_rng(0)


def f32(*shape: int) -> Any:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def ints(*values: Any) -> Any:
    return np.array(values, np.int64)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("known", [True, False])
def test_gather(axis: int, dtype: Any, known: bool) -> None:
    for at in ([[0, -1], [1, -2]], 1, [], -2):
        inputs = [f32(2, 3, 4), np.array(at, dtype)]
        node_same_as_ort("Gather", inputs, axis=axis, constants=[1] if known else [])


def test_gather_out_of_range() -> None:
    model, feeds = node_model("Gather", [f32(3), ints(1, 3)])
    with pytest.raises(IndexBoundsError, match=r"index 3 .* size 3"):
        run(model, feeds)
    model, feeds = node_model("Gather", [f32(3), ints(-4)])
    with pytest.raises(IndexBoundsError, match="index -1"):
        run(model, feeds)


def test_gather_of_strings() -> None:
    words = np.array(["a", "b", "c"], object)
    model, feeds = node_model("Gather", [words, ints(2, -3)])
    assert run(model, feeds)[0].tolist() == ["c", "a"]


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gather_elements(axis: int) -> None:
    at = RNG.integers(-2, 2, (2, 2))
    node_same_as_ort("GatherElements", [f32(2, 3), at], axis=axis, opset=13)
    node_same_as_ort("GatherElements", [f32(2, 3), at[:0]], axis=axis, opset=13)


MODES = ["none", "add", "mul", "min", "max"]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_scatter_elements(axis: int, mode: str, dtype: Any) -> None:
    at = np.array([[0, 1, 2], [-1, -3, 1]]) if mode != "none" else ints([0, 1], [2, -2])
    updates = RNG.integers(-5, 5, at.shape).astype(dtype)
    inputs = [f32(3, 3).astype(dtype), at, updates]
    node_same_as_ort("ScatterElements", inputs, opset=18, axis=axis, reduction=mode)


def test_scatter_is_the_old_name() -> None:
    inputs = [f32(3, 3), ints([1, 0, 2]), f32(1, 3)]
    for opset, name in ((9, "Scatter"), (11, "ScatterElements")):
        node_same_as_ort(name, inputs, opset=opset, axis=1)


@pytest.mark.parametrize("batch", [0, 1])
@pytest.mark.parametrize("depth", [1, 2])
def test_gather_nd(batch: int, depth: int) -> None:
    lead = (2,) if batch else (3,)
    at = RNG.integers(-2, 2, (*lead, 2, depth))
    node_same_as_ort("GatherND", [f32(2, 3, 2, 5), at], opset=13, batch_dims=batch)
    none = at[:, :0]
    node_same_as_ort("GatherND", [f32(2, 3, 2, 5), none], opset=13, batch_dims=batch)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("depth", [1, 2])
def test_scatter_nd(mode: str, depth: int) -> None:
    at = ints([0, 1], [2, -2], [1, 1])[:, :depth]
    x = f32(3, 4, 2)
    updates = RNG.integers(-3, 9, (3, *x.shape[depth:])).astype(np.float32)
    node_same_as_ort("ScatterND", [x, at, updates], opset=18, reduction=mode)


def test_scatter_nd_of_nothing() -> None:
    node_same_as_ort("ScatterND", [f32(3, 2), ints([0])[:0], f32(0, 2)], opset=16)


def test_scatter_sums_narrow_floats_wide() -> None:
    at = np.zeros((2000, 1), np.int64)
    inputs = [np.zeros(1, np.float16), at, np.full(2000, 1.5, np.float16)]
    model, feeds = node_model("ScatterND", inputs, opset=18, reduction="add")
    assert run(model, feeds)[0].tolist() == [3000.0]


@pytest.mark.parametrize("mode", ["linear", "circular"])
def test_tensor_scatter(mode: str) -> None:
    cache, update = np.zeros((2, 1, 4, 3), np.float32), f32(2, 1, 2, 3) + 1
    start = ints(1, 3) if mode == "circular" else ints(0, 2)
    model, feeds = node_model(
        "TensorScatter", [cache, update, start], opset=24, mode=mode
    )
    want = cache.copy()
    for i, first in enumerate(start):
        for k in range(2):
            want[i, :, (first + k) % 4] = update[i, :, k]
    assert run(model, feeds)[0].tolist() == want.tolist()


@pytest.mark.parametrize(("time", "batch"), [(0, 1), (1, 0)])
def test_reverse_sequence(time: int, batch: int) -> None:
    lengths = ints(1, 3, 4, 2)
    x = f32(4, 4, 2)
    how: dict[str, Any] = {"time_axis": time, "batch_axis": batch}
    node_same_as_ort("ReverseSequence", [x, lengths], opset=10, **how)


def test_reverse_sequence_along_other_axes() -> None:
    model, _ = node_model("ReverseSequence", [f32(2, 2, 2), ints(1, 1)], batch_axis=2)
    with pytest.raises(ModelError, match="batch axis 2"):
        imported(model)


@pytest.mark.parametrize("axis", [None, 0, -1])
def test_compress(axis: int | None) -> None:
    how: dict[str, Any] = {} if axis is None else {"axis": axis}
    for condition in ([True, False, True], [False, True], [False, False]):
        keep = np.array(condition)
        node_same_as_ort("Compress", [f32(3, 3), keep], opset=11, **how)


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.bool_])
def test_nonzero(dtype: Any) -> None:
    cases: list[Any] = [[[1, 0, 2], [0, 0, 3]], [0, 0], [[]]]
    for x in cases:
        node_same_as_ort("NonZero", [np.array(x, dtype)])


def test_nonzero_counts_are_dims() -> None:
    text = """g (float[n,4] x) => (y) { i = NonZero(x)  t = Transpose(i)
      y = GatherND(x, t) }"""
    assert output_types(text) == "float32[_1]"
    x = np.array([[0, 1, 2, 0], [3, 0, 0, 4]], np.float32)
    same_as_ort(model_of(text), {"x": x})


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.float16])
def test_top_k(largest: int, axis: int, dtype: Any) -> None:
    x = RNG.integers(-4, 4, (4, 6)).astype(dtype)
    for k in (0, 1, 4):
        inputs = [x, ints(k)]
        how: dict[str, Any] = {
            "axis": axis,
            "largest": largest,
            "outputs": 2,
            "opset": 11,
        }
        if dtype is np.float16:
            model, feeds = node_model("TopK", inputs, **how)
            values, order = run(model, feeds)
            wide = np.sort(x.astype(np.float32), axis)
            want = np.flip(wide, axis) if largest else wide
            assert values.tolist() == want.take(range(k), axis).tolist()
            assert np.take_along_axis(x, order, axis).tolist() == values.tolist()
        else:
            node_same_as_ort("TopK", inputs, **how)
            node_same_as_ort("TopK", inputs, constants=[1], **how)


def test_old_top_k() -> None:
    x = RNG.standard_normal((3, 5)).astype(np.float32)
    node_same_as_ort("TopK", [x], opset=1, k=2, outputs=2)
    node_same_as_ort("TopK", [x, ints(2)], opset=10, axis=0, outputs=2)


COLUMNS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((5, 5), (1, 5), {}),
    ((6, 7), (2, 3), {"strides": [2, 2]}),
    ((5, 6), (3, 2), {"pads": [1, 0, 1, 2]}),
    ((7, 8), (2, 2), {"dilations": [2, 3]}),
]


@pytest.mark.parametrize(("image", "block", "how"), COLUMNS)
def test_col2im(
    image: tuple[int, ...], block: tuple[int, ...], how: dict[str, Any]
) -> None:
    pads = how.get("pads", [0] * 4)
    places = 1
    for i in range(2):
        reach = (block[i] - 1) * how.get("dilations", [1, 1])[i] + 1
        grown = image[i] + pads[i] + pads[i + 2]
        places *= (grown - reach) // how.get("strides", [1, 1])[i] + 1
    x = RNG.standard_normal((2, 3 * block[0] * block[1], places)).astype(np.float32)
    for constants in ([1, 2], []):
        inputs = [x, ints(*image), ints(*block)]
        node_same_as_ort("Col2Im", inputs, opset=18, constants=constants, **how)
