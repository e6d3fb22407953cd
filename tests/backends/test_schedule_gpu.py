"""The schedule for GPUs: its source, and what it computes, on whatever device is here.

Groups and barriers run on CPU devices, too: slowly, but as the standard says.
"""

import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.backend.test.loader import load_model_tests
from onnx_graphs import model_of

import graphwright as gw
import graphwright.numpy as gnp
from graphwright.backends.codegen.device import Cpu, Gpu
from graphwright.backends.codegen.dialect import OPENCL
from graphwright.backends.codegen.lower import lowered
from graphwright.backends.codegen.parts import part_of
from graphwright.backends.codegen.printer import source_of
from graphwright.backends.compile import arrange
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.backends.opencl.target import schedule_of, target_of
from graphwright.ir.graph import Graph
from graphwright.ir.ops.fused import Fused

GPU = OpenCLBackend(0, "gpu")
MISSING = GPU.unavailable()
device = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
TARGET = Gpu(4)
GOLDEN = Path(__file__).parent.parent / "data" / "gpu_kernels"


def softmax(x: Any) -> Any:
    e = gnp.exp(x - gnp.max(x, axis=-1, keepdims=True))
    return e / gnp.sum(e, axis=-1, keepdims=True)


def norm(x: Any) -> Any:
    mean = gnp.mean(x, axis=-1, keepdims=True)
    return (x - mean) / gnp.sqrt(gnp.mean((x - mean) ** 2, axis=-1, keepdims=True) + 1)


def over_all(x: Any) -> Any:
    return x / gnp.sqrt(gnp.sum(x * x) + 1)


Family: TypeAlias = tuple[Callable[..., Any], tuple[int, ...]]

FAMILIES: dict[str, Family] = {
    "chain": (lambda x: gnp.maximum(x * x[:, :1] + 1, 0), (6, 40)),
    "transpose": (lambda x: gnp.transpose(x) * 2, (6, 40)),
    "row_sum": (lambda x: gnp.sum(x, axis=-1), (3000, 500)),
    "long_row_sum": (lambda x: gnp.sum(x, axis=-1), (3, 90000)),
    "column_sum": (lambda x: gnp.sum(x, axis=0), (40, 9000)),
    "argmax": (lambda x: gnp.argmax(x, axis=-1), (3000, 500)),
    "softmax": (softmax, (300, 2000)),
    "product": (lambda x: gnp.exp(gnp.transpose(x) @ x), (45, 37)),
    "running": (lambda x: gnp.cumsum(x, axis=-1), (300, 70)),
    "running_blocks": (lambda x: gnp.cumsum(x, axis=-1), (3, 500)),
    "running_long": (lambda x: gnp.cumsum(x, axis=-1), (3, 5000)),
    "running_columns": (lambda x: gnp.cumsum(x, axis=0), (300, 70)),
}
"""A function for each family of kernels, and a shape."""


SCATTER = 'y = ScatterElements<axis=0,reduction="add">(x, i, u)'
MODELS = {
    "convolution": (
        "g (float[1,16,9,10] x, float[24,16,3,3] w, float[24] b)"
        " => (float[1,24,9,10] y) { c = Conv<pads=[1,1,1,1]>(x, w, b) y = Relu(c) }"
    ),
    "scatter": (
        "g (float[50,7] x, int64[90,7] i, float[90,7] u)"
        f" => (float[50,7] y) {{ {SCATTER} }}"
    ),
    "scatter_integers": (
        "g (int32[50,7] x, int64[90,7] i, int32[90,7] u)"
        f" => (int32[50,7] y) {{ {SCATTER} }}"
    ),
}
"""ONNX models of the other families."""


def source(family: Family, target: Gpu = TARGET) -> str:
    function, shape = family
    return source_of_graph(gw.trace(function, gw.spec("float32", shape)), target)


def source_of_model(text: str, target: Gpu = TARGET) -> str:
    made, _ = arrange(gw.load(model_of(text)), [GPU])
    (body,) = [n.op.body for n in made.nodes if isinstance(n.op, Fused)]
    return source_of_graph(body, target)


