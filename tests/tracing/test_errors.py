"""What a traced function must not do: errors with the user's own line, and a cure.

The texts are golden: read them as a user would.
"""

import random
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import graphwright as gw

GENERATOR = np.random.default_rng(0)
SEEN: list[Any] = []
CACHE: dict[str, Any] = {}
CALLS = 0


@dataclass
class Model:
    w: Any = field(default_factory=lambda: np.ones(2))
    history: list[Any] = field(default_factory=list)
    calls: int = 0


class Layer:
    """No dataclass: an object that is static."""

    def __init__(self) -> None:
        self.calls = 0
        self.history: list[Any] = []

    def remember(self, x: Any) -> Any:
        self.state = x * 2
        return x

    def count(self, x: Any) -> Any:
        self.calls += 1
        return x

    def note(self, x: Any) -> Any:
        self.history.append(1)
        return x


def branch(x: Any) -> Any:
    y = x * 2
    if y[0] > 0:
        return y
    return x


def repeat(x: Any) -> Any:
    while x.sum() < 10:
        x = x * 2
    return x


def both(x: Any) -> Any:
    return x[0] > 0 and x[1] > 0


def number(x: Any) -> Any:
    return float(x[0])


def formatted(x: Any) -> Any:
    return f"{x[0]:.2f}"


def listed(x: Any) -> Any:
    return x.tolist()


def counted(x: Any) -> Any:
    n = (x[0] * 2).astype(int)
    return [x for _ in range(n)]


def shaped(x: Any) -> Any:
    return np.zeros(x[0].astype(int))


def ranged(x: Any) -> Any:
    return np.arange(x.sum())


def spaced(x: Any) -> Any:
    return np.linspace(0.0, 1.0, x.argmax())


def shown(x: Any) -> Any:
    print(x)  # noqa: T201
    return x


def opened(x: Any) -> Any:
    with open("numbers.txt") as file:
        return x * float(file.read())


def made_of_objects(x: Any) -> Any:
    return x + gw.asarray([object()])


def drawn(x: Any) -> Any:
    return x + np.random.rand(2)


def generated(x: Any) -> Any:
    return x + GENERATOR.normal(size=2)


def passed(x: Any, rng: Any) -> Any:
    return x + rng.normal(size=2)


def gambled(x: Any) -> Any:
    return x + random.gauss(0, 1)


def timed(x: Any) -> Any:
    return x + time.time()


def appended(x: Any) -> Any:
    y = x + 1
    SEEN.append(y)
    return y


def cached(x: Any) -> Any:
    CACHE["x"] = 3
    return x


def rebound(x: Any) -> Any:
    global CALLS  # noqa: PLW0603
    CALLS += 1
    return x


def grown(xs: Any) -> Any:
    total = xs[0] + 1
    xs.append(total)
    return total


def replaced(d: Any) -> Any:
    d["w"] = d["w"] * 2
    return d["w"]


def set_field(m: Any) -> Any:
    m.w = m.w * 2
    return m.w


def unknown(x: Any) -> Any:
    return np.busday_count(x, x)


def saved(x: Any) -> Any:
    np.save("x.npy", x)
    return x


def broadcast(x: Any) -> Any:
    return x + np.ones(3)


VALUE = "needs the value of a traced"
ONCE = "would run once, when the function is traced, and not at each call"
OUTSIDE = (
    "which is outside of it and would change once, when it is traced, and not at each"
    " call: return the value instead"
)
INSIDE = (
    "among its arguments, which the caller would not see: return it, or write to the"
    " array, as in x[...] = y"
)
DRAW = "draw with gw.random and a key, or pass what was drawn as an argument"
LOGIC = (
    "use gw.cond or np.where for if, gw.while_loop for while, & | ~ for and, or, not"
)
NUMBER = "keep it a tensor (np.sin(t), not math.sin(t)), or make it a static argument"
KNOWN = (
    "shapes must be known when tracing: make it a static argument, or take the largest"
    " size and mask with np.where"
)
LATER = "keep it a tensor in the function, and read the result after the call"
X = np.ones(2)

