"""The numpy kernels against loops, numpy in float64, and ONNX Runtime."""

import itertools
import math
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper

from graphwright.backends import mapped
from graphwright.backends.numpy.kernels import (
    blas,
    conv,
    conv_transpose,
    elementwise,
    matmul,
    norm,
    pool,
    scratch,
    team,
    threads,
)
from graphwright.backends.numpy.kernels.epilogue import RELU, Clip, Epilogue

Array = NDArray[Any]
TOLERANCE = {2: 1e-2, 4: 2e-5, 8: 1e-12}


def run_onnx(op: str, inputs: Sequence[Array], outputs: int = 1, **given: Any) -> Any:
    """Run one ONNX node in ONNX Runtime."""
    names = [f"i{n}" for n in range(len(inputs))]
    results = [f"o{n}" for n in range(outputs)]
    node = helper.make_node(op, names, results, **given)
    kind = helper.np_dtype_to_tensor_dtype
    ends = [
        helper.make_tensor_value_info(name, kind(a.dtype), a.shape)
        for name, a in zip(names, inputs, strict=True)
    ]
    outs = [helper.make_empty_tensor_value_info(name) for name in results]
    graph = helper.make_graph([node], "one", ends, outs)
    opset = [helper.make_opsetid("", 19)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    model = onnx.shape_inference.infer_shapes(model)
    session: Any = ort.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    got: Any = session.run(None, dict(zip(names, inputs, strict=True)))
    return got if outputs > 1 else got[0]


def naive_conv(
    x: Array,
    w: Array,
    strides: Sequence[int],
    pads: Sequence[tuple[int, int]],
    dilations: Sequence[int],
    groups: int,
) -> Array:
    """Convolve by one tensordot per output position, in float64 or int64."""
    exact = np.dtype(np.int64 if x.dtype.kind in "iu" else np.float64)
    padded = np.pad(x.astype(exact), [(0, 0), (0, 0), *pads])
    reach = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilations, strict=True)]
    sizes = zip(padded.shape[2:], reach, strides, strict=True)
    out = [max(0, (n - r) // s + 1) for n, r, s in sizes]
    result = np.zeros((x.shape[0], w.shape[0], *out), exact)
    per_group, depth = w.shape[0] // groups, w.shape[1]
    axes = list(range(1, w.ndim))
    for place in np.ndindex(*out):
        box = tuple(
            slice(o * s, o * s + r, d)
            for o, s, r, d in zip(place, strides, reach, dilations, strict=True)
        )
        patch = padded[(slice(None), slice(None), *box)]
        for g in range(groups):
            filters = w[g * per_group : (g + 1) * per_group].astype(exact)
            part = patch[:, g * depth : (g + 1) * depth]
            where = slice(g * per_group, (g + 1) * per_group)
            sums = np.tensordot(part, filters, axes=(axes, axes))
            result[(slice(None), where, *place)] = sums
    return result


def values(rng: np.random.Generator, shape: Sequence[int], dtype: Any) -> Array:
    """Draw small normal floats, or integers of the whole narrow range."""
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        top = min(np.iinfo(kind).max, 1000)
        return rng.integers(max(np.iinfo(kind).min, -top), top, shape, dtype=kind)
    return rng.standard_normal(shape).astype(kind)


def assert_near(got: Array, wanted: Array) -> None:
    """Integers equal modulo their range, floats within their rounding."""
    assert got.shape == wanted.shape
    if got.dtype.kind in "iu":
        np.testing.assert_array_equal(got, wanted.astype(got.dtype))
    elif got.size:
        scale = float(np.abs(wanted).max()) + 1e-30
        error = float(np.abs(got.astype(np.float64) - wanted).max()) / scale
        assert error < TOLERANCE[got.dtype.itemsize]


Case = dict[str, Any]


@st.composite
def conv_cases(draw: st.DrawFn) -> Case:
    """Draw shapes of every kind the planner tells apart."""
    rank = draw(st.sampled_from([1, 2, 2, 2, 3]))
    kind = draw(st.sampled_from(["dense", "winograd", "grouped", "depthwise"]))
    groups = draw(st.integers(2, 5)) if kind in ("grouped", "depthwise") else 1
    depth = 1 if kind == "depthwise" else draw(st.sampled_from([1, 2, 5, 16, 20]))
    per_group = draw(st.sampled_from([1, 2, 3, 16]))
    sizes = st.integers(1, 13 if rank < 3 else 6)

    def each(strategy: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(strategy, min_size=rank, max_size=rank))

    plain = kind == "winograd"
    steps = st.just(1) if plain else st.sampled_from([1, 1, 2, 3])
    return {
        "x": (draw(st.integers(0, 2)), groups * depth, *each(sizes)),
        "w": (
            groups * per_group,
            depth,
            *each(st.just(3) if plain else st.integers(1, 5)),
        ),
        "strides": each(steps),
        "dilations": each(st.just(1) if plain else st.sampled_from([1, 1, 2])),
        "pads": each(st.tuples(st.integers(0, 2), st.integers(0, 2))),
        "groups": groups,
    }


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("method", ["auto", "gemm", "winograd"])
@settings(max_examples=60, deadline=None)
@given(case=conv_cases(), seed=st.integers(0, 99))
def test_conv_agrees_with_loops(
    layout: conv.Layout, method: conv.Method, case: Case, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    case = dict(case)
    x, w = (values(rng, case.pop(name), np.float32) for name in "xw")
    bias = values(rng, (len(w),), np.float32)
    wanted = naive_conv(x, w, **case) + bias.reshape(-1, *[1] * (x.ndim - 2))
    residual = values(rng, wanted.shape, np.float32)
    wanted = np.maximum(wanted + residual, 0)
    if layout == "NHWC":
        moved = (np.moveaxis(a, 1, -1) for a in (x, residual, wanted))
        x, residual, wanted = (np.ascontiguousarray(a) for a in moved)
    plan = conv.plan_conv(
        x.shape, w, bias=bias, clip=RELU, layout=layout, method=method, **case
    )
    garbage = np.full(plan.scratch_bytes, 255, np.uint8)
    out = np.empty(plan.out_shape, np.float32)
    assert plan(x, out=out, scratch=garbage, residual=residual) is out
    assert_near(out, wanted)
    np.testing.assert_array_equal(plan(x, residual=residual), out)


DTYPES = ["f2", ml_dtypes.bfloat16, "f4", "f8", "i1", "u1", "i2", "i4", "i8"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("kernel", [1, 3])
def test_conv_in_every_dtype(dtype: Any, groups: int, kernel: int) -> None:
    rng = np.random.default_rng(0)
    x = values(rng, (2, 4, 9, 8), dtype)
    w = values(rng, (8, 4 // groups, kernel, kernel), dtype)
    bias = values(rng, (8,), dtype)
    wanted = naive_conv(x, w, (1, 1), [(1, 1), (0, 1)], (1, 1), groups)
    wanted += bias.reshape(-1, 1, 1).astype(wanted.dtype)
    got = conv.conv(x, w, bias=bias, pads=[(1, 1), (0, 1)], groups=groups)
    assert got.dtype == (np.int32 if np.dtype(dtype).str[1:] in INTS else x.dtype)
    assert_near(got, wanted)


INTS = ("i1", "u1", "i2")


def test_integer_convolution_wraps_around() -> None:
    x = np.full((1, 3, 4, 4), 2**31 - 1, np.int32)
    w = np.full((2, 3, 3, 3), 2**31 - 5, np.int32)
    assert_near(conv.conv(x, w), naive_conv(x, w, (1, 1), [(0, 0)] * 2, (1, 1), 1))


def test_conv_scales_quantized_sums_to_floats() -> None:
    rng = np.random.default_rng(1)
    x, w = values(rng, (1, 4, 6, 6), np.uint8), values(rng, (3, 4, 3, 3), np.int8)
    scale, bias = values(rng, (3,), np.float32), values(rng, (3,), np.float32)
    wanted = naive_conv(x, w, (1, 1), [(0, 0)] * 2, (1, 1), 1)
    plan = conv.plan_conv(x.shape, w, dtype=np.uint8, scale=scale, bias=bias)
    column = (-1, 1, 1)
    assert_near(plan(x), wanted * scale.reshape(column) + bias.reshape(column))


def test_conv_folds_scale_into_float_weights() -> None:
    rng = np.random.default_rng(1)
    x, w = values(rng, (1, 4, 6, 6), np.float32), values(rng, (3, 4, 3, 3), np.float32)
    scale = values(rng, (3,), np.float32)
    wanted = conv.conv(x, w) * scale.reshape(-1, 1, 1)
    assert_near(conv.conv(x, w, scale=scale), wanted)


def test_conv_dilates_its_input() -> None:
    rng = np.random.default_rng(1)
    x, w = values(rng, (1, 4, 5, 6), np.float32), values(rng, (3, 4, 3, 3), np.float32)
    spread = np.zeros((1, 4, 13, 11), np.float32)
    spread[..., ::3, ::2] = x
    pads = [(1, 2), (2, 0)]
    for strides in itertools.product((1, 2, 3), (1, 2, 3)):
        wanted = conv.conv(spread, w, pads=pads, strides=strides)
        got = conv.conv(x, w, pads=pads, strides=strides, lhs_dilations=(3, 2))
        assert_near(got, wanted)


def test_conv_crops_at_negative_pads() -> None:
    rng = np.random.default_rng(1)
    x, w = values(rng, (1, 4, 9, 9), np.float32), values(rng, (3, 4, 3, 3), np.float32)
    wanted = conv.conv(np.ascontiguousarray(x[:, :, 2:-1, :-2]), w)
    assert_near(conv.conv(x, w, pads=[(-2, -1), (0, -2)]), wanted)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_winograd_keeps_non_finite_values_in_their_windows(layout: conv.Layout) -> None:
    rng = np.random.default_rng(2)
    shape = (1, 16, 14, 14) if layout == "NCHW" else (1, 14, 14, 16)
    x, w = values(rng, shape, np.float32), values(rng, (16, 16, 3, 3), np.float32)
    x.flat[777], x.flat[1500] = np.inf, np.nan
    plans = [
        conv.plan_conv(shape, w, layout=layout, method=method)
        for method in ("winograd", "gemm")
    ]
    np.testing.assert_array_equal(plans[0](x), plans[1](x))


def test_conv_writes_into_a_slice() -> None:
    rng = np.random.default_rng(3)
    for depth, kernel, groups in ((32, 3, 1), (32, 1, 1), (1, 3, 32), (8, 3, 4)):
        x = values(rng, (2, 12, 12, 32), np.float32)
        w = values(rng, (32, depth, kernel, kernel), np.float32)
        plan = conv.plan_conv(x.shape, w, groups=groups, layout="NHWC")
        wide = np.zeros((*plan.out_shape[:-1], 50), np.float32)
        plan(x, out=wide[..., 9:41])
        np.testing.assert_array_equal(wide[..., 9:41], plan(x))
        assert not wide[..., :9].any()
        assert not wide[..., 41:].any()


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("parts", [2, 4, 16])
@pytest.mark.parametrize("positions", [(1, 1), (3, 5), (40, 40)])
def test_shuffled_channels_take_turns(
    groups: int, parts: int, positions: tuple[int, int]
) -> None:
    rng = np.random.default_rng(5)
    x, w = (
        values(rng, (2, *positions, 32), np.float32),
        values(rng, (48, 32 // groups, 1, 1), np.float32),
    )
    bias = values(rng, (48,), np.float32)
    rest = values(rng, (2, *positions, 48), np.float32)
    options: Any = {"layout": "NHWC", "groups": groups, "bias": bias, "clip": RELU}
    plain = conv.plan_conv(x.shape, w, **options)(x, residual=rest)
    turned = conv.plan_conv(x.shape, w, shuffle=parts, **options)(x, residual=rest)
    wanted = plain.reshape(*plain.shape[:-1], parts, -1).swapaxes(-1, -2)
    np.testing.assert_allclose(turned, wanted.reshape(plain.shape), rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "kernel", "strides", "pads", "dilations"),
    [
        ((1, 3, 9, 9), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
        ((2, 3, 9, 8), (3, 3), (2, 2), ((1, 0), (0, 1)), (1, 1)),
        ((1, 40, 112, 5), (5, 3), (1, 2), ((2, 2), (1, 1)), (1, 1)),
        ((1, 3, 9, 9), (3, 3), (3, 3), ((4, 4), (5, 5)), (2, 2)),
        ((1, 3, 9, 9), (3, 3), (1, 1), ((-1, -2), (-2, 0)), (1, 1)),
        ((1, 3, 2, 2), (3, 3), (1, 1), ((7, 7), (7, 7)), (1, 3)),
        ((1, 3, 11), (4,), (2,), ((1, 3),), (2,)),
        ((1, 3, 4, 5, 6), (3, 2, 3), (1, 2, 1), ((1, 1), (0, 1), (1, 0)), (1, 1, 2)),
    ],
)
@pytest.mark.parametrize("repeats", [1, 2])
def test_depthwise_conv_at_all_edges(
    shape: Any, kernel: Any, strides: Any, pads: Any, dilations: Any, repeats: int
) -> None:
    rng = np.random.default_rng(7)
    channels = shape[1]
    x = values(rng, shape, np.float32)
    w = values(rng, (channels * repeats, 1, *kernel), np.float32)
    inside: Any = tuple(
        slice(max(0, -a), n - max(0, -b))
        for n, (a, b) in zip(shape[2:], pads, strict=True)
    )
    around = [(max(0, a), max(0, b)) for a, b in pads]
    wanted = naive_conv(x[(..., *inside)], w, strides, around, dilations, channels)
    options: Any = {"strides": strides, "pads": pads, "dilations": dilations}
    got = conv.conv(x, w, groups=channels, method="depthwise", **options)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
    last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    plan = conv.plan_conv(last.shape, w, groups=channels, layout="NHWC", **options)
    np.testing.assert_allclose(
        np.moveaxis(plan(last), -1, 1), got, rtol=1e-6, atol=1e-7
    )


def test_conv_has_the_same_bits_on_any_number_of_threads() -> None:
    rng = np.random.default_rng(3)
    before = threads.get_num_threads()
    shapes = ((64, 64, 3, 3), (128, 64, 1, 1), (64, 1, 3, 3), (64, 64, 5, 5))
    for shape, layout in itertools.product(shapes, ("NCHW", "NHWC")):
        size = (1, 64, 30, 30) if layout == "NCHW" else (1, 30, 30, 64)
        x, w = values(rng, size, np.float32), values(rng, shape, np.float32)
        found: list[Array] = []
        for count in (1, 2, 5):
            threads.set_num_threads(count)
            found.append(conv.conv(x, w, groups=64 // shape[1], layout=layout))
        threads.set_num_threads(before)
        np.testing.assert_array_equal(found[0], found[1])
        np.testing.assert_array_equal(found[0], found[2])


def test_a_plan_serves_many_threads() -> None:
    rng = np.random.default_rng(4)
    w = values(rng, (32, 32, 3, 3), np.float32)
    plan = conv.plan_conv((1, 32, 20, 20), w, pads=[(1, 1), (1, 1)])
    inputs = [values(rng, plan.x_shape, np.float32) for _ in range(4)]
    wanted = [plan(x) for x in inputs]
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(20):
            if not np.array_equal(plan(inputs[number]), wanted[number]):
                wrong.append(number)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_conv_rejects_another_shape() -> None:
    plan = conv.plan_conv((1, 2, 5, 5), np.ones((3, 2, 3, 3), np.float32))
    with pytest.raises(ValueError, match=r"float32\[1, 2, 5, 6\]"):
        plan(np.ones((1, 2, 5, 6), np.float32))


@st.composite
def transpose_cases(draw: st.DrawFn) -> Case:
    """Draw transposed convolutions that ONNX Runtime runs."""
    rank = draw(st.sampled_from([1, 2]))
    groups = draw(st.sampled_from([1, 1, 2]))

    def each(low: int, high: int) -> list[int]:
        strategy = st.integers(low, high)
        return draw(st.lists(strategy, min_size=rank, max_size=rank))

    strides = each(1, 3)
    kernel, dilations = each(2, 4), each(1, 2)
    ends = [each(0, 1), each(0, 1)]
    return {
        "x": (2, groups * 3, *each(2, 7)),
        "w": (groups * 3, 2, *kernel),
        "strides": strides,
        "dilations": dilations,
        "pads": [*ends[0], *ends[1]],
        "output_padding": [draw(st.integers(0, s - 1)) for s in strides],
        "group": groups,
    }


@settings(max_examples=60, deadline=None)
@given(case=transpose_cases(), seed=st.integers(0, 99))
def test_conv_transpose_agrees_with_onnxruntime(case: Case, seed: int) -> None:
    rng = np.random.default_rng(seed)
    case = dict(case)
    x, w = (values(rng, case.pop(name), np.float32) for name in "xw")
    bias = values(rng, (w.shape[1] * case["group"],), np.float32)
    wanted = run_onnx("ConvTranspose", [x, w, bias], **case)
    rank = x.ndim - 2
    flat = case.pop("pads")
    pads = list(zip(flat[:rank], flat[rank:], strict=True))
    groups = case.pop("group")
    got = conv_transpose.conv_transpose(
        x, w, bias=bias, pads=pads, groups=groups, **case
    )
    assert_near(got, wanted.astype(np.float64))


def test_conv_transpose_is_exact_for_integers() -> None:
    rng = np.random.default_rng(0)
    x, w = values(rng, (1, 3, 5), np.int8), values(rng, (3, 2, 4), np.int8)
    got = conv_transpose.conv_transpose(x, w, strides=[2])
    wide = conv_transpose.conv_transpose(
        x.astype(np.float64), w.astype(np.float64), strides=[2]
    )
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, wide)


@st.composite
def pool_cases(draw: st.DrawFn) -> Case:
    """Draw windows with pads below the kernel, as ONNX wants."""
    rank = draw(st.sampled_from([1, 2, 2, 3]))

    def each(low: int, high: int) -> list[int]:
        strategy = st.integers(low, high)
        return draw(st.lists(strategy, min_size=rank, max_size=rank))

    kernel = each(1, 4)
    pads = [(draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))) for k in kernel]
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 5)), *each(5, 10))
    return {"x": shape, "kernel": kernel, "strides": each(1, 3), "pads": pads}


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@settings(max_examples=40, deadline=None)
@given(case=pool_cases(), kind=st.sampled_from(["max", "mean", "padded mean"]))
def test_pool_agrees_with_onnxruntime(
    layout: pool.Layout, case: Case, kind: str
) -> None:
    x = values(np.random.default_rng(0), case["x"], np.float32)
    onnx_options: dict[str, Any] = {
        "kernel_shape": case["kernel"],
        "strides": case["strides"],
        "pads": [*(p[0] for p in case["pads"]), *(p[1] for p in case["pads"])],
    }
    options: Any = {"strides": case["strides"], "pads": case["pads"], "layout": layout}
    if kind == "max":
        wanted = run_onnx("MaxPool", [x], **onnx_options)
    else:
        padded = kind == "padded mean"
        onnx_options["count_include_pad"] = int(padded)
        wanted = run_onnx("AveragePool", [x], **onnx_options)
        options |= {"kind": "mean", "count_include_pad": padded}
    if layout == "NHWC":
        x, wanted = (
            np.ascontiguousarray(np.moveaxis(x, 1, -1)),
            np.moveaxis(wanted, 1, -1),
        )
    assert_near(pool.pool(x, case["kernel"], **options), wanted.astype(np.float64))


@settings(max_examples=40, deadline=None)
@given(case=pool_cases(), dilation=st.integers(1, 2))
def test_max_pool_indices_agree_with_onnxruntime(case: Case, dilation: int) -> None:
    x = values(np.random.default_rng(0), case["x"], np.float32)
    rank = x.ndim - 2
    dilations = [dilation] * rank
    reach = [(k - 1) * dilation + 1 for k in case["kernel"]]
    sizes = zip(reach, x.shape[2:], case["pads"], strict=True)
    if any(r > n + p[0] + p[1] for r, n, p in sizes):
        return
    wanted, where = run_onnx(
        "MaxPool",
        [x],
        2,
        kernel_shape=case["kernel"],
        strides=case["strides"],
        dilations=dilations,
        pads=[*(p[0] for p in case["pads"]), *(p[1] for p in case["pads"])],
    )
    given_: dict[str, Any] = {
        "strides": case["strides"],
        "pads": case["pads"],
        "dilations": dilations,
    }
    got, at = pool.max_pool_indices(x, case["kernel"], **given_)
    np.testing.assert_array_equal(got, wanted)
    plane = math.prod(x.shape[2:])
    count = x.shape[0] * x.shape[1]
    first = np.arange(count, dtype=np.int64).reshape((*x.shape[:2], *[1] * rank))
    np.testing.assert_array_equal(at + first * plane, where)
    np.testing.assert_array_equal(pool.pool(x, case["kernel"], **given_), wanted)


def test_pool_in_other_dtypes_and_kinds() -> None:
    rng = np.random.default_rng(0)
    for dtype in ("i1", "u1", "i8", "f2", "f8", ml_dtypes.bfloat16):
        x = values(rng, (1, 2, 6), dtype)
        windows = np.lib.stride_tricks.sliding_window_view(x, 3, axis=2)
        for kind in ("max", "min", "sum"):
            wanted = getattr(windows.astype(np.float64), kind)(-1)
            got = pool.pool(x, (3,), kind=kind)
            assert got.dtype == x.dtype
            assert_near(got, wanted)
    assert pool.pool(np.ones((1, 1, 4), bool), (2,), pads=[(1, 0)]).all()


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_sums_of_halves_are_rounded_once(dtype: Any, layout: pool.Layout) -> None:
    x = np.random.default_rng(0).normal(size=(1, 6, 6, 6)).astype(dtype)
    got = pool.pool(x, [2, 2], kind="sum", strides=[2, 2], layout=layout)
    if layout == "NHWC":
        x, got = np.moveaxis(x, -1, 1), np.moveaxis(got, -1, 1)
    parts = x.astype(np.float32).reshape(1, 6, 3, 2, 3, 2)
    assert np.array_equal(got, parts.sum((3, 5)).astype(dtype))


def test_nan_wins_in_a_pool() -> None:
    x = np.zeros((1, 1, 9), np.float32)
    x[..., 4] = np.nan
    got = pool.pool(x, (3,))
    np.testing.assert_array_equal(np.isnan(got[0, 0]), [0, 0, 1, 1, 1, 0, 0])
    assert pool.max_pool_indices(x, (3,))[1][0, 0, 3] == 4


def test_extra_end_padding_never_counts_in_a_mean() -> None:
    x = np.ones((1, 1, 5), np.float32)
    wanted = run_onnx("AveragePool", [x], kernel_shape=[2], strides=[2], ceil_mode=1)
    got = pool.pool(x, (2,), kind="mean", strides=(2,), extra=(1,))
    np.testing.assert_array_equal(got, wanted)
    counted = pool.pool(
        x, (2,), kind="mean", strides=(2,), extra=(1,), count_include_pad=True
    )
    np.testing.assert_array_equal(counted, wanted)


def test_global_pools() -> None:
    x = values(np.random.default_rng(0), (2, 3, 4, 5), np.float16)
    wanted = x.astype(np.float64).mean((2, 3), keepdims=True)
    assert_near(pool.global_pool(x), wanted)
    last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    assert_near(pool.global_pool(last, layout="NHWC"), np.moveaxis(wanted, 1, -1))
    assert pool.global_pool(x, "max").shape == (2, 3, 1, 1)


SHAPES = [
    ((3, 4), (4, 5)),
    ((4,), (4, 5)),
    ((3, 4), (4,)),
    ((4,), (4,)),
    ((2, 1, 3, 4), (5, 4, 6)),
    ((12, 64, 32), (12, 32, 64)),
    ((2, 64, 32), (32, 300)),
    ((200, 130), (130, 210)),
    ((3, 0), (0, 4)),
    ((0, 3), (3, 4)),
    ((0, 2, 3), (0, 3, 4)),
    ((1, 1, 3, 4), (4, 2)),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shapes", SHAPES)
def test_matmul_in_every_dtype(dtype: Any, shapes: tuple[Any, Any]) -> None:
    rng = np.random.default_rng(0)
    a, b = (values(rng, shape, dtype) for shape in shapes)
    exact = np.int64 if a.dtype.kind in "iu" else np.float64
    wanted = np.matmul(a.astype(exact), b.astype(exact))
    got = matmul.matmul(a, b)
    assert got.dtype == (np.int32 if a.dtype.str[1:] in INTS else a.dtype)
    assert_near(got, np.asarray(wanted))


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint64])
def test_integer_matmul_wraps_around(dtype: Any) -> None:
    info = np.iinfo(dtype)
    rng = np.random.default_rng(0)
    raw: Any = rng.integers
    a = np.asarray(raw(info.min, info.max, (5, 9), dtype=dtype), np.dtype(dtype))
    np.testing.assert_array_equal(matmul.matmul(a, a.T), np.matmul(a, a.T))


@pytest.mark.parametrize("shape", [(7, 5, 3), (40, 300, 500), (500, 300, 40)])
def test_matmul_epilogue(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    m, k, n = shape
    a, b = values(rng, (m, k), np.float32), values(rng, (k, n), np.float32)
    bias, rest = values(rng, (n,), np.float32), values(rng, (m, n), np.float32)
    wanted = np.clip(a.astype(np.float64) @ b + bias + rest, -1, 2)
    got = matmul.matmul(a, b, bias=bias, residual=rest, clip=Clip(-1, 2))
    assert_near(got, wanted)


@pytest.mark.parametrize("c", [(), (1,), (6,), (1, 6), (4, 1), (4, 6), None])
def test_gemm_agrees_with_onnxruntime(c: tuple[int, ...] | None) -> None:
    rng = np.random.default_rng(0)
    a, b = values(rng, (5, 4), np.float32), values(rng, (6, 5), np.float32)
    given_: dict[str, Any] = {"alpha": 0.5, "beta": 2.0}
    inputs = [a, b] if c is None else [a, b, values(rng, c, np.float32)]
    wanted = run_onnx("Gemm", inputs, transA=1, transB=1, **given_)
    assert_near(matmul.gemm(*inputs, trans_a=True, trans_b=True, **given_), wanted)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((300, 200), (200, 300)),
        ((9, 70), (70, 500)),
        ((5, 90, 80), (5, 80, 70)),
        ((5, 90, 80), (80, 70)),
        ((2, 1, 90, 80), (3, 80, 70)),
        ((1, 90, 80), (1, 80, 70)),
        ((90, 80), (1, 80, 70)),
        ((0, 80), (80, 70)),
        ((2, 0, 80), (2, 80, 70)),
    ],
)
def test_bound_products_are_those_that_run_at_once(
    left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal(left), rng.standard_normal(right)
    shape = np.matmul(a, b).shape
    rest, bias = rng.standard_normal(shape), rng.standard_normal(shape[-1])
    finish = Epilogue(None, bias, Clip(-1, 2))
    once, bound = np.empty(shape), np.empty(shape)
    matmul.Product(a, b, once, finish, rest).run()
    call = matmul.Product(a, b, bound, finish, rest).bind()
    for _ in range(2):
        bound.fill(np.nan)
        call()
        np.testing.assert_array_equal(bound, once)
    assert_near(once, np.clip(np.matmul(a, b) + bias + rest, -1, 2))


def test_parallel_runs_each_index_once_and_keeps_slots_apart() -> None:
    taken: list[tuple[int, int]] = []
    busy: set[int] = set()

    def task(index: int, slot: int) -> None:
        assert slot not in busy
        busy.add(slot)
        taken.append((index, slot))
        busy.discard(slot)

    threads.parallel(task, 1000)
    assert sorted(index for index, _ in taken) == list(range(1000))
    assert {slot for _, slot in taken} <= set(range(threads.get_num_threads()))


def test_helpers_serve_many_callers_while_awake() -> None:
    wrong: list[list[int]] = []

    def call() -> None:
        with threads.AWAKE:
            for count in range(1, 60):
                taken = [0] * count

                def task(index: int, _slot: int, taken: list[int] = taken) -> None:
                    taken[index] += 1

                threads.parallel(task, count)
                if taken != [1] * count:
                    wrong.append(taken)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


@pytest.mark.parametrize("order", ["C", "F"])
def test_copies_of_mapped_data_are_equal_and_aligned(order: Any) -> None:
    rng = np.random.default_rng(0)
    array = np.asarray(rng.standard_normal((70, 50, 1000), np.float32), order=order)
    found = mapped.copied(array)
    assert found.flags.aligned
    assert found.strides == array.strides
    np.testing.assert_array_equal(found, array)


def test_parallel_raises_the_task_s_error() -> None:
    def task(index: int, _slot: int) -> None:
        if index == 3:
            raise KeyError(index)

    with pytest.raises(KeyError):
        threads.parallel(task, 8)


def test_parallel_calls_nest_inline() -> None:
    found: list[int] = []

    def inner(index: int, slot: int) -> None:
        assert slot == 0
        found.append(index)

    threads.parallel(lambda _index, _slot: threads.parallel(inner, 4), 4)
    assert sorted(found) == sorted([*range(4)] * 4)


def test_thread_count() -> None:
    before = threads.get_num_threads()
    threads.set_num_threads(3)
    assert threads.get_num_threads() == 3
    threads.set_num_threads(before)
    with pytest.raises(ValueError, match="at least 1"):
        threads.set_num_threads(0)


def test_helpers_stay_with_a_thread_until_another_one_wants_them() -> None:
    def run() -> list[int]:
        seen: list[int] = []
        with threads.AWAKE:
            threads.parallel(lambda index, _: seen.append(index), 6)
        return sorted(seen)

    found: list[list[int]] = []
    others = [
        threading.Thread(target=lambda: found.extend(run() for _ in range(50)))
        for _ in range(3)
    ]
    for thread in others:
        thread.start()
    found.extend(run() for _ in range(50))
    for thread in others:
        thread.join()
    assert found == [[*range(6)]] * 200


def test_a_resting_team_keeps_nothing_alive() -> None:
    array = np.ones(4)
    gone = weakref.ref(array)
    with threads.AWAKE:
        threads.parallel(lambda index, _, x=array: x.sum(), 4)  # type: ignore[misc]
    del array
    assert gone() is None


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="the platform has no affinities"
)
def test_a_run_leaves_the_caller_where_it_may_go() -> None:
    before = os.sched_getaffinity(0)
    with threads.AWAKE:
        for _ in range(3):
            threads.parallel(lambda _index, _slot: None, 4)
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize("spins", [False, True])
def test_helpers_come_again_asleep_or_awake(
    spins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(team, "SPINS", spins and team.SPINS)
    pool = team.Pool(lambda: None)
    for _ in range(20):
        crew = pool.claim(2)
        for _ in range(3):
            taken = [0] * 50

            def task(index: int, _slot: int, taken: list[int] = taken) -> None:
                taken[index] += 1

            crew.share(task, 50, 2)
            assert taken == [1] * 50
        pool.release(crew)
    crew = pool.claim(1)  # another number: the old team goes home
    crew.share(lambda _index, _slot: None, 3, 1)
    pool.release(crew)


def test_little_work_is_shared_once_there_was_much_of_it() -> None:
    middle = (threads._WAKE + threads._JOIN) / 2
    assert threads.joins(middle, 0)
    assert not threads.pays(middle, 0)
    with threads.AWAKE:
        shared = [threads.shares(middle, 0) for _ in range(4)]
    assert (shared[0], shared[-1]) == (threads._JOIN == threads._WAKE, True)
    with threads.AWAKE:
        assert not threads.shares(middle, 0)  # it is counted by run


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform cannot fork")
def test_threads_work_after_a_fork() -> None:
    x = np.ones((1, 64, 30, 30), np.float32)
    w = np.ones((64, 64, 3, 3), np.float32)
    conv.conv(x, w)
    child = os.fork()
    if child == 0:
        right = bool(conv.conv(x, w)[0, 0, 0, 0] == 576)
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_ranges_cover_everything() -> None:
    for total, size in itertools.product((0, 1, 7, 64), (1, 3, 64, 100)):
        parts = threads.ranges(total, size)
        assert [i for low, high in parts for i in range(low, high)] == [*range(total)]
        assert all(high - low <= size for low, high in parts)


def test_blas_thread_count_is_restored() -> None:
    seen: list[bool] = []
    with blas.OneThread(), blas.OneThread():
        seen.append(blas.controllable())
    threads.parallel(lambda _i, _s: None, 4)
    assert len(seen) == 1


def test_scratch_is_aligned_and_reused() -> None:
    first = scratch.take(1000)
    assert first.ctypes.data % 64 == 0
    scratch.give(first)
    arena = scratch.Arena(scratch.take(1000))
    one, two = arena.array((3,), np.float32), arena.array((5, 2), np.float64)
    assert two.ctypes.data - one.ctypes.data == scratch.nbytes((3,), np.float32)


@pytest.mark.parametrize(("dtype", "ulps"), [("f4", 4), ("f8", 32)])
def test_erf_is_accurate(dtype: str, ulps: int) -> None:
    grid = np.linspace(-6.5, 6.5, 20001)
    x = np.concatenate([grid, np.logspace(-30, 0, 500)]).astype(dtype)
    wanted = np.array([math.erf(float(v)) for v in x])
    unit = np.spacing(np.abs(wanted).astype(dtype)).astype(np.float64)
    error = np.abs(elementwise.erf(x).astype(np.float64) - wanted)
    assert np.all(error <= ulps * unit)
    if dtype == "f8":
        assert error.max() < 1e-15
    ends = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], dtype)
    got = elementwise.erf(ends)
    np.testing.assert_array_equal(got, np.array([np.nan, 1, -1, 0, 0]))
    assert list(np.signbit(got[3:])) == [False, True]


_ERF: Any = np.vectorize(math.erf, otypes=[np.float64])


def _bent(v: Array) -> Array:
    wanted = np.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))
    return np.asarray(v / 2 * (1 + wanted))


