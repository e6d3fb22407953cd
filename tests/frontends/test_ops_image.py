"""Sampling, regions, boxes and files of images, by ONNX Runtime and by hand."""

import io
from itertools import product
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
from PIL import Image

from graphwright.ir.errors import GraphwrightError
from graphwright.ir.evaluate import evaluate
from graphwright.passes.decompose import decompose_all

RNG = np.random.default_rng(29)


def draw(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("mode", "padding", "align"),
    [
        *product(
            ["nearest", "linear", "cubic"], ["zeros", "border", "reflection"], [0, 1]
        )
    ],
)
def test_grid_sample(mode: str, padding: str, align: int) -> None:
    x, grid = draw(2, 3, 5, 7), (draw(2, 4, 6, 2) * 1.3)
    how: dict[str, Any] = {
        "mode": mode,
        "padding_mode": padding,
        "align_corners": align,
    }
    same_as_ort(*node_model("GridSample", [x, grid], opset=20, **how), rtol=1e-4)
    old: dict[str, Any] = {
        **how,
        "mode": {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode),
    }
    same_as_ort(*node_model("GridSample", [x, grid], opset=16, **old), rtol=1e-4)


@pytest.mark.parametrize(
    ("mode", "padding", "align"),
    [*product(["nearest", "linear"], ["zeros", "border", "reflection"], [0, 1])],
)
def test_grid_sample_of_volumes(mode: str, padding: str, align: int) -> None:
    x, grid = draw(1, 2, 4, 5, 3), draw(1, 2, 3, 4, 3) * 1.5
    how: dict[str, Any] = {
        "mode": mode,
        "padding_mode": padding,
        "align_corners": align,
    }
    same_as_ort(*node_model("GridSample", [x, grid], opset=20, **how), rtol=1e-4)


def test_grid_sample_far_away() -> None:
    x = draw(1, 1, 3, 3)
    grid = np.array([[[[1e30, 0], [-np.inf, np.inf], [np.nan, 0]]]], np.float32)
    for padding in ("zeros", "border", "reflection"):
        (y,) = run(
            *node_model("GridSample", [x, grid], padding_mode=padding, mode="nearest")
        )
        assert y.shape == (1, 1, 1, 3)
        if padding == "zeros":
            assert not y[..., :2].any()


def test_grid_sample_of_symbolic_sizes() -> None:
    text = """g (float[n, 3, h, w] x, float[n, p, q, 2] grid) => (float[a, b, c, d] y) {
        y = GridSample(x, grid) }"""
    assert output_types(text) == "float32[n, 3, p, q]"
    same_as_ort(
        model_of(text), {"x": draw(2, 3, 5, 4), "grid": draw(2, 3, 3, 2)}, rtol=1e-4
    )


@pytest.mark.parametrize("align", [0, 1])
@pytest.mark.parametrize("size", [(2, 3, 4, 5), (1, 2, 3, 4, 5), (1, 1, 1, 1)])
def test_affine_grid(align: int, size: tuple[int, ...]) -> None:
    rank = len(size) - 2
    theta, target = draw(size[0], rank, rank + 1), np.array(size, np.int64)
    for constants in ((), (1,)):
        how: dict[str, Any] = {
            "align_corners": align,
            "opset": 20,
            "constants": constants,
        }
        (grid,) = run(*node_model("AffineGrid", [theta, target], **how))
        axes = [
            np.linspace(-1, 1, n) if align and n > 1 else (2 * np.arange(n) + 1) / n - 1
            for n in size[2:]
        ]
        if align:
            axes = [
                a if n > 1 else np.array([-1.0])
                for a, n in zip(axes, size[2:], strict=True)
            ]
        points = [*np.meshgrid(*axes, indexing="ij")[::-1], np.ones(size[2:])]
        want = np.einsum("nij,...j->n...i", theta, np.stack(points, -1))
        np.testing.assert_allclose(grid, want, rtol=1e-4, atol=1e-5)


REGIONS = np.array(
    [[0, 0, 9, 9], [1.3, 2.7, 6.1, 8.4], [-3, -2, 4, 5], [8, 8, 20, 20], [3, 3, 3, 3]],
    np.float32,
)


@pytest.mark.parametrize("ratio", [0, 1, 2, 3])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("mode", ["avg", "max"])
def test_roi_align(ratio: int, half: bool, mode: str) -> None:
    x, images = draw(2, 3, 10, 11), np.array([0, 1, 1, 0, 1], np.int64)
    how: dict[str, Any] = {"mode": mode, "sampling_ratio": ratio, "spatial_scale": 0.8}
    how.update(output_height=3, output_width=2)
    transform = "half_pixel" if half else "output_half_pixel"
    inputs = [x, REGIONS[:4] if half else REGIONS, images[:4] if half else images]
    model = node_model(
        "RoiAlign", inputs, opset=16, coordinate_transformation_mode=transform, **how
    )
    (want,) = same_as_ort(*model, rtol=1e-4)
    if not half:
        same_as_ort(*node_model("RoiAlign", inputs, opset=10, **how), rtol=1e-4)
    graph = decompose_all(imported(model[0]))
    assert any(node.op.name == "roi_align" for node in graph.nodes) == (ratio == 0)
    (parts,) = evaluate(graph, inputs)
    np.testing.assert_allclose(parts, want, rtol=1e-5, atol=1e-5)


