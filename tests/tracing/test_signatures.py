"""What ``gw.jit`` makes of its arguments: static ones, trees, donations, threads."""

import collections
import dataclasses
import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphwright as gw

X = np.arange(3.0)


def traces(f: Any) -> int:
    return int(f.explain().split(" was traced ")[1].split()[0])


# Static arguments ---------------------------------------------------------------------


def shaped(x: Any, shape: Any, *, by: Any = 1) -> Any:
    return x.reshape(shape) * by


@pytest.mark.parametrize(
    "static",
    [
        {"static_argnums": 1},
        {"static_argnums": (-2,)},
        {"static_argnames": "shape"},
        {"static_argnames": ["shape", "by"]},
    ],
)
def test_static_arguments_by_number_and_name(static: dict[str, Any]) -> None:
    f = gw.jit(shaped, **static)
    assert f(np.ones(4), (2, 2)).shape == (2, 2)
    assert f(np.ones(4), shape=(2, 2), by=3).tolist() == [[3, 3], [3, 3]]
    assert f(np.ones(4), (4, 1)).shape == (4, 1)
    f(np.zeros(4), (2, 2))
    assert traces(f) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"static_argnums": 4},
        {"static_argnames": "nope"},
        {"donate": "nope"},
        {"donate": 7},
        {"specs": {"nope": gw.spec("float32", (2,))}},
    ],
)
def test_parameters_that_are_not_there(options: dict[str, Any]) -> None:
    with pytest.raises(gw.TraceError, match=r"shaped has no parameter .*x, shape, by"):
        gw.jit(shaped, **options)


def test_static_arguments_need_a_hash() -> None:
    with pytest.raises(gw.TraceError, match=r"shaped: shape is a list.* pass a tuple"):
        gw.jit(shaped, static_argnums=1)(np.ones(4), [2, 2])
    with pytest.raises(gw.TraceError, match=r"shaped: by is a set"):
        gw.jit(shaped)(np.ones(4), 4, by={1})


# Signatures ---------------------------------------------------------------------------


def test_keywords_in_any_order_are_one_signature() -> None:
    @gw.jit
    def f(x: Any, **rest: Any) -> Any:
        return x + rest["a"] - rest["b"]

    assert f(X, a=X, b=1.0).tolist() == f(X, b=1.0, a=X).tolist()
    assert traces(f) == 1


def test_explain_says_why() -> None:
    @gw.jit
    def f(x: Any, n: Any = 1, mode: str = "a") -> Any:
        return x * n

    f(X)
    f(X[:2])
    f(X, 2)
    f(X, 3)
    f(X, 3, mode="b")
    f(X, X)
    f(X.astype(np.float32))
    lines = f.explain().splitlines()
    assert lines[0] == "f was traced 7 times"
    assert [line.partition("because ")[2] for line in lines[1:]] == [
        "it is the first call",
        "x is float64[2], was float64[3]",
        "n is there, other than before",
        "n is 3 (static), was 2 (static)",
        "mode is there, other than before",
        "n is the same array as an earlier one, was 2 (static)",
        "x is float32[3], was float64[3]",
    ]
    before = traces(f)
    f(X)
    f(X, 2)
    assert traces(f) == before


def test_a_global_that_changes_is_a_reason() -> None:
    scope: dict[str, Any] = {"gw": gw, "k": 2}
    exec("@gw.jit\ndef f(x):\n    return x * k\n", scope)
    assert scope["f"](X).tolist() == [0, 2, 4]
    scope["k"] = 3
    assert scope["f"](X).tolist() == [0, 3, 6]
    assert "because k is no longer what the function read" in scope["f"].explain()


