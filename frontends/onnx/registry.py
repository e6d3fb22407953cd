"""Which function converts which operator, in either direction."""

from collections.abc import Callable
from typing import Any, TypeAlias

from graphwright.frontends.onnx.context import Context
from graphwright.ir.emitter import Value

Converted: TypeAlias = Value | tuple[Value, ...] | list[Value]
Converter: TypeAlias = Callable[[Context], Converted]
Exporter: TypeAlias = Callable[[Any, Any], None]

CONVERTERS: dict[tuple[str, str], list[tuple[int, Converter]]] = {}
"""(domain, op) -> [(since version, converter), ...], versions ascending."""

EXPORTERS: dict[str, Exporter] = {}
"""Name of an IR op -> what writes it as ONNX nodes."""


def converter(
    *names: str, since: int = 1, domain: str = ""
) -> Callable[[Converter], Converter]:
    """Registers an import function for operators from an opset version on.

    It serves every version from ``since`` to the next one registered.
    """

    def register(function: Converter) -> Converter:
        for name in names:
            rows = CONVERTERS.setdefault((domain, name), [])
            rows.append((since, function))
            rows.sort(key=lambda row: row[0])
        return function

    return register


def exporter(*names: str) -> Callable[[Exporter], Exporter]:
    """Registers an export function for IR ops of these names."""

    def register(function: Exporter) -> Exporter:
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
