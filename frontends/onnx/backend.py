"""ONNX's backend interface: what ``onnx.backend.test`` and its users call."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx.backend.base import Backend, BackendRep

from graphwright.backends import contract
from graphwright.backends.compile import lower
from graphwright.backends.executable import Executable
from graphwright.frontends.onnx.load import import_model
from graphwright.ir.arguments import checked
from graphwright.ir.errors import FeedError


class GraphwrightRep(BackendRep):
    """A model made ready to run."""

    @checked
    def __init__(
        self, model: onnx.ModelProto, backend: "str | contract.Backend"
    ) -> None:
        graph = import_model(model)
        self.executable = Executable(graph, *lower(graph, backend=backend))

    def run(self, inputs: Any, **_: Any) -> tuple[Any, ...]:
        """Outputs for positional inputs, or for a dictionary by name."""
        exe = self.executable
        if isinstance(inputs, dict):
            return tuple(exe.run(None, inputs))
        names = exe.input_names
        if len(inputs) > len(names):
            known = ", ".join(map(repr, names))
            raise FeedError(
                f"{exe.graph.name} takes {len(names)} inputs ({known}), got"
                f" {len(inputs)}"
            )
        return tuple(exe.run(None, dict(zip(names, inputs, strict=False))))


class GraphwrightBackend(Backend):
    """``onnx.backend.base.Backend`` over graphwright."""

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether a device such as ``CPU`` can be used."""
        return device.partition(":")[0] == "CPU"

    @classmethod
    def prepare(
        cls, model: Any, device: str = "CPU", backend: str | None = None, **_: Any
    ) -> GraphwrightRep:
        """A model made ready to run on a backend ($GRAPHWRIGHT_BACKEND, then numpy)."""
        name = backend or os.environ.get("GRAPHWRIGHT_BACKEND") or "numpy"
        return GraphwrightRep(model, name)

    @classmethod
    def run_model(
        cls, model: Any, inputs: Any, device: str = "CPU", **kwargs: Any
    ) -> tuple[Any, ...]:
        """Runs a model once."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: Any,
        inputs: Sequence[Any],
        device: str = "CPU",
        outputs_info: Any = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Runs one node on arrays."""
        arrays = [np.asarray(x) for x in inputs]
        helper = onnx.helper
        infos = [
            helper.make_tensor_value_info(
                n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape
            )
            for n, x in zip(node.input, arrays, strict=True)
        ]
        ends = [onnx.ValueInfoProto(name=n) for n in node.output]
        graph = helper.make_graph([node], "node", infos, ends)
        version = kwargs.pop("opset_version", onnx.defs.onnx_opset_version())
        opset = helper.make_opsetid(node.domain, version)
        model = helper.make_model(graph, opset_imports=[opset])
        return cls.run_model(model, arrays, device, **kwargs)