def test_threads_trace_once() -> None:
    barrier, started = threading.Barrier(8), []

    @gw.jit
    def f(x: Any) -> Any:
        return (x * 2).sum()

    def run(i: int) -> None:
        barrier.wait()
        for n in (1, 2, 3, i + 1):
            started.append(float(f(np.full(n, float(i)))) == 2 * i * n)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(started) == 32
    assert all(started)
    assert traces(f) == 8


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_one_graph_for_all_batches_and_trees(n: int) -> None:
    layer = functools.partial(np.maximum, 0)

    @gw.jit(specs={"x": gw.spec("float32", ("batch", 4))})
    def f(x: Any, p: dict[str, Any]) -> Any:
        return layer(x @ p["w"] + p["b"]), x.shape[0]

    p = {"w": np.ones((4, 2), np.float32), "b": np.ones(2, np.float32)}
    x = np.ones((n, 4), np.float32)
    for k in (n, n + 1, 3):
        y, _ = f(x[:1].repeat(k, axis=0) if n else np.ones((k, 4), np.float32), p)
        assert y.shape == (k, 2)
    assert traces(f) == 1


# Kinds of functions -------------------------------------------------------------------


class Scaler:
    """Callable, with methods of all kinds."""

    def __call__(self, x: Any) -> Any:
        out = np.zeros(3)
        out[1:] = x[1:]
        return out

    @gw.jit
    def method(self, x: Any) -> Any:
        return x + len(vars(self)) + 1

    @classmethod
    @gw.jit
    def of_class(cls, x: Any) -> Any:
        return x + 2

    @gw.jit
    @staticmethod
    def of_none(x: Any) -> Any:
        return x + 3


def test_functions_of_all_kinds() -> None:
    s = Scaler()
    assert gw.jit(s)(X).tolist() == [0, 1, 2]
    assert s.method(X).tolist() == [1, 2, 3]
    assert Scaler.of_class(X).tolist() == [2, 3, 4]
    assert Scaler.of_none(X).tolist() == [3, 4, 5]
    assert gw.jit(functools.partial(shaped, shape=(3, 1)))(X).shape == (3, 1)
    assert gw.jit(lambda *xs: sum(xs))(X, X + 0).tolist() == [0, 2, 4]
    assert gw.jit(np.add)(X, 1.0).tolist() == [1, 2, 3]


def test_jit_inside_jit_sees_numpy_programs() -> None:
    @gw.jit
    def inner(x: Any) -> Any:
        out = np.zeros(5)
        out[1:4] = x
        return out

    @gw.jit
    def outer(x: Any) -> Any:
        return inner(x)[::-1] + 1

    assert outer(X).tolist() == [1, 3, 2, 1, 1]
    assert (traces(outer), traces(inner)) == (1, 0)


# Trees --------------------------------------------------------------------------------


class Pair(collections.namedtuple("Pair", "a b")):
    """A namedtuple with a method."""

    __slots__ = ()


@dataclasses.dataclass(frozen=True)
class Frozen:
    a: Any
    n: int = 3
    made: Any = dataclasses.field(init=False, default=None)

    def __post_init__(self) -> None:
        assert isinstance(self.n, int)
        object.__setattr__(self, "made", self.a)


@dataclasses.dataclass(slots=True)
class Slotted:
    inner: Frozen
    rest: list[Any]


def test_trees_of_all_kinds() -> None:
    @gw.jit
    def f(t: Any) -> Any:
        if isinstance(t, dict):
            return type(t)(t) if type(t) is not collections.defaultdict else t
        if isinstance(t, Pair):
            return Pair(t.b, t.a)
        return Slotted(dataclasses.replace(t.inner, a=t.inner.a * t.inner.n), t.rest)

    pair = f(Pair(X, 2.0))
    assert isinstance(pair, Pair)
    assert pair.b.tolist() == X.tolist()
    ordered = f(collections.OrderedDict(b=X, a=X + 1))
    assert type(ordered) is collections.OrderedDict
    assert list(ordered) == ["b", "a"]
    default = f(collections.defaultdict(list, a=X))
    assert default["new"] == []
    found = f(Slotted(Frozen(X), [X, "s", None]))
    assert isinstance(found, Slotted)
    assert found.inner.a.tolist() == [0, 3, 6]
    assert found.rest[1:] == ["s", None]
    assert "t.inner.a: float64[3]" in f.explain()


