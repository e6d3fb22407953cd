"""What ``check`` predicts is what happens, on ONNX's node tests and every backend."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from fake_cupy import fake_cupy
from onnx.backend.base import Backend
from onnx_exports import Suite, arrays

import graphwright as gw
from graphwright.backends import registry
from graphwright.backends.cuda import library
from graphwright.checks import DEFERRED, FALLS_BACK
from graphwright.ir.op import OPS
from graphwright.testing import RecordingBackend
from graphwright.testing.prediction import unforeseen

STEP = 12
"""One test in so many runs by default."""
SLOW = {"jax": 5}
"""One in so many of these, of backends that build much for each."""


class Half(gw.TableBackend):
    """Every other op, on four dtypes."""

    name = "half"
    table: ClassVar[dict[str, Any]] = {
        name: lambda op, *xs: op.compute(np, *xs)
        for name, cls in OPS.items()
        if cls.tier.value in ("primitive", "composite") and len(name) % 2
    }
    dtypes = frozenset({"float32", "int64", "bool", "uint8"})


class Predicted(Backend):
    """Asserts for a model that what falls back was foretold."""

    backend = ""

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device == "CPU"

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **_: Any) -> Any:
        graph = gw.load(model)
        report = gw.check(graph, backend=cls.backend)
        exe = gw.compile(graph, backend=cls.backend)
        return _Prediction(report, exe)


class _Prediction:
    def __init__(self, report: gw.CheckReport, exe: gw.Executable) -> None:
        self.report, self.exe = report, exe

    def run(self, inputs: Any, **_: Any) -> Any:
        feeds = dict(zip(self.exe.input_names, arrays(inputs), strict=False))
        found = self.exe.run(None, feeds)
        self.check()
        return found

    def check(self) -> None:
        differs = unforeseen(self.report, self.exe)
        if differs:
            raise ValueError(differs)
        outcomes = {f.outcome for f in self.report.findings}
        assert self.report.ok or outcomes & {FALLS_BACK, DEFERRED}


SUITE = Suite(Predicted)


EXAMPLES = {"torch": "TorchBackend", "jax": "JaxBackend", "c": "CBackend"}
MARKED = [pytest.param(n, marks=pytest.mark.peers) for n in ("torch", "jax")]
MARKED += [pytest.param(n, marks=pytest.mark.full) for n in ("c", "opencl")]


def example(name: str, patch: pytest.MonkeyPatch) -> gw.Backend:
    """One of the backends in `examples/`; skips where its library is missing."""
    if name != "c":
        pytest.importorskip(name, reason=f"{name} is not installed")
    root = Path(__file__).resolve().parents[2]
    patch.syspath_prepend(str(root / "examples" / f"backend_{name}"))
    module = importlib.import_module(f"graphwright_{name}")
    made: gw.Backend = getattr(module, EXAMPLES[name])()
    lacking = made.unavailable()
    if lacking:
        pytest.skip(lacking)
    return made


@pytest.fixture(params=["numpy", "cuda", "recording", "half", *MARKED])
def backend(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    for table in ("_factories", "_instances"):
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))
    lacking = registry.get_backend("opencl").unavailable()
    if request.param == "opencl" and lacking:
        pytest.skip(lacking)
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy())
    monkeypatch.setattr(library, "has_driver", lambda: True)
    library.cupy.cache_clear()
    if request.param in EXAMPLES:
        shown = example(request.param, monkeypatch)
        gw.register_backend(request.param, lambda: shown)
    gw.register_backend("half", Half)
    gw.register_backend("recording", RecordingBackend)
    monkeypatch.setattr(Predicted, "backend", request.param)
    yield request.param
    library.cupy.cache_clear()


def wrong(names: list[str]) -> dict[str, str]:
    found = {n: SUITE.problem(Predicted, n) for n in names}
    return {n: p for n, p in found.items() if p and p.startswith("ValueError")}


def test_a_sample(backend: str) -> None:
    assert wrong(SUITE.names()[:: STEP * SLOW.get(backend, 1)]) == {}


@pytest.mark.full
@pytest.mark.parametrize("part", range(STEP))
def test_every_test_of_the_suite(backend: str, part: int) -> None:
    assert wrong(SUITE.names()[part::STEP]) == {}
