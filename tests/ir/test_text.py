"""The text form: what is printed, that it reads back, and what bad text says."""

import struct
import time
from typing import Any, ClassVar

import ml_dtypes
import numpy as np
import pytest

from graphwright.ir import dtype as dt
from graphwright.ir.builder import Builder
from graphwright.ir.constant import Constant
from graphwright.ir.dim import maximum, symbol
from graphwright.ir.errors import GraphwrightError, ModelError, ParseError
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.op import OPS, Op
from graphwright.ir.parser import parse
from graphwright.ir.scanner import MAX_DEPTH
from graphwright.ir.types import (
    MapType,
    OptionalType,
    SequenceType,
    TensorType,
    TokenType,
    Type,
)

N = symbol("n")
F32 = TensorType(dt.float32, (N, 3))

TEXT = """\
graphwright.ir 1
graph "take" {
  input %0 "x" : float32[n, 3]
  %1 = constant int64[1] [0]
  %2 = gather.1(%0, %1) {axis=0, batch_dims=0} : float32[1, 3]
  output %2 "y"
}
"""


def check(graph: Graph) -> Graph:
    """The graph read back from its text, after the laws that every graph obeys."""
    text = str(graph)
    again = parse(text, graph.all_constants())
    assert again == graph
    assert graph == again
    assert str(again) == text
    return again


def holds(value: Any) -> Op:
    """A field's value after a round trip through text."""
    b = Builder("g")
    b.apply(Holder(value=value, types=()), [])
    return check(b.finish([])).nodes[0].op


class Holder(Op):
    """An op that holds anything, for tests of the text form."""

    name: ClassVar[str] = "test.holder"
    version: ClassVar[int] = 3
    value: Any
    types: tuple[Type, ...]

    def result_type(self, *operands: Type) -> tuple[Type, ...]:
        return self.types


OPS.pop(Holder.name)  # other tests go through all operations of the library


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPS, Holder.name, Holder)


def test_the_text_of_a_small_graph() -> None:
    b = Builder("take")
    x = b.input("x", F32)
    y = b.gather(x, b.constant(np.array([0])), 0)
    graph = b.finish([y], ["y"])
    assert str(graph) == TEXT
    check(graph)


def test_white_space_and_comments_are_free() -> None:
    messy = TEXT.replace(" ", " \n\t ").replace(
        "graphwright.ir \n\t 1", "graphwright.ir 1"
    )
    messy = messy.replace("{", "{ # a comment { \n", 1)
    assert parse(messy) == parse(TEXT)
    assert parse("# first\n" + TEXT + "# last") == parse(TEXT)


def test_every_part_of_a_graph_is_kept() -> None:
    b = Builder('a "quoted" \n graph')
    b.variables["w"] = Constant.of(np.array([1.5, -2], np.float32))
    b.variables["big"] = Constant.of(np.arange(99, dtype=np.float32))
    b.metadata["producer"] = "café \udc80 \\"
    x = b.input("x y", F32)
    y = b.input("", TensorType(dt.float32, (symbol("m", 1), symbol("strange name"))))
    (token,) = b.emit_all("token")
    state, token = b.emit_all(
        "read", token, variable="w", type=TensorType(dt.float32, (2,))
    )
    b.emit_all("write", token, state, variable="w")
    z = b.emit("add", x, b.broadcast_to(b.reshape(y, (N, 3)), x.shape))
    graph = b.finish([z, z, state], ["a", "b", "c"])
    assert graph.guards
    again = check(graph)
    assert again.name == graph.name
    assert again.metadata == graph.metadata
    assert again.variables == graph.variables
    assert again.guards == graph.guards
    assert again.input_types == graph.input_types
    assert again.output_names == ("a", "b", "c")


