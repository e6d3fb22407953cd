"""Attention on OpenCL as one kernel: its numbers, what it reads and what it keeps."""

from typing import Any, TypeAlias

import numpy as np
import pytest
from widths import BOTH, of_width

import graphwright as gw
from graphwright.backends.codegen.device import Cpu, Gpu
from graphwright.backends.codegen.kernels.attention import pays
from graphwright.backends.executable import Executable
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.backends.opencl.library import Session
from graphwright.ir.dim import symbol
from graphwright.ir.dtype import DType, bool_, float32, int64
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Graph
from graphwright.ir.ops.attention import Attention
from graphwright.ir.types import TensorType

MISSING = OpenCLBackend().unavailable()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

SIZES = [
    (1, 3, 3, 128, 128, 64, 64),
    (2, 4, 2, 37, 300, 40, 48),
    (1, 1, 1, 16, 5, 8, 16),
    (1, 2, 1, 19, 517, 13, 17),
    (1, 1, 1, 150, 1, 8, 80),
]
"""Images, heads, their groups, queries, keys, depth, width."""
FIELDS: list[dict[str, Any]] = [
    {},
    {"causal": True},
    {"causal": True, "offset": 3},
    {"left": 2},
    {"left": 7, "right": 3, "offset": 4},
    {"left": 0, "causal": True, "offset": 500},
    {"causal": True, "offset": -40},
    {"softcap": 2.5},
]
MASKS: list[tuple[str, tuple[bool, ...]] | None] = [
    None,
    ("added", (True, False, False, True)),
    ("added", (False, True, True, True)),
    ("bool", (True, False, True, True)),
    ("bool", (True, False, False, True)),
]
"""Kinds, and along which axes they are not of size 1."""
BOUND = 3e-6
"""Of the largest result."""


def attention(
    sizes: tuple[int, ...], mask: TensorType | None = None, **fields: Any
) -> Graph:
    """Attention of inputs as they are."""
    n, heads, groups, rows, columns, depth, width = sizes
    shapes = (n, heads, rows, depth), (n, groups, columns, depth)
    b = gw.Builder("attention")
    operands = [
        b.input(name, TensorType(float32, shape))
        for name, shape in zip("qkv", (*shapes, (*shapes[1][:3], width)), strict=True)
    ]
    operands += [b.input("mask", mask)] if mask is not None else []
    if fields.get("lengths"):
        operands.append(b.input("lengths", TensorType(int64, (n,))))
    masked = mask is not None
    y = b.emit("attention", *operands, masked=masked, **{"scale": 0.3, **fields})
    return b.finish([y], ["y"])


def random(graph: Graph, seed: int = 0) -> dict[str, Any]:
    """Inputs of a graph."""
    rng, feeds = np.random.default_rng(seed), dict[str, Any]()
    for v, name in zip(graph.inputs, graph.input_names, strict=True):
        shape = tuple(d for d in v.shape if isinstance(d, int))
        if v.dtype is float32:
            feeds[name] = rng.standard_normal(shape, np.float32)
        elif v.dtype is bool_:
            feeds[name] = rng.random(shape) < 0.6
            feeds[name][0, 0, 0] = False
        else:
            feeds[name] = rng.integers(0, 40, shape)
    return feeds


def wanted(graph: Graph, feeds: dict[str, Any]) -> Any:
    """The op's own meaning, in float64."""
    op = next(n.op for n in graph.nodes if isinstance(n.op, Attention))
    wide = [x.astype("f8") if x.dtype == "f4" else x for x in feeds.values()]
    with np.errstate(all="ignore"):
        return op.compute(np, *wide)


def compiled(graph: Graph, backend: Any = "opencl", **more: Any) -> Executable:
    """With nothing left to the host."""
    return gw.compile(graph, backend=backend, strict=True, **more)


def kernels(exe: Executable, feeds: dict[str, Any]) -> list[str]:
    """What runs, by name."""
    return [step.kernel for step in exe.profile(list(feeds.values()))]


def is_one(names: list[str]) -> bool:
    """Whether attention is one kernel, and all that there is."""
    return len(names) == 1 and names[0].startswith("attend")