def test_roi_align_of_images_without_pixels() -> None:
    inputs = [draw(1, 1, 0, 4), REGIONS[:1], np.array([0], np.int64)]
    with pytest.raises(GraphwrightError, match=r"RoiAlign: .*no pixels"):
        run(*node_model("RoiAlign", inputs))


def test_roi_align_of_an_image_that_is_not_there() -> None:
    inputs = [draw(1, 1, 4, 4), REGIONS[:1], np.array([1], np.int64)]
    with pytest.raises(GraphwrightError, match="RoiAlign"):
        run(*node_model("RoiAlign", inputs))
    model, _ = node_model("RoiAlign", inputs, sampling_ratio=1)
    with pytest.raises(GraphwrightError, match="RoiAlign"):
        evaluate(decompose_all(imported(model)), inputs)


@pytest.mark.parametrize("centred", [0, 1])
@pytest.mark.parametrize(
    ("most", "overlap", "least"), [(3, 0.4, 0.1), (50, 0.7, -1.0), (0, 0.5, 0.0)]
)
def test_non_max_suppression(
    centred: int, most: int, overlap: float, least: float
) -> None:
    boxes = RNG.random((2, 30, 4)).astype(np.float32)
    scores = RNG.random((2, 3, 30)).astype(np.float32)
    limits = [
        np.array([most]),
        np.array([overlap], np.float32),
        np.array([least], np.float32),
    ]
    node_same_as_ort(
        "NonMaxSuppression", [boxes, scores, *limits], center_point_box=centred
    )


def test_non_max_suppression_without_limits_keeps_none() -> None:
    boxes, scores = RNG.random((1, 4, 4)), RNG.random((1, 1, 4))
    inputs = [boxes.astype(np.float32), scores.astype(np.float32)]
    (kept,) = run(*node_model("NonMaxSuppression", inputs))
    assert kept.shape == (0, 3)
    assert kept.dtype == np.int64


def encoded(
    format_: str, mode: str = "RGB", size: tuple[int, int] = (9, 6)
) -> tuple[Any, Any]:
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    pixels = RNG.integers(0, 255, shape).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels, mode=None).save(file, format_)
    return np.frombuffer(file.getvalue(), np.uint8), pixels


@pytest.mark.parametrize("format_", ["PNG", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_image_decoder(format_: str, mode: str) -> None:
    data, pixels = encoded(format_, mode)
    color = pixels if mode == "RGB" else np.repeat(pixels[..., None], 3, 2)
    (rgb,) = run(*node_model("ImageDecoder", [data]))
    np.testing.assert_array_equal(rgb, color)
    (bgr,) = run(*node_model("ImageDecoder", [data], pixel_format="BGR"))
    np.testing.assert_array_equal(bgr, color[:, :, ::-1])
    (gray,) = run(*node_model("ImageDecoder", [data], pixel_format="Grayscale"))
    assert gray.shape == (6, 9, 1)


def test_what_is_no_image_decodes_to_nothing() -> None:
    for data in (b"", b"no image", b"\x89PNG\r\n\x1a\n broken"):
        (y,) = run(*node_model("ImageDecoder", [np.frombuffer(data, np.uint8)]))
        assert y.shape == (0, 0, 3)
    data, _ = encoded("PNG")
    (cut,) = run(*node_model("ImageDecoder", [data[: len(data) // 2]]))
    assert cut.size == 0


def test_a_huge_image_is_refused() -> None:
    header = b"P6\n100000 100000\n255\n"
    with pytest.raises(GraphwrightError, match="pixels"):
        run(*node_model("ImageDecoder", [np.frombuffer(header, np.uint8)]))


def test_results_of_unknown_count_have_a_symbol() -> None:
    model, feeds = node_model(
        "NonMaxSuppression",
        [draw(1, 5, 4), draw(1, 2, 5), np.array([2])],
        constants=[2],
    )
    graph = imported(model)
    (type_,) = graph.output_types
    assert str(type_).startswith("int64[_")
    evaluate(graph, [feeds[n] for n in graph.input_names])


def test_regions_without_bound_are_refused() -> None:
    x, images = draw(1, 1, 4, 4), np.zeros(1, np.int64)
    with pytest.raises(GraphwrightError, match="samples"):
        run(
            *node_model("RoiAlign", [x, np.array([[0, 0, 1e9, 1]], np.float32), images])
        )
    (y,) = run(
        *node_model("RoiAlign", [x, np.full((1, 4), np.nan, np.float32), images])
    )
    assert y.shape == (1, 1, 1, 1)