def source_of_graph(graph: Graph, target: Gpu) -> str:
    steps = lowered(graph, target).steps
    rows = [f"groups {s.kernel.items} of {s.kernel.group}" for s in steps]
    texts = [source_of(s.kernel, f"k{i}", OPENCL) for i, s in enumerate(steps)]
    return "\n".join(f"// {r}\n{t}" for r, t in zip(rows, texts, strict=True))


@pytest.mark.parametrize("name", [*FAMILIES, *MODELS])
def test_source_is_as_it_was(name: str, request: pytest.FixtureRequest) -> None:
    model = MODELS.get(name)
    found = source_of_model(model) if model else source(FAMILIES[name])
    path = GOLDEN / f"{name}.cl"
    if request.config.getoption("--golden"):
        path.write_text(found)
    assert found == path.read_text()


@pytest.mark.parametrize("target", [TARGET, Gpu(4, lanes=8), Gpu(4, group=64)])
def test_barriers_stand_where_all_of_a_group_come_by(target: Gpu) -> None:
    texts = [source(family, target) for family in FAMILIES.values()]
    texts += [source_of_model(text, target) for text in MODELS.values()]
    heads = [head for text in texts for head in heads_around_barriers(text)]
    assert len(heads) > 20
    assert not [head for head, differs in heads if differs]


def heads_around_barriers(text: str) -> list[tuple[str, bool]]:
    """Heads of blocks that barriers stand in; whether they differ within a group."""
    differing = {"get_local_id", "ITEM", "ITEMS"}
    open_, found = list[tuple[str, bool]](), list[tuple[str, bool]]()
    for line in map(str.strip, text.splitlines()):
        words = set(re.findall(r"\w+", line))
        made = re.match(r"(?:const )?\w+ (\w+) = |for \(\w+ (\w+) = ", line)
        if made and words & differing:
            differing.add(made[1] or made[2])
        if line.endswith("{") or line == "{":
            open_.append((line, bool(words & differing)))
        elif line == "}":
            open_.pop()
        elif line.startswith("barrier"):
            found += open_[1:]
    return found


@pytest.mark.parametrize("name", ["row_sum", "long_row_sum", "some"])
def test_dumps_count_local_memory_as_it_is_declared(name: str) -> None:
    families = {**FAMILIES, "some": (lambda x: gnp.any(x > 2, axis=-1), (300, 5000))}
    function, shape = families[name]
    graph = gw.trace(function, gw.spec("float32", shape))
    sizes, found = {"float": 4, "int": 4, "long": 8}, list[int]()
    counted = list[int]()
    for step in lowered(graph, TARGET).steps:
        text = source_of(step.kernel, "k", OPENCL)
        rows = re.findall(r"__local (\w+) near\d+\[(\d+)\]", text)
        found += [sizes[word] * int(count) for word, count in rows]
        schedule: Any = part_of(step, "k", text, graph).schedule
        counted += schedule["local_bytes"]
    assert found == counted != []


# Values ----------------------------------------------------------------------------


def agree(function: Callable[..., Any], *arrays: Any, tolerance: float = 1e-5) -> Any:
    """Holds the schedule to numpy's backend, without fallback; gives the executable."""
    specs = [gw.spec(str(x.dtype), x.shape) for x in arrays]
    graph = gw.trace(function, *specs)
    exe = gw.compile(graph, backend=GPU, strict=True)
    want = np.asarray(gw.compile(graph, backend="numpy")(*arrays))
    found = np.asarray(exe(*arrays))
    assert found.dtype == want.dtype
    np.testing.assert_allclose(
        found.astype(np.float64), want.astype(np.float64), tolerance, tolerance
    )
    return exe


