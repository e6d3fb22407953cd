"""Write a model, its cases and its line in the manifest: shared by every exporter."""

import importlib.metadata
import json
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort

HERE = Path(__file__).resolve().parent
DATA = HERE.parent
MANIFEST = DATA / "manifest.json"
MAX_BYTES = 400_000

type_names = onnx.TensorProto.DataType.Name

Array = np.ndarray[Any, np.dtype[Any]]
Case = Mapping[str, Array] | Sequence[Array]

ort.set_default_logger_severity(4)


@dataclass(frozen=True)
class Example:
    """A model, inputs for each case, and how near a result must come.

    ``expected`` holds each case's outputs where ONNX Runtime has no kernel.
    ``recheck`` compares ONNX Runtime with and without its own rewrites.
    """

    model: onnx.ModelProto
    cases: Sequence[Case]
    rtol: float = 1e-4
    atol: float = 1e-5
    expected: Sequence[Sequence[Array]] = ()
    oracle: str = "onnxruntime"
    recheck: bool = True


class Suite:
    """The models of one exporter: builds those named on the command line, or all."""

    def __init__(self, exporter: str, packages: Iterable[str]) -> None:
        """Name the folder the models go to and the packages that made them."""
        self.exporter = exporter
        self.versions = {p: importlib.metadata.version(p) for p in packages}
        self.wanted = set(sys.argv[1:])
        self.entries: list[dict[str, Any]] = []
        self.failures: dict[str, str] = {}
        (DATA / exporter).mkdir(parents=True, exist_ok=True)

    def add(self, name: str, build: Callable[[], Example]) -> None:
        """Build and write one model; a failure is kept for the manifest."""
        if self.wanted and name not in self.wanted:
            return
        try:
            self.entries.append(self._write(name, build()))
            print("ok  ", self.exporter, name, flush=True)
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            self.failures[name] = f"{type(error).__name__}: {lines[0]}"[:200]
            print("FAIL", self.exporter, name, self.failures[name], flush=True)
            if self.wanted:
                traceback.print_exc()

    def close(self) -> None:
        """Put this exporter's entries into the manifest in place of the old ones."""
        old = json.loads(MANIFEST.read_text()) if MANIFEST.exists() else {}
        built = {e["file"] for e in self.entries}
        kept = [e for e in old.get("models", []) if self._keeps(e, built)]
        models = sorted(kept + self.entries, key=lambda e: str(e["file"]))
        text = json.dumps({"models": models}, indent=1, sort_keys=True)
        MANIFEST.write_text(text + "\n")
        print(len(self.entries), "written,", len(self.failures), "failed")

    def _keeps(self, entry: dict[str, Any], built: set[str]) -> bool:
        other = entry["exporter"] != self.exporter
        return other or (bool(self.wanted) and entry["file"] not in built)

    def _write(self, name: str, example: Example) -> dict[str, Any]:
        model = strip(example.model)
        payload = model.SerializeToString(deterministic=True)
        arrays, ran = run_cases(payload, model, example)
        path = DATA / self.exporter / f"{name}.onnx"
        if len(payload) > MAX_BYTES:
            raise ValueError(f"{len(payload)} bytes")
        path.write_bytes(payload)
        np.savez_compressed(path.with_suffix(".npz"), **arrays)
        return {
            "file": f"{self.exporter}/{name}.onnx",
            "exporter": self.exporter,
            "versions": self.versions,
            "cases": len(example.cases),
            "rtol": example.rtol,
            "atol": example.atol,
            "oracle": example.oracle,
            "onnxruntime_ran": ran,
            **describe(model),
        }


def strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what names the exporting machine's files: doc strings and metadata."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    model.doc_string = model.graph.doc_string = ""
    del model.metadata_props[:]
    for graph in graphs(model.graph):
        graph.doc_string = ""
        for value in (*graph.input, *graph.output, *graph.value_info):
            value.doc_string = ""
            del value.metadata_props[:]
        del graph.metadata_props[:]
    for node in nodes(model):
        node.doc_string = ""
        del node.metadata_props[:]
        for attribute in node.attribute:
            attribute.doc_string = ""
    for function in model.functions:
        del function.metadata_props[:]
        del function.value_info[:]
        function.doc_string = ""
    for tensor in model.graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]
    return model


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and, depth first, the sub-graphs of its nodes."""
    yield graph
    for node in graph.node:
        yield from subgraphs(node)


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs below a node's attributes."""
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            if inner.node or inner.output:
                yield from graphs(inner)


def nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Every node: of the graph, its sub-graphs and the model's functions."""
    for graph in graphs(model.graph):
        yield from graph.node
    for function in model.functions:
        for node in function.node:
            yield node
            for graph in subgraphs(node):
                yield from graph.node


def describe(model: onnx.ModelProto) -> dict[str, Any]:
    """What the manifest says of the model itself."""
    functions = {(f.domain, f.name) for f in model.functions}
    used = {(n.domain, n.op_type) for n in nodes(model)} - functions
    given = {t.name for t in model.graph.initializer}
    inputs = [v for v in model.graph.input if v.name not in given]
    return {
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "ir_version": model.ir_version,
        "opsets": {o.domain or "ai.onnx": o.version for o in model.opset_import},
        "ops": sorted(f"{d or 'ai.onnx'}::{op}" for d, op in used),
        "functions": sorted(f"{d}::{name}" for d, name in functions),
        "inputs": {v.name: spell(v.type) for v in inputs},
        "outputs": {v.name: spell(v.type) for v in model.graph.output},
        "dynamic_dims": sorted({d for v in inputs for d in dynamic(v.type)}),
    }