def checked(
    graph: Graph, feeds: dict[str, Any], bound: float = BOUND, backend: Any = "opencl"
) -> None:
    """One kernel, with the right numbers, in each of two runs."""
    exe, right = compiled(graph, backend), wanted(graph, feeds)
    largest = np.abs(right[np.isfinite(right)]).max(initial=0)
    for _ in range(2):
        (found,) = exe.run(None, feeds)
        np.testing.assert_allclose(found, right, rtol=0, atol=bound * largest)
    assert is_one(kernels(exe, feeds))


def _mask(kind: str, along: tuple[bool, ...], sizes: tuple[int, ...]) -> TensorType:
    n, heads, _, rows, columns, *_ = sizes
    pairs = zip((n, heads, rows, columns), along, strict=True)
    dtype: DType = bool_ if kind == "bool" else float32
    return TensorType(dtype, tuple(size if own else 1 for size, own in pairs))


@pytest.mark.parametrize(
    ("sizes", "mask"),
    [
        pytest.param(sizes, mask, marks=pytest.mark.full if (i + j) % 3 else ())
        for i, sizes in enumerate(SIZES)
        for j, mask in enumerate(MASKS)
    ],
)
def test_numbers(
    sizes: tuple[int, ...], mask: tuple[str, tuple[bool, ...]] | None
) -> None:
    type_ = None if mask is None else _mask(*mask, sizes)
    graph = attention(sizes, type_)
    checked(graph, random(graph))


@pytest.mark.parametrize("lanes", BOTH)
@pytest.mark.parametrize("sizes", SIZES[1:3])
def test_vectors_of_both_widths(
    lanes: int, sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = attention(sizes, _mask("bool", (True,) * 4, sizes), causal=True, offset=9)
    checked(graph, random(graph), backend=of_width(monkeypatch, lanes))


@pytest.mark.parametrize("fields", FIELDS)
def test_fields(fields: dict[str, Any]) -> None:
    for sizes in SIZES[1:4]:
        graph = attention(sizes, **fields)
        checked(graph, random(graph))
    graph = attention(SIZES[1], _mask("bool", (True,) * 4, SIZES[1]), **fields)
    checked(graph, random(graph))


@pytest.mark.parametrize("fields", [{}, {"causal": True}, {"left": 5}])
def test_lengths_of_keys(fields: dict[str, Any]) -> None:
    graph = attention(SIZES[1], lengths=True, **fields)
    checked(graph, random(graph) | {"lengths": np.array([38, 200])})
    checked(graph, random(graph) | {"lengths": np.array([0, 300])})


def test_scores_that_grow_from_block_to_block() -> None:
    graph = attention((1, 1, 1, 32, 700, 16, 16), scale=1.0)
    feeds = random(graph)
    feeds["k"] *= np.linspace(0, 8, 700, dtype=np.float32)[:, None]
    checked(graph, feeds, 1e-5)


# Special values -----------------------------------------------------------------------


@pytest.mark.parametrize("low", [-np.inf, -1e38, np.finfo(np.float32).min])
def test_rows_without_keys(low: float) -> None:
    graph = attention(SIZES[1], _mask("added", (True, False, True, True), SIZES[1]))
    feeds = random(graph)
    feeds["mask"][0, 0, 5:20] = low
    feeds["mask"][1, 0, 3, 1:] = low
    checked(graph, feeds)
    if low == -np.inf:
        (found,) = compiled(graph).run(None, feeds)
        assert not found[0, :, 5:20].any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["q", "k", "v", "mask"])
def test_numbers_that_are_not_finite(value: float, where: str) -> None:
    graph = attention(SIZES[1], _mask("added", (True, False, True, True), SIZES[1]))
    feeds = random(graph)
    feeds[where][0, 0, 7, 3] = value
    checked(graph, feeds)


# What is read and written -------------------------------------------------------------


