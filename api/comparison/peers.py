"""Other systems as runners: ONNX Runtime, ONNX's reference evaluator, OpenVINO."""

import time
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np

from graphwright.comparison.alignment import Account, Fate
from graphwright.comparison.labels import Labelled
from graphwright.comparison.runners import Feeds, Outcome, Runner
from graphwright.frontends.onnx.peers import (
    all_outputs,
    reference_runner,
    session_source,
)
from graphwright.ir.dtype import bfloat16, string
from graphwright.ir.errors import BackendUnavailable
from graphwright.ir.types import TensorType
from graphwright.threads import get_num_threads


class PeerRunner(Runner):
    """Another system, given the model as ONNX."""

    library = ""

    def __init__(self, original: Labelled, source: Any) -> None:
        if find_spec(self.library) is None:
            raise BackendUnavailable(
                f"{self.name!r} needs {self.library}, which is not installed:"
                f" pip install {self.library}"
            )
        self.original, self.source = original, source
        self._seen: set[str] = set()

    def _labelled(self, named: Mapping[str, Any]) -> dict[str, Any]:
        """Inner values by label; what has no label here is left out."""
        labels, aliases = self.original.labels, self.original.aliases
        found: dict[str, Any] = {}
        for name, x in named.items():
            label = aliases.get(name, name)
            if label in labels and labels[label].node >= 0 and x is not None:
                found[label] = _as_typed(x, labels[label].type)
        self._seen.update(found)
        return found

    def _outputs(self, named: Mapping[str, Any]) -> list[Any]:
        graph = self.original.graph
        rows = zip(graph.output_names, graph.output_types, strict=True)
        return [_as_typed(named[n], t) for n, t in rows]

    def accounts(self) -> Mapping[str, Account]:
        return {name: Account(Fate.KEPT) for name in self._seen}


def _as_typed(x: Any, type_: Any) -> Any:
    """Text and what a system holds as bits, as this library holds them."""
    if not isinstance(type_, TensorType):
        return x
    array = np.asarray(x)
    if type_.dtype is string:
        return array.astype(object)
    want = type_.dtype.numpy
    bits = array.dtype != want and array.dtype.kind in "uV"
    if bits and array.dtype.itemsize == want.itemsize and want.kind == "V":
        return array.view(want)
    return array


class OnnxRuntimeRunner(PeerRunner):
    """ONNX Runtime on the processor, its optimisations on.

    Args:
        original: The graph.
        source: The model.
        inner: Whether to ask for every value, which gives it another plan: such a
            session stands beside the plain one, under a name of its own.
    """

    name = "onnxruntime"
    library = "onnxruntime"

    def __init__(self, original: Labelled, source: Any, *, inner: bool = False) -> None:
        super().__init__(original, source)
        import onnxruntime

        options: Any = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = get_num_threads()
        model, self._names = session_source(source), None
        if inner:
            self.name = "onnxruntime (all values)"
            self.note = "a session of its own: its plan keeps every value"
            model, self._names = all_outputs(source)
        self.session: Any = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self._taken = [i.name for i in self.session.get_inputs()]

    def run(self, feeds: Feeds) -> Outcome:
        start = time.perf_counter()
        found = self.session.run(self._names, self._given(feeds))
        seconds = time.perf_counter() - start
        names = self._names or [o.name for o in self.session.get_outputs()]
        named = dict(zip(names, found, strict=True))
        values = self._labelled(named) if self._names else {}
        return Outcome(self._outputs(named), values, seconds)

    def _given(self, feeds: Feeds) -> dict[str, Any]:
        return {n: feeds[n] for n in self._taken}

    def plain(self, feeds: Feeds) -> list[Any]:
        found: list[Any] = self.session.run(None, self._given(feeds))
        return found


class OnnxReferenceRunner(PeerRunner):
    """The reference evaluator of the package onnx."""

    name = "onnx"
    library = "onnx"

    def __init__(self, original: Labelled, source: Any) -> None:
        super().__init__(original, source)
        self._run = reference_runner(source)

    def run(self, feeds: Feeds) -> Outcome:
        start = time.perf_counter()
        named = self._run(feeds)
        seconds = time.perf_counter() - start
        return Outcome(self._outputs(named), self._labelled(named), seconds)


class OpenVinoRunner(PeerRunner):
    """OpenVINO on the processor, in the precision of the model."""

    name = "openvino"
    library = "openvino"

    def __init__(self, original: Labelled, source: Any) -> None:
        super().__init__(original, source)
        import openvino

        self._openvino: Any = openvino
        core: Any = openvino.Core()
        hints = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": get_num_threads(),
        }
        self.request: Any = core.compile_model(
            core.read_model(session_source(source)), "CPU", hints
        ).create_infer_request()
        self._taken = [sorted(port.get_names()) for port in self.request.model_inputs]

    def run(self, feeds: Feeds) -> Outcome:
        start = time.perf_counter()
        found = self.plain(feeds)
        seconds = time.perf_counter() - start
        types = self.original.graph.output_types
        rows = zip(found, types, strict=True)
        return Outcome([_as_typed(x, t) for x, t in rows], {}, seconds)

    def plain(self, feeds: Feeds) -> list[Any]:
        given = [next(feeds[n] for n in names if n in feeds) for names in self._taken]
        found = self.request.infer(list(map(self._tensor, given)))
        return [self._array(found[p], p) for p in self.request.model_outputs]

    def _tensor(self, x: Any) -> Any:
        """An input; bfloat16 is unknown to OpenVINO's arrays, not to its tensors."""
        if not isinstance(x, np.ndarray) or x.dtype != bfloat16.numpy:
            return x
        bits = np.ascontiguousarray(x).view(np.uint16)
        return self._openvino.Tensor(bits, list(x.shape), self._openvino.Type.bf16)

    def _array(self, x: Any, port: Any) -> Any:
        """An output; what is bfloat16 comes as an array of float16 with its bits."""
        array = np.array(x)
        is_brain = port.get_element_type() == self._openvino.Type.bf16
        return array.view(bfloat16.numpy) if is_brain else array


PEERS: dict[str, type[PeerRunner]] = {
    kind.name: kind for kind in (OnnxRuntimeRunner, OnnxReferenceRunner, OpenVinoRunner)
}
"""Other systems by name."""
