"""Resize and Upsample of ONNX, by ONNX Runtime and by hand."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from composites import same_decomposed
from onnx_graphs import (
    imported,
    model_of,
    node_model,
    output_types,
    run,
    same_as_ort,
)

import graphwright as gw
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.ir.errors import GraphwrightError
from graphwright.ir.op import Op
from graphwright.ir.ops.index import Gather
from graphwright.passes.decompose import decompose_unsupported
from graphwright.passes.pipeline import optimize

RNG = np.random.default_rng(19)
COORDINATES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
NEAREST = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


def draw(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def resize(
    x: Any, scales: Any = None, sizes: Any = None, **how: Any
) -> tuple[Any, Any]:
    ratio = None if scales is None else np.array(scales, np.float32)
    target = None if sizes is None else np.array(sizes, np.int64)
    roi = how.pop("roi", None)
    inputs = [x, None if roi is None else np.array(roi, np.float32), ratio, target]
    constants = [i for i in (1, 2, 3) if inputs[i] is not None]
    opset = how.pop("opset", 19)
    return node_model("Resize", inputs, constants=constants, opset=opset, **how)


def check(x: Any, rtol: float = 1e-4, **how: Any) -> None:
    model = resize(x, **how)
    same_as_ort(*model, rtol=rtol)
    same_decomposed(*model)


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize(
    "sizes", [(1, 2, 9, 11), (1, 2, 3, 2), (1, 2, 13, 3), (1, 2, 1, 1)]
)
def test_sizes(coordinates: str, mode: str, sizes: tuple[int, ...]) -> None:
    x = draw(1, 2, 5, 7)
    check(x, sizes=sizes, mode=mode, coordinate_transformation_mode=coordinates)


@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric"])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize(
    "scales", [(2, 3), (0.5, 2), (0.6, 0.6), (1.5, 2.7), (0.3, 1.25)]
)
def test_scales(coordinates: str, mode: str, scales: tuple[float, ...]) -> None:
    x = draw(2, 1, 6, 10)
    how: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": coordinates}
    check(x, scales=(1, 1, *scales), **how)


@pytest.mark.parametrize(("rounding", "coordinates"), [*product(NEAREST, COORDINATES)])
def test_nearest(rounding: str, coordinates: str) -> None:
    x = draw(1, 1, 6, 8)
    how: dict[str, Any] = {
        "nearest_mode": rounding,
        "coordinate_transformation_mode": coordinates,
    }
    for sizes in ((1, 1, 12, 16), (1, 1, 3, 4), (1, 1, 9, 5)):
        check(x, sizes=sizes, mode="nearest", **how)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("sizes", [(1, 2, 3, 4), (1, 2, 4, 20), (1, 2, 5, 3)])
@pytest.mark.parametrize("exclude", [0, 1])
def test_antialias(mode: str, sizes: tuple[int, ...], exclude: int) -> None:
    check(
        draw(1, 2, 11, 13), sizes=sizes, mode=mode, antialias=1, exclude_outside=exclude
    )


@pytest.mark.parametrize("a", [-0.5, -0.75])
def test_cubic_without_the_outside(a: float) -> None:
    how: dict[str, Any] = {"mode": "cubic", "cubic_coeff_a": a, "exclude_outside": 1}
    check(draw(1, 1, 5, 6), sizes=(1, 1, 8, 9), **how)


def test_crop_and_resize() -> None:
    x = draw(1, 1, 6, 7)
    roi = [0, 0, 0.2, -0.1, 1, 1, 0.8, 1.3]
    for mode in ("nearest", "linear"):
        how: dict[str, Any] = {
            "mode": mode,
            "coordinate_transformation_mode": "tf_crop_and_resize",
        }
        check(x, sizes=(1, 1, 4, 9), roi=roi, extrapolation_value=7.0, **how)


@pytest.mark.parametrize("policy", ["stretch", "not_larger", "not_smaller"])
def test_aspect_ratio(policy: str) -> None:
    how: dict[str, Any] = {
        "mode": "linear",
        "axes": [2, 3],
        "keep_aspect_ratio_policy": policy,
    }
    check(draw(1, 2, 5, 9), sizes=(7, 8), **how)
    check(draw(1, 2, 5, 9), sizes=(3, 4), **how)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.float16, np.float64])
def test_other_dtypes(dtype: Any) -> None:
    x = RNG.integers(0, 100, (1, 1, 5, 6)).astype(dtype)
    (near,) = run(*resize(x, sizes=(1, 1, 8, 3), mode="nearest"))
    (wide,) = run(*resize(x.astype(np.float32), sizes=(1, 1, 8, 3), mode="nearest"))
    assert near.dtype == dtype
    np.testing.assert_array_equal(near, wide.astype(dtype))
    (smooth,) = run(*resize(x, sizes=(1, 1, 8, 3), mode="linear"))
    assert smooth.dtype == dtype
    same_decomposed(*resize(x, sizes=(1, 1, 8, 3), mode="linear"))


def test_volumes() -> None:
    check(draw(1, 2, 3, 4, 5), sizes=(1, 2, 5, 3, 7), mode="linear")
    check(draw(1, 2, 3, 4, 5), scales=(1, 1, 2, 2, 2), mode="nearest")


def test_scales_are_the_fractions_that_they_round() -> None:
    x = draw(1, 1, 1, 50)
    (y,) = run(*resize(x, scales=(1, 1, 1, 0.7)))
    assert y.shape == (1, 1, 1, 35)


@pytest.mark.parametrize(
    ("scales", "shape"),
    [((1, 1, 2, 2), "n, 3, 2*h, 2*w"), ((1, 1, 0.5, 1.5), "n, 3, h//2, w + w//2")],
)
def test_scales_of_symbolic_sizes(scales: Any, shape: str) -> None:
    text = """g (float[n, 3, h, w] x) => (float[a, b, c, d] y) {
        y = Resize<mode="linear">(x, , s) }"""
    ratio = np.array(scales, np.float32)
    assert output_types(text, s=ratio).replace(" ", "") == f"float32[{shape}]".replace(
        " ", ""
    )
    same_as_ort(model_of(text, s=ratio), {"x": draw(2, 3, 6, 8)}, rtol=1e-4)


def test_sizes_from_shapes() -> None:
    text = """g (float[n, 3, h, w] x, float[a, b, p, q] like) => (float[c, d, e, f] y) {
        t = Shape<start=2>(like)  y = Resize<mode="linear", axes=[2,3]>(x, , , t) }"""
    assert output_types(text, opset=19) == "float32[n, 3, p, q]"
    feeds = {"x": draw(2, 3, 6, 8), "like": draw(1, 1, 4, 11)}
    same_as_ort(model_of(text, opset=19), feeds, rtol=1e-4)


def test_sizes_known_at_run_time() -> None:
    x, sizes = draw(1, 1, 4, 5), np.array([1, 1, 6, 3], np.int64)
    model = node_model("Resize", [x, None, None, sizes], opset=19, mode="linear")
    same_as_ort(*model, rtol=1e-4)


def test_scales_known_at_run_time() -> None:
    x, scales = draw(1, 1, 4, 5), np.array([1, 1, 1.5, 2], np.float32)
    same_as_ort(*node_model("Resize", [x, None, scales], opset=19), rtol=1e-4)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scales", [(1, 1, 2, 3), (1, 1, 0.5, 0.5), (1, 1, 0.6, 1.5)])
def test_before_opset_11(mode: str, scales: Any) -> None:
    x, ratio = draw(1, 2, 6, 8), np.array(scales, np.float32)
    same_as_ort(
        *node_model("Resize", [x, ratio], opset=10, constants=[1], mode=mode), rtol=1e-4
    )
    if min(scales) >= 1:
        same_as_ort(
            *node_model("Upsample", [x, ratio], opset=9, constants=[1], mode=mode),
            rtol=1e-4,
        )
        same_as_ort(
            *node_model(
                "Upsample", [x], opset=7, scales=[*map(float, scales)], mode=mode
            ),
            rtol=1e-4,
        )


def test_opset_11_has_a_coordinate_of_its_own() -> None:
    x, empty = draw(1, 1, 4, 6), np.zeros(0, np.float32)
    sizes = np.array([1, 1, 9, 3], np.int64)
    how: dict[str, Any] = {
        "coordinate_transformation_mode": "tf_half_pixel_for_nn",
        "nearest_mode": "floor",
    }
    model = node_model(
        "Resize",
        [x, empty, empty, sizes],
        opset=11,
        constants=[1, 2, 3],
        mode="nearest",
        **how,
    )
    same_as_ort(*model)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_scales_that_mean_nothing(scale: float) -> None:
    with pytest.raises(GraphwrightError, match="scales"):
        run(*resize(draw(1, 1, 4, 4), scales=(1, 1, 2, scale)))


def test_nothing_has_no_pixels_to_take() -> None:
    x, sizes = np.zeros((1, 1, 0, 4), np.float32), np.array([1, 1, 7, 8])
    model, _ = node_model("Resize", [x, None, None, sizes], constants=[3])
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "h"
    exe = gw.compile(model)
    with pytest.raises(gw.ShapeError, match="Resize: h = 0 breaks 1 <= h"):
        exe(x)


def simplified(model: Any) -> list[Op]:
    """Ops of a model in primitives, folded."""
    simple = decompose_unsupported(imported(model), lambda op, types: False)
    return [n.op for n in optimize(simple, ["fold_constants"]).nodes]


@pytest.mark.parametrize(("width", "left"), [("7", 0), ("w", 1)])
def test_tables_of_known_sizes_are_constants(width: str, left: int) -> None:
    text = f"""g (float[1, 2, 5, {width}] x) => (float[a, b, c, d] y) {{
        y = Resize<mode="linear">(x, , s) }}"""
    ops = simplified(model_of(text, s=np.array([1, 1, 2, 2], np.float32)))
    assert [op.name for op in ops].count("resample_table") == left


@pytest.mark.parametrize(
    ("after", "axes"), [((10, 14), [3, 2]), ((3, 4), [3, 2]), ((2, 6), [2, 3])]
)
def test_what_shrinks_first_is_resampled_first(
    after: tuple[int, int], axes: list[int]
) -> None:
    model, _ = resize(draw(1, 2, 5, 7), sizes=(1, 2, *after), mode="linear")
    taken = [op for op in simplified(model) if isinstance(op, Gather)]
    assert [op.axis for op in taken] == axes


OPENCL = OpenCLBackend().unavailable()


@pytest.mark.skipif(OPENCL is not None, reason=str(OPENCL))
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_sizes_that_a_run_finds_suit_the_backend(mode: str) -> None:
    x = draw(1, 2, 5, 7)
    sizes = [np.array([1, 2, h, w]) for h, w in ((9, 4), (3, 11))]
    model, _ = node_model("Resize", [x, None, None, sizes[0]], opset=19, mode=mode)
    exe = gw.compile(model, backend="opencl", strict=True)
    plain = gw.compile(model, backend="numpy", optimize=False)
    for wanted in sizes:
        found, want = np.asarray(exe(x, wanted)), np.asarray(plain(x, wanted))
        assert found.shape == tuple(wanted)
        np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)
