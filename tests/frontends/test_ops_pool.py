"""Pooling of ONNX, by ONNX Runtime and by hand."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from onnx_graphs import (
    model_of,
    node_model,
    node_same_as_ort,
    output_types,
    run,
    same_as_ort,
)

RNG = np.random.default_rng(11)


def draw(*shape: int, dtype: Any = np.float32) -> Any:
    return RNG.standard_normal(shape).astype(dtype)


WINDOWS: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((2, 3, 17), {"kernel_shape": [3], "strides": [2], "pads": [1, 1]}),
    ((1, 2, 13, 8), {"kernel_shape": [3, 2], "strides": [2, 3], "pads": [1, 0, 2, 1]}),
    (
        (1, 2, 13, 8),
        {"kernel_shape": [4, 3], "strides": [3, 2], "auto_pad": "SAME_UPPER"},
    ),
    (
        (1, 2, 13, 8),
        {"kernel_shape": [4, 3], "strides": [3, 2], "auto_pad": "SAME_LOWER"},
    ),
    ((1, 2, 13, 8), {"kernel_shape": [4, 3], "strides": [3, 2], "auto_pad": "VALID"}),
    ((1, 2, 5, 6, 7), {"kernel_shape": [2, 3, 2], "strides": [2, 1, 3]}),
]
DILATED = (
    (1, 2, 13, 8),
    {"kernel_shape": [3, 2], "dilations": [2, 3], "pads": [1, 1, 1, 1]},
)


@pytest.mark.parametrize(("shape", "how"), [*WINDOWS, DILATED])
def test_max_pool(shape: tuple[int, ...], how: dict[str, Any]) -> None:
    node_same_as_ort("MaxPool", [draw(*shape)], outputs=2, **how)


@pytest.mark.parametrize("order", [0, 1])
def test_max_pool_positions(order: int) -> None:
    x = RNG.integers(0, 4, (2, 3, 7, 6)).astype(np.float32)  # many equal elements
    how: dict[str, Any] = {
        "kernel_shape": [3, 2],
        "strides": [2, 2],
        "pads": [1, 0, 1, 1],
    }
    node_same_as_ort("MaxPool", [x], outputs=2, storage_order=order, **how)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.float64])
def test_max_pool_of_other_dtypes(dtype: Any) -> None:
    x = RNG.integers(0, 100, (1, 2, 7, 6)).astype(dtype)
    node_same_as_ort("MaxPool", [x], kernel_shape=[3, 3], pads=[1, 1, 1, 1])


@pytest.mark.parametrize(
    ("op", "size", "stride", "pad"),
    [
        (op, *rest)
        for op, *rest in product(
            ["MaxPool", "AveragePool"], [6, 7, 8, 9], [2, 3], [0, 1]
        )
    ],
)
def test_ceil(op: str, size: int, stride: int, pad: int) -> None:
    x = draw(1, 2, size, size + 1)
    how: dict[str, Any] = {
        "kernel_shape": [3, 2],
        "strides": [stride] * 2,
        "pads": [pad] * 4,
    }
    for include in [0, 1] if op == "AveragePool" else [None]:
        extra: dict[str, Any] = (
            {} if include is None else {"count_include_pad": include}
        )
        model = node_model(op, [x], ceil_mode=1, opset=21, **how, **extra)
        same_as_ort(*model)


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize(("shape", "how"), [*WINDOWS, DILATED])
def test_average_pool(
    shape: tuple[int, ...], how: dict[str, Any], include: int
) -> None:
    node_same_as_ort("AveragePool", [draw(*shape)], count_include_pad=include, **how)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize(("shape", "how"), WINDOWS)
def test_lp_pool(shape: tuple[int, ...], how: dict[str, Any], p: int) -> None:
    node_same_as_ort("LpPool", [draw(*shape)], p=p, **how)


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 4, 5), (1, 2, 3, 4, 5)])
def test_global(op: str, shape: tuple[int, ...]) -> None:
    node_same_as_ort(op, [draw(*shape)])


def test_global_average_of_halves_does_not_overflow() -> None:
    x = np.full((1, 1, 100, 100), 100, np.float16)
    (got,) = run(*node_model("GlobalAveragePool", [x]))
    assert got.dtype == np.float16
    assert got.item() == 100


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("ceil", [0, 1])
def test_symbolic_sizes(op: str, ceil: int) -> None:
    text = f"""g (float[n, 2, h, w] x) => (float[a, b, c, d] y) {{
        y = {op}<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1], ceil_mode={ceil}>(x)
    }}"""
    dims = "(h + 1)//2, (w + 1)//2" if ceil == 0 else "h//2 + 1, w//2 + 1"
    assert output_types(text) == f"float32[n, 2, {dims}]"
    for size in (5, 6, 7, 8):
        same_as_ort(model_of(text), {"x": draw(2, 2, size, size + 1)})


def test_max_unpool_puts_back() -> None:
    x = draw(2, 3, 6, 8)
    how: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
    y, places = run(*node_model("MaxPool", [x], outputs=2, **how))
    (back,) = node_same_as_ort("MaxUnpool", [y, places], **how)
    np.testing.assert_array_equal(back[back != 0], x[back != 0])
    assert (back != 0).sum() == y.size


def test_lrn() -> None:
    x = draw(2, 7, 3, 4)
    for size in (1, 3, 4, 5):  # ONNX Runtime takes odd sizes only
        if size % 2:
            node_same_as_ort("LRN", [x], size=size, alpha=0.01, beta=0.6, bias=1.5)
        (got,) = run(*node_model("LRN", [x], size=size, alpha=0.01))
        low, high = (size - 1) // 2, size // 2
        for c in range(7):
            near = (x[:, max(c - low, 0) : c + high + 1] ** 2).sum(1)
            want = x[:, c] / (1 + 0.01 / size * near) ** 0.75
            np.testing.assert_allclose(got[:, c], want, rtol=1e-5)


def test_max_roi_pool() -> None:
    x = draw(2, 3, 9, 11)
    regions = np.array(
        [[0, 0, 0, 10, 8], [1, 2, 1, 5, 7], [0, 3, 3, 3, 3], [1, 8, 6, 30, 30]],
        np.float32,
    )
    node_same_as_ort("MaxRoiPool", [x, regions], pooled_shape=[3, 2])
    node_same_as_ort("MaxRoiPool", [x, regions], pooled_shape=[2, 4], spatial_scale=0.5)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "LpPool"])
def test_no_images(op: str) -> None:
    outputs = 2 if op == "MaxPool" else 1
    model = node_model(op, [draw(0, 2, 5, 5)], outputs=outputs, kernel_shape=[3, 3])
    assert [y.shape for y in run(*model)] == [(0, 2, 3, 3)] * outputs


@pytest.mark.parametrize(
    ("op", "how"),
    [
        ("MaxPool", {"kernel_shape": [3, 2], "strides": [2, 2]}),
        ("AveragePool", {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1]}),
        ("LpPool", {"kernel_shape": [3, 2], "p": 3}),
        ("GlobalLpPool", {"p": 3}),
        ("GlobalAveragePool", {}),
        ("LRN", {"size": 3}),
    ],
)
def test_the_first_opset_is_as_the_newest(op: str, how: dict[str, Any]) -> None:
    x = draw(1, 2, 7, 6)
    (new,) = run(*node_model(op, [x], opset=22, **how))
    old: dict[str, Any] = {k: float(v) if k == "p" else v for k, v in how.items()}
    (first,) = run(*node_model(op, [x], opset=1, **old))
    np.testing.assert_array_equal(first, new)
