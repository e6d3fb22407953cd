"""If, Loop, Scan, model-local functions, and nodes kept until the run."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx.parser import parse_function
from onnx_graphs import imported, model_of, run, same_as_ort

from graphwright.backends.compile import lower
from graphwright.backends.executable import Executable
from graphwright.backends.limits import Limits
from graphwright.ir.errors import (
    BudgetError,
    DTypeError,
    GraphwrightError,
    ModelError,
    ShapeError,
)
from graphwright.ir.types import TensorType
from graphwright.testing.compare import assert_within

RNG = np.random.default_rng(0)


def f32(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


def compiled(model: Any, **options: Any) -> Executable:
    graph = imported(model)
    return Executable(graph, *lower(graph, backend="numpy", **options))


def same_everywhere(model: Any, feeds: dict[str, Any]) -> list[Any]:
    """The evaluator, a compiled plan and ONNX Runtime agree."""
    found = same_as_ort(model, feeds)
    planned = compiled(model).run(None, feeds)
    for got, want in zip(planned, found, strict=True):
        np.testing.assert_array_equal(got, want)
    return found


def ops_of(model: Any) -> list[str]:
    return [node.op.name for node in imported(model).walk()]


# If -----------------------------------------------------------------------------------

IF = """g (bool c, float[N, 3] x, float[3] w) => (y) {
    y = If (c) <
        then_branch = a () => (t) { s = Mul (x, w)  t = Relu (s) },
        else_branch = b () => (e) { e = Sub (x, w) }
    >
}"""


@pytest.mark.parametrize("taken", [True, False])
def test_if(taken: bool) -> None:
    model = model_of(IF)
    assert str(imported(model).output_types[0]) == "float32[N, 3]"
    same_everywhere(model, {"c": np.array(taken), "x": f32(2, 3), "w": f32(3)})


def test_if_joins_sizes_and_ranks() -> None:
    text = """g (bool c, float[N] x) => (y, z, n) {
        two = Constant <value_ints = [2]> ()
        zero = Constant <value_ints = [0]> ()
        y, z = If (c) <
            then_branch = a () => (t, u) {
                t = Concat <axis = 0> (x, x)  u = Unsqueeze (x, zero) },
            else_branch = b () => (e, f) { e = Slice (x, zero, two)  f = Neg (x) }
        >
        n = Relu (z)
    }"""
    model = model_of(text)
    y, z, _ = imported(model).output_types
    assert str(y).startswith("float32[_")
    assert str(z) == "float32[*]"
    for taken in (True, False):
        same_everywhere(model, {"c": np.array(taken), "x": f32(4)})


def test_if_of_a_known_condition_is_inlined() -> None:
    text = IF.replace("bool c, ", "").replace(
        "{\n", "{ c = Constant <value = bool {1}> ()\n", 1
    )
    assert "cond" not in ops_of(model_of(text))


def test_if_captures_through_levels() -> None:
    text = """g (bool c, bool d, float[2] x) => (y) {
        k = Constant <value = float[2] {1.0, 2.0}> ()
        y = If (c) <
            then_branch = a () => (t) {
                m = Add (x, k)
                t = If (d) <
                    then_branch = p () => (u) { u = Mul (m, x) },
                    else_branch = q () => (v) { v = Identity (k) }
                >
            },
            else_branch = b () => (e) { e = Identity (x) }
        >
    }"""
    for c in (True, False):
        for d in (True, False):
            feeds = {"c": np.array(c), "d": np.array(d), "x": f32(2)}
            same_everywhere(model_of(text), feeds)


def test_if_of_different_dtypes_is_refused() -> None:
    text = """g (bool c, float[2] x) => (y) {
        y = If (c) <
            then_branch = a () => (t) { t = Identity (x) },
            else_branch = b () => (e) { e = Cast <to = 7> (x) }
        >
    }"""
    with pytest.raises(DTypeError, match="both float32"):
        imported(model_of(text))


def test_branches_of_different_counts_are_refused() -> None:
    text = """g (bool c, float[2] x) => (y) {
        y = If (c) <
            then_branch = a () => (t, u) { t = Relu (x) u = Neg (x) },
            else_branch = b () => (e) { e = Neg (x) }
        >
    }"""
    with pytest.raises(ModelError, match="differ in the number"):
        imported(model_of(text))


def nested_ifs(depth: int) -> Any:
    """An If in an If in an If."""
    name = "x"
    inner = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["r"])],
        "leaf",
        [],
        [onnx.ValueInfoProto(name="r")],
    )
    for i in range(depth):
        name = f"y{i}"
        other = onnx.helper.make_graph(
            [onnx.helper.make_node("Neg", ["x"], [f"n{i}"])],
            "other",
            [],
            [onnx.ValueInfoProto(name=f"n{i}")],
        )
        node = onnx.helper.make_node(
            "If", ["c"], [name], then_branch=inner, else_branch=other
        )
        inner = onnx.helper.make_graph(
            [node], "level", [], [onnx.ValueInfoProto(name=name)]
        )
    floats, bools = onnx.TensorProto.FLOAT, onnx.TensorProto.BOOL
    inner.input.append(onnx.helper.make_tensor_value_info("c", bools, []))
    inner.input.append(onnx.helper.make_tensor_value_info("x", floats, [2]))
    return onnx.helper.make_model(
        inner, opset_imports=[onnx.helper.make_opsetid("", 21)]
    )


def test_deep_nesting() -> None:
    model = nested_ifs(32)
    x = f32(2)
    (y,) = compiled(model).run(None, {"c": np.array(True), "x": x})
    np.testing.assert_array_equal(y, np.maximum(x, 0))


# Loop ---------------------------------------------------------------------------------

SUM = """g (int64 n, float[3] x) => (final, steps) {
    go = Constant <value = bool {1}> ()
    final, steps = Loop (n, go, x) <
        body = b (int64 i, bool c, float[3] s) => (c2, s2, o) {
        c2 = Identity (c)
        k = Cast <to = 1> (i)
        s2 = Add (s, k)
        o = Mul (s2, x)
    }>
}"""


@pytest.mark.parametrize("count", [0, 1, 4])
def test_loop(count: int) -> None:
    same_everywhere(model_of(SUM), {"n": np.array(count), "x": f32(3)})


def test_loop_with_a_known_count_has_static_sizes() -> None:
    text = SUM.replace("int64 n, ", "").replace(
        "go =", "n = Constant <value_int = 4> ()  go =", 1
    )
    assert [str(t) for t in imported(model_of(text)).output_types] == [
        "float32[3]",
        "float32[4, 3]",
    ]


def test_loop_that_ends_by_its_condition() -> None:
    text = """g (float[1] x) => (y, all) {
        go = Constant <value = bool {1}> ()
        y, all = Loop ("", go, x) <
            body = b (int64 i, bool c, float[1] s) => (c2, s2, o) {
            s2 = Add (s, s)
            o = Identity (s2)
            limit = Constant <value = float {100.0}> ()
            less = Less (s2, limit)
            axes = Constant <value_ints = [0]> ()
            c2 = Squeeze (less, axes)
        }>
    }"""
    found = same_everywhere(model_of(text), {"x": np.array([3.0], np.float32)})
    assert found[0].tolist() == [192.0]
    assert found[1].shape == (6, 1)


def test_loop_without_count_and_condition_needs_a_limit() -> None:
    text = """g (float x) => (y) {
        y = Loop ("", "", x) <body = b (int64 i, bool c, float s) => (c2, s2) {
            c2 = Identity (c)  s2 = Neg (s)
        }>
    }"""
    exe = compiled(model_of(text), limits=Limits(max_loop_iterations=50))
    with pytest.raises(BudgetError, match="50 iterations"):
        exe.run(None, {"x": np.array(1, np.float32)})


GROW = """g (int64 n, float[1, 2] x) => (y) {
    y = Loop (n, "", x) <body = b (int64 i, bool c, float[M, 2] s) => (c2, s2) {
        c2 = Identity (c)
        s2 = Concat <axis = 0> (s, x)
    }>
}"""


@pytest.mark.parametrize("count", [0, 3])
def test_carried_values_that_grow(count: int) -> None:
    model = model_of(GROW)
    (type_,) = imported(model).output_types
    assert isinstance(type_, TensorType)
    assert not isinstance(type_.dims[0], int)
    assert type_.dims[1] == 2
    same_everywhere(model, {"n": np.array(count), "x": f32(1, 2)})


def test_carried_values_that_change_rank() -> None:
    text = """g (int64 n, float[2] x) => (y) {
        y = Loop (n, "", x) <body = b (int64 i, bool c, float s) => (c2, s2) {
            c2 = Identity (c)
            axes = Constant <value_ints = [0]> ()
            s2 = Unsqueeze (s, axes)
        }>
    }"""
    model = model_of(text)
    assert str(imported(model).output_types[0]) == "float32[*]"
    (y,) = run(model, {"n": np.array(3), "x": f32(2)})
    assert y.shape == (1, 1, 1, 2)
    (y,) = compiled(model).run(None, {"n": np.array(2), "x": f32(2)})
    assert y.shape == (1, 1, 2)


def test_nested_loops_whose_sizes_change() -> None:
    text = """g (int64 n, float[1] x) => (y, rows) {
        y, rows = Loop (n, "", x) <
            body = b (int64 i, bool c, float[M] s) => (c2, s2, o) {
            c2 = Identity (c)
            s2 = Loop (n, "", s) <body = d (int64 j, bool e, float[K] t) => (e2, t2) {
                e2 = Identity (e)
                t2 = Concat <axis = 0> (t, x)
            }>
            axes = Constant <value_ints = [0]> ()
            o = ReduceSum <keepdims = 0> (s2, axes)
        }>
    }"""
    same_everywhere(model_of(text), {"n": np.array(3), "x": f32(1)})


def nested_growing_loops(depth: int) -> Any:
    body = "s{0} = Concat <axis = 0> (t{0}, x)"
    text = body.format(depth)
    for i in range(depth, 0, -1):
        text = (
            f's{i - 1} = Loop (n, "", t{i - 1}) <body = b{i} (int64 i{i}, bool c{i},'
            f" float[M] t{i}) => (d{i}, s{i}) {{ d{i} = Identity (c{i}) {text} }}>"
        )
    text = text.replace("t0)", "x)")
    return model_of(f"g (int64 n, float[1] x) => (s0) {{ {text} }}")


def test_widening_is_not_exponential() -> None:
    model = nested_growing_loops(16)
    (y,) = run(model, {"n": np.array(1), "x": f32(1)})
    assert y.shape == (2,)


def test_invariant_values_are_not_carried() -> None:
    text = """g (int64 n, float[2] x, float[2] w) => (y, v) {
        y, v = Loop (n, "", x, w) <
            body = b (int64 i, bool c, float[2] s, float[2] k) => (c2, s2, k2) {
            c2 = Identity (c)
            s2 = Mul (s, k)
            m = Identity (k)
            k2 = Identity (m)
        }>
    }"""
    model = model_of(text)
    (loop,) = [n.op for n in imported(model).nodes if n.op.name == "while_loop"]
    assert loop.fields["carried"] == 1
    same_everywhere(model, {"n": np.array(3), "x": f32(2), "w": f32(2)})


def test_symbols_of_the_outer_graph_are_known_inside() -> None:
    text = """g (int64 n, float[N, 3] x) => (y) {
        y = Loop (n, "", x) <body = b (int64 i, bool c, float[N, 3] s) => (c2, s2) {
            c2 = Identity (c)
            shape = Shape (x)
            flat = Constant <value_ints = [-1]> ()
            f = Reshape (s, flat)
            s2 = Reshape (f, shape)
        }>
    }"""
    model = model_of(text)
    assert str(imported(model).output_types[0]) == "float32[N, 3]"
    same_everywhere(model, {"n": np.array(2), "x": f32(4, 3)})


def test_items_of_different_shapes_cannot_be_stacked() -> None:
    text = """g (int64 n, float[1] x) => (y, o) {
        y, o = Loop (n, "", x) <body = b (int64 i, bool c, float[M] s) => (c2, s2, s3) {
            c2 = Identity (c)
            s2 = Concat <axis = 0> (s, x)
            s3 = Identity (s2)
        }>
    }"""
    with pytest.raises(ShapeError, match="cannot stack"):
        run(model_of(text), {"n": np.array(2), "x": f32(1)})


# Scan ---------------------------------------------------------------------------------

SCAN = """g (float[2] h, float[T, 2] x, float[2, T] z) => (last, all, rev) {
    last, all, rev = Scan <num_scan_inputs = 2, scan_input_axes = [0, -1],
        scan_input_directions = [0, 1], scan_output_axes = [1, 0],
        scan_output_directions = [0, 1],
        body = b (float[2] s, float[2] a, float[2] d) => (s2, o, p) {
            m = Mul (a, d)
            s2 = Add (s, m)
            o = Neg (s2)
            p = Identity (m)
        }> (h, x, z)
}"""


def test_scan() -> None:
    model = model_of(SCAN)
    types = [str(t) for t in imported(model).output_types]
    assert types == ["float32[2]", "float32[2, T]", "float32[T, 2]"]
    same_everywhere(model, {"h": f32(2), "x": f32(5, 2), "z": f32(2, 5)})


def scan_8(lengths: bool, direction: int) -> Any:
    text = f"""g (int64[2] n, float[2, 3] h, float[2, 4, 3] x) => (last, all) {{
        last, all = Scan <num_scan_inputs = 1, directions = [{direction}],
            body = b (float[3] s, float[3] a) => (s2, o) {{
                s2 = Add (s, a)
                o = Mul (s2, a)
            }}> ({"n" if lengths else '""'}, h, x)
    }}"""
    return model_of(text, opset=8)


@pytest.mark.parametrize("direction", [0, 1])
def test_scan_over_a_batch(direction: int) -> None:
    feeds = {"n": np.array([4, 4]), "h": f32(2, 3), "x": f32(2, 4, 3)}
    same_everywhere(scan_8(False, direction), feeds)


def test_scan_over_a_batch_of_lengths() -> None:
    h, x = f32(2, 3), f32(2, 4, 3)
    last, every = run(scan_8(True, 0), {"n": np.array([2, 4]), "h": h, "x": x})
    np.testing.assert_allclose(last[0], h[0] + x[0, :2].sum(0), rtol=1e-5)
    np.testing.assert_allclose(last[1], h[1] + x[1].sum(0), rtol=1e-5)
    sums = h[0] + np.cumsum(x[0, :2], 0)
    np.testing.assert_allclose(
        every[0], [*(sums * x[0, :2]), [0] * 3, [0] * 3], rtol=1e-5
    )


def test_scan_of_different_lengths_is_refused() -> None:
    feeds = {"h": f32(2), "x": f32(5, 2), "z": f32(2, 4)}
    with pytest.raises(GraphwrightError):
        run(model_of(SCAN), feeds)


# Functions ----------------------------------------------------------------------------


def with_functions(text: str, *functions: str) -> Any:
    model = model_of(text)
    model.functions.extend(map(parse_function, functions))
    model.opset_import.append(onnx.helper.make_opsetid("local", 1))
    return model


LEAKY = """<domain: "local", opset_import: ["" : 21]>
leaky <slope: float = 0.5, axis> (x, extra) => (y, z) {
    y = LeakyRelu <alpha: float = @slope> (x)
    z = Softmax <axis: int = @axis> (y)
}"""


def test_function_attributes() -> None:
    text = """g (float[2, 3] x) => (a, b) {
        a, p = local.leaky <slope = 0.25, axis = 0> (x)
        q, b = local.leaky <axis = 1> (x)
    }"""
    model, x = with_functions(text, LEAKY), f32(2, 3)
    found = same_as_ort(model, {"x": x})
    planned = compiled(model).run(None, {"x": x})
    assert_within(imported(model), [x], found, planned)


def test_function_whose_inputs_are_left_out() -> None:
    text = "g (float[2] x, float[2] lo) => (y) { y = local.bound (x, lo) }"
    bound = """<domain: "local", opset_import: ["" : 21]>
    bound (x, low, high) => (y) { y = Clip (x, low, high) }"""
    model = with_functions(text.replace("float[2] lo", "float lo"), bound)
    same_everywhere(model, {"x": f32(2), "lo": np.array(0.5, np.float32)})


def test_function_with_a_sub_graph() -> None:
    choose = """<domain: "local", opset_import: ["" : 21]>
    choose <k: float = 2.0> (c, x) => (y) {
        y = If (c) <
            then_branch = a () => (t) {
                f = Constant <value_float: float = @k> ()  t = Mul (x, f) },
            else_branch = b () => (e) { e = Neg (x) }
        >
    }"""
    text = "g (bool c, float[2] x) => (y) { y = local.choose <k = 3.0> (c, x) }"
    for c in (True, False):
        same_everywhere(with_functions(text, choose), {"c": np.array(c), "x": f32(2)})


def test_overloads() -> None:
    one, two = (
        parse_function(
            f'<domain: "local", opset_import: ["" : 21]> f (x) => (y) {{ y = {op}(x) }}'
        )
        for op in ("Neg", "Abs")
    )
    two.overload = "abs"
    model = model_of("g (float[2] x) => (y) { y = Neg (x) }")
    del model.graph.node[:]
    model.graph.node.append(onnx.helper.make_node("f", ["x"], ["m"], domain="local"))
    node = onnx.helper.make_node("f", ["m"], ["y"], domain="local")
    node.overload = "abs"
    model.graph.node.append(node)
    model.functions.extend([one, two])
    (y,) = run(model, {"x": np.array([1, -2], np.float32)})
    assert y.tolist() == [1, 2]


def test_recursion_is_refused() -> None:
    loop = '<domain: "local", opset_import: ["" : 21]> f (x) => (y) { y = local.f (x) }'
    with pytest.raises(ModelError, match="nest deeper"):
        imported(with_functions("g (float[2] x) => (y) { y = local.f (x) }", loop))


def test_recursion_through_sub_graphs_is_refused() -> None:
    loop = """<domain: "local", opset_import: ["" : 21]> f (c, x) => (y) {
        y = If (c) <then_branch = a () => (t) { t = local.f (c, x) },
                    else_branch = b () => (e) { e = Neg (x) }>
    }"""
    text = "g (bool c, float[2] x) => (y) { y = local.f (c, x) }"
    with pytest.raises(ModelError, match="nest deeper"):
        imported(with_functions(text, loop))


def test_functions_do_not_claim_names_of_the_main_graph() -> None:
    inner = """<domain: "local", opset_import: ["" : 21]>
    f (x) => (y) { m = Neg (x) y = Abs (m) }"""
    graph = imported(
        with_functions("g (float[2] x) => (y) { m = local.f (x) y = Relu (m) }", inner)
    )
    owners = [
        o.path for found in graph.origins.values() for o in found if o.value == "m"
    ]
    assert sorted(owners) == [(), ("f",)]


# What is converted in the run ---------------------------------------------------------


def test_permutation_known_in_the_run() -> None:
    text = """g (float[A, B] x, int64[2] axes) => (y) {
        y = ReduceSum <keepdims = 0> (x, axes)
    }"""
    model = model_of(text)
    exe = compiled(model)
    x = f32(2, 3)
    for axes in ([0, 1], [1, 0], [0, 1]):
        (y,) = exe.run(None, {"x": x, "axes": np.array(axes)})
        np.testing.assert_allclose(y, x.sum(), rtol=1e-5)


def test_control_flow_over_unknown_ranks() -> None:
    text = """g (bool c, float[4] x, int64[2] one) => (y) {
        r = If (c) <
            then_branch = a () => (t) { t = Identity (x) },
            else_branch = b () => (e) { k = Constant <value_ints = [2, 2]> ()
                                        e = Reshape (x, k) }
        >
        y = Loop ("", "", r) <body = d (int64 i, bool go, float s) => (go2, s2) {
            s2 = Neg (s)
            never = Constant <value = bool {0}> ()
            go2 = Identity (never)
        }>
    }"""
    model = model_of(text)
    x = f32(4)
    for c in (True, False):
        (y,) = run(model, {"c": np.array(c), "x": x, "one": np.zeros(2, np.int64)})
        np.testing.assert_array_equal(y, -x if c else -x.reshape(2, 2))


def test_scan_over_an_unknown_rank_is_converted_in_the_run() -> None:
    text = """g (bool c, float[4] x, float w) => (last, all) {
        r = If (c) <
            then_branch = a () => (t) { t = Identity (x) },
            else_branch = b () => (e) { k = Constant <value_ints = [2, 2]> ()
                                        e = Reshape (x, k) }
        >
        zero = Constant <value_float = 0.0> ()
        last, all = Scan <num_scan_inputs = 1,
            body = d (float s, float v) => (float s2, float o) {
                m = ReduceSum <keepdims = 0> (v)
                n = Mul (m, w)
                s2 = Add (s, n)
                o = Identity (s2)
            }> (zero, r)
    }"""
    model = model_of(text)
    assert "foreign" in ops_of(model)
    x, w = f32(4), np.array(2, np.float32)
    for c, parts in ((True, x), (False, x.reshape(2, 2).sum(1))):
        last, every = run(model, {"c": np.array(c), "x": x, "w": w})
        np.testing.assert_allclose(last, 2 * x.sum(), rtol=1e-5)
        np.testing.assert_allclose(every, np.cumsum(2 * parts), rtol=1e-5)
