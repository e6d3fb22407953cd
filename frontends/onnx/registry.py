"""Which function converts which operator, in either direction."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from graphwright.frontends.onnx.context import Context
from graphwright.ir.emitter import Value

Converted: TypeAlias = Value | Sequence[Value | None]
Converter: TypeAlias = Callable[[Context], Converted]
C = TypeVar("C", bound=Converter)
Exporter: TypeAlias = Callable[..., Any]
"""Writes a node: ``(Export) -> names or values of its results``."""

E = TypeVar("E", bound=Exporter)

CONVERTERS: dict[tuple[str, str], list[tuple[int, Converter]]] = {}
"""(domain, op) -> [(since version, converter), ...], versions ascending."""

EXPORTERS: dict[str, Exporter] = {}
"""Name of an IR op -> what writes it as ONNX nodes."""


def converter(*names: str, since: int = 1, domain: str = "") -> Callable[[C], C]:
    """Registers an import function for operators from an opset version on.

    It serves every version from ``since`` to the next one registered.
    """

    def register(function: C) -> C:
        for name in names:
            rows = CONVERTERS.setdefault((domain, name), [])
            rows.append((since, function))
            rows.sort(key=lambda row: row[0])
        return function

    return register


def exporter(*names: str) -> Callable[[E], E]:
    """Registers an export function for IR ops of these names."""

    def register(function: E) -> E:
        for name in names:
            EXPORTERS[name] = function
        return function

    return register


def find_converter(domain: str, name: str, version: int) -> Converter | None:
    """The converter of an operator at an opset version, or None."""
    best: Converter | None = None
    for since, function in CONVERTERS.get((domain, name), ()):
        if since <= version:
            best = function
    return best
