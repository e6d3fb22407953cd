"""Export to ONNX: names, dims, opsets, sub-graphs, files."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx_exports import OnnxRuntime, assert_same, check, taken_back
from onnx_graphs import model_of

import graphwright as gw
from graphwright.frontends.onnx import save
from graphwright.ir.builder import Builder
from graphwright.ir.dim import Dim, floordiv, maximum, symbol
from graphwright.ir.dtype import DTYPES, DType, bool_, float32, int32, int64, uint32
from graphwright.ir.emitter import Value
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType


def graph_of(build: Any, *types: TensorType) -> Graph:
    """A graph of what ``build(b, inputs...)`` returns."""
    b = Builder("g")
    found = build(b, *(b.input(f"x{i}", t) for i, t in enumerate(types)))
    return b.finish([found] if isinstance(found, Value) else found)


def tensor(dtype: DType, *dims: Dim) -> TensorType:
    return TensorType(dtype, dims)


def agree(
    graph: Graph, *feeds: Any, opset: int | None = None, rtol: float = 1e-5
) -> Any:
    """Asserts that graph, model taken back and ONNX Runtime agree; the model."""
    model, again = taken_back(graph, opset)
    with np.errstate(all="ignore"):
        want = evaluate(graph, feeds)
        assert_same(evaluate(again, feeds), want, rtol)
    assert_same(list(OnnxRuntime.prepare(model).run(feeds)), want, rtol)
    return model


def ops_of(model: Any) -> list[str]:
    return [node.op_type for node in model.graph.node]


N, M = symbol("n"), symbol("m")
RNG = np.random.default_rng(0)


def floats(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


# Names, dims, metadata ----------------------------------------------------------------

CHAIN = """
g (float[batch, s, 4] x, float["2*k"] w) => (float[batch, q] y, float[batch, s, 4] z) {
    z = Relu(x)
    shape = Shape(z)
    zero = Constant<value = int64[1] {0}>()
    b = Gather(shape, zero)
    rest = Constant<value = int64[1] {-1}>()
    target = Concat<axis = 0>(b, rest)
    y = Reshape(z, target)
}
"""


def test_names_dims_and_metadata_survive() -> None:
    source = model_of(CHAIN)
    source.metadata_props.add(key="author", value="Ada")
    model, again = taken_back(gw.load(source))
    ends = [*model.graph.input, *model.graph.output]
    dims = [
        [d.dim_param or d.dim_value for d in e.type.tensor_type.shape.dim] for e in ends
    ]
    assert dims[:2] == [["batch", "s", 4], ["2*k"]]
    assert dims[2][0] == "batch"
    assert dims[3] == ["batch", "s", 4]
    assert {p.key: p.value for p in model.metadata_props} == {"author": "Ada"}
    assert again.metadata == {"author": "Ada"}
    assert "z" in [name for node in model.graph.node for name in node.output]


def test_one_inferred_size_is_written_as_such() -> None:
    graph = graph_of(lambda b, x: b.reshape(x, (N * 4,)), tensor(float32, N, 4))
    model = agree(graph, floats(3, 4))
    assert ops_of(model) == ["Reshape"]


def test_anonymous_dims_stay_anonymous() -> None:
    model, _ = taken_back(
        gw.load(model_of("g (float[?, 3] x) => (float[?, 3] y) { y = Abs(x) }"))
    )
    for end in (*model.graph.input, *model.graph.output):
        assert not end.type.tensor_type.shape.dim[0].dim_param


def test_an_output_may_be_an_input_a_constant_or_there_twice() -> None:
    def build(b: Builder, x: Value) -> list[Value]:
        y = b.neg(x)
        return [x, y, y, b.constant(np.array([1, 2], np.float32))]

    agree(graph_of(build, tensor(float32, 2)), floats(2))


# Symbolic sizes -----------------------------------------------------------------------


@pytest.mark.parametrize("opset", [13, 17, 23])
def test_sizes_are_computed(opset: int) -> None:
    def build(b: Builder, x: Value, y: Value) -> list[Value]:
        half = floordiv(N, 2)
        cut = b.slice(x, (0, M - 2), (half, 2))
        wide = b.broadcast_to(y, (N, maximum(M, 3)))
        return [
            cut,
            wide,
            b.size_of(N, 7, N * M - 1, half),
            b.iota((M, N), 0, int64),
            b.flip(x, [0]),
            b.pad(x, (N, 0), (-1, M)),
            b.mean(x, [0]),
        ]

    graph = graph_of(build, tensor(float32, N, M), tensor(float32, N, 1))
    agree(graph, floats(5, 3), floats(5, 1), opset=opset)
    agree(graph, floats(2, 4), floats(2, 1), opset=opset)


def test_a_symbol_is_solved_from_linear_sizes() -> None:
    types = tensor(float32, 2 * N + 1), tensor(float32, N + 3 * M)
    graph = graph_of(lambda b, x, y: b.size_of(N, M), *types)
    agree(graph, floats(7), floats(9))


def test_bound_and_found_sizes() -> None:
    def build(b: Builder, x: Value, count: Value) -> list[Value]:
        (n,) = b.bind_dims(count)
        k = b.fresh_symbol()
        places = b.emit("nonzero", x, count=k)
        return [b.iota((n,), 0, int64), b.size_of(k, n + k), places]

    graph = graph_of(build, tensor(float32, 4), tensor(int64, 1))
    agree(graph, np.array([0, 1, 0, 2], np.float32), np.array([6], np.int64))


# Opsets -------------------------------------------------------------------------------


def test_opsets_are_honoured() -> None:
    graph = graph_of(lambda b, x: b.emit("gelu", x, tanh=True), tensor(float32, 3))
    assert ops_of(agree(graph, floats(3), opset=20)) == ["Gelu"]
    model = agree(graph, floats(3), opset=13)
    assert "Gelu" not in ops_of(model)
    assert model.opset_import[0].version == 13


def test_what_an_opset_lacks_is_named() -> None:
    graph = graph_of(lambda b, x: b.emit("bitcast", x, dtype=int32), tensor(float32, 3))
    with pytest.raises(gw.UnsupportedOpError, match=r"bitcast .*opset 17.* opset 26"):
        gw.export(graph, opset=17)
    assert gw.export(graph).opset_import[0].version == 26
    with pytest.raises(gw.UnsupportedOpError, match="opset 12"):
        gw.export(graph, opset=12)


def test_what_onnx_cannot_say_is_named() -> None:
    graph = graph_of(lambda b, x: b.emit("cholesky", x), tensor(float32, 2, 2))
    with pytest.raises(gw.UnsupportedOpError, match="cholesky"):
        gw.export(graph)


# Meaning ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["int8", "int32", "int64", "uint8", "uint32"])
def test_integers_divide_by_anything(name: str) -> None:
    dtype = DTYPES[name]
    low, high = dtype.limits
    values = np.array([low, high, 0, 1, 7, high - 3], dtype.numpy)
    x, y = (
        v.ravel() for v in np.meshgrid(values, [*values, *np.array([-1]).astype(name)])
    )
    types = [tensor(dtype, len(x))] * 2
    graph = graph_of(lambda b, p, q: [b.div(p, q), b.rem(p, q)], *types)
    agree(graph, x, y.astype(name))


@pytest.mark.parametrize("name", ["shl", "shr"])
@pytest.mark.parametrize("dtype", ["int8", "int32", "uint8", "uint16", "int64"])
def test_shifts_by_any_count(name: str, dtype: str) -> None:
    kind = DTYPES[dtype]
    values = np.array([kind.limits[0], kind.limits[1], 5, 1], dtype)
    counts = np.array([0, 1, 3, kind.bits - 1, kind.bits, kind.bits + 9]).astype(dtype)
    x, y = (v.ravel() for v in np.meshgrid(values, counts))
    graph = graph_of(lambda b, p, q: b.emit(name, p, q), *[tensor(kind, len(x))] * 2)
    agree(graph, x, y)


def test_functions_keep_their_accuracy_and_special_values() -> None:
    x = np.array(
        [-np.inf, -2, -1, -1e-8, -0.0, 0, 1e-8, 0.5, 1e30, np.inf, np.nan], np.float32
    )
    for name in ("expm1", "log1p", "trunc"):
        graph = graph_of(lambda b, v, n=name: b.unary(n, v), tensor(float32, len(x)))
        agree(graph, x, rtol=1e-6)
    y, z = (v.ravel() for v in np.meshgrid(x, x))
    graph = graph_of(lambda b, p, q: b.atan2(p, q), *[tensor(float32, len(y))] * 2)
    agree(graph, y, z, rtol=1e-6)


def test_random_bits_are_the_same_everywhere() -> None:
    types = tensor(uint32, 2)
    graph = graph_of(lambda b, key: b.emit("random_bits", key, shape=(3, 3)), types)
    agree(graph, np.array([123, 2**31 + 7], np.uint32))


def test_indexing_in_step_with_a_batch() -> None:
    def build(b: Builder, x: Value, at: Value, new: Value) -> list[Value]:
        fields = {"axis": 2, "batch_dims": 1}
        taken = b.gather(x, at, 2, 1)
        return [
            taken,
            *(b.scatter(x, at, new, mode=m, **fields) for m in ("set", "add", "max")),
        ]

    types = (
        tensor(float32, 2, 3, 4, 2),
        tensor(int64, 2, 3),
        tensor(float32, 2, 3, 3, 2),
    )
    at = np.array([[0, 3, 1], [2, 1, 0]], np.int64)
    agree(graph_of(build, *types), floats(2, 3, 4, 2), at, floats(2, 3, 3, 2))


@pytest.mark.parametrize("kind", ["sum", "prod", "max", "min"])
def test_running_and_windowed_reductions(kind: str) -> None:
    def build(b: Builder, x: Value) -> list[Value]:
        fields = {"window": (2, 3), "strides": (1, 2), "dilations": (2, 1)}
        window = b.emit(
            "reduce_window", x, kind=kind, padding=((1, 0), (0, 2)), **fields
        )
        return [window, b.cumulative(kind, x, 1, exclusive=True, reverse=True)]

    agree(graph_of(build, tensor(float32, 1, 2, 5, 6)), floats(1, 2, 5, 6))
    whole = RNG.integers(-5, 5, (1, 2, 5, 6), dtype=np.int32)
    agree(graph_of(build, tensor(int32, 1, 2, 5, 6)), whole)


@pytest.mark.parametrize(
    "fields",
    [
        {"lhs_dilation": (2,)},
        {"groups": 2},
        {"batch_groups": 2},
        {"padding": ((-1, 3),), "rhs_dilation": (2,)},
    ],
)
def test_convolutions(fields: dict[str, Any]) -> None:
    channels = 2 if fields.get("groups") else 4
    plain = {"padding": ((1, 1),), "lhs_dilation": (1,), "rhs_dilation": (1,)}
    op = {"strides": (2,), **plain, **fields}
    types = tensor(float32, 4, 4, 9), tensor(float32, 6, channels, 3)
    graph = graph_of(lambda b, x, w: b.emit("conv", x, w, **op), *types)
    agree(graph, floats(4, 4, 9), floats(6, channels, 3), rtol=1e-4)


def test_writing_where_the_run_says() -> None:
    def build(b: Builder, x: Value, y: Value, i: Value) -> list[Value]:
        late = b.emit("dynamic_update_slice", x, y, i, b.scalar(1, int64))
        spread = b.emit("slice_add", x, y, start=(3, 0), step=(-2, 3))
        return [late, spread, b.pad(x, (0, 1), (2, 0), 9.0, (1, 2))]

    types = tensor(float32, 4, 5), tensor(float32, 2, 2), tensor(int64)
    agree(graph_of(build, *types), floats(4, 5), floats(2, 2), np.int64(3))


def test_complex_numbers_inside() -> None:
    def build(b: Builder, x: Value) -> list[Value]:
        spectrum = b.emit("fft", x, kind="rfft", axis=1, n=6)
        turned = b.mul(spectrum, b.constant(np.complex64(1j)))
        back = b.emit("fft", b.transpose(turned, (1, 0)), kind="irfft", axis=0, n=5)
        parts = [b.emit("complex_part", spectrum, part=p) for p in ("real", "imag")]
        return [back, b.abs(spectrum), *parts]

    agree(graph_of(build, tensor(float32, 2, 7)), floats(2, 7), rtol=1e-4)


def test_complex_numbers_at_the_ends_are_refused() -> None:
    graph = graph_of(lambda b, x: b.emit("complex", x, x), tensor(float32, 2))
    with pytest.raises(gw.UnsupportedOpError, match="complex"):
        gw.export(graph)


# Operators of the standard ------------------------------------------------------------


def test_composites_are_one_node() -> None:
    x = tensor(float32, N, 8)
    assert ops_of(agree(graph_of(lambda b, v: b.max(v, 0), x), floats(2, 8))) == [
        "Relu"
    ]
    clipped = graph_of(lambda b, v: b.min(b.max(v, -1), 1), x)
    assert ops_of(agree(clipped, floats(2, 8))) == ["Clip"]
    mean = graph_of(lambda b, v: b.mean(v, [1], keepdims=True), x)
    assert ops_of(agree(mean, floats(2, 8))) == ["ReduceMean"]
    below = graph_of(lambda b, v: b.le(v, b.scalar(0.5, float32)), x)
    assert ops_of(agree(below, floats(2, 8))) == ["LessOrEqual"]


def test_products_and_biases_are_one_node() -> None:
    b = Builder("g")
    x = b.input("x", tensor(float32, N, M, 8))
    y = b.matmul(x, b.constant(floats(8, 4)))
    assert ops_of(agree(b.finish([y]), floats(2, 3, 8))) == ["MatMul"]
    b = Builder("g")
    x = b.input("x", tensor(float32, N, 3, 8, 8))
    fields = {"strides": (1, 1), "lhs_dilation": (1, 1), "rhs_dilation": (1, 1)}
    w = b.constant(floats(4, 3, 3, 3))
    y = b.emit("conv", x, w, padding=((1, 1), (1, 1)), **fields)
    y = b.add(y, b.reshape(b.constant(floats(4)), (4, 1, 1)))
    model = agree(b.finish([y]), floats(2, 3, 8, 8), rtol=1e-4)
    assert [op for op in ops_of(model) if op != "Reshape"] == ["Conv"]


# Control flow -------------------------------------------------------------------------

LOOP = """
g (int64 n, float[a, b] x, bool flag) => (float[r, b] y, float[n, a, b] z) {
    one = Constant<value = float {1}>()
    yes = Constant<value = bool {1}>()
    last, z = Loop(n, yes, x) <body = body (int64 i, bool c, float[a, b] v)
        => (bool d, float[a, b] w, float[a, b] s) {
        d = Identity(c)
        plus = Add(x, one)
        w = If(flag) <
            then_branch = t () => (float[a, b] p) { p = Mul(v, plus) },
            else_branch = e () => (float[a, b] q) { q = Identity(x) }
        >
        s = Neg(w)
    }>
    y = Concat<axis = 0>(last, x)
}
"""


@pytest.mark.parametrize("flag", [True, False])
def test_loops_and_branches_read_from_outside(flag: bool) -> None:
    model = agree(gw.load(model_of(LOOP)), np.int64(3), floats(2, 3), np.bool_(flag))
    (loop,) = [n for n in model.graph.node if n.op_type == "Loop"]
    assert len(loop.input) == 3


def test_a_loop_without_a_count_and_one_that_may_have_none() -> None:
    def build(b: Builder, trips: Value, x: Value) -> list[Value]:
        body = b.subgraph("body")
        body.input("i", tensor(int64))
        body.input("c", tensor(bool_))
        v = body.input("v", tensor(float32))
        w = body.mul(v, 2.0)
        inner = body.finish([body.lt(w, body.scalar(100.0, float32)), w])
        fields = {"body": inner, "carried": 1, "types": (tensor(float32),)}
        going = b.scalar(True, bool_)
        return [
            b.emit("while_loop", t, going, x, **fields)
            for t in (trips, b.scalar(-1, int64))
        ]

    graph = graph_of(build, tensor(int64), tensor(float32))
    agree(graph, np.int64(3), np.float32(3))
    agree(graph, np.int64(-1), np.float32(3))


def test_calls_and_regions_are_inlined() -> None:
    def build(b: Builder, x: Value) -> Value:
        body = b.subgraph("f")
        v = body.input("v", tensor(float32, N))
        inner = body.finish([body.add(body.exp(v), 1.0)])
        y = b.emit("call", x, graph=inner, types=inner.output_types)
        (z,) = b.emit_all("fused", y, kind="elementwise", body=inner)
        return b.emit("call", z, graph=inner, types=inner.output_types)

    model = agree(graph_of(build, tensor(float32, N)), floats(3) * 0.1)
    assert ops_of(model) == ["Exp", "Add"] * 3


FOREIGN = """
g (float[a, b] x, int64[k] axes, bool flag) => (float y) {
    s = ReduceSum<keepdims = 0>(x, axes)
    y = If(flag) <
        then_branch = t () => (float p) { p = ReduceMax<keepdims = 0>(s) },
        else_branch = e () => (float q) { q = ReduceMin<keepdims = 0>(s) }
    >
}
"""


@pytest.mark.parametrize("opset", [None, 13, 21])
def test_nodes_that_wait_for_values_are_kept(opset: int | None) -> None:
    graph = gw.load(model_of(FOREIGN, opset=17))
    agree(
        graph, floats(3, 4), np.array([1], np.int64), np.bool_(True), opset=opset or 17
    )


# Files --------------------------------------------------------------------------------


def weighted() -> Graph:
    b = Builder("g")
    x = b.input("x", tensor(float32, 2, 64))
    y = b.matmul(x, b.constant(np.arange(64 * 32, dtype=np.float32).reshape(64, 32)))
    return b.finish([b.add(y, b.constant(np.arange(32, dtype=np.float32)))])


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    gw.export(weighted(), path)
    before = path.read_bytes()
    broken = graph_of(lambda b, x: b.emit("cholesky", x), tensor(float32, 2, 2))
    with pytest.raises(gw.UnsupportedOpError):
        gw.export(broken, path)
    assert path.read_bytes() == before
    with pytest.raises(gw.ModelError, match="cannot write"):
        gw.export(weighted(), tmp_path / "missing" / "model.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


def test_weights_go_beside_the_model(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    gw.export(weighted(), path, external_data=4096)
    assert (tmp_path / "model.onnx.data").stat().st_size == 64 * 32 * 4
    onnx.checker.check_model(os.fspath(path), full_check=True)
    x = floats(2, 64)
    assert_same(evaluate(gw.load(path), [x]), evaluate(weighted(), [x]))
    again = tmp_path / "again.onnx"
    gw.export(gw.load(path), again, external_data=True)  # from a mapped file
    assert_same(evaluate(gw.load(again), [x]), evaluate(weighted(), [x]))
    gw.export(gw.load(path), path, external_data=True)  # over the mapped file itself
    assert_same(evaluate(gw.load(path), [x]), evaluate(weighted(), [x]))


def test_what_one_protobuf_cannot_hold_goes_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(save, "MAX_BYTES", 4096)
    gw.export(weighted(), tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx.data").stat().st_size == 64 * 32 * 4
    with pytest.raises(gw.BudgetError, match="path"):
        gw.export(weighted())
    with pytest.raises(gw.BudgetError, match="external data"):
        gw.export(weighted(), tmp_path / "other.onnx", external_data=False)


def test_external_data_needs_a_path() -> None:
    with pytest.raises(gw.ModelError, match="path"):
        gw.export(weighted(), external_data=True)


@pytest.mark.skipif(not hasattr(os, "symlink") or os.name == "nt", reason="needs links")
def test_a_planted_link_is_replaced_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "model.onnx"
    victim.write_text("mine")
    path.symlink_to(victim)
    (tmp_path / "model.onnx.data").symlink_to(victim)
    gw.export(weighted(), path, external_data=True)
    assert victim.read_text() == "mine"
    assert not path.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("name", ["int4", "uint4", "float8_e4m3fn", "bfloat16", "bool"])
def test_constants_of_every_width(name: str) -> None:
    dtype = DTYPES[name]
    values = np.array([0, 1, 1, 0, 1], np.float32).astype(dtype.numpy)
    b = Builder("g")
    x = b.input("x", tensor(int64, 2))
    graph = b.finish([b.cast(b.gather(b.constant(values, dtype), x, 0), float32)])
    _, again = taken_back(graph)
    feeds = [np.array([1, 3], np.int64)]
    assert_same(evaluate(again, feeds), evaluate(graph, feeds))


def test_large_chains_are_written_in_linear_time() -> None:
    b = Builder("g")
    v = b.input("x", tensor(float32, 4))
    for i in range(3000):
        v = b.add(v, b.constant(np.array([i, 1, 2, 3], np.float32)))
    model = gw.export(b.finish([v]))
    check(model)
    assert len({n for node in model.graph.node for n in node.output}) == 3000