def test_sub_graphs_are_kept() -> None:
    b = Builder("outer")
    flag, x = b.input("flag", TensorType(dt.bool_, ())), b.input("x", F32)
    branches: list[Graph] = []
    for name in ("exp", "neg"):
        inner = b.subgraph(name)
        v = inner.input("v", F32)
        branches.append(inner.finish([inner.unary(name, v)]))
    fields = {"then_graph": branches[0], "else_graph": branches[1], "types": (F32,)}
    graph = b.finish(b.emit_all("cond", flag, x, **fields))
    again = check(graph)
    feeds = [np.array(False), np.ones((2, 3), np.float32)]
    np.testing.assert_array_equal(evaluate(again, feeds)[0], -feeds[1])


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -7,
        10**30,
        1.0,
        -0.0,
        1e-320,
        1.7976931348623157e308,
        float("inf"),
        float("-inf"),
        "",
        'a "b" \\ \n \x00 é \U0001f600 \ud800 ] } # %0',
        (),
        (1,),
        ((), ((1, 2.0), ("x", None)), True),
        dt.float32,
        dt.float8_e4m3fn,
        (dt.bool_, (dt.string,)),
        N,
        2 * N + 1,
        (N - 3) // 2 + maximum(N, symbol("k", None)) % 5,
        (N, -1, 3),
        TensorType(dt.float32, ()),
        TensorType(dt.int4, None),
        TensorType(dt.int64, (3,), (1, None, -N)),
        TensorType(dt.bool_, (0, N * symbol("m"))),
        (F32, TokenType(), SequenceType(OptionalType(F32))),
        MapType(dt.int64, MapType(dt.string, SequenceType(TensorType(dt.float64, ())))),
    ],
    ids=repr,
)
def test_field_values_are_kept(value: Any) -> None:
    names = ["n", "m", "k"]
    b = Builder("g")
    b.input("x", TensorType(dt.float32, tuple(map(symbol, names))))
    b.input("y", TensorType(dt.float32, (symbol("k", None),)))
    b.apply(Holder(value=value, types=()), [])
    check(b.finish([]))


def test_kinds_of_fields_do_not_blend() -> None:
    for one, other in [(1, 1.0), (1, True), (0.0, -0.0), ("1", 1), ((), None)]:
        assert holds(one) != holds(other)


def test_numpy_numbers_print_as_plain_ones() -> None:
    assert holds(np.int64(3)).fields["value"] == 3
    assert holds(np.float64(0.1)).fields["value"] == 0.1


def test_nan_fields_keep_their_bits() -> None:
    for bits in (0x7FF8000000000000, 0xFFF8000000000000, 0x7FF4000000000001):
        (nan,) = struct.unpack("<d", struct.pack("<Q", bits))
        found = holds(nan).fields["value"]
        assert struct.pack("<d", found) == struct.pack("<Q", bits)


def constant_graph(constant: Constant) -> Graph:
    b = Builder("c")
    return b.finish([b.constant_of(constant)])


FLOATS = [d for d in dt.DTYPES.values() if d.kind == "f"]


@pytest.mark.parametrize("dtype", FLOATS, ids=repr)
def test_every_bit_pattern_of_floats_is_kept(dtype: dt.DType) -> None:
    size = dtype.itemsize
    edges = np.random.default_rng(0).integers(0, 256, 400 * size, np.uint8)
    patterns = [*edges.reshape(-1, size).tolist(), [0] * size, [255] * size]
    if size == 1:
        patterns = [[i] for i in range(1 << dtype.bits)]
    for i in range(0, len(patterns), 8):
        raw = np.array(patterns[i : i + 8], np.uint8)
        array = raw.view(dtype.numpy).reshape(-1)
        again = check(constant_graph(Constant.of(array, dtype)))
        (constant,) = again.constants.values()
        assert constant.array().tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "array",
    [
        np.array([True, False]),
        np.array([-128, 127], np.int8),
        np.array([2**64 - 1], np.uint64),
        np.array([-(2**63)], np.int64),
        np.arange(64),
        np.array(5, np.int32),
        np.zeros((0, 3), np.float32),
        np.array([[1, 2], [3, 4]], ml_dtypes.int4),
        np.array([-2, 1], ml_dtypes.int2),
        np.array([15, 0], ml_dtypes.uint4),
        np.array([1 + 2j, complex("nan"), complex(-0.0, float("inf"))], np.complex64),
        np.array([], np.complex128),
        np.array([0.1, 1e-45, 3.4e38], np.float32),
    ],
    ids=lambda a: f"{a.dtype}{list(a.shape)}",
)
def test_small_constants_show_their_elements(array: Any) -> None:
    text = str(constant_graph(Constant.of(array)))
    assert "@" not in text
    (constant,) = parse(text).constants.values()
    assert constant.array().dtype == array.dtype
    assert constant.array().tobytes() == array.tobytes()
    check(constant_graph(Constant.of(array)))


