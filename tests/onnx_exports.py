"""Models exported and taken back: the same results here and in ONNX Runtime."""

import unittest
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from locales import use_locale
from onnx.backend.base import Backend, BackendRep
from onnx.backend.test.runner import Runner

import graphwright as gw
from graphwright.ir.evaluate import evaluate
from graphwright.ir.graph import Graph

ort.set_default_logger_severity(4)

_ELEMENTS = dict(onnx.TensorProto.DataType.items())
_CARRIERS = {
    **dict.fromkeys(("BFLOAT16", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ"), "FLOAT"),
    **dict.fromkeys(("FLOAT8E5M2", "FLOAT8E5M2FNUZ", "FLOAT8E8M0"), "FLOAT"),
    **dict.fromkeys(("INT4", "UINT4", "INT2", "UINT2"), "INT32"),
}
"""Dtypes that NumPy lacks, and what holds their values at a model's ends."""
_TO = {_ELEMENTS[k]: _ELEMENTS[v] for k, v in _CARRIERS.items()}


def check(model: Any) -> None:
    """Checks a model as strictly as onnx can: it knows no contrib operators."""
    strict = all(o.domain != "com.microsoft" for o in model.opset_import)
    onnx.checker.check_model(model, full_check=strict)


def taken_back(graph: Graph, opset: int | None = None) -> tuple[Any, Graph]:
    """The model of a graph, checked, and the graph of that model."""
    model = gw.export(graph, opset=opset)
    check(model)
    assert [i.name for i in model.graph.input] == list(graph.input_names)
    assert [o.name for o in model.graph.output] == list(graph.output_names)
    return model, gw.load(model)


def assert_same(got: Any, want: Any, rtol: float = 1e-5) -> None:
    """Equal structures and dtypes; equal but for rounding where they are floats."""
    if isinstance(want, list | tuple):
        assert len(got) == len(want)
        for x, y in zip(got, want, strict=True):
            assert_same(x, y, rtol)
        return
    if want is None or isinstance(want, dict):
        assert got == want
        return
    got, want = np.asarray(got), np.asarray(want)
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    if want.dtype.kind in "OSUiub":
        np.testing.assert_array_equal(got, want)
        return
    if want.dtype.itemsize < 4 or want.dtype.kind not in "fc":
        rtol = max(rtol, 1e-2)
    wide = np.complex128 if want.dtype.kind == "c" else np.float64
    got, want = got.astype(wide), want.astype(wide)
    size = np.abs(want[np.isfinite(want)]).max(initial=0)
    np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * size)


def arrays(feeds: Any) -> list[Any]:
    """The suite's operands as graphs take them."""
    plain = [np.asarray(x) if isinstance(x, np.generic) else x for x in feeds]
    return [
        x.astype(object) if isinstance(x, np.ndarray) and x.dtype.kind in "US" else x
        for x in plain
    ]


class RoundTrip(Backend):
    """Runs what a model is after it was exported and loaded again."""

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device == "CPU"

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **_: Any) -> Any:
        graph = gw.load(model)
        _, again = taken_back(graph)
        return _Run(lambda feeds: _both(graph, again, arrays(feeds)))


class _Run(BackendRep):
    def __init__(self, run: Callable[[Any], Any]) -> None:
        self._run = run

    def run(self, inputs: Any, **_: Any) -> Any:
        return self._run(inputs)


def _both(graph: Graph, again: Graph, feeds: Any) -> Any:
    found = evaluate(again, feeds)
    assert_same(found, evaluate(graph, feeds))
    return found


# ONNX Runtime -------------------------------------------------------------------------


def plain_ends(model: Any) -> Any:
    """A model whose inputs and outputs have dtypes that NumPy has."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    for ends, before in ((graph.input, True), (graph.output, False)):
        for info in ends:
            kind = info.type.tensor_type.elem_type
            if kind not in _TO:
                continue
            name, inner = info.name, f"{info.name}'"
            for node in graph.node:
                names = node.input if before else node.output
                for i, word in enumerate(names):
                    names[i] = inner if word == name else word
                if not before:
                    node.input[:] = [inner if w == name else w for w in node.input]
            pair = (name, inner) if before else (inner, name)
            node = onnx.helper.make_node("Cast", pair[:1], pair[1:])
            node.attribute.add(name="to", type=2, i=kind if before else _TO[kind])
            graph.node.insert(0 if before else len(graph.node), node)
            info.type.tensor_type.elem_type = _TO[kind]
    return copy


class OnnxRuntime(Backend):
    """ONNX Runtime on one thread."""

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device == "CPU"

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **_: Any) -> Any:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        ends = plain_ends(model)
        use_locale(ends)
        session = ort.InferenceSession(ends.SerializeToString(), options)
        dtypes = {i.name: _dtype(i) for i in ends.graph.input}
        kinds = [_dtype(o) for o in model.graph.output]

        def run(feeds: Any) -> Any:
            names = [i.name for i in session.get_inputs()]
            given = {
                n: x.astype(dtypes[n]) if isinstance(x, np.ndarray) and dtypes[n] else x
                for n, x in zip(names, arrays(feeds), strict=False)
            }
            found = session.run(None, given)
            return [
                y.astype(k) if isinstance(y, np.ndarray) and k else y
                for y, k in zip(found, kinds, strict=True)
            ]

        return _Run(run)


def _dtype(info: Any) -> Any:
    kind = info.type.tensor_type.elem_type
    return onnx.helper.tensor_dtype_to_np_dtype(kind) if kind else None


class ExportedToOnnxRuntime(OnnxRuntime):
    """ONNX Runtime on what a model is after it was loaded and exported."""

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> Any:
        return super().prepare(gw.export(gw.load(model)), device, **kwargs)


# The suite ----------------------------------------------------------------------------


class Suite:
    """ONNX's backend suite, each test on whichever backend is asked for."""

    def __init__(self, *backends: Any) -> None:
        chosen = backends or (RoundTrip, OnnxRuntime, ExportedToOnnxRuntime)
        self._runs = {b: _tests(b) for b in chosen}

    def names(self) -> list[str]:
        """All tests."""
        return sorted(next(iter(self._runs.values())))

    def problem(self, backend: Any, name: str) -> str | None:
        """What goes wrong with a test, if anything does."""
        function = self._runs[backend][name]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                getattr(function, "__wrapped__", function)(None, "CPU")
        except (Exception, unittest.SkipTest) as error:
            return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return None


def _tests(backend: Any) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runner = Runner(backend, __name__)
    items = [i for group in runner._test_items.values() for i in group.items()]
    return {name: item.func for name, item in items if name.endswith("_cpu")}


def by_reason(problems: dict[str, str]) -> str:
    """Problems counted by their kind, the most frequent first, each with an example."""
    kinds = Counter(_kind(p) for p in problems.values())
    lines = [f"{len(problems)} models:"]
    for kind, count in kinds.most_common(40):
        name, text = next((n, p) for n, p in problems.items() if _kind(p) == kind)
        lines.append(f"{count} such as {name}: {text}")
    return "\n  ".join(lines)


def _kind(problem: str) -> str:
    return "".join(c for c in problem if not c.isdigit())[:60]
