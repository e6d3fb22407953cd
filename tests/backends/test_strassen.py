"""Strassen's products against NumPy's, and where the OpenCL backend takes them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from library_runs import run
from widths import BOTH

import graphwright as gw
from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.dialect import OPENCL
from graphwright.backends.codegen.kernels import strassen as module
from graphwright.backends.codegen.kernels.finish import Affine
from graphwright.backends.codegen.kernels.gemm import GemmShape, gemm
from graphwright.backends.codegen.kernels.strassen import accepts, pays, strassen

MACHINE = Cpu(2, 1 << 20)


def _random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def _product(x: Any, w: Any, machine: Cpu = MACHINE, **known: Any) -> Any:
    shape = GemmShape(1, len(x), *w.shape)
    finish = Affine(**dict.fromkeys(known, True))
    library = strassen(shape, finish, machine, OPENCL)
    return run(library, {"x": x, **known}, (len(x), w.shape[1]), w, machine.lanes)


SHAPES = [
    (2, 16, 32),
    (3, 16, 34),
    (12, 32, 70),
    (13, 48, 96),
    (64, 1600, 40),
    (67, 64, 300),
    (128, 768, 64),
]


@pytest.mark.parametrize("lanes", BOTH)
@pytest.mark.parametrize(("rows", "depth", "columns"), SHAPES, ids=str)
def test_products_are_those_of_numpy(
    rows: int, depth: int, columns: int, lanes: int
) -> None:
    machine = replace(MACHINE, lanes=lanes)
    if not accepts(GemmShape(1, rows, depth, columns), lanes):
        depth, columns = 2 * depth, 2 * columns
    x, w = _random(rows, depth), _random(depth, columns, seed=1)
    bias, residual = _random(columns, seed=2), _random(rows, columns, seed=3)
    want = x.astype(np.float64) @ w + bias + residual
    got = _product(x, w, machine, bias=bias, residual=residual)
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


def test_rows_may_be_cut_into_blocks() -> None:
    x, w = _random(61, 1600), _random(1600, 36, seed=1)
    want = x.astype(np.float64) @ w
    got = _product(x, w, Cpu(2, 1 << 16))
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("at", [(0, 1), (4, 40), (12, 2), (8, 47)])
def test_odd_numbers_are_not_spread(odd: float, at: tuple[int, int]) -> None:
    x, w = _random(13, 48), _random(48, 70, seed=1)
    x[at] = odd
    direct = gemm(GemmShape(1, 13, 48, 70), True, Affine(), MACHINE, OPENCL)
    got, want = _product(x, w), run(direct, {"x": x}, (13, 70), w)
    clean = np.isfinite(want)
    assert clean[np.arange(13) != at[0]].all()
    assert np.array_equal(np.isnan(got), np.isnan(want))
    assert np.array_equal(got[np.isinf(want)], want[np.isinf(want)])
    assert np.allclose(got[clean], want[clean], rtol=1e-4, atol=1e-4)


def test_sizes_are_no_part_of_the_source() -> None:
    sources = set[str]()
    for rows, depth in ((40, 768), (13, 1600)):
        shape = GemmShape(1, rows, depth, 64)
        launches = strassen(shape, Affine(), MACHINE, OPENCL).launches
        sources.add("".join(x.source for x in launches))
    assert len(sources) == 1


def test_it_is_for_quarters_of_whole_vectors_that_are_deep() -> None:
    assert pays(GemmShape(1, 64, 768, 1408), 8)
    assert not pays(GemmShape(1, 64, 768, 1408), 16)
    assert not pays(GemmShape(1, 64, 768, 768), 8)
    assert not pays(GemmShape(1, 64, 256, 4224), 8)
    assert not pays(GemmShape(1, 8, 768, 1408), 8)
    assert not pays(GemmShape(1, 64, 16 * 12289, 64), 8)  # twice eight by a prime
    for shape in ((1, 64, 776, 64), (1, 64, 768, 65), (1, 64, 768, 30), (2, 8, 16, 64)):
        assert not accepts(GemmShape(*shape), 8)


def _kernels(weights: Any, x: Any, **options: Any) -> tuple[Any, set[str]]:
    def product(x: gw.Tensor) -> Any:
        return gw.numpy.maximum(x @ weights, -1)

    graph = gw.trace(product, gw.spec("float32", x.shape))
    exe = gw.compile(graph, backend="opencl", strict=True, **options)
    names = {(step.kernel or "").split("_")[0] for step in exe.profile([x])}
    return np.asarray(exe(x)), names


@pytest.fixture
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also devices with wider vectors take it."""
    monkeypatch.setattr(module, "_LANES", 16)


@pytest.mark.usefixtures("_wide")
def test_the_backend_takes_it_for_constant_weights() -> None:
    x, weights = _random(33, 768), _random(768, 1408, seed=1)
    want = np.maximum(x.astype(np.float64) @ weights, -1)
    for options, taken in (({}, True), ({"strict_float": True}, False)):
        found, names = _kernels(weights, x, **options)
        assert ("strassen" in names) == taken, options
        assert np.abs(found - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.usefixtures("_wide")
def test_large_weights_are_multiplied_as_written() -> None:
    x, weights = _random(40, 768), _random(768, 1408, seed=1)
    weights[3, 5] = np.inf
    found, names = _kernels(weights, np.abs(x))
    assert "strassen" not in names
    assert np.array_equal(
        np.isinf(found), np.broadcast_to(np.arange(1408) == 5, (40, 1408))
    )
