"""Reading models: from a path, bytes or a ModelProto."""

import gc
import importlib
import os
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from graphwright.frontends import onnx as package
from graphwright.frontends.onnx import expand as _expand
from graphwright.frontends.onnx.external import ExternalData
from graphwright.frontends.onnx.importer import ModelImporter
from graphwright.frontends.onnx.tensors import TensorReader, constant_of_proto
from graphwright.frontends.onnx.wire import cut_weights, open_model
from graphwright.ir.errors import ModelError
from graphwright.ir.graph import Graph

for _module in pkgutil.iter_modules(package.__path__):
    if _module.name.startswith("ops_"):
        importlib.import_module(f"{package.__name__}.{_module.name}")
_ = _expand


def load(
    source: "str | os.PathLike[str] | bytes | Any",
    *,
    copy: bool = False,
    external_data_dir: "str | os.PathLike[str] | None" = None,
) -> Graph:
    """A graph of an ONNX model.

    Args:
        source: A path, the bytes of a model, or a ModelProto.
        copy: Read weights into memory instead of mapping them from the file.
        external_data_dir: Where external data lies, if not beside the model.

    Raises:
        ModelError: If it is not a valid model.
        UnsupportedOpError: If it uses an operator that is not known.
    """
    folder = None if external_data_dir is None else os.fspath(external_data_dir)
    if isinstance(source, onnx.ModelProto):
        reader = TensorReader(None, ExternalData(None, folder), copy=copy)
        return import_model(source, reader)
    path = None if isinstance(source, bytes) else os.fspath(source)
    buffer = source if isinstance(source, bytes) else open_model(source)
    reduced, weights = cut_weights(buffer, None if path is None else os.path.realpath(path))
    reader = TensorReader(weights, ExternalData(path, folder), copy=copy)
    return import_model(_parse(reduced, path), reader)


def _parse(blob: bytes, path: str | None) -> Any:
    model = onnx.ModelProto()
    what = "these bytes" if path is None else repr(path)
    try:
        model.ParseFromString(blob)
    except DecodeError:
        raise ModelError(
            f"{what} is not an ONNX model, or is cut short: protobuf cannot read it"
        ) from None
    if not model.HasField("graph"):
        raise ModelError(f"{what} is not an ONNX model: it holds no graph")
    return model


def import_model(model: Any, tensor: Any = constant_of_proto) -> Graph:
    """A graph of a ModelProto."""
    opsets = {o.domain: o.version for o in model.opset_import}
    if not opsets and model.ir_version < 3:
        opsets = {"": 1}  # opset imports came with IR version 3
    functions = {(f.domain, f.name, f.overload): f for f in model.functions}
    metadata = {p.key: p.value for p in model.metadata_props}
    importer = ModelImporter(opsets, functions, tensor)
    with _collector_paused():
        return importer.import_graph(model.graph, metadata)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Without cyclic collection: a graph grows by many objects, of which none is garbage."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
