"""Convolutions of ONNX, by ONNX Runtime and by hand."""

from typing import Any

import numpy as np
import pytest
from composites import same_decomposed
from onnx_graphs import (
    model_of,
    node_model,
    node_same_as_ort,
    output_types,
    run,
    same_as_ort,
)

import graphwright as gw
from graphwright.ir.errors import GraphwrightError

RNG = np.random.default_rng(7)


def draw(*shape: int, dtype: Any = np.float32) -> Any:
    return RNG.standard_normal(shape).astype(dtype)


CONVS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((2, 3, 17), (5, 3, 4), {"strides": [3], "pads": [2, 1], "dilations": [2]}),
    (
        (1, 4, 9, 11),
        (6, 2, 3, 2),
        {"group": 2, "strides": [2, 3], "pads": [1, 0, 2, 1]},
    ),
    ((2, 6, 7, 5), (6, 1, 3, 3), {"group": 6, "pads": [1, 1, 1, 1]}),
    ((2, 3, 7, 5), (12, 1, 2, 3), {"group": 3, "dilations": [2, 1]}),
    ((1, 2, 5, 6, 7), (3, 2, 2, 3, 2), {"strides": [2, 1, 3]}),
    ((1, 3, 13, 8), (2, 3, 4, 3), {"auto_pad": "SAME_UPPER", "strides": [3, 2]}),
    ((1, 3, 13, 8), (2, 3, 4, 2), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    ((1, 3, 13, 8), (2, 3, 4, 3), {"auto_pad": "VALID", "strides": [2, 2]}),
    ((1, 1, 5, 5), (1, 1, 1, 1), {"auto_pad": "SAME_UPPER", "strides": [3, 3]}),
    ((0, 3, 5, 5), (2, 3, 3, 3), {}),
]


@pytest.mark.parametrize(("x", "w", "how"), CONVS)
def test_conv(x: tuple[int, ...], w: tuple[int, ...], how: dict[str, Any]) -> None:
    node_same_as_ort("Conv", [draw(*x), draw(*w), draw(w[0])], **how)


def test_conv_of_other_dtypes() -> None:
    single = [draw(1, 2, 6, 6), draw(3, 2, 3, 3)]
    (want,) = run(*node_model("Conv", single))
    for dtype, rtol in ((np.float64, 1e-5), (np.float16, 2e-2)):
        (got,) = run(*node_model("Conv", [v.astype(dtype) for v in single]))
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol)


@pytest.mark.parametrize(
    ("how", "shape"),
    [
        ("pads=[1,1,1,1], strides=[2,2]", "n, 4, (h + 1)//2, (w + 1)//2"),
        ('auto_pad="SAME_UPPER", strides=[2,2]', "n, 4, (h + 1)//2, (w + 1)//2"),
        ('auto_pad="VALID"', "n, 4, h - 2, w - 2"),
        ("pads=[1,1,1,1]", "n, 4, h, w"),
    ],
)
def test_conv_of_symbolic_sizes(how: str, shape: str) -> None:
    text = (
        f"g (float[n, 3, h, w] x) => (float[a, b, c, d] y) {{ y = Conv<{how}>(x, k) }}"
    )
    kernel = draw(4, 3, 3, 3)
    got = output_types(text, k=kernel)
    for size in (5, 8):
        same_as_ort(model_of(text, k=kernel), {"x": draw(2, 3, size, 7)})
    assert got.replace(" ", "") == f"float32[{shape}]".replace(" ", "")


def test_conv_of_channels_that_do_not_fit() -> None:
    with pytest.raises(GraphwrightError, match="Conv"):
        run(*node_model("Conv", [draw(1, 3, 5, 5), draw(2, 4, 3, 3)]))


TRANSPOSED: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((1, 2, 5), (2, 3, 4), {"strides": [3]}),
    ((2, 4, 5, 3), (4, 3, 3, 2), {"group": 2, "strides": [2, 3], "pads": [1, 0, 0, 1]}),
    ((1, 3, 4, 4), (3, 2, 3, 3), {"strides": [2, 2], "output_padding": [1, 1]}),
    ((1, 3, 4, 5), (3, 2, 3, 2), {"dilations": [2, 3], "pads": [2, 1, 1, 2]}),
    ((1, 3, 4, 5), (3, 2, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 3]}),
    ((1, 3, 4, 5), (3, 2, 3, 3), {"auto_pad": "SAME_LOWER", "strides": [2, 3]}),
    ((1, 1, 3, 3), (1, 2, 3, 3), {"strides": [3, 2], "output_shape": [10, 8]}),
    (
        (1, 1, 3, 3),
        (1, 2, 3, 3),
        {"strides": [2, 2], "output_shape": [6, 6], "auto_pad": "SAME_UPPER"},
    ),
    ((1, 2, 2, 3, 4), (2, 1, 2, 3, 2), {"strides": [2, 1, 2]}),
    ((1, 4, 3, 3), (4, 1, 2, 2), {"group": 4, "strides": [1, 1]}),
]