REDUCING: dict[str, Callable[[Any], Any]] = {
    "chain": lambda x: gnp.exp(x) * 2 + gnp.sqrt(x * x + 1),
    "turned": lambda x: gnp.transpose(x, (2, 0, 1)) + 1,
    "joined": lambda x: gnp.concatenate([x, x[::-1] * 2], axis=1),
    "sums-last": lambda x: gnp.sum(x, axis=-1),
    "sums-first": lambda x: gnp.sum(x, axis=0),
    "sums-outer": lambda x: gnp.max(x, axis=(0, 2)),
    "sum": gnp.sum,
    "argmin": lambda x: gnp.argmin(x, axis=1),
    "softmax": softmax,
    "norm": norm,
    "over-all": over_all,
    "any": lambda x: gnp.any(x > 2, axis=-1),
}


SIZES = st.tuples(*map(st.sampled_from, ((1, 2, 7), (1, 3, 33), (5, 20, 450, 1500))))


def draws(shape: tuple[int, ...], data: st.DataObject) -> tuple[int, ...]:
    """Sizes in another order."""
    return tuple(data.draw(st.permutations(shape)))


@device
@pytest.mark.parametrize("name", REDUCING)
@settings(max_examples=2, deadline=None)
@given(shape=SIZES, data=st.data())
def test_shapes(name: str, shape: tuple[int, ...], data: st.DataObject) -> None:
    check_shapes(name, draws(shape, data))


@device
@pytest.mark.full
@pytest.mark.parametrize("name", REDUCING)
@settings(max_examples=60, deadline=None)
@given(shape=SIZES, data=st.data())
def test_many_shapes(name: str, shape: tuple[int, ...], data: st.DataObject) -> None:
    check_shapes(name, draws(shape, data))


def check_shapes(name: str, shape: tuple[int, ...]) -> None:
    agree(
        REDUCING[name], np.random.default_rng(0).standard_normal(shape), tolerance=1e-9
    )


@device
@pytest.mark.parametrize("dtype", ["float16", "int8", "uint32", "bool", "float64"])
def test_dtypes(dtype: str) -> None:
    x = np.random.default_rng(1).integers(0, 2, (3, 2000)).astype(dtype)
    agree(lambda x: gnp.max(x, axis=1), x)
    agree(lambda x: gnp.concatenate([x, x], axis=1), x)


@device
def test_few_long_rows_are_shared_by_groups() -> None:
    x = np.random.default_rng(2).standard_normal((2, 300_000))
    steps = lowered(gw.trace(softmax, gw.spec("float64", x.shape)), Gpu(4)).steps
    reading = [s.kernel.items[0] for s in steps if s.kernel.inputs[-1].shape == x.shape]
    assert min(reading) >= 16
    agree(softmax, x, tolerance=1e-9)


@device
def test_results_are_the_same_in_each_run() -> None:
    x = np.random.default_rng(3).standard_normal((5, 70_000)).astype(np.float32)
    exe = agree(over_all, x)
    assert len({np.asarray(exe(x)).tobytes() for _ in range(3)}) == 1


def integers(*shape: int, dtype: str = "float32") -> Any:
    return np.random.default_rng(4).integers(-9, 9, shape).astype(dtype)


def test_tiles_leave_all_compute_units_some() -> None:
    for size, each in ((64, 2), (2000, 8)):
        text = source((lambda x: x @ x, (size, size)))
        assert text.count("float a") == each * each


@device
@pytest.mark.parametrize("dtype", ["float64", "uint8"])
def test_products_are_exact(dtype: str) -> None:
    """Of any dtype, turned, of many matrices, with edges, and what is behind them."""
    x, y = integers(2, 37, 45, dtype=dtype), integers(2, 50, 45, dtype=dtype)
    agree(lambda x, y: (x @ gnp.swapaxes(y, -1, -2)) * 2, x, y, tolerance=0)


@device
def test_long_sums_of_few_tiles_are_added_up_by_parts() -> None:
    x, y = integers(20, 3001), integers(3001, 24)

    def layer(x: Any, y: Any) -> Any:
        return gnp.maximum(x @ y + 1, 0)

    graph = gw.trace(layer, *(gw.spec("float32", a.shape) for a in (x, y)))
    first, last = (step.kernel for step in lowered(graph, Gpu(64)).steps)
    assert first.outputs == last.inputs
    assert first.outputs[0].shape == (23, 20, 24)
    agree(layer, x, y, tolerance=0)


