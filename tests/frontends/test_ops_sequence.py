"""Sequences and optionals."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx_graphs import imported, model_of, run, run_ort

from graphwright.ir.errors import DTypeError, IndexBoundsError, ModelError, ShapeError
from graphwright.ir.types import ANY, SequenceType, TensorType

RNG = np.random.default_rng(0)
HOST = {
    "sequence_construct",
    "sequence_at",
    "split_to_sequence",
    "concat_from_sequence",
}


def f32(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


def equal_items(got: Any, want: Any) -> None:
    if isinstance(want, list):
        assert isinstance(got, list)
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            equal_items(g, w)
        return
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)


def same(text: str, feeds: dict[str, Any], **how: Any) -> list[Any]:
    model = model_of(text, **how)
    ours, theirs = run(model, feeds), run_ort(model, feeds)
    equal_items(ours, theirs)
    return ours


def ops_of(text: str, **how: Any) -> set[str]:
    return {node.op.name for node in imported(model_of(text, **how)).walk()}


def test_split_and_index_leave_no_sequence_behind() -> None:
    text = """g (float[6, 2] x) => (y, n) {
        two = Constant <value_int = 2> ()
        s = SplitToSequence <axis = 0> (x, two)
        last = Constant <value_int = -1> ()
        y = SequenceAt (s, last)
        n = SequenceLength (s)
    }"""
    same(text, {"x": f32(6, 2)})
    assert HOST.isdisjoint(ops_of(text) - {"sequence_construct"})


def test_unbind_and_join() -> None:
    text = """g (float[3, 2] x) => (y, z) {
        s = SplitToSequence <axis = 0, keepdims = 0> (x)
        y = ConcatFromSequence <axis = 0> (s)
        z = ConcatFromSequence <axis = -1, new_axis = 1> (s)
    }"""
    same(text, {"x": f32(3, 2)})


@pytest.mark.parametrize("sizes", [[1, 4], [5], [2, 0, 3]])
def test_split_by_sizes(sizes: list[int]) -> None:
    text = """g (float[N, 2] x, int64[K] sizes) => (s) {
        s = SplitToSequence <axis = 0> (x, sizes)
    }"""
    same(text, {"x": f32(5, 2), "sizes": np.array(sizes)})


@pytest.mark.parametrize("step", [1, 2, 7])
def test_split_by_one_size_known_in_the_run(step: int) -> None:
    text = "g (float[N] x, int64 k) => (s) { s = SplitToSequence (x, k) }"
    same(text, {"x": f32(5), "k": np.array(step)})


def test_bad_splits() -> None:
    text = "g (float[5] x, int64[2] k) => (s) { s = SplitToSequence (x, k) }"
    with pytest.raises(ShapeError, match="size 5 into"):
        run(model_of(text), {"x": f32(5), "k": np.array([2, 2])})
    known = """g (float[5] x) => (s) {
        k = Constant <value_ints = [2, 2]> () s = SplitToSequence (x, k)
    }"""
    with pytest.raises(ModelError, match="size 5 into"):
        imported(model_of(known))


EDIT = """g (float[2] x, float[3] y, int64 at, int64 other) => (s, n, z) {
    a = SequenceConstruct (x, y, x)
    b = SequenceInsert (a, y, at)
    s = SequenceErase (b, other)
    n = SequenceLength (s)
    z = SequenceAt (s, at)
}"""


@pytest.mark.parametrize(("at", "other"), [(0, 0), (1, -1), (-1, 2), (2, 3)])
def test_edits(at: int, other: int) -> None:
    feeds = {"x": f32(2), "y": f32(3), "at": np.array(at), "other": np.array(other)}
    same(EDIT, feeds)
    known = EDIT.replace(", int64 at, int64 other", "")
    feeds = {"x": feeds["x"], "y": feeds["y"]}
    equal_items(
        run(model_of(known, at=at, other=other), feeds),
        run_ort(model_of(known, at=at, other=other), feeds),
    )


def test_positions_out_of_range() -> None:
    feeds = {"x": f32(2), "y": f32(3), "at": np.array(9), "other": np.array(0)}
    with pytest.raises(IndexBoundsError, match="position 9 of a sequence of 3"):
        run(model_of(EDIT), feeds)
    known = EDIT.replace(", int64 at, int64 other", "")
    with pytest.raises(IndexBoundsError, match="position 9"):
        run(model_of(known, at=9, other=0), {"x": f32(2), "y": f32(3)})


def test_element_types_are_joined() -> None:
    text = (
        """g (float[2, 3] x, float[2, 4] y) => (s) { s = SequenceConstruct (x, y) }"""
    )
    (type_,) = imported(model_of(text)).output_types
    assert isinstance(type_, SequenceType)
    assert isinstance(type_.element, TensorType)
    assert type_.element.dims == (2, ANY)


def test_a_sequence_has_one_dtype() -> None:
    text = """g (float[2] x, int64[2] y) => (s) {
        e = SequenceEmpty () s = SequenceInsert (e, y)
    }"""
    with pytest.raises(DTypeError, match="does not take"):
        imported(model_of(text))


def test_join_in_the_run() -> None:
    text = """g (int64 n, float[1, 2] x) => (y, z) {
        e = SequenceEmpty ()
        s = Loop (n, "", e) <
            body = b (int64 i, bool c, seq(float[A, 2]) q) => (c2, q2) {
            c2 = Identity (c)
            q2 = SequenceInsert (q, x)
        }>
        y = ConcatFromSequence <axis = 0> (s)
        z = ConcatFromSequence <axis = 0, new_axis = 1> (s)
    }"""
    same(text, {"n": np.array(3), "x": f32(1, 2)})
    with pytest.raises(ShapeError, match="empty sequence"):
        run(model_of(text), {"n": np.array(0), "x": f32(1, 2)})


def test_sequence_map() -> None:
    text = """g (float[2] x, float[3] y, float[1] w) => (s) {
        a = SequenceConstruct (x, y)
        s = SequenceMap <body = b (float[N] p, float[1] q) => (float[N] o) {
            m = Mul (p, q) o = Add (m, w)
        }> (a, w)
    }"""
    same(text, {"x": f32(2), "y": f32(3), "w": f32(1)})


def test_branches_of_sequences() -> None:
    text = """g (bool c, float[2] x, float[2, 2] y, int64 at) => (z) {
        s = If (c) <
            then_branch = a () => (t) { t = SequenceConstruct (x, x) },
            else_branch = b () => (e) { e = SequenceConstruct (y) }
        >
        v = SequenceAt (s, at)
        z = Relu (v)
    }"""
    for c in (True, False):
        feeds = {"c": np.array(c), "x": f32(2), "y": f32(2, 2), "at": np.array(0)}
        same(text, feeds)


def optional_model(op_type: str, type_: Any) -> Any:
    helper = onnx.helper
    info = helper.make_value_info("x", helper.make_optional_type_proto(type_))
    node = helper.make_node(op_type, ["x"], ["y"])
    graph = helper.make_graph([node], "g", [info], [onnx.ValueInfoProto(name="y")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def test_optionals_in_the_run() -> None:
    tensor = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, ["N", 2])
    for element, value in (
        (tensor, f32(3, 2)),
        (onnx.helper.make_sequence_type_proto(tensor), [f32(1, 2)]),
    ):
        has = optional_model("OptionalHasElement", element)
        assert run(has, {"x": value})[0].item() is True
        assert run(has, {"x": None})[0].item() is False
        get = optional_model("OptionalGetElement", element)
        equal_items(run(get, {"x": value})[0], value)
        with pytest.raises(ShapeError, match="holds nothing"):
            run(get, {"x": None})


def test_optionals_known_while_importing() -> None:
    text = """g (float[2] x) => (y, a, b) {
        o = Optional (x)
        y = OptionalGetElement (o)
        a = OptionalHasElement (o)
        b = OptionalHasElement ()
    }"""
    assert ops_of(text) <= {"optional"}
    y, a, b = run(model_of(text), {"x": f32(2)})
    assert (y.shape, bool(a), bool(b)) == ((2,), True, False)