GOLDEN: dict[str, tuple[Callable[..., Any], tuple[Any, ...], int, str]] = {
    "branch": (branch, (X,), 2, f"`if t` (bool) {VALUE} bool[]: {LOGIC}"),
    "repeat": (repeat, (X,), 1, f"`if t` (bool) {VALUE} bool[]: {LOGIC}"),
    "both": (both, (X,), 1, f"`if t` (bool) {VALUE} bool[]: {LOGIC}"),
    "number": (number, (X,), 1, f"float(t) {VALUE} float64[]: {NUMBER}"),
    "formatted": (formatted, (X,), 1, f"t.item() {VALUE} float64[]: {LATER}"),
    "listed": (listed, (X,), 1, f"t.tolist() {VALUE} float64[2]: {LATER}"),
    "counted": (
        counted,
        (X,),
        2,
        f"an index, range or size {VALUE} int64[]: index with the tensor itself, loop"
        " by gw.fori_loop or gw.scan, or make it a static argument",
    ),
    "shaped": (shaped, (X,), 1, f"a shape {VALUE} int64[]: {KNOWN}"),
    "ranged": (ranged, (X,), 1, f"a shape {VALUE} float64[]: {KNOWN}"),
    "spaced": (spaced, (X,), 1, f"a shape {VALUE} int64[]: {KNOWN}"),
    "shown": (
        shown,
        (X,),
        1,
        f"print() {ONCE}: return what you want to see, and print it after the call",
    ),
    "opened": (
        opened,
        (X,),
        1,
        f"open() {ONCE}: read or write files outside, and pass what was read as an"
        " argument",
    ),
    "made_of_objects": (
        made_of_objects,
        (X,),
        1,
        "no tensor can be made of a list of object objects: numbers, booleans and"
        " strings are known",
    ),
    "drawn": (drawn, (X,), 1, f"numpy.random.rand() {ONCE}: {DRAW}"),
    "generated": (generated, (X,), 1, f"Generator.normal() {ONCE}: {DRAW}"),
    "passed": (passed, (X, GENERATOR), 1, f"Generator.normal() {ONCE}: {DRAW}"),
    "gambled": (gambled, (X,), 1, f"random.gauss() {ONCE}: {DRAW}"),
    "timed": (timed, (X,), 1, f"time.time() {ONCE}: measure around the call"),
    "appended": (appended, (X,), 2, f"the traced function changes SEEN, {OUTSIDE}"),
    "cached": (cached, (X,), 1, f"the traced function changes CACHE, {OUTSIDE}"),
    "rebound": (
        rebound,
        (X,),
        2,
        f"the traced function sets the variable CALLS, {OUTSIDE}",
    ),
    "remember": (
        Layer.remember,
        (Layer(), X),
        1,
        f"the traced function sets Layer.state, {OUTSIDE}",
    ),
    "count": (
        Layer.count,
        (Layer(), X),
        1,
        f"the traced function sets Layer.calls, {OUTSIDE}",
    ),
    "note": (
        Layer.note,
        (Layer(), X),
        1,
        f"the traced function changes self.history, {OUTSIDE}",
    ),
    "grown": (
        grown,
        ([X],),
        2,
        f"the traced function adds to or takes from a list or dict {INSIDE}",
    ),
    "replaced": (
        replaced,
        ({"w": X},),
        1,
        f"the traced function sets d['w'] {INSIDE}",
    ),
    "set_field": (set_field, (Model(),), 1, f"the traced function sets m.w {INSIDE}"),
    "unknown": (
        unknown,
        (X,),
        1,
        "numpy.busday_count is not supported on tensors: write it with functions of"
        " graphwright.numpy, or compute on np.asarray(t) outside the traced function",
    ),
    "saved": (saved, (X,), 1, f"numpy.save {VALUE} float64[2]: {LATER}"),
    "broadcast": (
        broadcast,
        (X,),
        1,
        "add: sizes 2 and 3 do not broadcast: they must be equal, or one of them 1",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_errors_name_the_users_line(name: str) -> None:
    function, args, offset, words = GOLDEN[name]
    line = function.__code__.co_firstlineno + offset
    with pytest.raises(gw.GraphwrightError) as caught:
        gw.jit(function)(*args)
    assert str(caught.value) == f"{__file__}:{line}: {words}"
    SEEN.clear()
    CACHE.clear()


def test_what_did_not_change_may_be_read() -> None:
    scale = {"by": 3}
    layer = Layer()

    @gw.jit
    def f(x: Any) -> Any:
        local = [x * scale["by"]]
        local.append(x)
        counts = {"n": len(local)}
        counts["n"] += 1
        with np.errstate(all="ignore"):
            return sum(local) * counts["n"] + len(layer.history)

    assert f(X).tolist() == [12, 12]
    assert isinstance(GENERATOR, np.random.Generator)
    checked = gw.jit(lambda x: x if isinstance(GENERATOR, np.random.Generator) else 0)
    assert checked(X).tolist() == [1, 1]


def test_closures_are_watched() -> None:
    count, kept = 0, []

    def f(x: Any) -> Any:
        nonlocal count
        count += 1
        return x

    def g(x: Any) -> Any:
        def body(i: Any, c: Any) -> Any:
            kept.append(i)
            return c

        return gw.fori_loop(0, 3, body, x)

    with pytest.raises(gw.TraceError, match="sets the variable count"):
        gw.jit(f)(X)
    with pytest.raises(gw.TraceError, match=rf"{__file__}:\d+: .* changes kept"):
        gw.jit(g)(X)


def test_functions_outside_a_trace_may_do_all_of_it() -> None:
    def f(x: Any) -> Any:
        SEEN.append(x)
        return x + random.random() * 0 + np.random.rand(2) * 0

    assert f(gw.asarray(X)).tolist() == [1, 1]
    SEEN.clear()


def test_warnings_of_the_traced_function_are_no_effects() -> None:
    def f(x: Any) -> Any:
        warnings.warn("once", UserWarning, stacklevel=1)
        return x * 2

    with pytest.warns(UserWarning, match="once"):
        assert gw.jit(f)(X).tolist() == (X * 2).tolist()


def test_only_functions_are_jitted() -> None:
    with pytest.raises(TypeError, match=r"function must be Callable.*, got 3"):
        gw.jit(3)  # type: ignore[call-overload]