@device
def test_weights_that_lie_in_no_order_are_packed() -> None:
    x, w = integers(3, 20, 11, 11), integers(24, 10, 3, 3)
    body = "y = Conv<group=2,pads=[1,1,0,2],strides=[2,1],dilations=[1,2]>(x, w, b)"
    text = f"g (float[3,20,11,11] x) => (float[3,24,5,10] y) {{ {body} }}"
    graph = gw.load(model_of(text, w=w, b=np.arange(24, dtype=np.float32)))
    exe = gw.compile(graph, backend=GPU, strict=True)
    (found,) = exe.run(None, {"x": x})
    (want,) = gw.compile(graph, backend="numpy", optimize=False).run(None, {"x": x})
    np.testing.assert_array_equal(found, want)


@device
@pytest.mark.full
def test_running_sums_of_long_rows_are_shared_by_groups() -> None:
    x = integers(2, 30_000, dtype="int64")
    agree(lambda x: gnp.cumsum(x, axis=1) * 2, x, tolerance=0)
    agree(lambda x: gnp.cumsum(x[:, ::-1], axis=1)[:, ::-1], x[:, :900], tolerance=0)


@device
@pytest.mark.parametrize("reverse", [False, True])
def test_running_sums(*, reverse: bool) -> None:
    x = integers(3, 70, dtype="int64")
    text = (
        f"g (int64[3,70] x, int64 a) => (int64[3,70] y)"
        f" {{ y = CumSum<exclusive=1,reverse={int(reverse)}>(x, a) }}"
    )
    graph = gw.load(model_of(text, a=np.array(1)))
    exe = gw.compile(graph, backend=GPU, strict=True)
    turned = x[:, ::-1] if reverse else x
    want = np.cumsum(turned, axis=1) - turned
    want = want[:, ::-1] if reverse else want
    np.testing.assert_array_equal(exe.run(None, {"x": x})[0], want)


@device
@pytest.mark.parametrize("reduction", ["none", "add", "mul", "min"])
@pytest.mark.parametrize(
    ("kind", "dtype"), [("float", "float32"), ("int32", "int32"), ("uint8", "uint8")]
)
def test_scatter(reduction: str, kind: str, dtype: str) -> None:
    """Where several updates meet, the latest of these is what is set."""
    x, update = integers(20, 7, dtype=dtype), integers(90, 7, dtype=dtype)
    index = np.random.default_rng(6).integers(0, 20, (90, 7))
    text = (
        f"g ({kind}[20,7] x, int64[90,7] i, {kind}[90,7] u) => ({kind}[20,7] y)"
        f' {{ y = ScatterElements<axis=0,reduction="{reduction}">(x, i, u) }}'
    )
    exe = gw.compile(gw.load(model_of(text)), backend=GPU, strict=True)
    (found,) = exe.run(None, {"x": x, "i": index, "u": update})
    ways: dict[str, Callable[[Any, Any], Any]] = {
        "none": lambda _, new: new,
        "add": np.add,
        "mul": np.multiply,
        "min": np.minimum,
    }
    for row in range(90):
        for column in range(7):
            at = index[row, column], column
            x[at] = ways[reduction](x[at], update[row, column])
    np.testing.assert_array_equal(found, x)


@device
def test_running_products_of_columns() -> None:
    x = np.random.default_rng(5).uniform(0.9, 1.1, (3, 300, 40))
    agree(lambda x: gnp.cumulative_prod(x, axis=1), x, tolerance=1e-12)


# ONNX's suite ----------------------------------------------------------------------

ONNX = (
    *("add_bcast", "argmax_keepdims_example_select_last_index", "concat_3d_axis_1"),
    *("cumsum_2d_axis_0", "gather_2d_indices", "layer_normalization_3d_axis1_epsilon"),
    *("reduce_log_sum_exp_do_not_keepdims_random", "scatter_elements_with_axis"),
    *("softmax_large_number", "split_variable_parts_2d_opset18", "where_example"),
)


