"""ONNX's own backend tests, run on a backend of choice."""

import unittest
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from onnx import AttributeProto, TensorProto

from graphwright.backends.contract import Backend
from graphwright.backends.executable import Executable
from graphwright.backends.host import Fallback
from graphwright.frontends.onnx.backend import GraphwrightBackend, GraphwrightRep
from graphwright.frontends.onnx.tensors import dtype_of
from graphwright.ir.errors import BackendUnavailable, GraphwrightError

CANNOT_PASS: Mapping[str, str] = {
    **dict.fromkeys(
        [
            "test_bernoulli_cpu",
            "test_bernoulli_double_cpu",
            "test_bernoulli_double_expanded_cpu",
            "test_bernoulli_expanded_cpu",
            "test_bernoulli_seed_cpu",
            "test_bernoulli_seed_expanded_cpu",
        ],
        "wants the numbers of one particular generator that ONNX does not name",
    ),
    "test_loop16_seq_none_cpu": "the runner takes the length of a 0-d result",
}
"""Tests that no backend can pass, and why."""


@dataclass
class SuiteResult:
    """What came of one test.

    Attributes:
        plain: Whether its model is of ai.onnx's operators alone, without control flow,
            on tensors of bool, integers and floats of 8 bits or more (no float8).
        fallbacks: Ops that ran on the host.
        error: What was raised, an ``AssertionError`` if results were wrong.
        runs: Executables that ran, each with its feeds.
    """

    plain: bool = False
    fallbacks: list[Fallback] = field(default_factory=list[Fallback])
    error: BaseException | None = None
    runs: list[tuple[Executable, list[Any]]] = field(
        default_factory=list[tuple[Executable, list[Any]]]
    )


class _Rep(GraphwrightRep):
    """A model that remembers what it ran on."""

    def __init__(self, model: Any, backend: Backend) -> None:
        super().__init__(model, backend)
        self.plain = is_plain(model)
        self.feeds: list[list[Any]] = []

    def run(self, inputs: Any, **_: Any) -> tuple[Any, ...]:
        self.feeds.append(list(inputs))
        return super().run(inputs)


class Suite:
    """The tests, by name, for one backend.

    Raises:
        BackendUnavailable: If the tests cannot be loaded, with the reason.
    """

    def __init__(self, chosen: Backend) -> None:
        made = self._made = list[_Rep]()

        class Chosen(GraphwrightBackend):
            @classmethod
            def prepare(
                cls,
                model: Any,
                device: str = "CPU",
                backend: str | None = None,
                **_: Any,
            ) -> GraphwrightRep:
                made.append(_Rep(model, chosen))
                return made[-1]

        self._tests = _tests(Chosen)

    @property
    def names(self) -> list[str]:
        """Names of all tests, those that cannot pass too."""
        return sorted(self._tests)

    def run(self, name: str) -> SuiteResult:
        """Runs one test; what it raises is in the result."""
        self._made.clear()
        result = SuiteResult()
        function = getattr(self._tests[name], "__wrapped__", self._tests[name])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                function(None, "CPU")
        except (Exception, unittest.SkipTest) as error:
            result.error = error
        for rep in self._made:
            result.plain = rep.plain
            result.fallbacks += rep.executable.fallbacks
            result.runs += [(rep.executable, feeds) for feeds in rep.feeds]
        self._made.clear()
        return result


def _tests(backend: Any) -> dict[str, Any]:
    try:
        from onnx.backend.test.runner import Runner
    except ImportError as error:
        raise BackendUnavailable(f"onnx's backend tests do not load: {error}") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runner: Any = Runner(backend, __name__)
    items = [i for group in runner._test_items.values() for i in group.items()]
    return {name: item.func for name, item in items if name.endswith("_cpu")}


def is_plain(model: Any) -> bool:
    """See ``SuiteResult.plain``."""
    graphs, nodes = [model.graph], list(model.graph.node)
    nodes += [node for function in model.functions for node in function.node]
    if any(node.domain not in ("", "ai.onnx") for node in nodes):
        return False
    kinds: set[int] = set()
    for graph in graphs:
        kinds.update(tensor.data_type for tensor in graph.initializer)
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.WhichOneof("value") not in ("tensor_type", None):
                return False
            kinds.add(value.type.tensor_type.elem_type)
    for node in nodes:
        for attribute in node.attribute:
            if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
                return False
            kinds.add(attribute.t.data_type if attribute.HasField("t") else 0)
            kinds.add(attribute.i if attribute.name == "to" else 0)
    return all(map(_plain_dtype, kinds - {TensorProto.UNDEFINED}))


@cache
def _plain_dtype(kind: int) -> bool:
    try:
        dtype = dtype_of(kind)
    except GraphwrightError:
        return False
    small = dtype.bits < (16 if dtype.is_float else 8)
    return dtype.kind != "S" and not small
