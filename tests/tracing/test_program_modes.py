"""The array programs, those that are measured too: traced, compiled, and on tensors."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from array_programs import PROGRAMS
from tracing.array_programs import ARGUMENTS
from tracing.test_array_programs import same

import graphwright as gw

SIZE = 2048
Program = tuple[Callable[..., Any], Sequence[Any]]

ALL: dict[str, Program] = {
    **{f.__name__: (f, arguments) for f, arguments in ARGUMENTS.items()},
    **{
        f"{name} of the benchmark": (c.function, c.make(SIZE, np.float64))
        for name, c in PROGRAMS.items()
    },
}
MEASURED = [name for name in ALL if name.endswith("benchmark")]
WITH_TREES = [
    name
    for name, (_, arguments) in ALL.items()
    if not all(isinstance(x, (np.ndarray, int, float, str)) for x in arguments)
]
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def wanted(name: str) -> tuple[Any, Any]:
    """What NumPy gives, and the arguments after the call."""
    function, arguments = ALL[name]
    arguments = copy.deepcopy(arguments)
    return function(*arguments), arguments


def leaves(x: Any) -> list[Any]:
    """The arrays of a tree, in the order of a graph's outputs."""
    if isinstance(x, dict):
        return [leaf for key in x for leaf in leaves(x[key])]
    if isinstance(x, (tuple, list)):
        return [leaf for part in x for leaf in leaves(part)]
    return [x]


@pytest.mark.parametrize("name", MEASURED)
def test_compiled(name: str) -> None:
    function, given = ALL[name]
    arguments = copy.deepcopy(given)
    want, written = wanted(name)
    same(gw.jit(function)(*arguments), want)
    same(arguments, written)


@pytest.mark.parametrize("name", ALL)
def test_on_tensors(name: str) -> None:
    """NumPy's functions as the program calls them, one after the other."""
    function, given = ALL[name]
    arguments = [
        gw.asarray(x) if isinstance(x, np.ndarray) else copy.deepcopy(x) for x in given
    ]
    want, written = wanted(name)
    same(function(*arguments), want)
    same(arguments, list(written))


@pytest.mark.parametrize("name", [name for name in ALL if name not in WITH_TREES])
def test_traced(name: str) -> None:
    function, given = ALL[name]
    places = [i for i, x in enumerate(given) if isinstance(x, np.ndarray)]
    arrays = [given[i] for i in places]
    numbers = [None if i in places else x for i, x in enumerate(given)]

    def whole(*tensors: Any) -> Any:
        filled = list(numbers)
        for i, t in zip(places, tensors, strict=True):
            filled[i] = t.copy()
        return function(*filled), [filled[i] for i in places]

    specs = [gw.spec(x.dtype.name, x.shape) for x in arrays]
    exe = gw.compile(gw.trace(whole, *specs), backend="numpy")
    found = exe.run(None, dict(zip(exe.input_names, arrays, strict=True)))
    result, arguments = wanted(name)
    written = [x for x in arguments if isinstance(x, np.ndarray)]
    same(found, leaves([result, written]))
