"""Whether what a backend gives is what the graph means, within derived bounds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphwright.backends.contract import Backend
from graphwright.compiled import compile as compile_graph
from graphwright.ir.arguments import checked
from graphwright.ir.dtype import string
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType, Type
from graphwright.testing.shadow import Bound, bounds_of

__all__ = ["Bound", "assert_accurate", "assert_agree", "assert_within", "bounds_of"]


@checked
def assert_agree(
    graph: Graph,
    inputs: Sequence[Any],
    backend: "str | Backend | Sequence[str | Backend]" = "numpy",
    **options: Any,
) -> None:
    """Asserts that a compiled graph gives what the reference evaluator does.

    Dtypes and shapes are the same; integers, booleans, strings, infinities and NaN too;
    floats are within the bounds of ``bounds_of``.

    Args:
        graph: The graph.
        inputs: One value for each input.
        backend: A name, names in order of preference, or a backend.
        **options: For ``compile``: ``optimize``, ``strict_float``, ``strict``, ...

    Raises:
        AssertionError: Naming the worst element of the first output that differs.
    """
    want = evaluate(graph, inputs)
    exe = compile_graph(graph, backend=backend, **options)
    got = exe.run(None, dict(zip(graph.input_names, inputs, strict=True)))
    assert_within(graph, inputs, want, got)


@checked
def assert_accurate(graph: Graph, inputs: Sequence[Any]) -> None:
    """Asserts that the reference evaluator itself is within the bounds.

    Raises:
        AssertionError: Naming the worst element of the first output that is not.
    """
    want = evaluate(graph, inputs)
    for i, bound in enumerate(bounds_of(graph, inputs)):
        type_ = graph.output_types[i]
        if bound.tolerance is not None:
            _check_floats(
                f"output {i} of the reference", want[i], want[i], bound, type_
            )


def assert_within(
    graph: Graph, inputs: Sequence[Any], want: Sequence[Any], got: Sequence[Any]
) -> None:
    """Asserts that outputs agree with those of the reference evaluator.

    Raises:
        AssertionError: Naming the worst element of the first output that differs.
    """
    found = difference(graph, inputs, want, got)
    if found is not None:
        raise AssertionError(str(found))


@dataclass(frozen=True)
class Difference:
    """Where an output is not what the graph means.

    Attributes:
        message: Output, element, what it is and what it should be.
        error: How far the worst element is off; infinity where that is no number.
        bound: How far it may be off; 0 where nothing but equality will do.
    """

    message: str
    error: float = np.inf
    bound: float = 0.0

    def __str__(self) -> str:
        return self.message


def difference(
    graph: Graph,
    inputs: Sequence[Any],
    want: Sequence[Any],
    got: Sequence[Any],
    bounds: Sequence[Bound] = (),
) -> Difference | None:
    """The worst element of the first output that differs from the reference's.

    Args:
        graph: The graph.
        inputs: What it was fed with.
        want: Outputs of the reference evaluator.
        got: Outputs to judge.
        bounds: What ``bounds_of`` gives; found where they are needed if left out.
    """
    for i, type_ in enumerate(graph.output_types):
        name = f"output {graph.output_names[i]!r} ({type_})"
        try:
            assert_same_form(name, want[i], got[i])
        except AssertionError as error:
            return Difference(str(error))
        if is_identical(want[i], got[i]):
            continue
        bounds = bounds or bounds_of(graph, inputs)
        if bounds[i].tolerance is None:
            return Difference(f"{name}: {_difference(want[i], got[i])}")
        found = _float_difference(name, want[i], got[i], bounds[i], type_)
        if found is not None:
            return found
    return None


def assert_same_form(name: str, want: Any, got: Any) -> None:
    """Asserts that two values are of one kind, dtype and shape."""
    if not isinstance(want, np.ndarray):
        assert type(want) is type(got), f"{name}: {type(got)}, not {type(want)}"
        return
    said = f"{name}: {getattr(got, 'dtype', None)}{list(np.shape(got))}"
    same = isinstance(got, np.ndarray) and got.dtype == want.dtype
    assert same, f"{said}, the reference gives {want.dtype}{list(want.shape)}"
    assert got.shape == want.shape, f"{said}, the reference has shape {want.shape}"


def is_identical(want: Any, got: Any) -> bool:
    """Whether two values of one form are equal; NaN equals itself."""
    if not isinstance(want, np.ndarray):
        return (
            bool(np.all(_plain(want) == _plain(got)))
            if _flat(want)
            else _alike(want, got)
        )
    if want.dtype == string.numpy:
        return bool(np.all(want == got))
    floats = want.dtype.kind in "fcV"
    a, b = (_plain(x) for x in (want, got))
    return bool(np.array_equal(a, b, equal_nan=floats))


def _flat(x: Any) -> bool:
    return not isinstance(x, list | dict)


def _alike(want: Any, got: Any) -> bool:
    """Lists and dictionaries, item by item."""
    if isinstance(want, dict):
        return want.keys() == got.keys() and all(
            is_identical(v, got[k]) for k, v in want.items()
        )
    if isinstance(want, list):
        pairs = zip(want, got, strict=False)
        return len(want) == len(got) and all(is_identical(a, b) for a, b in pairs)
    return bool(want == got)


def _plain(x: Any) -> Any:
    """An array that NumPy can compare."""
    array = np.asarray(x)
    return array.astype(np.float64) if array.dtype.kind == "V" else array


def _difference(want: Any, got: Any) -> str:
    if not isinstance(want, np.ndarray) or not want.size:
        return f"{got!r}, the reference gives {want!r}"
    a, b = _plain(want), _plain(got)
    at = np.unravel_index(int(np.argmax(a != b)), a.shape)
    return f"{b[at]!r} at {list(map(int, at))}, the reference gives {a[at]!r}"


def _check_floats(name: str, want: Any, got: Any, bound: Bound, type_: Type) -> None:
    found = _float_difference(name, want, got, bound, type_)
    if found is not None:
        raise AssertionError(str(found))


def _float_difference(
    name: str, want: Any, got: Any, bound: Bound, type_: Type
) -> Difference | None:
    assert isinstance(type_, TensorType)
    wide = np.complex128 if type_.dtype.kind == "c" else np.float64
    have, reference = np.asarray(got).astype(wide), np.asarray(want).astype(wide)
    excess = _excess(have, reference, bound)
    if not excess.size or not excess.max() > 0:
        return None
    at = np.unravel_index(int(np.argmax(excess)), excess.shape)
    tolerance = float(bound.tolerance[at])
    message = (
        f"{name}: {have[at]} at {list(map(int, at))}, the reference gives"
        f" {reference[at]}, float64 {bound.value[at]} within {tolerance:.3g}"
    )
    with np.errstate(all="ignore"):
        error = float(np.abs(have[at] - bound.value[at]))
    return Difference(message, np.inf if np.isnan(error) else error, tolerance)


def _excess(have: Any, reference: Any, bound: Bound) -> Any:
    """By how many tolerances each element is wrong; 0 where it is not."""
    with np.errstate(all="ignore"):
        finite = np.isfinite(reference) & np.isfinite(bound.value)
        away = np.abs(have - bound.value)
        same = (have == reference) | (np.isnan(have) & np.isnan(reference))
        if have.dtype.kind == "c":
            same |= _alike_by_parts(have, reference, bound.tolerance)
        far = np.where(np.isnan(away), np.inf, away / (bound.tolerance + 1e-300))
        free = ~np.isfinite(bound.tolerance) | (away <= bound.tolerance)
    return np.where(finite, np.where(free, 0.0, far), np.where(same, 0.0, np.inf))


def _alike_by_parts(have: Any, reference: Any, tolerance: Any) -> Any:
    """Whether infinite parts are equal, and finite ones near or of no bound."""
    found = np.ones(have.shape, np.bool_)
    for a, b in ((have.real, reference.real), (have.imag, reference.imag)):
        near = np.isfinite(a) & np.isfinite(b) & ~(np.abs(a - b) > tolerance)
        found &= (a == b) | near
    return found