def _heads(b: gw.Builder, x: Value, heads: int) -> Value:
    n, rows, width = x.shape
    assert isinstance(width, int)
    cut = b.reshape(x, (n, rows, heads, width // heads))
    return b.transpose(cut, (0, 2, 1, 3))


def test_slices_are_read_and_heads_written_as_they_lie() -> None:
    b = gw.Builder("joined")
    x = b.input("x", TensorType(float32, (2, 40, 192)))
    parts = [
        b.emit("slice", x, start=(0, 0, i), size=(2, 40, 64), step=(1, 1, 1))
        for i in (0, 64, 128)
    ]
    z = b.emit("attention", *(_heads(b, p, 4) for p in parts), scale=0.5)
    y = b.reshape(b.transpose(z, (0, 2, 1, 3)), (80, 64))
    graph = b.finish([y], ["y"])
    feeds = random(graph)
    exe = compiled(graph)
    q, k, v = (
        p.reshape(2, 40, 4, 16).swapaxes(1, 2) for p in np.split(feeds["x"], 3, axis=2)
    )
    right = Attention(scale=0.5).compute(np, *(x.astype("f8") for x in (q, k, v)))
    (found,) = exe.run(None, feeds)
    np.testing.assert_allclose(
        found, right.swapaxes(1, 2).reshape(80, 64), rtol=1e-5, atol=1e-6
    )
    assert is_one(kernels(exe, feeds))


def test_keys_that_lie_turned() -> None:
    b = gw.Builder("turned")
    q = b.input("q", TensorType(float32, (1, 2, 20, 24)))
    k = b.input("k", TensorType(float32, (1, 2, 24, 33)))
    v = b.input("v", TensorType(float32, (1, 2, 33, 16)))
    scores = b.mul(b.dot(q, k), 0.25)
    graph = b.finish([b.dot(b.emit("softmax", scores, axis=3), v)], ["y"])
    feeds = random(graph)
    exe = compiled(graph)
    (found,) = exe.run(None, feeds)
    rows = [x.astype("f8") for x in feeds.values()]
    rows[1] = rows[1].swapaxes(2, 3)
    right = Attention(scale=0.25).compute(np, *rows)
    np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-6)
    assert is_one(kernels(exe, feeds))


def test_values_that_lie_turned_are_copied_first() -> None:
    b = gw.Builder("copied")
    q, k = (b.input(x, TensorType(float32, (1, 2, 20, 24))) for x in "qk")
    v = b.input("v", TensorType(float32, (1, 2, 32, 20)))
    y = b.emit("attention", q, k, b.transpose(v, (0, 1, 3, 2)), scale=0.5)
    graph = b.finish([y], ["y"])
    feeds = random(graph)
    exe = compiled(graph)
    (found,) = exe.run(None, feeds)
    rows = [x.astype("f8") for x in feeds.values()]
    rows[2] = rows[2].swapaxes(2, 3)
    right = Attention(scale=0.5).compute(np, *rows)
    np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-6)
    copy, attend = kernels(exe, feeds)
    assert not copy.startswith("attend")
    assert attend.startswith("attend")


@pytest.mark.parametrize("masked", [False, True])
def test_a_result_that_is_used_twice(masked: bool) -> None:
    """By a view and by itself: the view is no place for it."""
    sizes = (1, 2, 2, 17, 20, 16, 16)
    b = gw.Builder("twice")
    q, k, v = (
        b.input(name, TensorType(float32, (1, 2, n, 16)))
        for name, n in zip("qkv", (17, 20, 20), strict=True)
    )
    mask = [b.input("mask", _mask("bool", (True,) * 4, sizes))] if masked else []
    z = b.emit("attention", q, k, v, *mask, scale=0.5, masked=masked)
    y = b.exp(b.transpose(z, (0, 2, 1, 3)))
    graph = b.finish([y, z], ["y", "z"])
    feeds = random(graph)
    y_found, z_found = compiled(graph).run(None, feeds)
    right = wanted(graph, feeds)
    np.testing.assert_allclose(z_found, right, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(y_found, np.exp(right.swapaxes(1, 2)), rtol=1e-5)


# Where it is used ---------------------------------------------------------------------


def test_a_long_sequence_takes_no_memory_for_scores() -> None:
    graph = attention((1, 12, 12, 4096, 4096, 64, 64))
    exe = compiled(graph)
    scratch = [step.into.scratch_bytes for step in exe.plan_for().steps if step.into]
    scores = 4 * 12 * 4096**2
    assert len(scratch) == 1
    assert scratch[0] < scores // 1000


def test_a_new_length_is_no_new_program(monkeypatch: pytest.MonkeyPatch) -> None:
    b = gw.Builder("lengths")
    rows, columns = symbol("rows"), symbol("columns")
    q = b.input("q", TensorType(float32, (1, 2, rows, 16)))
    k, v = (b.input(x, TensorType(float32, (1, 2, columns, 16))) for x in "kv")
    fields: dict[str, Any] = {"scale": 0.5, "causal": True, "offset": columns - rows}
    graph = b.finish([b.emit("attention", q, k, v, **fields)], ["y"])
    exe, built = compiled(graph), list[object]()
    program = Session.program

    def noted(self: Session, text: str) -> Any:
        built.append(text)
        return program(self, text)

    monkeypatch.setattr(Session, "program", noted)
    for number, (m, n) in enumerate([(20, 40), (64, 300), (128, 140)]):
        rng = np.random.default_rng(0)
        shapes = (1, 2, m, 16), (1, 2, n, 16), (1, 2, n, 16)
        feeds = [rng.standard_normal(s, np.float32) for s in shapes]
        (found,) = exe.run(None, dict(zip("qkv", feeds, strict=True)))
        op = Attention(scale=0.5, causal=True, offset=n - m)
        right = op.compute(np, *(x.astype("f8") for x in feeds))
        np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-6)
        assert len(built) <= 1, f"after {number + 1} lengths"


