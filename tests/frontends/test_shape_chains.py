"""Shapes computed from shapes, as exporters write them, become symbolic dims."""

from typing import Any

import numpy as np
import pytest
from onnx_graphs import imported, model_of, output_types, same_as_ort

BIG = 2**63 - 1


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


X = "float[batch,seq,8] x"

CHAINS: dict[str, tuple[str, dict[str, Any], str]] = {
    "gather unsqueeze concat reshape": (
        f"""g ({X}) => (y) {{
          s = Shape(x)  b = Gather(s, zero)  n = Gather(s, one)
          b1 = Unsqueeze(b, axis)  n1 = Unsqueeze(n, axis)
          t = Concat<axis = 0>(b1, n1, two, four)  y = Reshape(x, t) }}""",
        {
            "zero": np.int64(0),
            "one": np.int64(1),
            "axis": ints(0),
            "two": ints(2),
            "four": ints(4),
        },
        "float32[batch, seq, 2, 4]",
    ),
    "inferred size cancels": (
        f"""g ({X}) => (y) {{ s = Shape<end = 2>(x)
          t = Concat<axis = 0>(s, two, rest)  y = Reshape(x, t) }}""",
        {"two": ints(2), "rest": ints(-1)},
        "float32[batch, seq, 2, 4]",
    ),
    "merge and split again": (
        f"""g ({X}) => (y, z) {{ y = Reshape(x, flat)  s = Shape<end = 2>(x)
          t = Concat<axis = 0>(s, rest)  z = Reshape(y, t) }}""",
        {"flat": ints(-1, 8), "rest": ints(-1)},
        "float32[batch*seq, 8], float32[batch, seq, 8]",
    ),
    "sum of sizes": (
        """g (float[batch,past,8] x, float[batch,seq,8] y) => (z) {
          c = Concat<axis = 1>(x, y)  s = Shape<end = 2>(c)
          t = Concat<axis = 0>(s, two, rest)  z = Reshape(c, t) }""",
        {"two": ints(2), "rest": ints(-1)},
        "float32[batch, past + seq, 2, 4]",
    ),
    "slice and product": (
        f"""g ({X}) => (y) {{ s = Shape(x)  h = Slice(s, from, to)
          p = ReduceProd<keepdims = 1>(h)  t = Concat<axis = 0>(p, rest)
          y = Reshape(x, t) }}""",
        {"from": ints(0), "to": ints(2), "rest": ints(-1)},
        "float32[batch*seq, 8]",
    ),
    "float division": (
        f"""g ({X}) => (y) {{ s = Shape(x)  n = Gather(s, one)  f = Cast<to = 1>(n)
          q = Div(f, two)  r = Floor(q)  k = Cast<to = 7>(r)  u = Unsqueeze(k, axis)
          t = Concat<axis = 0>(u, three)  y = ConstantOfShape(t) }}""",
        {
            "one": np.int64(1),
            "two": np.float32(2),
            "axis": ints(0),
            "three": ints(3),
        },
        "float32[seq//2, 3]",
    ),
    "float scale": (
        """g (float[batch,3,h,w] x) => (y) { s = Shape<start = 2>(x)
          f = Cast<to = 1>(s)  q = Mul(f, scale)  r = Floor(q)  k = Cast<to = 7>(r)
          y = ConstantOfShape(k) }""",
        {"scale": np.array([2, 1.5], np.float32)},
        "float32[2*h, w + w//2]",
    ),
    "float ratio of sizes": (
        """g (float[h,w] x) => (y) { s = Shape(x)  f = Cast<to = 1>(s)
          r = Div(f, f)  q = Mul(f, r)  c = Ceil(q)  k = Cast<to = 7>(c)
          y = ConstantOfShape(k) }""",
        {},
        "float32[h, w]",
    ),
    "expand where -1": (
        """g (float[1,1,seq] x, float[batch,q] r) => (y) { b = Shape<end = 1>(r)
          q = Shape<start = 1>(r)  t = Concat<axis = 0>(b, one, q, minus)
          n = Shape(t)  o = ConstantOfShape<value: tensor = int64[1] {1}>(n)
          m = Mul(o, minus)  e = Equal(t, m)  w = Where(e, o, t)  y = Expand(x, w) }""",
        {"one": ints(1), "minus": ints(-1)},
        "float32[batch, 1, q, seq]",
    ),
    "positions": (
        """g (int64[batch,seq] x, int64[batch,past] p) => (y, z) {
          n = Shape<start = 1>(x)  m = Shape<start = 1>(p)  n0 = Squeeze(n, axis)
          m0 = Squeeze(m, axis)  e = Add(n0, m0)  y = Range(m0, e, one)
          f = Cast<to = 1>(n0)  z = Range(fzero, f, fone) }""",
        {
            "axis": ints(0),
            "one": np.int64(1),
            "fzero": np.float32(0),
            "fone": np.float32(1),
        },
        "int64[seq], float32[seq]",
    ),
    "causal mask": (
        """g (float[batch,seq,8] x) => (y) { s = Shape<start = 1, end = 2>(x)
          t = Concat<axis = 0>(s, s)  o = ConstantOfShape(t)  y = Trilu(o) }""",
        {},
        "float32[seq, seq]",
    ),
    "cut a table": (
        """g (float[batch,seq,8] x) => (y) { s = Shape<start = 1, end = 2>(x)
          y = Slice(table, zero, s, axis) }""",
        {"table": np.ones((1, 64, 8), np.float32), "zero": ints(0), "axis": ints(1)},
        "float32[1, min(seq, 64), 8]",
    ),
    "pad to a multiple": (
        f"""g ({X}) => (y) {{ s = Shape<start = 1, end = 2>(x)  r = Mod(s, four)
          d = Sub(four, r)  q = Mod(d, four)  p = Concat<axis = 0>(z, z, z, z, q, z)
          y = Pad(x, p) }}""",
        {"four": ints(4), "z": ints(0)},
        "float32[batch, 4*((seq + 3)//4), 8]",
    ),
    "pads of torch": (
        """g (float[batch,seq,8] x) => (y) {
          n = ConstantOfShape<value: tensor = int64[1] {0}>(four)
          s = Shape<start = 1, end = 2>(x)  p = Concat<axis = 0>(s, one, n)
          r = Reshape(p, pairs)  v = Slice(r, minus, low, zero, minus)
          t = Transpose<perm = [1, 0]>(v)  f = Reshape(t, minus)  y = Pad(x, f) }""",
        {
            "four": ints(4),
            "one": ints(1),
            "pairs": ints(-1, 2),
            "minus": ints(-1),
            "low": ints(-(2**63)),
            "zero": ints(0),
        },
        "float32[batch, seq, seq + 9]",
    ),
    "written into": (
        f"""g ({X}) => (y) {{ s = Shape(x)  t = ScatterND(s, at, five)
          y = ConstantOfShape(t) }}""",
        {"at": np.array([[2]], np.int64), "five": ints(5)},
        "float32[batch, seq, 5]",
    ),
    "larger and smaller": (
        f"""g ({X}) => (y) {{ s = Shape<end = 2>(x)
          b, n = Split<num_outputs = 2>(s)  l = Max(b, n)  r = Min(b, n)
          t = Concat<axis = 0>(l, r)  y = ConstantOfShape(t) }}""",
        {},
        "float32[max(batch, seq), min(batch, seq)]",
    ),
    "heads": (
        """g (float[batch,seq,24] x) => (q, k, v) { s = Shape<end = 2>(x)
          t = Concat<axis = 0>(s, three, two, rest)  r = Reshape(x, t)
          p = Transpose<perm = [2, 0, 3, 1, 4]>(r)  q0, k0, v0 = Split<axis = 0>(p)
          q = Squeeze(q0, zero)  k = Squeeze(k0, zero)  v = Squeeze(v0, zero) }""",
        {"three": ints(3), "two": ints(2), "rest": ints(-1), "zero": ints(0)},
        ", ".join(["float32[batch, 2, seq, 4]"] * 3),
    ),
    "number of elements": (
        f"""g ({X}) => (y) {{ n = Size(x)  u = Unsqueeze(n, zero)
          y = ConstantOfShape(u) }}""",
        {"zero": ints(0)},
        "float32[8*batch*seq]",
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_resolves(name: str) -> None:
    text, initializers, types = CHAINS[name]
    assert output_types(text, **initializers) == types


SIZES = {"batch": 2, "seq": 5, "past": 3, "h": 4, "w": 3, "q": 6}


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("seq", [5, 1])
def test_a_chain_computes_what_onnxruntime_does(name: str, seq: int) -> None:
    text, initializers, _ = CHAINS[name]
    model = model_of(text, **initializers)
    rng = np.random.default_rng(0)
    feeds: dict[str, Any] = {}
    for info in model.graph.input:
        dims = info.type.tensor_type.shape.dim
        env = {**SIZES, "seq": seq}
        shape = [env[d.dim_param] if d.dim_param else d.dim_value for d in dims]
        values = rng.standard_normal(shape)
        whole = info.type.tensor_type.elem_type == 7
        feeds[info.name] = values.astype(np.int64 if whole else np.float32)
    same_as_ort(model, feeds)


SLICES = [
    ("from one", (1, BIG, 1), "max(seq - 1, 0)"),
    ("all but one", (0, -1, 1), "max(seq - 1, 0)"),
    ("the last two", (-2, BIG, 1), "min(seq, 2)"),
    ("the first", (0, 1, 1), "min(seq, 1)"),
    ("reversed", (-1, -(2**63), -1), "seq"),
    ("every other", (0, 2**31 - 1, 2), "(seq + 1)//2"),
    ("nothing", (3, 3, 1), "0"),
]


@pytest.mark.parametrize(("name", "bounds", "size"), SLICES)
def test_slices_of_a_symbolic_axis(
    name: str, bounds: tuple[int, int, int], size: str
) -> None:
    text = f"g ({X}) => (y) {{ y = Slice(x, start, end, axis, step) }}"
    start, end, step = (ints(v) for v in bounds)
    given = {"start": start, "end": end, "step": step, "axis": ints(1)}
    assert output_types(text, **given) == f"float32[batch, {size}, 8]"
    model = model_of(text, **given)
    for n in (0, 1, 2, 3, 6):
        x = np.arange(2 * n * 8, dtype=np.float32).reshape(2, n, 8)
        same_as_ort(model, {"x": x})


def test_a_slice_by_a_size_less_one_counts_from_the_end_only_if_empty() -> None:
    text = f"""g ({X}) => (y) {{ s = Shape<start = 1, end = 2>(x)  n = Sub(s, three)
      y = Slice(x, zero, n, axis) }}"""
    model = model_of(text, three=ints(3), zero=ints(0), axis=ints(1))
    for n in (0, 1, 2, 3, 7):
        x = np.arange(n * 8, dtype=np.float32).reshape(1, n, 8)
        same_as_ort(model, {"x": x})


def test_shapes_fed_at_run_time_bind_fresh_dims() -> None:
    text = (
        f"g ({X}, int64[3] t) => (a, b, c) {{ a = Reshape(x, t)  b = Tile(x, t)  "
        + ("c = Expand(one, t) }")
    )
    model = model_of(text, one=np.ones((1, 1), np.float32))
    types = imported(model).output_types
    assert str(types[0]) == "float32[_1, _2, _3]"
    assert str(types[2]) == "float32[_7, _8, _9]"
    x = np.arange(32, dtype=np.float32).reshape(2, 2, 8)
    same_as_ort(model, {"x": x, "t": ints(4, 2, 4)})


def test_zero_and_minus_one_in_a_fed_shape() -> None:
    model = model_of(f"g ({X}, int64[3] t) => (y) {{ y = Reshape(x, t) }}")
    x = np.arange(48, dtype=np.float32).reshape(2, 3, 8)
    for t in (ints(0, -1, 4), ints(0, 0, 0), ints(-1, 0, 2), ints(2, 24, 1)):
        same_as_ort(model, {"x": x, "t": t})


def test_axes_of_size_one_at_run_time_broadcast() -> None:
    model = model_of("g (float[n] x, float[m] y) => (z) { z = Add(x, y) }")
    one, five = np.ones(1, np.float32), np.arange(5, dtype=np.float32)
    for x, y in ((one, five), (five, one), (five, five), (one, one)):
        same_as_ort(model, {"x": x, "y": y})