def test_large_constants_are_named_by_digest() -> None:
    array = np.arange(100, dtype=np.float32)
    graph = constant_graph(Constant.of(array))
    text = str(graph)
    without = parse(text)
    assert without == graph
    with pytest.raises(ModelError, match="has no data"):
        evaluate(without, [])
    digest = Constant.of(array).digest
    for constants in ({digest: array}, [Constant.of(array)], graph.all_constants()):
        np.testing.assert_array_equal(evaluate(parse(text, constants), [])[0], array)


def test_other_data_than_the_digest_says_is_refused() -> None:
    array = np.arange(100, dtype=np.float32)
    text = str(constant_graph(Constant.of(array)))
    digest = Constant.of(array).digest
    for wrong in (array + 1, array[:50], array.astype(np.float64) + 0.5):
        with pytest.raises(ModelError, match=digest):
            parse(text, {digest: wrong})


def test_strings_are_named_by_digest() -> None:
    array = np.array(["secret", "é"], object)
    graph = constant_graph(Constant.of(array, dt.string))
    assert "secret" not in str(graph)
    assert evaluate(check(graph), [])[0].tolist() == ["secret", "é"]


BAD = [
    ("", 1, 1, "graphwright.ir 1"),
    ("graphwright.ir 2", 1, 1, "graphwright.ir 1"),
    (TEXT.replace("gather.1", "grab.1"), 5, 8, "no operation grab"),
    (TEXT.replace("gather.1", "gather.9"), 5, 8, "version 1 of gather"),
    (TEXT.replace("(%0, %1)", "(%0, %7)"), 5, 17, "%7 is not defined"),
    (TEXT.replace("%2 = ", "%0 = "), 5, 3, "%0 is defined a second time"),
    (TEXT.replace("axis=0", "axes=0"), 5, 8, "no field axes"),
    (TEXT.replace(", batch_dims=0", ", axis=0"), 5, 34, "axis a second time"),
    (TEXT.replace("axis=0", "axis=@"), 5, 31, "expected a value"),
    (TEXT.replace("axis=0", "axis=9" + "9" * 5000), 5, 31, "too many digits"),
    (TEXT.replace(": float32[1, 3]", ""), 5, 3, "0 types for 1 results"),
    (TEXT.replace("int64[1] [0]", "int64[2] [0]"), 4, 17, "1 elements"),
    (TEXT.replace("int64[1] [0]", "int8[1] [300]"), 4, 25, "not int8"),
    (TEXT.replace("int64[1] [0]", "int64[-1] [0]"), 4, 17, "negative size"),
    (TEXT.replace("float32[n, 3]", "float33[n, 3]"), 3, 18, "expected a type"),
    (TEXT.replace("float32[n, 3]", "float32[n $ 3]"), 3, 28, "expected `,`"),
    (TEXT.replace("float32[n, 3]", "float32[n//0]"), 3, 26, "dim"),
    (TEXT.replace('"x"', '"x'), 3, 12, "string"),
    (TEXT.replace('"x"', '"\\q"'), 3, 12, "bad escape"),
    (TEXT.replace("output", "outputs"), 6, 3, "expected a statement"),
    (TEXT.replace('%2 "y"', '%9 "y"'), 6, 10, "%9 is not defined"),
    (TEXT.rstrip()[:-1], 7, 1, "the text ends"),
    (TEXT + "more", 8, 1, "end of the text"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), BAD)
