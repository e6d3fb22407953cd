"""Inferred types of outputs are those that models declare, or more precise."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx_suite_models import LEAST, suite_models

import graphwright as gw
from graphwright.frontends.onnx.types import type_of_proto
from graphwright.ir.types import TensorType, Type


def less_precise(found: Type, declared: Type) -> bool:
    """Whether a type says less than a declaration, or something else."""
    if not isinstance(declared, TensorType) or declared.shape is None:
        return False
    if not isinstance(found, TensorType) or found.shape is None:
        return True
    if found.dtype is not declared.dtype or len(found.shape) != len(declared.shape):
        return True
    pairs = zip(found.shape, declared.shape, strict=True)
    return any(isinstance(d, int) and f != d for f, d in pairs)


def complaints(name: str, source: Any) -> Iterator[str]:
    proto = onnx.load(source) if isinstance(source, Path) else source
    graph = gw.load(source)
    for info, found in zip(proto.graph.output, graph.output_types, strict=True):
        if not info.type.WhichOneof("value"):
            continue
        declared = type_of_proto(info.type, info.name)
        if less_precise(found, declared):
            yield f"{name}: {found} where {declared} is declared"


def test_every_declared_output_of_the_suite() -> None:
    models = list(suite_models())
    assert len(models) >= LEAST
    wrong = [line for name, source in models for line in complaints(name, source)]
    if wrong:
        pytest.fail("\n  ".join([f"{len(wrong)} outputs:", *wrong[:40]]), pytrace=False)
