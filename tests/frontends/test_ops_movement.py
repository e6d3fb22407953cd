"""Operators that move, cut and grow, against ONNX Runtime."""

from typing import Any

import numpy as np
import pytest
from onnx_graphs import (
    imported,
    node_model,
    node_same_as_ort,
    output_types,
    run,
    same_as_ort,
)

from graphwright.ir.errors import GraphwrightError, ModelError, ShapeError

BIG = 2**63 - 1


def f32(*shape: int) -> Any:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


RESHAPES = [
    ((2, 3, 4), (4, -1), 0),
    ((2, 3, 4), (0, -1), 0),
    ((2, 3, 4), (0, 0, 2, 2), 0),
    ((0, 3, 4), (3, 0, 4), 1),
    ((1,), (), 0),
    ((), (1, 1), 0),
]


@pytest.mark.parametrize(("shape", "target", "allowzero"), RESHAPES)
@pytest.mark.parametrize("known", [True, False])
def test_reshape(
    shape: tuple[int, ...], target: tuple[int, ...], allowzero: int, known: bool
) -> None:
    constants = [1] if known else []
    inputs = [f32(*shape), ints(*target)]
    node_same_as_ort("Reshape", inputs, constants=constants, allowzero=allowzero)


def test_reshape_1_takes_its_shape_from_an_attribute() -> None:
    model, feeds = node_model("Reshape", [f32(2, 3, 4)], opset=1, shape=[0, -1])
    assert run(model, feeds)[0].shape == (2, 12)


@pytest.mark.parametrize("target", [(-1, -1), (5, 5), (2, 3, 4, 0)])
def test_reshape_that_cannot_be(target: tuple[int, ...]) -> None:
    model, _ = node_model("Reshape", [f32(2, 3, 4), ints(*target)], constants=[1])
    with pytest.raises(ShapeError, match=r"Reshape|reshape"):
        imported(model)


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -3])
@pytest.mark.parametrize("shape", [(2, 3, 4), (0, 3, 4)])
def test_flatten(axis: int, shape: tuple[int, ...]) -> None:
    node_same_as_ort("Flatten", [f32(*shape)], axis=axis)


@pytest.mark.parametrize("opset", [11, 13, 21])
@pytest.mark.parametrize("axes", [None, (0,), (-2, 0)])
def test_squeeze(opset: int, axes: tuple[int, ...] | None) -> None:
    x = f32(1, 3, 1, 2)
    if opset < 13:
        how: dict[str, Any] = {} if axes is None else {"axes": axes}
        node_same_as_ort("Squeeze", [x], opset=opset, **how)
    else:
        inputs = [x] if axes is None else [x, ints(*axes)]
        node_same_as_ort("Squeeze", inputs, opset=opset)
        node_same_as_ort("Squeeze", inputs, opset=opset, constants=[1])


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("axes", [(0,), (-1, 0), (2, 1)])
def test_unsqueeze(opset: int, axes: tuple[int, ...]) -> None:
    x = f32(2, 3)
    if opset < 13:
        node_same_as_ort("Unsqueeze", [x], opset=opset, axes=axes)
    else:
        node_same_as_ort("Unsqueeze", [x, ints(*axes)], opset=opset)


def test_squeeze_of_axes_of_unknown_size_waits_for_them() -> None:
    text = "g (float[n,3] x) => (y) { y = Squeeze(x) }"
    assert output_types(text) == "float32[*]"
    model, feeds = node_model("Squeeze", [f32(1, 3)])
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    assert run(model, feeds)[0].shape == (3,)


@pytest.mark.parametrize("perm", [None, (1, 2, 0), (0, 2, 1)])
def test_transpose(perm: tuple[int, ...] | None) -> None:
    how: dict[str, Any] = {} if perm is None else {"perm": perm}
    node_same_as_ort("Transpose", [f32(2, 3, 4)], **how)
    node_same_as_ort("Transpose", [f32(2, 0, 4)], **how)


