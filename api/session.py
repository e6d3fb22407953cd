"""``InferenceSession``: ONNX Runtime's interface over graphwright."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


from graphwright.frontends.onnx.types import type_word
from graphwright.backends.registry import backend_names
from graphwright.compiled import compile as compile_model
from graphwright.ir.types import TensorType, Type

_PROVIDERS = {
    "CPUExecutionProvider": "numpy",
    "CUDAExecutionProvider": "cuda",
    "OpenCLExecutionProvider": "opencl",
}


@dataclass(frozen=True, slots=True)
class NodeArg:
    """An input or output: ``name``, ``shape`` (ints, names, None) and ``type``."""

    name: str
    shape: list[Any]
    type: str


@dataclass(slots=True)
class SessionOptions:
    """Options of a session; names and meanings are ONNX Runtime's.

    Attributes:
        intra_op_num_threads: Threads of a run; 0 leaves the setting as it is.
        graph_optimization_level: Kept for the caller; optimisation is always on.
        log_severity_level: Kept for the caller.
        max_bytes, timeout: graphwright's budgets.
    """

    intra_op_num_threads: int = 0
    inter_op_num_threads: int = 0
    graph_optimization_level: int = 99
    log_severity_level: int = 2
    max_bytes: int | None = None
    timeout: float | None = None
    strict: bool = False
    _overrides: dict[str, int] = field(default_factory=lambda: dict[str, int]())

    def add_free_dimension_override_by_name(self, name: str, size: int) -> None:
        """Fixes a named dim."""
        self._overrides[name] = size


class IOBinding:
    """Inputs and outputs bound before a run."""

    def __init__(self, session: "InferenceSession") -> None:
        self._session = session
        self._feeds: dict[str, Any] = {}
        self._wanted: list[str] = []
        self._results: list[Any] = []

    def bind_cpu_input(self, name: str, array: Any) -> None:
        """Binds an array to an input."""
        self._feeds[name] = array

    bind_ortvalue_input = bind_cpu_input

    def bind_output(self, name: str, *_: Any, **__: Any) -> None:
        """Asks for an output."""
        self._wanted.append(name)

    def clear_binding_inputs(self) -> None:
        """Forgets the inputs."""
        self._feeds.clear()

    def clear_binding_outputs(self) -> None:
        """Forgets the outputs."""
        self._wanted.clear()

    def run(self) -> None:
        """Runs with what is bound."""
        self._results = self._session.run(self._wanted or None, self._feeds)

    def copy_outputs_to_cpu(self) -> list[Any]:
        """The last run's outputs as numpy arrays."""
        return self._results


class InferenceSession:
    """A model ready to run, as ONNX Runtime presents it.

    Args:
        path_or_bytes: A path, bytes or a ModelProto.
        sess_options: Options.
        providers: Backends in order of preference; ONNX Runtime's names of providers
            are understood too.

    Raises:
        ModelError: If the model is not valid.
    """

    def __init__(
        self,
        path_or_bytes: "str | os.PathLike[str] | bytes | Any",
        sess_options: SessionOptions | None = None,
        providers: Sequence[str] | None = None,
        **_: Any,
    ) -> None:
        options = sess_options or SessionOptions()
        names = [_PROVIDERS.get(p, p) for p in providers or ["numpy"]]
        self._options = options
        self._executable = compile_model(
            path_or_bytes,
            backend=[n for n in names if n in backend_names()] or names,
            strict=options.strict,
            max_bytes=options.max_bytes,
            timeout=options.timeout,
        )

    def get_inputs(self) -> list[NodeArg]:
        """The inputs."""
        graph = self._executable.graph
        return list(map(_arg, graph.input_names, graph.input_types))

    def get_outputs(self) -> list[NodeArg]:
        """The outputs."""
        graph = self._executable.graph
        return list(map(_arg, graph.output_names, graph.output_types))

    def get_providers(self) -> list[str]:
        """The backend in use."""
        return [self._executable.options.backend.name]

    def get_modelmeta(self) -> Mapping[str, str]:
        """The model's metadata."""
        return self._executable.graph.metadata

    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any], *_: Any
    ) -> list[Any]:
        """The named outputs (all if None) as numpy arrays.

        Raises:
            FeedError: If a name is unknown or an input does not fit.
        """
        return self._executable.run(output_names or None, input_feed)

    def io_binding(self) -> IOBinding:
        """A binding of inputs and outputs for ``run_with_iobinding``."""
        return IOBinding(self)

    def run_with_iobinding(self, binding: IOBinding, *_: Any) -> None:
        """Runs with what is bound."""
        binding.run()


def _arg(name: str, type_: Type) -> NodeArg:
    shape: list[Any] = []
    if isinstance(type_, TensorType) and type_.shape is not None:
        shape = [d if isinstance(d, int) else str(d) for d in type_.shape]
    return NodeArg(name, shape, type_word(type_))