@pytest.mark.parametrize("function", [elementwise.gelu, elementwise.gelu_tanh])
def test_gelu_is_accurate(function: Any) -> None:
    x = np.linspace(-12, 12, 40001, dtype=np.float32)
    wanted = FUNCTIONS[function](x.astype(np.float64))
    error = np.abs(function(x) - wanted)
    assert np.all(error <= 1.2e-7 + 2 * np.spacing(np.abs(wanted).astype(np.float32)))
    ends = np.array([np.nan, np.inf, 3e38, 1e-30, 0.0, -0.0, -3e38], np.float32)
    got = function(ends)
    halved = np.float32(1e-30) / 2
    np.testing.assert_array_equal(got, [np.nan, np.inf, ends[2], halved, 0, 0, 0])
    assert list(np.signbit(got[4:])) == [False, True, True]


FUNCTIONS: dict[Any, Callable[[Array], Array]] = {
    elementwise.gelu: lambda v: v / 2 * (1 + _ERF(v / math.sqrt(2))),
    elementwise.gelu_tanh: _bent,
    elementwise.sigmoid: lambda v: 1 / (1 + np.exp(-v)),
    norm.SOFTMAX: lambda v: np.exp(v) / np.exp(v).sum(-1, keepdims=True),
    norm.LOG_SOFTMAX: lambda v: v - np.log(np.exp(v).sum(-1, keepdims=True)),
    norm.layer_norm(): lambda v: (
        (v - v.mean(-1, keepdims=True)) / np.sqrt(v.var(-1, keepdims=True) + 1e-5)
    ),
    norm.rms_norm(): lambda v: v / np.sqrt((v * v).mean(-1, keepdims=True) + 1e-5),
}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["f2", ml_dtypes.bfloat16, "f4", "f8"])
@pytest.mark.parametrize(
    "shape", [(3, 7), (2, 300, 200), (0, 4), (5,), (50, 9), (3, 40, 32)]
)
def test_functions_of_floats(function: Any, dtype: Any, shape: tuple[int, ...]) -> None:
    x = values(np.random.default_rng(0), shape, dtype)
    got = function(x)
    assert got.dtype == x.dtype
    assert_near(got, FUNCTIONS[function](x.astype(np.float64)))
    into = np.empty_like(x)
    assert function(x, out=into) is into
    np.testing.assert_array_equal(into, got)