def test_concat() -> None:
    node_same_as_ort("Concat", [f32(2, 3), f32(2, 0), f32(2, 1)], axis=-1)
    node_same_as_ort("Concat", [f32(2, 3)], axis=0)
    model, feeds = node_model("Concat", [f32(2, 3), f32(2, 2)], opset=1)
    assert run(model, feeds)[0].shape == (2, 5)
    words = np.array(["a", "b"], object)
    model, feeds = node_model("Concat", [words, words], axis=0)
    assert run(model, feeds)[0].tolist() == ["a", "b", "a", "b"]


SPLITS: list[tuple[int, dict[str, Any], tuple[int, ...] | None, int]] = [
    (2, {"axis": 1, "split": [2, 4]}, None, 2),
    (11, {"axis": -1}, None, 3),
    (13, {"axis": 1}, (1, 0, 5), 3),
    (18, {"axis": 1, "num_outputs": 5}, None, 5),
    (18, {"axis": 0, "num_outputs": 2}, None, 2),
]


@pytest.mark.parametrize(("opset", "how", "sizes", "count"), SPLITS)
def test_split(
    opset: int, how: dict[str, Any], sizes: tuple[int, ...] | None, count: int
) -> None:
    x = f32(3, 9 if "num_outputs" in how else 6)
    inputs = [x] if sizes is None else [x, ints(*sizes)]
    node_same_as_ort("Split", inputs, opset=opset, outputs=count, **how)


def test_split_that_leaves_elements_out() -> None:
    model, _ = node_model("Split", [f32(6), ints(2, 3)], 2, constants=[1])
    with pytest.raises(ShapeError, match="Split"):
        imported(model)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("target", [(2, 3, 4), (1,), (3, 1), (0, 1, 1, 4)])
def test_expand(target: tuple[int, ...], known: bool) -> None:
    constants = [1] if known else []
    node_same_as_ort("Expand", [f32(3, 1), ints(*target)], constants=constants)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("repeats", [(1, 1), (2, 1), (3, 2), (0, 2)])
def test_tile(repeats: tuple[int, ...], known: bool) -> None:
    constants = [1] if known else []
    node_same_as_ort("Tile", [f32(2, 3), ints(*repeats)], constants=constants)


def test_tile_1_repeats_one_axis() -> None:
    inputs = [f32(2, 3), np.array(2, np.float32), np.array(1, np.float32)]
    model, feeds = node_model("Tile", inputs, opset=1, constants=[1, 2])
    assert run(model, feeds)[0].tolist() == np.tile(f32(2, 3), (1, 2)).tolist()


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space(mode: str) -> None:
    node_same_as_ort("DepthToSpace", [f32(2, 12, 2, 3)], blocksize=2, mode=mode)


def test_space_to_depth_undoes_depth_to_space() -> None:
    node_same_as_ort("SpaceToDepth", [f32(2, 3, 4, 6)], blocksize=2)
    text = "g (float[n,c,h,w] x) => (y) { y = SpaceToDepth<blocksize = 2>(x) }"
    assert output_types(text) == "float32[n, 4*c, h//2, w//2]"


# Slice --------------------------------------------------------------------------------

SLICES = [
    ((0, 0), (2, 3), (0, 1), (1, 1)),
    ((-3,), (BIG,), (1,), (1,)),
    ((1, -1), (10, -10), (0, 1), (2, -1)),
    ((10,), (-10,), (1,), (-2,)),
    ((3,), (1,), (0,), (1,)),
    ((-100,), (2,), (-1,), (1,)),
    ((4,), (-(2**63),), (1,), (-3,)),
    ((7,), (9,), (1,), (1,)),
]


@pytest.mark.parametrize(("starts", "ends", "axes", "steps"), SLICES)
@pytest.mark.parametrize("constants", [(1, 2, 3, 4), (3, 4), ()])
def test_slice(
    starts: tuple[int, ...],
    ends: tuple[int, ...],
    axes: tuple[int, ...],
    steps: tuple[int, ...],
    constants: tuple[int, ...],
) -> None:
    for x in (f32(4, 5), f32(0, 5), f32(2, 0)):
        inputs = [x, *(ints(*v) for v in (starts, ends, axes, steps))]
        node_same_as_ort("Slice", inputs, constants=constants)


