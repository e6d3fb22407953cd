"""``InferenceSession``: ONNX Runtime's interface over graphwright."""

import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from graphwright.backends.executable import StepTime
from graphwright.backends.numpy.kernels.threads import use_threads
from graphwright.compiled import compile as compile_model
from graphwright.frontends.onnx.load import load, read_header
from graphwright.frontends.onnx.types import type_word
from graphwright.ir.arguments import check_fields, checked
from graphwright.ir.dim import Dim, symbol
from graphwright.ir.errors import FeedError, ModelError
from graphwright.ir.graph import Graph
from graphwright.ir.types import TensorType, Type
from graphwright.ortvalue import IOBinding, OrtValue, value_of

_PROVIDERS = {
    "CPUExecutionProvider": "numpy",
    "CUDAExecutionProvider": "cuda",
    "OpenCLExecutionProvider": "opencl",
}


class GraphOptimizationLevel(IntEnum):
    """How much a session optimises: not at all, or as ``compile`` does."""

    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_LAYOUT = 3
    ORT_ENABLE_ALL = 99


@dataclass(frozen=True, slots=True)
class NodeArg:
    """An input or output.

    Attributes:
        name: Its name.
        shape: For each axis its size, the name of its dim, or None; empty where the
            rank is not known or there is no shape.
        type: The type in ONNX Runtime's words, such as ``tensor(float)``.
    """

    name: str
    shape: list[Any]
    type: str


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What a model says of itself."""

    producer_name: str
    graph_name: str
    domain: str
    description: str
    graph_description: str
    version: int
    custom_metadata_map: dict[str, str]


@dataclass(slots=True)
class SessionOptions:
    """Options of a session; names and meanings are ONNX Runtime's.

    Attributes:
        intra_op_num_threads: Threads of the numpy backend's kernels; 0 for as many as
            ``get_num_threads()`` says.
        inter_op_num_threads, log_severity_level, log_verbosity_level, execution_mode,
            enable_mem_pattern, enable_cpu_mem_arena: Taken, and change nothing.
        graph_optimization_level: 0 runs the graph as it is; all others optimise.
        enable_profiling: Whether each run's steps are timed for ``end_profiling``.
        profile_file_prefix: How the name of the profile's file begins.
        max_bytes, timeout, strict: What they are to ``compile``.
    """

    intra_op_num_threads: int = 0
    inter_op_num_threads: int = 0
    graph_optimization_level: Any = GraphOptimizationLevel.ORT_ENABLE_ALL
    execution_mode: Any = 0
    enable_mem_pattern: bool = True
    enable_cpu_mem_arena: bool = True
    enable_profiling: bool = False
    profile_file_prefix: str = "graphwright_profile"
    log_severity_level: int = 2
    log_verbosity_level: int = 0
    max_bytes: int | None = None
    timeout: float | None = None
    strict: bool = False
    dim_overrides: dict[str, int] = field(default_factory=dict[str, int])
    config_entries: dict[str, str] = field(default_factory=dict[str, str])

    def add_free_dimension_override_by_name(self, name: str, size: int) -> None:
        """Gives a named dim of the inputs its size."""
        self.dim_overrides[name] = size

    def add_session_config_entry(self, key: str, value: str) -> None:
        """Keeps an entry; none of them changes anything here."""
        self.config_entries[key] = value

    def get_session_config_entry(self, key: str) -> str:
        """The entry of a key.

        Raises:
            FeedError: If there is none.
        """
        if key not in self.config_entries:
            raise FeedError(f"there is no session config entry {key!r}")
        return self.config_entries[key]


class InferenceSession:
    """A model ready to run, as ONNX Runtime presents it; safe to use from many threads.

    Args:
        path_or_bytes: A path, bytes or a ModelProto.
        sess_options: Options.
        providers: Backends in order of preference, as names or (name, options); ONNX
            Runtime's names of providers are understood too. ``"auto"`` if None.

    Raises:
        ModelError: If the model is not valid.
        BackendUnavailable: If none of the providers can run here.
    """

    @checked
    def __init__(
        self,
        path_or_bytes: "str | os.PathLike[str] | bytes | Any",
        sess_options: SessionOptions | None = None,
        providers: Sequence[str | Sequence[Any]] | None = None,
        provider_options: Sequence[Any] | None = None,
    ) -> None:
        options = sess_options or SessionOptions()
        check_fields(options)
        if options.intra_op_num_threads < 0:
            raise FeedError("intra_op_num_threads must be 0, for all, or more")
        self._options = options
        self._path = (
            path_or_bytes if isinstance(path_or_bytes, str | os.PathLike) else ""
        )
        self._header = None if self._path else read_header(path_or_bytes)
        graph = load(path_or_bytes, dims=_present(path_or_bytes, options.dim_overrides))
        self._executable = compile_model(
            graph,
            backend=_backends(providers),
            strict=options.strict,
            optimize=int(options.graph_optimization_level) > 0,
            max_bytes=options.max_bytes,
            timeout=options.timeout,
        )
        self._profile: _Profile | None = None
        if options.enable_profiling:
            self._profile = _Profile(self.get_providers()[0])

    def get_session_options(self) -> SessionOptions:
        """The options that it was made with."""
        return self._options

    def get_inputs(self) -> list[NodeArg]:
        """The inputs."""
        graph = self._executable.graph
        return _args(graph, graph.input_names, graph.input_types)

    def get_outputs(self) -> list[NodeArg]:
        """The outputs."""
        graph = self._executable.graph
        return _args(graph, graph.output_names, graph.output_types)

    def get_providers(self) -> list[str]:
        """The backend in use, then the one that ops fall back to."""
        return list(dict.fromkeys([self._executable.options.backend.name, "numpy"]))

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        """Options of each provider: there are none."""
        return {name: {} for name in self.get_providers()}

    def get_overridable_initializers(self) -> list[NodeArg]:
        """Initializers that are inputs too: none, as they are constants here."""
        return []

    def get_modelmeta(self) -> ModelMetadata:
        """The model's metadata."""
        header = self._header or read_header(self._path)
        return ModelMetadata(
            producer_name=header.producer[0],
            graph_name=header.graph,
            domain=header.domain,
            description=header.description,
            graph_description=header.graph_description,
            version=header.version,
            custom_metadata_map=dict(header.metadata),
        )

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: Any = None,
    ) -> list[Any]:
        """The named outputs (all if None or empty) as numpy arrays.

        Raises:
            FeedError: If a name is unknown or an input does not fit.
        """
        exe = self._executable
        feeds = input_feed
        if isinstance(feeds, Mapping):
            feeds = {name: value_of(x) for name, x in feeds.items()}
        with use_threads(self._options.intra_op_num_threads or None):
            if self._profile is None:
                return exe.run(output_names or None, feeds)
            names = exe.output_names
            unknown = [n for n in output_names or () if n not in names]
            if unknown:
                raise FeedError(f"no output is called {unknown[0]!r}")
            results = self._profile.timed(exe, feeds)
            return [results[names.index(n)] for n in output_names or names]

    def run_with_ort_values(
        self,
        output_names: Sequence[str] | None,
        input_dict_ort_values: Mapping[str, OrtValue],
        run_options: Any = None,
    ) -> list[OrtValue]:
        """``run`` from values to values.

        Raises:
            FeedError: If a name is unknown or an input does not fit.
        """
        return list(map(OrtValue, self.run(output_names, input_dict_ort_values)))

    def end_profiling(self) -> str:
        """Writes the steps' times as a Chrome trace; returns the file's name.

        Raises:
            ModelError: If the file cannot be written.
        """
        if self._profile is None:
            return ""
        return self._profile.write(self._options.profile_file_prefix)

    def io_binding(self) -> IOBinding:
        """A binding of inputs and outputs for ``run_with_iobinding``."""
        return IOBinding(self.run, self._executable.output_names)

    def run_with_iobinding(self, iobinding: IOBinding, run_options: Any = None) -> None:
        """Runs with what is bound."""
        iobinding.run()