@pytest.mark.parametrize(
    "sizes",
    [(1, 8, 8, 1, 90, 16, 16), (1, 2, 2, 20, 20, 4, 16), (1, 2, 2, 20, 20, 16, 4)],
)
def test_few_queries_or_columns_are_products(sizes: tuple[int, ...]) -> None:
    graph = attention(sizes)
    feeds, exe = random(graph), compiled(graph)
    (found,) = exe.run(None, feeds)
    np.testing.assert_allclose(found, wanted(graph, feeds), rtol=1e-5, atol=1e-6)
    assert not any(name.startswith("attend") for name in kernels(exe, feeds))


def test_as_written_it_is_products() -> None:
    graph = attention(SIZES[1])
    feeds = random(graph)
    exe = compiled(graph, strict_float=True)
    assert not any(name.startswith("attend") for name in kernels(exe, feeds))


# In work-groups -----------------------------------------------------------------------

Mask: TypeAlias = tuple[str, tuple[bool, ...]] | None
GROUPED: list[tuple[tuple[int, ...], Mask, dict[str, Any]]] = [
    ((2, 4, 2, 70, 300, 40, 48), ("bool", (True, False, True, True)), {}),
    (
        (1, 2, 1, 70, 130, 24, 17),
        ("added", (True, False, True, True)),
        {"causal": True},
    ),
    ((1, 1, 1, 130, 90, 8, 8), None, {"left": 5, "right": 3, "softcap": 2.5}),
    ((1, 2, 2, 16, 9, 64, 64), None, {"lengths": True}),
]


@pytest.mark.parametrize(
    "number",
    [0, *(pytest.param(i, marks=pytest.mark.full) for i in range(1, len(GROUPED)))],
)
def test_in_work_groups(number: int) -> None:
    sizes, mask, fields = GROUPED[number]
    graph = attention(sizes, None if mask is None else _mask(*mask, sizes), **fields)
    feeds = random(graph)
    if "lengths" in fields:
        feeds["lengths"] = np.array([7])
    exe, right = compiled(graph, OpenCLBackend(schedule="gpu")), wanted(graph, feeds)
    (found,) = exe.run(None, feeds)
    np.testing.assert_allclose(found, right, rtol=0, atol=BOUND * np.abs(right).max())
    assert is_one(kernels(exe, feeds))


def test_what_does_not_fit_registers_is_products_there() -> None:
    graph = attention((1, 1, 1, 20, 20, 16, 160))
    (attend,) = (node for node in graph.nodes if isinstance(node.op, Attention))
    types = [v.type for v in attend.operands]
    assert isinstance(attend.op, Attention)
    assert pays(attend.op, types, Cpu())
    assert not pays(attend.op, types, Gpu())
    few = [v.type for v in attention((1, 1, 1, 20, 20, 16, 16)).inputs]
    assert pays(attend.op, few, Gpu())
    assert not pays(attend.op, few, Gpu(near=1 << 9))
    assert not pays(attend.op, few, Gpu(group=32))


def test_attention_of_constants_is_a_result() -> None:
    b, k = gw.Builder("constants"), symbol("k")
    x = b.input("x", TensorType(float32, (k,)))
    one = b.constant(np.float32(1))
    q, kv = (b.broadcast_to(one, (2, heads, k, 3)) for heads in (2, 1))
    y = b.emit("attention", q, kv, kv, scale=0.5, causal=True)
    exe = gw.compile(b.finish([y, b.exp(x)]), backend="opencl", optimize=False)
    found, _ = exe(np.zeros(4, np.float32))
    np.testing.assert_allclose(np.asarray(found), np.ones((2, 2, 4, 3)), rtol=1e-6)