def test_bad_text_names_its_place(
    text: str, line: int, column: int, message: str
) -> None:
    with pytest.raises(ParseError) as caught:
        parse(text)
    assert str(caught.value).startswith(f"line {line}, column {column}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "old_new",
    [
        ("axis=0", "axis=5"),
        ("axis=0", 'axis="x"'),
        ("axis=0", "axis=none"),
        ("axis=0", "axis=[0]"),
        ("axis=0", 'axis=graph "g" {}'),
        ("(%0, %1)", "(%0)"),
        ("float32[1, 3]", "float32[2, 3]"),
        ("float32[1, 3]", "float32[k, 3]"),
    ],
)
def test_text_that_breaks_a_rule_is_refused(old_new: tuple[str, str]) -> None:
    with pytest.raises(ModelError, match=r"node 0 \(gather\) of graph 'take'"):
        parse(TEXT.replace(*old_new))


HEAD = 'graphwright.ir 1\ngraph "g" {\n'
NESTED = "0".join(["[" * 5000, "]" * 5000])
SYMBOLS = [f"s{i}" for i in range(10**5)]
PRODUCTS = [f"{s}*" * 900 + s for s in SYMBOLS[:300]]
HOSTILE = {
    "brackets": HEAD + "test.holder.3() {value=" + "[" * 10**6,
    "lists": HEAD + f"test.holder.3() {{value={NESTED}, types=[]}}}}",
    "types": HEAD + 'input %0 "x" : ' + "seq<" * 10**5,
    "graphs": "graphwright.ir 1\n" + 'graph "g" {call.1() {graph=' * 10**5,
    "dims": HEAD + 'input %0 "x" : float32[' + "(" * 10**6,
    "sums": HEAD + 'input %0 "x" : float32[' + "a+" * 10**5,
    "products": HEAD + 'input %0 "x" : float32[' + "*".join(["a"] * 10**5),
    "minima": HEAD + 'input %0 "x" : float32[' + "min(" + ",".join(SYMBOLS),
    "floors": HEAD + 'input %0 "x" : float32[' + "//".join(SYMBOLS),
    "many dims": HEAD + 'input %0 "x" : float32[' + ",".join(PRODUCTS),
    "junk": "".join(map(chr, range(32, 127))) * 10**4,
    "junk inside": HEAD + "\x00\xff" * 10**6,
    "values": HEAD + "%1, " * 10**5,
    "space": HEAD + "%1" + " " * 10**6 + "x",
    "comments": HEAD + "#\n" * 10**6,
    "names": HEAD + "a." * 10**6,
    "string": HEAD + 'input %0 "' + "\\u0000" * 10**5,
    "digits": HEAD + f"test.holder.3() {{value={'9' * 10**6}, types=[]}}",
    "one line": HEAD + 'metadata "a" = "b" ' * 10**5,
    "elements": HEAD + "%0 = constant float32[] [" + "1, " * 10**5,
    "sizes": HEAD + "%0 = constant float32[" + "9999999999, " * 1000 + "1] []",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_fails_fast(name: str) -> None:
    start = time.thread_time()
    with pytest.raises(GraphwrightError):
        parse(HOSTILE[name])
    assert time.thread_time() - start < 5


def nested(depth: int) -> str:
    graph = 'graph "g" {}'
    for _ in range(depth - 1):
        graph = f'graph "g" {{call.1() {{graph={graph}, types=[], fresh=[]}}}}'
    return f"graphwright.ir 1\n{graph}"


def test_graphs_nest_to_the_documented_depth() -> None:
    fields = sorted(OPS["call"].field_names)
    assert fields == ["fresh", "graph", "types"]
    depth = MAX_DEPTH - 1  # the innermost graph's empty lists of types count too
    check(parse(nested(depth)))
    with pytest.raises(ParseError, match=f"more than {MAX_DEPTH}"):
        parse(nested(MAX_DEPTH + 1))


def test_long_chains_print_and_parse_in_linear_time() -> None:
    def seconds(count: int) -> float:
        b = Builder("chain")
        x = y = b.input("x", TensorType(dt.float32, (N,)))
        for _ in range(count):
            y = b.add(y, x)
        graph = b.finish([y])
        start = time.thread_time()
        assert parse(str(graph)) == graph
        return time.thread_time() - start

    small = min(seconds(2_000) for _ in range(3))
    assert seconds(20_000) < 30 * small + 0.5