@pytest.fixture(scope="module")
def cases() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {case.name: case for case in load_model_tests(kind="node")}


@device
@pytest.mark.parametrize("name", ONNX)
def test_of_onnx_suite(name: str, cases: dict[str, Any]) -> None:
    case = cases[f"test_{name}"]
    exe = gw.compile(gw.load(case.model), backend=GPU, strict=True)
    for inputs, wanted in case.data_sets:
        names = [x.name for x in case.model.graph.input]
        found = exe.run(None, dict(zip(names, inputs, strict=True)))
        for x, y in zip(found, wanted, strict=True):
            np.testing.assert_allclose(x, y, case.rtol, case.atol)


# Devices ---------------------------------------------------------------------------


def described(**properties: Any) -> Any:
    usual = {"type": 4, "max_compute_units": 132, "local_mem_size": 49152}
    usual["native_vector_width_float"] = 4
    return SimpleNamespace(**{**usual, "max_work_group_size": 1024, **properties})


def test_properties_decide() -> None:
    assert schedule_of(described(type=4), cpu=2) == "gpu"
    assert schedule_of(described(type=8), cpu=2) == "gpu"
    assert schedule_of(described(type=2), cpu=2) == "cpu"
    cpu = target_of(described(type=2), "cpu", shares=True, strict=False)
    assert cpu == Cpu(132, 49152, in_place=True)
    wide = described(type=2, native_vector_width_float=16)
    assert target_of(wide, "cpu", shares=True, strict=False) == replace(cpu, lanes=16)
    gpu = target_of(described(), "gpu", shares=False, strict=True)
    assert gpu == Gpu(132, 256, 32, 49152, strict=True)


@pytest.mark.parametrize(
    ("properties", "group", "lanes"),
    [
        ({"max_work_group_size": 64, "wavefront_width_amd": 64}, 64, 64),
        ({"max_work_group_size": 100}, 64, 32),
        ({"preferred_work_group_size_multiple": 16}, 256, 16),
        ({"warp_size_nv": 32, "max_work_group_size": 1}, 1, 1),
    ],
)
def test_groups_are_powers_of_two(
    properties: dict[str, int], group: int, lanes: int
) -> None:
    found = target_of(described(**properties), "gpu", shares=False, strict=False)
    assert isinstance(found, Gpu)
    assert (found.group, found.lanes) == (group, lanes)


def test_a_schedule_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHWRIGHT_OPENCL_SCHEDULE", "npu")
    assert OpenCLBackend().unavailable() == (
        "$GRAPHWRIGHT_OPENCL_SCHEDULE is 'npu': it can be cpu or gpu"
    )
    monkeypatch.setenv("GRAPHWRIGHT_OPENCL_SCHEDULE", "gpu")
    assert OpenCLBackend().unavailable() == MISSING


@device
def test_devices_without_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs it is left to numpy, and no kernel has a word of it."""
    apart = re.sub(r"#ifdef cl_khr_fp64.*?#endif", "", OPENCL.preamble, flags=re.DOTALL)
    assert "double" not in apart
    backend = OpenCLBackend(0, "gpu")
    monkeypatch.setattr(backend, "_doubles", False, raising=False)
    x = integers(3, 8)

    def run(x: Any) -> Any:
        return gnp.astype(gnp.astype(x, "float64") * 0.1, "float32") + x

    graph = gw.trace(run, gw.spec("float32", x.shape))
    exe = gw.compile(graph, backend=backend)
    want = np.asarray(gw.compile(graph, backend="numpy")(x))
    np.testing.assert_array_equal(np.asarray(exe(x)), want)
    assert exe.fallbacks
    plain = gw.trace(lambda x: x * 2, gw.spec("float32", x.shape))
    assert not gw.compile(plain, backend=backend, strict=True).fallbacks
