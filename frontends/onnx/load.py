"""Reading models: from a path, bytes or a ModelProto."""

import importlib
import os
import pkgutil
from pathlib import Path
from typing import Any

import onnx

from graphwright.frontends import onnx as package
from graphwright.frontends.onnx import expand as _expand
from graphwright.frontends.onnx.importer import ModelImporter
from graphwright.frontends.onnx.tensors import constant_of_proto
from graphwright.ir.errors import ModelError
from graphwright.ir.graph import Graph

for _module in pkgutil.iter_modules(package.__path__):
    if _module.name.startswith("ops_"):
        importlib.import_module(f"{package.__name__}.{_module.name}")
_ = _expand


def load(source: "str | os.PathLike[str] | bytes | Any", *, copy: bool = False) -> Graph:
    """A graph of an ONNX model.

    Args:
        source: A path, the bytes of a model, or a ModelProto.
        copy: Read weights into memory instead of mapping them from the file.

    Raises:
        ModelError: If it is not a valid model.
        UnsupportedOpError: If it uses an operator that is not known.
    """
    model = source if isinstance(source, onnx.ModelProto) else _read(source)
    return import_model(model)


def _read(source: Any) -> Any:
    blob = source if isinstance(source, bytes) else Path(source).read_bytes()
    model = onnx.ModelProto()
    try:
        model.ParseFromString(blob)
    except Exception as error:
        raise ModelError(f"this is not an ONNX model: {error}") from None
    return model


def import_model(model: Any) -> Graph:
    """A graph of a ModelProto."""
    opsets = {o.domain: o.version for o in model.opset_import}
    functions = {(f.domain, f.name, f.overload): f for f in model.functions}
    metadata = {p.key: p.value for p in model.metadata_props}
    importer = ModelImporter(opsets, functions, constant_of_proto)
    return importer.import_graph(model.graph, metadata)