@pytest.mark.parametrize(("x", "w", "how"), TRANSPOSED)
def test_conv_transpose(
    x: tuple[int, ...], w: tuple[int, ...], how: dict[str, Any]
) -> None:
    bias = draw(w[1] * how.get("group", 1))
    inputs = [draw(*x), draw(*w), bias]
    node_same_as_ort("ConvTranspose", inputs, **how)
    same_decomposed(*node_model("ConvTranspose", inputs, **how))


def test_conv_transpose_of_symbolic_sizes() -> None:
    text = """g (float[n, 2, h, w] x) => (float[a, b, c, d] y) {
        y = ConvTranspose<strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]>(x, k)
    }"""
    kernel = draw(2, 3, 3, 3)
    assert output_types(text, k=kernel) == "float32[n, 3, 2*h, 2*w]"
    same_as_ort(model_of(text, k=kernel), {"x": draw(1, 2, 4, 3)})


def test_conv_transpose_of_nothing() -> None:
    """The size that ONNX Runtime says, of zeros; it refuses ``output_padding`` here."""
    text = """g (float[n, 2, h] x) => (float[a, b, c] y) {
        y = ConvTranspose<strides=[2]HOW>(x, k)
    }"""
    for how, size in ("", 1), (", pads=[1, 1], output_padding=[1]", 0):
        model = model_of(text.replace("HOW", how), k=draw(2, 3, 3))
        (y,) = same_decomposed(model, {"x": draw(1, 2, 0)})
        assert y.shape == (1, 3, size)
        got = gw.compile(model, backend="numpy", optimize=False)(draw(1, 2, 0))
        np.testing.assert_array_equal(got, y)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("masked", [False, True])
def test_deform_conv_without_displacement_is_conv(parts: int, masked: bool) -> None:
    x, w, bias = draw(2, 4, 6, 7), draw(6, 2, 3, 2), draw(6)
    how: dict[str, Any] = {
        "strides": [2, 1],
        "pads": [1, 0, 1, 1],
        "dilations": [1, 2],
        "group": 2,
    }
    (want,) = run(*node_model("Conv", [x, w, bias], **how))
    offset = np.zeros((2, parts * 12, *want.shape[2:]), np.float32)
    mask = np.full((2, parts * 6, *want.shape[2:]), 0.5, np.float32) if masked else None
    model = node_model(
        "DeformConv", [x, w, offset, bias, mask], offset_group=parts, **how
    )
    (got,) = run(*model)
    factor = 0.5 if masked else 1.0
    column = bias.reshape(-1, 1, 1)
    np.testing.assert_allclose(
        got - column, (want - column) * factor, rtol=1e-4, atol=1e-5
    )


def test_deform_conv() -> None:
    x, w = draw(2, 4, 6, 7), draw(6, 2, 3, 2)
    offset, mask = draw(2, 24, 6, 6) * 2, draw(2, 12, 6, 6)
    inputs = [x, w, offset, draw(6), mask]
    how: dict[str, Any] = {"pads": [1, 0, 1, 0], "group": 2, "offset_group": 2}
    same_as_ort(*node_model("DeformConv", inputs, opset=19, **how), rtol=1e-4)


def test_causal_conv_continues_where_it_stopped() -> None:
    x, w, bias = draw(2, 3, 11), draw(3, 1, 4), draw(3)
    how: dict[str, Any] = {"outputs": 2, "opset": 27, "activation": "silu"}
    whole, last = run(*node_model("CausalConvWithState", [x, w, bias], **how))
    first, state = run(
        *node_model("CausalConvWithState", [x[:, :, :5], w, bias], **how)
    )
    rest, final = run(
        *node_model("CausalConvWithState", [x[:, :, 5:], w, bias, state], **how)
    )
    np.testing.assert_allclose(
        np.concatenate([first, rest], 2), whole, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(final, last)


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("shape", [(0, 2, 5, 5), (1, 0, 5, 5)])
def test_nothing(op: str, shape: tuple[int, ...]) -> None:
    kernel = (3, shape[1], 3, 3) if op == "Conv" else (shape[1], 3, 3, 3)
    model = node_model(op, [draw(*shape), draw(*kernel)])
    (y,) = same_decomposed(*model)
    assert y.shape[:2] == (shape[0], 3)
    assert not y.any()


def test_deform_conv_of_symbolic_sizes() -> None:
    text = """g (float[n, 2, h, w] x, float[n, 18, p, q] o) => (float[a, b, c, d] y) {
        y = DeformConv<pads=[1,1,1,1]>(x, k, o) }"""
    kernel = draw(3, 2, 3, 3)
    assert output_types(text, opset=19, k=kernel) == "float32[n, 3, p, q]"
    feeds = {"x": draw(2, 2, 5, 6), "o": draw(2, 18, 5, 6)}
    same_as_ort(model_of(text, opset=19, k=kernel), feeds, rtol=1e-4)