def test_eval_shape_of_trees() -> None:
    specs = Pair(gw.spec("float32", (2, 3)), gw.spec("float32", (3, "n")))
    found = gw.eval_shape(lambda p: Slotted(Frozen(p.a @ p.b, 4), [p.a, 5]), specs)
    assert str(found.inner.a.type) == "float32[2, n]"
    assert found.inner.n == 4
    assert [str(x) for x in found.rest] == ["spec(float32[2, 3])", "5"]


# Memory -------------------------------------------------------------------------------


def test_the_same_array_twice_is_one_array() -> None:
    @gw.jit
    def f(x: Any, y: Any) -> Any:
        x[0] = 9
        return y.sum()

    a, b = np.zeros(3), np.zeros(3)
    assert f(a, a).item() == 9
    assert f(b, np.zeros(3)).item() == 0
    t = gw.asarray(np.zeros(3))
    assert f(t, t).item() == 9
    assert t.tolist() == [9, 0, 0]
    with pytest.raises(gw.TraceError, match=r"x and y share memory, and f writes to x"):
        f(a[:2], a[1:])
    with pytest.raises(gw.TraceError, match="share memory"):
        f(t[:2], t)
    c = np.zeros(6)
    assert f(c[::2], c[1::2]).item() == 0  # side by side, but apart


def test_donated_tensors_are_gone() -> None:
    @gw.jit(donate=["x", "p"])
    def f(x: Any, y: Any, p: dict[str, Any]) -> Any:
        return x + y + p["w"]

    x, y, w = (gw.asarray(X) for _ in range(3))
    view = x[1:]
    assert f(x, y, {"w": w}).tolist() == [0, 3, 6]
    assert y.tolist() == [0, 1, 2]
    for gone in (x, w, view):
        with pytest.raises(gw.TraceError, match=r"was donated to 'f'.*pass a copy"):
            gone.tolist()
    with pytest.raises(gw.TraceError, match="was donated"):
        f(x, y, {"w": y})
    assert "float64[3]" in repr(x)
    array = X.copy()
    gw.jit(lambda a: a + 1, donate=0)(array)
    assert array.tolist() == X.tolist()


# Ahead of time ------------------------------------------------------------------------

WEIGHTS = np.ones(3)


def test_compiled_functions_are_called_as_the_function() -> None:
    @gw.jit(static_argnames="n")
    def f(p: dict[str, Any], n: Any, *, scale: float = 1.0) -> Any:
        p["x"][0] = 7
        return {"y": p["x"] * WEIGHTS * scale, "n": n}

    p = {"x": X.copy()}
    compiled = f.lower(p, (1, 2), scale=2.0).compile()
    found = compiled(p, (1, 2), scale=3.0)
    assert found["y"].tolist() == [21, 3, 6]
    assert found["n"] == (1, 2)
    assert p["x"][0] == 7
    WEIGHTS[1] = 5
    try:
        assert compiled({"x": X.copy()}, scale=1.0)["y"].tolist() == [7, 5, 2]
    finally:
        WEIGHTS[1] = 1
    assert compiled.cost_analysis()["flops"] > 0
    assert compiled.memory_analysis()["peak"] > 0
    assert "graph" in compiled.as_text()
    calls: tuple[Callable[[], Any], ...] = (
        lambda: compiled(p, (1, 3), scale=1.0),
        lambda: compiled({"x": X[:2]}, (1, 2), scale=1.0),
        lambda: compiled({"x": X, "z": X}, (1, 2), scale=1.0),
        lambda: compiled({"x": X.astype(np.float32)}, (1, 2), scale=1.0),
    )
    for bad in calls:
        with pytest.raises(gw.FeedError, match=f"{__file__}:"):
            bad()


def test_lowered_for_named_dims() -> None:
    @gw.jit
    def f(x: Any) -> Any:
        return (x * 2).sum(axis=1)

    lowered = f.lower(gw.spec("float32", ("n", 4)))
    assert "float32[n, 4]" in lowered.as_text()
    compiled = lowered.compile()
    for n in (0, 1, 2, 7):
        assert compiled(np.ones((n, 4), np.float32)).shape == (n,)
    assert (
        lowered.cost_analysis(n=8)["flops"] == 2 * lowered.cost_analysis(n=4)["flops"]
    )
