"""Operands that an operator cannot take are named in an error, known or fed."""

from typing import Any

import numpy as np
import pytest
from onnx_graphs import node_model, run

from graphwright.ir.errors import GraphwrightError


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


def f32(*shape: int) -> Any:
    return np.zeros(shape, np.float32)


REFUSED: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("ConstantOfShape", [ints(2, -3)], {}),
    ("Expand", [f32(3), ints(2)], {}),
    ("Expand", [f32(3), ints(-1)], {}),
    ("Tile", [f32(3), ints(-1)], {}),
    ("Tile", [f32(3), ints(1, 1)], {}),
    ("Pad", [f32(3), ints(-2, -2)], {}),
    ("Pad", [f32(3), ints(1)], {}),
    ("Pad", [f32(3), ints(1, 1), None, ints(5)], {}),
    ("Slice", [f32(3), ints(0, 0), ints(1, 1)], {}),
    ("Slice", [f32(3), ints(0), ints(1), ints(3)], {}),
    ("Slice", [f32(3), ints(0), ints(1, 2)], {}),
    ("Reshape", [f32(6), ints(4)], {}),
    ("Reshape", [f32(6), ints(-2, -3)], {}),
    ("Reshape", [f32(6), ints(4, -1)], {}),
    ("Transpose", [f32(2, 3)], {"perm": [0, 0]}),
    ("Transpose", [f32(2, 3)], {"perm": [0]}),
    ("Concat", [f32(2, 3), f32(2)], {"axis": 0}),
    ("Concat", [f32(2, 3), f32(3, 2)], {"axis": 0}),
    ("Split", [f32(5)], {"num_outputs": 4}),
    ("Split", [f32(5), ints(3, 3)], {"outputs": 2}),
    ("Gather", [f32(2, 3), ints(0)], {"axis": 7}),
    ("GatherND", [f32(2, 3), ints(0, 0, 0)], {}),
    ("GatherND", [f32(2, 3), ints(5)], {}),
    ("GatherND", [f32(2, 3), np.int64(0)], {}),
    ("ScatterND", [f32(2, 3), ints(0)[None], f32(2)], {}),
    ("ScatterElements", [f32(2, 3), ints(0)[None], f32(2, 2)], {}),
    ("TopK", [f32(3), ints(5)], {"outputs": 2}),
    ("TopK", [f32(3), ints(-1)], {"outputs": 2}),
    ("OneHot", [ints(1), ints(-3), f32(2)], {}),
    ("OneHot", [ints(1), ints(3), f32(3)], {}),
    ("DepthToSpace", [f32(1, 3, 2, 2)], {"blocksize": 2}),
    ("DepthToSpace", [f32(1, 3, 2, 2)], {"blocksize": 0}),
    ("SpaceToDepth", [f32(1, 3, 3, 2)], {"blocksize": 2}),
    ("SpaceToDepth", [f32(3, 3, 2)], {"blocksize": 2}),
    ("EyeLike", [f32(2)], {}),
    ("Trilu", [f32(2)], {}),
    ("Compress", [f32(2), np.ones(5, bool)], {}),
    ("Unsqueeze", [f32(2), ints(0, 0)], {}),
    ("Squeeze", [f32(2), ints(0)], {}),
    ("ReverseSequence", [f32(2, 2), ints(5, 5)], {}),
    ("ReverseSequence", [f32(2, 2), ints(1)], {}),
    ("CenterCropPad", [f32(2, 2), ints(1)], {}),
    ("Col2Im", [f32(1, 5, 9), ints(4, 4), ints(2, 2)], {}),
    ("Col2Im", [f32(1, 4, 9), ints(1, 1), ints(2, 2)], {}),
    ("DFT", [f32(1, 0, 1)], {}),
    ("DFT", [f32(1, 4, 3)], {}),
    ("DFT", [f32(1, 4, 1), np.int64(0)], {}),
    ("STFT", [f32(1, 4, 1), np.int64(0), None, np.int64(2)], {}),
    ("STFT", [f32(1, 4, 1), np.int64(1), None, np.int64(9)], {}),
    ("HannWindow", [np.int64(-1)], {}),
    ("Multinomial", [f32(2)], {}),
    ("Bernoulli", [ints(1)], {}),
    ("RandomUniform", [], {"shape": [-1]}),
    ("RandomUniform", [], {"shape": [2], "dtype": 7}),
    ("Unique", [f32(2, 2)], {"axis": 3}),
    ("Det", [f32(2, 3)], {}),
    ("TensorScatter", [f32(1, 2, 2, 2), f32(1, 2, 4, 2)], {"opset": 24}),
    ("TensorScatter", [f32(1, 2, 2, 2), f32(1, 2, 1, 2), ints(3)], {"opset": 24}),
    ("Flatten", [f32(2)], {"axis": 3}),
    ("Dropout", [f32(2), f32(3), np.bool_(True)], {}),
]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("name", "inputs", "how"), REFUSED)
def test_refused(
    name: str, inputs: list[Any], how: dict[str, Any], known: bool
) -> None:
    model, feeds = node_model(
        name, inputs, constants=range(1, 9) if known else (), **how
    )
    with pytest.raises(GraphwrightError) as caught:
        run(model, feeds)
    assert name in str(caught.value)