def _backends(providers: Sequence[Any] | None) -> list[str]:
    """Names of backends; ``numpy`` stands in for providers that are not here."""
    names = [p if isinstance(p, str) else p[0] for p in providers or ["auto"]]
    return [_PROVIDERS.get(name, name) for name in names]


def _present(source: Any, dims: Mapping[str, int]) -> dict[str, int]:
    """The overrides whose dims the model has: the others mean nothing to it."""
    if not dims:
        return {}
    known = read_header(source).dims
    return {name: size for name, size in dims.items() if name in known}


def _args(graph: Graph, names: Sequence[str], types: Sequence[Type]) -> list[NodeArg]:
    dims: dict[Dim, str] = {symbol(name): name for name in graph.input_symbols()}
    for name, type_ in zip(graph.input_names, graph.input_types, strict=True):
        for axis in range(_rank(type_)):
            dims.pop(symbol(f"{name}.{axis}"), None)  # a dim to which no name is given
    return [
        NodeArg(name, _shape(type_, dims), type_word(type_))
        for name, type_ in zip(names, types, strict=True)
    ]


def _rank(type_: Type) -> int:
    return len(type_.shape or ()) if isinstance(type_, TensorType) else 0


def _shape(type_: Type, dims: Mapping[Dim, str]) -> list[int | str | None]:
    """Sizes, names of dims as the model gives them, or None."""
    shape = type_.shape if isinstance(type_, TensorType) else None
    return [d if isinstance(d, int) else dims.get(d) for d in shape or ()]


class _Profile:
    """Times of steps, gathered over runs."""

    def __init__(self, provider: str) -> None:
        self._provider, self._start = provider, time.perf_counter()
        self._lock = threading.Lock()
        self._events: list[dict[str, Any]] = []

    def timed(self, exe: Any, feeds: Mapping[str, Any]) -> list[Any]:
        """Outputs of a run, as numpy arrays; its times are noted."""
        with self._lock:  # read-out belongs to an executable: one run at a time
            begin = time.perf_counter() - self._start
            found, rows = exe.run_timed(exe.positional(feeds))
            self._events += self._trace(rows, begin)
        return [x if x is None else exe.options.backend.to_host(x) for x in found]

    def _trace(self, rows: Sequence[StepTime], begin: float) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        for row in rows:
            events.append(
                {
                    "cat": "Node",
                    "name": row.source or row.op,
                    "ph": "X",
                    "ts": round(begin * 1e6, 3),
                    "dur": round(row.seconds * 1e6, 3),
                    "pid": os.getpid(),
                    "tid": threading.get_native_id(),
                    "args": {"op_name": row.op, "provider": self._provider},
                }
            )
            begin += row.seconds
        return events

    def write(self, prefix: str) -> str:
        """Writes what was gathered; returns the file's name."""
        path = f"{prefix}_{time.strftime('%Y-%m-%d_%H-%M-%S')}.json"
        try:
            with open(path, "w", encoding="utf-8") as file:
                json.dump(self._events, file)
        except OSError as error:
            raise ModelError(
                f"cannot write the profile {path!r}: {error.strerror}"
            ) from None
        return path
