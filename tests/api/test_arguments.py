"""Arguments of wrong types and values: each is one error that says what is taken."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from inspect import isfunction
from typing import Any, Literal, get_type_hints

import numpy as np
import pytest

import graphwright as gw
from graphwright import testing
from graphwright.ir.arguments import checked

X = np.ones(3, np.float32)


def double(x: Any) -> Any:
    return x * 2


GRAPH = gw.trace(double, X)
ANY: Any = gw
"""The library as one without types sees it."""


def session(**options: Any) -> gw.InferenceSession:
    model = gw.export(GRAPH).SerializeToString()
    return gw.InferenceSession(model, gw.SessionOptions(**options))


def prepare(model: Any) -> Any:
    return ANY.onnx_backend.GraphwrightBackend.prepare(model)


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: ANY.compile(GRAPH, backend=3), "backend must be str | Backend | Sequence"),
    (lambda: ANY.compile(GRAPH, dump=3), "dump must be str | PathLike[str] | None"),
    (lambda: ANY.compile(GRAPH, tune="x"), "Literal['off', 'fast', 'full'], got 'x'"),
    (lambda: ANY.compile(GRAPH, timeout="soon"), "timeout must be float | None"),
    (lambda: ANY.compile(GRAPH, placement={"Conv": 3}), "Mapping[str, str] | None"),
    (lambda: ANY.jit(3), "jit: function must be Callable[..., Any] | None, got 3"),
    (lambda: ANY.jit(double, static_argnums=1.5), "int | Collection[int], got 1.5"),
    (lambda: ANY.vmap(double, in_axes="x")(X), "in_axes 'x' does not fit"),
    (lambda: ANY.export(GRAPH, opset="new"), "export: opset must be int | None"),
    (lambda: ANY.load(b"", dims=["n"]), "load: dims must be Mapping[str, int]"),
    (lambda: ANY.optimize("graph"), "optimize: graph must be Graph, got 'graph'"),
    (lambda: ANY.compare(GRAPH, "numpy"), "backends must be Sequence["),
    (lambda: ANY.compare(GRAPH, seed=-1), "seed=-1: none may be negative"),
    (lambda: ANY.bench(GRAPH, blocks=0), "blocks=0"),
    (lambda: ANY.bisect(GRAPH, []), "takes (x), got 0 inputs"),
    (lambda: ANY.check(GRAPH, []), "no backend was named"),
    (lambda: ANY.set_num_threads(1.5), "count must be int, got 1.5"),
    (lambda: ANY.spec("float32", None), "None is no size"),
    (lambda: ANY.InferenceSession(b"", providers="CPU"), "InferenceSession: providers"),
    (lambda: session(intra_op_num_threads=-1), "intra_op_num_threads must be 0, for"),
    (lambda: session(max_bytes="1M"), "SessionOptions: max_bytes must be int | None"),
    (lambda: ANY.PassManager("fold_constants"), "PassManager: passes must be Seq"),
    (lambda: ANY.PassManager([3]), "PassManager: passes must be Sequence["),
    (lambda: ANY.Builder().finish(3), "Builder.finish: outputs must be Iterable"),
    (lambda: ANY.Builder().finish([3]), "an output is a value of the builder, got 3"),
    (lambda: ANY.Tensor(3), "gw.asarray takes int"),
    (lambda: ANY.asarray(X).to(3), "Tensor.to: backend must be"),
    (lambda: ANY.switch(0, [], X), "no branch"),
    (lambda: ANY.fori_loop(X, 2, lambda i, x: x, X), "counts from one integer"),
    (lambda: ANY.compile(GRAPH)(X, cancel=3), "must be a gw.Cancellation, got 3"),
    (lambda: ANY.compile(GRAPH).run(3, {"x": X}), "list of names, or None, got 3"),
    (lambda: ANY.compile(GRAPH).cost_analysis(n="x"), "cost_analysis: n must be int"),
    (lambda: ANY.compile(GRAPH).profile(3), "profile: feeds must be Sequence[Any]"),
    (lambda: ANY.compare(GRAPH).accounting("x"), "no runner is called 'x'; there are"),
    (lambda: ANY.compile(lambda x: x), "gw.trace makes a graph of a function"),
    (lambda: prepare(3), "GraphwrightRep: model must be ModelProto, got 3"),
    (lambda: prepare(gw.export(GRAPH)).run([X, X]), "takes 1 inputs ('x'), got 2"),
    (lambda: list(ANY.testing.cases("frob")), "frob has no recipe"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_refused(number: int) -> None:
    call, words = REFUSED[number]
    with pytest.raises(gw.GraphwrightError, match=re.escape(words)):
        call()


def test_compilation_is_not_silently_left_out() -> None:
    """An option that does not exist let a comparison pass without its backend."""
    with pytest.raises(TypeError, match="nonsense"):
        ANY.compare(GRAPH, nonsense=3)


@checked
def sample(
    number: float,
    names: str | Sequence[str] = (),
    *many: int,
    sizes: Mapping[str, int] | None = None,
    some: Collection[int] = (),
    kind: Literal["a", "b"] = "a",
    flag: bool = False,
) -> float:
    """Words."""
    return number


ANY_SAMPLE: Any = sample


def test_what_fits_is_passed_on() -> None:
    assert sample(2) == 2
    assert ANY_SAMPLE(np.float32(2), ["x"], 1, sizes={"n": np.int64(3)}) == 2
    assert ANY_SAMPLE(number=1.5, some={3}, kind="b", flag=np.bool_(True)) == 1.5
    assert sample.__doc__ == "Words."
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        ANY_SAMPLE()


@pytest.mark.parametrize(
    "wrong",
    [
        {"number": "2"},
        {"number": np.ones(2)},
        {"names": [3]},
        {"names": b"x"},
        {"sizes": {"n": "3"}},
        {"sizes": {3: 3}},
        {"some": "3"},
        {"some": [1.5]},
        {"kind": "c"},
        {"kind": np.ones(2)},
        {"flag": "no"},
        {"flag": None},
    ],
)
def test_what_does_not_fit_is_named(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(gw.ArgumentError, match=f"^sample: {name} must be .*, got "):
        ANY_SAMPLE(**{"number": 1, **wrong})


def test_all_public_functions_check_their_arguments() -> None:
    public = {n: getattr(gw, n) for n in gw.__all__}
    public |= {n: getattr(testing, n) for n in testing.__all__ if n != "graphs"}
    functions = {n: f for n, f in public.items() if isfunction(f)}
    for function in functions.values():
        get_type_hints(function)  # all names in them are there when the call is
    plain = {n for n, f in functions.items() if not hasattr(f, "__wrapped__")}
    assert plain == {"asarray", "cases", "devices", "diff", "get_num_threads", "spec"}