def spell(kind: onnx.TypeProto) -> str:
    """A short spelling of a type: ``float[batch,3]``, ``seq(map(int64,float[]))``."""
    if kind.HasField("sequence_type"):
        return f"seq({spell(kind.sequence_type.elem_type)})"
    if kind.HasField("map_type"):
        key = type_names(kind.map_type.key_type).lower()
        return f"map({key},{spell(kind.map_type.value_type)})"
    if kind.HasField("optional_type"):
        return f"optional({spell(kind.optional_type.elem_type)})"
    tensor = kind.tensor_type
    name = type_names(tensor.elem_type).lower()
    if not tensor.HasField("shape"):
        return f"{name}[...]"
    dims = (str(d.dim_value) if known(d) else d.dim_param or "?" for d in dims_of(kind))
    return f"{name}[{','.join(dims)}]"


def known(dim: onnx.TensorShapeProto.Dimension) -> bool:
    """Whether the file gives the dim's value."""
    return bool(dim.HasField("dim_value"))


def dims_of(kind: onnx.TypeProto) -> list[onnx.TensorShapeProto.Dimension]:
    """The dims of a tensor type; none for any other."""
    return list(kind.tensor_type.shape.dim)


def dynamic(kind: onnx.TypeProto) -> list[str]:
    """The names of the dims whose value the file leaves open."""
    return [d.dim_param or "?" for d in dims_of(kind) if not known(d)]


def run_cases(
    payload: bytes, model: onnx.ModelProto, example: Example
) -> tuple[dict[str, Array], bool]:
    """The arrays to store for each case, and whether ONNX Runtime ran them."""
    given = {t.name for t in model.graph.initializer}
    names = [v.name for v in model.graph.input if v.name not in given]
    wanted = [v.name for v in model.graph.output]
    session = None if example.expected else exact_session(payload)
    arrays: dict[str, Array] = {}
    for i, case in enumerate(example.cases):
        named = (
            case if isinstance(case, Mapping) else dict(zip(names, case, strict=True))
        )
        feeds = {k: np.asarray(v) for k, v in named.items()}
        assert set(feeds) == set(names), (sorted(feeds), names)
        found = example.expected[i] if session is None else run(session, wanted, feeds)
        if session and example.recheck:
            check_optimised(payload, wanted, feeds, found, example)
        for kind, values in (
            ("in", feeds),
            ("out", dict(zip(wanted, found, strict=True))),
        ):
            for name, value in values.items():
                arrays.update(flatten(f"case{i}/{kind}/{name}", value))
    return arrays, session is not None


def run(
    session: ort.InferenceSession, wanted: list[str], feeds: Mapping[str, Array]
) -> Sequence[Any]:
    """Run the session, with rewrites if the model does not run without.

    (The legacy torch exporter writes an If whose dead branch disagrees on ranks.)
    """
    try:
        return session.run(wanted, feeds)  # type: ignore[no-any-return]
    except ort.capi.onnxruntime_pybind11_state.InvalidArgument:
        plain_session = ort.InferenceSession(session._model_bytes)
        return plain_session.run(wanted, feeds)  # type: ignore[no-any-return]


def exact_session(payload: bytes) -> ort.InferenceSession:
    """A session without rewrites: what the model says, as it says it."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return ort.InferenceSession(payload, options, ["CPUExecutionProvider"])


def check_optimised(
    payload: bytes,
    wanted: list[str],
    feeds: Mapping[str, Array],
    found: Sequence[Any],
    example: Example,
) -> None:
    """Assert that ONNX Runtime's own rewrites stay within the tolerance."""
    session = ort.InferenceSession(payload, providers=["CPUExecutionProvider"])
    for name, a, b in zip(wanted, found, session.run(wanted, feeds), strict=True):
        left, right = flatten(name, a), flatten(name, b)
        for key in left:
            if left[key].dtype.kind in "US":
                np.testing.assert_array_equal(left[key], right[key])
                continue
            np.testing.assert_allclose(
                left[key].astype(np.float64),
                right[key].astype(np.float64),
                example.rtol,
                example.atol,
                err_msg=key,
            )


def flatten(key: str, value: Any) -> dict[str, Array]:
    """Plain arrays for a tensor, a sequence of tensors or a sequence of maps."""
    if isinstance(value, list):
        parts: dict[str, Array] = {f"{key}/length": np.asarray(len(value))}
        for i, item in enumerate(value):
            parts.update(flatten(f"{key}/{i}", item))
        return parts
    if isinstance(value, dict):
        return {
            f"{key}/keys": plain(np.asarray(list(value))),
            f"{key}/values": plain(np.asarray(list(value.values()), np.float32)),
        }
    return {key: plain(np.asarray(value))}


def plain(array: Array) -> Array:
    """An array that loads without pickle: no objects, bfloat16 as its bits."""
    if array.dtype == object:
        return array.astype(np.str_)
    if array.dtype == ml_dtypes.bfloat16:
        return array.view(np.uint16)
    return array


def random(seed: int, *shape: int, dtype: str = "float32") -> Array:
    """Normal numbers of the shape."""
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def integers(seed: int, high: int, *shape: int, dtype: str = "int64") -> Array:
    """Integers from 0 to ``high``, which is left out."""
    return np.random.default_rng(seed).integers(0, high, shape).astype(dtype)
