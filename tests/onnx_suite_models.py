"""The models of ONNX's backend suite."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from onnx.backend.test.loader import load_model_tests

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator", "real")
LEAST = 2_030
"""Models that the suite holds at least: fewer were found means the list is broken."""


def source_of(case: Any) -> Any:
    """The model of a test: a proto, or where it lies in onnx's wheel."""
    if case.model is not None:
        return case.model
    if case.model_dir is not None:
        return Path(case.model_dir) / "model.onnx"
    return Path(onnx.__file__).parent.parent / case.url


def suite_models() -> Iterator[tuple[str, Any]]:
    """Names and models (protos or paths)."""
    for kind in KINDS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cases = load_model_tests(kind=kind)
        for case in cases:
            yield case.name, source_of(case)