def test_old_slice_and_int32_positions() -> None:
    how: dict[str, Any] = {"starts": [0, -2], "ends": [2, BIG], "axes": [0, 1]}
    node_same_as_ort("Slice", [f32(4, 5)], opset=9, **how)
    starts, ends = (np.array(v, np.int32) for v in ([1, -3], [3, 2**31 - 1]))
    node_same_as_ort("Slice", [f32(4, 5), starts, ends])


def test_slice_by_no_step() -> None:
    inputs = [f32(4), ints(0), ints(2), ints(0), ints(0)]
    model, _ = node_model("Slice", inputs, constants=[1, 2, 3, 4])
    with pytest.raises(ModelError, match="Slice"):
        imported(model)


# Pad ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("pads", [(1, 0, 2, 3), (0, 0, 0, 0), (1, 2, 0, 1)])
def test_pad(mode: str, pads: tuple[int, ...], known: bool) -> None:
    inputs = [f32(3, 4), ints(*pads), np.float32(7)]
    constants = [1] if known else []
    node_same_as_ort("Pad", inputs, constants=constants, opset=19, mode=mode)


@pytest.mark.parametrize("mode", ["constant", "edge"])
def test_pad_that_cuts(mode: str) -> None:
    node_same_as_ort("Pad", [f32(4, 5), ints(-1, 2, 1, -3)], opset=18, mode=mode)


def test_reflect_and_wrap_go_around_more_than_once() -> None:
    x = f32(3)
    for mode in ("reflect", "wrap"):
        model, feeds = node_model("Pad", [x, ints(7, 5)], opset=19, mode=mode)
        assert run(model, feeds)[0].tolist() == np.pad(x, (7, 5), mode).tolist()
    model, feeds = node_model("Pad", [f32(1), ints(2, 1)], opset=19, mode="reflect")
    assert run(model, feeds)[0].tolist() == [0.0, 0.0, 0.0, 0.0]


def test_pad_axes_and_old_forms() -> None:
    inputs = [f32(2, 3, 4), ints(1, 2), np.float32(5), ints(-1)]
    node_same_as_ort("Pad", inputs, opset=18)
    node_same_as_ort("Pad", inputs, opset=18, constants=[1, 3])
    node_same_as_ort("Pad", [f32(2, 3)], opset=2, pads=[1, 0, 0, 2], value=3.0)
    model, feeds = node_model("Pad", [f32(2)], opset=1, paddings=[1, 2], value=4.0)
    assert run(model, feeds)[0].tolist() == [4, 0, 1, 4, 4]


@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.uint64, np.float16])
def test_pad_of_other_dtypes(dtype: Any) -> None:
    model, feeds = node_model("Pad", [np.ones(2, dtype), ints(1, 1)])
    (y,) = run(model, feeds)
    assert y.dtype == dtype
    assert y.tolist() == [0, 1, 1, 0]


def test_pad_of_an_empty_axis() -> None:
    node_same_as_ort("Pad", [f32(0, 2), ints(1, 0, 2, 0)], opset=18)
    model, _ = node_model("Pad", [f32(0), ints(1, 1)], constants=[1], mode="edge")
    with pytest.raises(ShapeError, match="empty"):
        imported(model)


def test_pad_with_a_mode_that_is_none() -> None:
    model, _ = node_model("Pad", [f32(2), ints(1, 1)], mode="mirror")
    with pytest.raises(GraphwrightError, match="mirror"):
        imported(model)


@pytest.mark.parametrize("shape", [(4, 6), (5, 3), (2, 9), (7, 7)])
def test_center_crop_pad(shape: tuple[int, ...]) -> None:
    x = f32(5, 6)
    for constants in ([1], []):
        inputs = [x, ints(*shape)]
        model, feeds = node_model("CenterCropPad", inputs, constants=constants)
        same_as_ort(model, feeds)
    inputs = [x, ints(shape[1])]
    node_same_as_ort("CenterCropPad", inputs, constants=[1], axes=[-1])
