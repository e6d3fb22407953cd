"""Backends that have a fault."""

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graphwright.backends.contract import Backend, GraphBackend, Kernel, Request
from graphwright.backends.numpy.backend import NumpyBackend
from graphwright.ir.errors import IndexBoundsError
from graphwright.ir.evaluate import Evaluator
from graphwright.ir.graph import Graph, Node
from graphwright.testing import RecordingBackend, RecordingGraphBackend
from kit_faults.kinds import Call, Fault

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def clean(host: str) -> Backend:
    """The backend of that name, without a fault."""
    made: Backend = _class(host)()
    return made


def _class(host: str) -> Any:
    if host == "torch":
        folder = str(EXAMPLES / "backend_torch")
        if folder not in sys.path:
            sys.path.append(folder)
        return importlib.import_module("graphwright_torch").TorchBackend
    own: dict[str, Any] = {
        "numpy": NumpyBackend,
        "recording": RecordingBackend,
        "recording-graphs": RecordingGraphBackend,
    }
    return own[host]


def faulty(fault: Fault) -> Backend:
    """A backend with a fault, fresh: it remembers nothing."""
    cls, device = _class(fault.host), dict[Any, Any]()
    shown = _memory_of(fault.host)
    fresh = fault.kind.name != "results are not fresh"

    class Faulty(cls):  # type: ignore[misc,valid-type]
        name = "faulty"

        def copy(self, array: Any) -> Any:
            return super().copy(array) if fresh else array

        def to_host(self, array: Any) -> Any:
            return super().to_host(array) if fresh else shown(array)

        def to_device(self, array: Any) -> Any:
            if fault.kind.name == "feeds in Fortran's order":
                turned = array.ndim > 1 and not array.flags.c_contiguous
                if turned and array.flags.f_contiguous:
                    array = array.ravel("K").reshape(array.shape)
            return super().to_device(array)

    def spoil(backend: Any, request: Request, right: Kernel) -> Kernel:
        return _spoiled(fault, backend, request, right, shown, device)

    if issubclass(cls, GraphBackend):
        return _graphs(Faulty, spoil)

    class FaultyTable(Faulty):
        def kernel(self, request: Request) -> Kernel:
            right = super().kernel(request)
            return spoil(self, request, right) if fault.meets(request) else right

    made: Backend = FaultyTable()
    return made


def _graphs(cls: Any, spoil: Callable[..., Kernel]) -> Backend:
    """A backend of graphs whose nodes pass through ``spoil``."""

    class FaultyGraphs(cls):  # type: ignore[misc]
        def compile(self, graph: Graph) -> Kernel:
            evaluator = _Spoiling(self, graph, spoil)

            def run(*arrays: Any) -> Any:
                opened = [x._array for x in arrays]
                found = evaluator.run(graph, opened)
                return tuple(map(self.to_device, found))

            return run

    made: Backend = FaultyGraphs()
    return made


class _Spoiling(Evaluator):
    """Runs each node by a kernel of its own, which remembers what it likes."""

    def __init__(
        self, backend: Any, graph: Graph, spoil: Callable[..., Kernel]
    ) -> None:
        super().__init__(np)
        self.kernels = {
            id(node): spoil(_Plain(), self._request(graph, node), self._right(node))
            for node in graph.nodes
        }

    def _request(self, graph: Graph, node: Node) -> Request:
        known = tuple(map(graph.constants.get, node.operands))
        types = tuple(v.type for v in node.operands)
        return Request(node.op, types, known, tuple(v.type for v in node.results))

    def _right(self, node: Node) -> Kernel:
        return lambda *xs: node.op.compute(np, *xs)

    def _apply(self, node: Node, operands: list[Any], env: Any) -> Sequence[Any]:
        with np.errstate(all="ignore"):
            found = self.kernels[id(node)](*operands)
        return list(found) if isinstance(found, tuple) else [np.asarray(found)]


class _Plain:
    """numpy's arrays as they are."""

    to_host = to_device = staticmethod(np.asarray)


def _memory_of(host: str) -> Callable[[Any], Any]:
    """How the memory of a backend's array is reached."""

    def of(x: Any) -> Any:
        if isinstance(x, np.ndarray):
            return x
        if hasattr(x, "_array"):
            return x._array
        try:
            return x.numpy()
        except (AttributeError, TypeError):
            return None

    return of


def _spoiled(
    fault: Fault,
    backend: Any,
    request: Request,
    right: Kernel,
    shown: Callable[[Any], Any],
    device: dict[Any, Any],
) -> Kernel:
    if not fault.meets(request):
        return right
    own: dict[Any, Any] = {}

    def run(*arrays: Any) -> Any:
        try:
            found = right(*arrays)
        except IndexBoundsError:
            return _unraised(fault, backend, request, right, arrays)
        rows = found if isinstance(found, tuple) else (found,)
        ys = [np.asarray(backend.to_host(y)) for y in rows]
        xs = [np.asarray(backend.to_host(x)) for x in arrays]
        memory = [shown(x) for x in arrays]
        call = Call(request, xs, memory, ys, device, own, fault.size)
        wrong = fault.strike(call)
        if wrong is ys:
            return found
        return tuple(map(backend.to_device, wrong))

    return run


def _unraised(
    fault: Fault, backend: Any, request: Request, right: Kernel, arrays: Sequence[Any]
) -> Any:
    """An index out of range: an error of another kind, or none."""
    if fault.kind.name == "another error":
        raise ZeroDivisionError("out of range")
    if fault.kind.name != "no error":
        raise IndexBoundsError("out of range")
    axis = request.op.fields["axis"]
    bad = np.asarray(backend.to_host(arrays[1]))
    size = arrays[0].shape[axis]
    fixed = backend.to_device(np.clip(bad, 0, size - 1))
    return right(arrays[0], fixed, *arrays[2:])
