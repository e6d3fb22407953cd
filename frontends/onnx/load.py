"""Reading models: from a path, bytes or a ModelProto."""

import importlib
import logging
import os
import pkgutil
import time
from collections.abc import Mapping
from typing import Any, TypeAlias

import onnx
from google.protobuf.message import DecodeError

from graphwright.frontends import onnx as package
from graphwright.frontends.onnx import expand as _expand
from graphwright.frontends.onnx.external import ExternalData
from graphwright.frontends.onnx.header import (
    Header,
    UnknownOperator,
    check_opsets,
    find_bad_text,
    fix_dims,
    header_of,
    unknown_operators,
)
from graphwright.frontends.onnx.importer import ModelImporter
from graphwright.frontends.onnx.tensors import TensorReader, constant_of_proto
from graphwright.frontends.onnx.wire import Weights, cut_weights, open_model
from graphwright.ir.arguments import checked
from graphwright.ir.collector import collector_paused
from graphwright.ir.errors import ModelError
from graphwright.ir.graph import Graph

for _module in pkgutil.iter_modules(package.__path__):
    if _module.name.startswith("ops_"):
        importlib.import_module(f"{package.__name__}.{_module.name}")
_ = _expand


Source: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | Any"

_NEWEST = {
    domain or "ai.onnx": newest
    for domain, (_, newest) in onnx.defs.C.schema_version_map().items()
}
"""The newest opset of each domain of which the installed ``onnx`` knows."""

_logger = logging.getLogger("graphwright.load")


@checked
def load(
    source: Source,
    *,
    copy: bool = False,
    external_data_dir: "str | os.PathLike[str] | None" = None,
    dims: Mapping[str, int] | None = None,
) -> Graph:
    """A graph of an ONNX model.

    Args:
        source: A path, the bytes of a model, or a ModelProto.
        copy: Read weights into memory instead of mapping them from the file.
        external_data_dir: Where external data lies, if not beside the model.
        dims: Sizes for named dims of the inputs.

    Raises:
        ModelError: If it is not a valid model.
        UnsupportedOpError: If it uses an operator that is not known.
        FeedError: If ``dims`` names a dim that no input has.
    """
    start = time.perf_counter()
    folder = None if external_data_dir is None else os.fspath(external_data_dir)
    model, weights, path = _open(source)
    if dims:
        if model is source:
            model = onnx.ModelProto()
            model.CopyFrom(source)
        fix_dims(model, dims)
    reader = TensorReader(weights, ExternalData(path, folder), copy=copy)
    graph = import_model(model, reader)
    seconds = time.perf_counter() - start
    _logger.debug("loaded %r: %d nodes, %.3f s", graph.name, len(graph.nodes), seconds)
    return graph


def read_header(source: Source) -> Header:
    """What a model says of itself.

    Raises:
        ModelError: If it is not a model.
    """
    return header_of(_open(source)[0])


def find_unknown(source: Source) -> list[UnknownOperator]:
    """Every use of an operator for which ``load`` would give up.

    Raises:
        ModelError: If it is not a model.
    """
    return unknown_operators(_open(source)[0])


def _open(source: Any) -> tuple[Any, Weights | None, str | None]:
    """The ModelProto without large weights, those weights, and the path."""
    if isinstance(source, onnx.ModelProto):
        return source, None, None
    if isinstance(source, (bytes, bytearray, memoryview)):
        buffer: Any = bytes(source)
        reduced, weights = cut_weights(buffer, None)
        return _parse(reduced, None), weights, None
    try:
        path = os.fspath(source)
    except TypeError:
        raise ModelError(
            f"a model is a path, bytes or a ModelProto, got {type(source).__name__}"
            + ": gw.trace makes a graph of a function" * callable(source)
        ) from None
    reduced, weights = cut_weights(open_model(path), os.path.realpath(path))
    return _parse(reduced, path), weights, path


def _parse(blob: bytes, path: str | None) -> Any:
    model = onnx.ModelProto()
    what = "this buffer" if path is None else repr(path)
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
    try:
        return _import(model, opsets, tensor)
    except Exception:
        text = find_bad_text(model)
        if text is None:
            raise
        raise ModelError(f"the model holds {text!r} where UTF-8 text must be") from None


def _import(model: Any, opsets: Mapping[str, int], tensor: Any) -> Graph:
    check_opsets(model, _NEWEST)
    functions = {(f.domain, f.name, f.overload): f for f in model.functions}
    metadata = {p.key: p.value for p in model.metadata_props}
    importer = ModelImporter(opsets, functions, tensor)
    with collector_paused():
        return importer.import_graph(model.graph, metadata)