def test_bound_rows_are_computed_anew_in_each_call() -> None:
    rng = np.random.default_rng(0)
    for shape in ((3, 7), (400, 16), (60_000, 5), (300, 700)):
        x, out = rng.standard_normal(shape), np.empty(shape)
        memory = scratch.take(norm.SOFTMAX.scratch_bytes(shape, x.dtype))
        call = norm.SOFTMAX.bind(memory, x, out)
        for _ in range(2):
            x[...] = rng.standard_normal(shape)
            memory[...] = 255
            call()
            assert_near(out, FUNCTIONS[norm.SOFTMAX](x))
        scratch.give(memory)


def test_layer_norm_scales_and_shifts() -> None:
    rng = np.random.default_rng(0)
    x, scale, bias = (values(rng, s, np.float32) for s in ((6, 9), (9,), (9,)))
    wanted = run_onnx("LayerNormalization", [x, scale, bias])
    assert_near(norm.layer_norm(scale, bias)(x), wanted)


def test_softmax_of_extremes() -> None:
    x = np.array([[1000, -np.inf, 0], [np.inf, 0, 0], [np.nan, 0, 0]], np.float32)
    for many in (x, np.concatenate([x] * 20)):  # short rows of many are turned
        got = norm.SOFTMAX(many)[-3:]
        np.testing.assert_array_equal(got[0], [1, 0, 0])
        assert np.isnan(got[1:]).any(1).all()
