"""Writing models: TensorProtos, external data, files that are whole or not there."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from onnx import TensorProto

from graphwright.frontends.onnx.exporter import export_graph
from graphwright.frontends.onnx.load import load
from graphwright.frontends.onnx.save_tensor import (
    header,
    octets_of,
    stored_bytes,
    tensor_proto,
)
from graphwright.ir.arguments import checked
from graphwright.ir.constant import Constant
from graphwright.ir.dtype import string
from graphwright.ir.errors import BudgetError, ModelError
from graphwright.ir.graph import Graph

MAX_BYTES = 2**31 - 2**20
"""What one protobuf may hold, less room for all that is no weight."""

THRESHOLD = 1024
"""Constants of fewer bytes stay in the model, where others go to a file beside it."""

ALIGNMENT = 4096
"""Where data begins in an external file: at a page, so that readers can map it."""


@checked
def export(
    graph: Any,
    path: "str | os.PathLike[str] | None" = None,
    *,
    opset: int | None = None,
    external_data: "bool | int | None" = None,
) -> Any:
    """A graph as an ONNX model, written to a file if a path is given.

    Args:
        graph: A graph; a model's path, bytes or ModelProto is loaded first.
        path: Where to write. Unless the whole model can be written, what was there
            before stays.
        opset: Version of ai.onnx; by default one that ONNX Runtime runs.
        external_data: Whether weights go to the file ``path`` + ``.data``, or from how
            many bytes on; by default if the model would not fit in one protobuf.

    Returns:
        The ModelProto. With external data it refers to that file.

    Raises:
        UnsupportedOpError: If ONNX, at that opset, cannot express the graph.
        ModelError: If the file cannot be written.
    """
    graph = graph if isinstance(graph, Graph) else load(graph)
    if path is None:
        if external_data:
            raise ModelError("export: external data needs a path to lie beside")
        _check_size(graph)
        return export_graph(graph, opset, tensor_proto)
    target = os.path.abspath(os.fspath(path))
    try:
        return _save(graph, target, opset, _threshold(graph, external_data))
    except OSError as error:
        reason = error.strerror or str(error)
        raise ModelError(f"cannot write {target!r}: {reason}") from None


def _size(graph: Graph) -> int:
    return sum(c.nbytes for c in graph.all_constants())


def _check_size(graph: Graph) -> None:
    size = _size(graph)
    if size > MAX_BYTES:
        raise BudgetError(
            f"{size} bytes of weights do not fit in one protobuf:"
            " export to a path, with external data"
        )


def _threshold(graph: Graph, asked: "bool | int | None") -> int | None:
    """From how many bytes on a constant goes outside; None if none does."""
    if asked is None:
        return THRESHOLD if _size(graph) > MAX_BYTES else None
    if asked is False:
        _check_size(graph)
        return None
    return THRESHOLD if asked is True else asked


def _save(graph: Graph, target: str, opset: int | None, threshold: int | None) -> Any:
    if threshold is None:
        model = export_graph(graph, opset, tensor_proto)
        with _replacing(target) as file:
            file.write(model.SerializeToString())
        return model
    outside = _Outside(os.path.basename(target) + ".data", threshold)
    model = export_graph(graph, opset, outside.tensor)
    with _replacing(target) as file:
        file.write(model.SerializeToString())
        with _replacing(f"{target}.data") as data:
            outside.write(data)
    return model


class _Outside:
    """The tensors that go to an external file, in order."""

    def __init__(self, location: str, threshold: int) -> None:
        self._location, self._threshold = location, threshold
        self._spans: dict[int, tuple[int, int]] = {}
        self._held: list[Constant] = []
        self._end = 0

    def tensor(self, name: str, constant: Constant) -> Any:
        """A TensorProto that says where the data will lie."""
        if constant.dtype is string or constant.nbytes < self._threshold:
            return tensor_proto(name, constant)
        proto = header(name, constant)
        proto.data_location = TensorProto.EXTERNAL
        offset, length = self._place(constant)
        words = {"location": self._location, "offset": offset, "length": length}
        for key, value in words.items():
            proto.external_data.add(key=key, value=str(value))
        return proto

    def _place(self, constant: Constant) -> tuple[int, int]:
        found = self._spans.get(id(constant))
        if found is None:
            start = -(-self._end // ALIGNMENT) * ALIGNMENT
            found = start, stored_bytes(constant)
            self._end = sum(found)
            self._spans[id(constant)] = found
            self._held.append(constant)
        return found

    def write(self, file: BinaryIO) -> None:
        """Copies the data, one tensor after the other."""
        for constant in self._held:
            file.seek(self._spans[id(constant)][0])
            file.write(octets_of(constant.array(), constant.dtype))


_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_NEW |= getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)


@contextmanager
def _replacing(path: str) -> Iterator[BinaryIO]:
    """A file that takes the place of ``path`` once it is written and on the disk.

    It is made anew under a name that nobody can foresee; a link at ``path`` is
    replaced, not followed.
    """
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, _NEW, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    """Makes a rename last, where a folder can be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
