"""graphwright: a pure-Python tensor graph compiler.

Names load when they are first used, so that ``import graphwright`` costs next to
nothing and optional libraries are not needed until they are.
"""

import importlib
import logging
from typing import TYPE_CHECKING, Any

from graphwright.ir.collector import collector_paused

if TYPE_CHECKING:
    from graphwright import backends as backends
    from graphwright import onnx_backend as onnx_backend
    from graphwright import testing as testing
    from graphwright.backends.contract import Backend as Backend
    from graphwright.backends.contract import GraphBackend as GraphBackend
    from graphwright.backends.contract import TableBackend as TableBackend
    from graphwright.backends.limits import Cancellation as Cancellation
    from graphwright.backends.registry import devices as devices
    from graphwright.backends.registry import register_backend as register_backend
    from graphwright.benchmark import BenchReport as BenchReport
    from graphwright.benchmark import bench as bench
    from graphwright.bisection import BisectReport as BisectReport
    from graphwright.bisection import bisect as bisect
    from graphwright.checks import CheckReport as CheckReport
    from graphwright.checks import check as check
    from graphwright.comparison.compare import compare as compare
    from graphwright.comparison.report import ComparisonReport as ComparisonReport
    from graphwright.compiled import Executable as Executable
    from graphwright.compiled import compile as compile
    from graphwright.difference import DiffReport as DiffReport
    from graphwright.difference import diff as diff
    from graphwright.frontends.onnx.load import load as load
    from graphwright.frontends.onnx.save import export as export
    from graphwright.frontends.tracing.control import cond as cond
    from graphwright.frontends.tracing.control import fori_loop as fori_loop
    from graphwright.frontends.tracing.control import map as map
    from graphwright.frontends.tracing.control import scan as scan
    from graphwright.frontends.tracing.control import switch as switch
    from graphwright.frontends.tracing.control import while_loop as while_loop
    from graphwright.frontends.tracing.custom import apply as apply
    from graphwright.frontends.tracing.jit import jit as jit
    from graphwright.frontends.tracing.nonfinite import check_nans as check_nans
    from graphwright.frontends.tracing.placement import (
        default_backend as default_backend,
    )
    from graphwright.frontends.tracing.spec import spec as spec
    from graphwright.frontends.tracing.tensor import Tensor as Tensor
    from graphwright.frontends.tracing.tensor import asarray as asarray
    from graphwright.frontends.tracing.trace import eval_shape as eval_shape
    from graphwright.frontends.tracing.trace import trace as trace
    from graphwright.frontends.tracing.vmap import vmap as vmap
    from graphwright.inspection import Inspection as Inspection
    from graphwright.inspection import inspect as inspect
    from graphwright.ir.builder import Builder as Builder
    from graphwright.ir.errors import ArgumentError as ArgumentError
    from graphwright.ir.errors import BackendUnavailable as BackendUnavailable
    from graphwright.ir.errors import BudgetError as BudgetError
    from graphwright.ir.errors import CacheError as CacheError
    from graphwright.ir.errors import DeviceMemoryError as DeviceMemoryError
    from graphwright.ir.errors import DTypeError as DTypeError
    from graphwright.ir.errors import FeedError as FeedError
    from graphwright.ir.errors import GraphwrightError as GraphwrightError
    from graphwright.ir.errors import IndexBoundsError as IndexBoundsError
    from graphwright.ir.errors import ModelError as ModelError
    from graphwright.ir.errors import NonFiniteError as NonFiniteError
    from graphwright.ir.errors import ParseError as ParseError
    from graphwright.ir.errors import ShapeError as ShapeError
    from graphwright.ir.errors import TraceError as TraceError
    from graphwright.ir.errors import UnsupportedOpError as UnsupportedOpError
    from graphwright.ir.graph import Graph as Graph
    from graphwright.ir.parser import parse as parse
    from graphwright.ortvalue import IOBinding as IOBinding
    from graphwright.ortvalue import OrtValue as OrtValue
    from graphwright.passes.manager import PassManager as PassManager
    from graphwright.passes.manager import register_pass as register_pass
    from graphwright.passes.pipeline import optimize as optimize
    from graphwright.session import GraphOptimizationLevel as GraphOptimizationLevel
    from graphwright.session import InferenceSession as InferenceSession
    from graphwright.session import SessionOptions as SessionOptions
    from graphwright.threads import get_num_threads as get_num_threads
    from graphwright.threads import set_num_threads as set_num_threads

__version__ = "0.1.0"

logging.getLogger("graphwright").addHandler(logging.NullHandler())

_ERRORS = [
    "ArgumentError",
    "BackendUnavailable",
    "BudgetError",
    "CacheError",
    "DTypeError",
    "DeviceMemoryError",
    "FeedError",
    "GraphwrightError",
    "IndexBoundsError",
    "ModelError",
    "NonFiniteError",
    "ParseError",
    "ShapeError",
    "TraceError",
    "UnsupportedOpError",
]

_HOMES = {
    "Backend": "backends.contract",
    "BenchReport": "benchmark",
    "BisectReport": "bisection",
    "Builder": "ir.builder",
    "Cancellation": "backends.limits",
    "CheckReport": "checks",
    "ComparisonReport": "comparison.report",
    "DiffReport": "difference",
    "Executable": "compiled",
    "Graph": "ir.graph",
    "GraphBackend": "backends.contract",
    "GraphOptimizationLevel": "session",
    "IOBinding": "ortvalue",
    "InferenceSession": "session",
    "Inspection": "inspection",
    "OrtValue": "ortvalue",
    "PassManager": "passes.pipeline",
    "SessionOptions": "session",
    "TableBackend": "backends.contract",
    "Tensor": "frontends.tracing.tensor",
    "bench": "benchmark",
    "bisect": "bisection",
    "check": "checks",
    "compare": "comparison.compare",
    "compile": "compiled",
    "devices": "backends.registry",
    "diff": "difference",
    "export": "frontends.onnx.save",
    "get_num_threads": "threads",
    "inspect": "inspection",
    "load": "frontends.onnx.load",
    "optimize": "passes.pipeline",
    "parse": "ir.parser",
    "register_backend": "backends.registry",
    "register_pass": "passes.manager",
    "set_num_threads": "threads",
    "apply": "frontends.tracing.custom",
    "asarray": "frontends.tracing.tensor",
    "cond": "frontends.tracing.control",
    "default_backend": "frontends.tracing.placement",
    "eval_shape": "frontends.tracing.trace",
    "fori_loop": "frontends.tracing.control",
    "jit": "frontends.tracing.jit",
    "scan": "frontends.tracing.control",
    "spec": "frontends.tracing.spec",
    "switch": "frontends.tracing.control",
    "trace": "frontends.tracing.trace",
    "while_loop": "frontends.tracing.control",
    "check_nans": "frontends.tracing.nonfinite",
    "map": "frontends.tracing.control",
    "vmap": "frontends.tracing.vmap",
    **dict.fromkeys(_ERRORS, "ir.errors"),
}
_MODULES = ("backends", "numpy", "onnx_backend", "random", "testing")

__all__ = sorted([*_HOMES, *_MODULES])  # pyright: ignore # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"graphwright.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'graphwright' has no attribute {name!r}")
    module, _, attribute = home.partition(":")
    with collector_paused():  # modules are not garbage
        loaded = importlib.import_module(f"graphwright.{module}")
    found = globals()[name] = getattr(loaded, attribute or name)
    return found


def __dir__() -> list[str]:
    return sorted({*__all__, *(n for n in globals() if n.startswith("__"))})
