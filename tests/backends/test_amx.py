"""Products by tiles of bfloat16 numbers: as exact as those of float32."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from library_runs import run

import graphwright as gw
from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.dialect import OPENCL
from graphwright.backends.codegen.kernels import amx, amx_bytes
from graphwright.backends.codegen.kernels.amx_gemm import amx_gemm, pays
from graphwright.backends.codegen.kernels.choose import convolution
from graphwright.backends.codegen.kernels.finish import Affine
from graphwright.backends.codegen.kernels.gemm import GemmShape, gemm
from graphwright.backends.codegen.kernels.launch import Library
from graphwright.backends.codegen.kernels.shape import ConvShape
from graphwright.backends.codegen.kernels.sums import FLOATS, Bytes
from graphwright.backends.codegen.kernels.sums import NARROW as SUMS
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.backends.opencl.library import session
from graphwright.backends.opencl.processor import flags_in
from graphwright.ir.dtype import DTYPES, bfloat16, float16

MISSING = OpenCLBackend().unavailable()
HAS = MISSING is None and session(0).amx
tiles = pytest.mark.skipif(not HAS, reason=MISSING or "the processor has no AMX tiles")
both = pytest.mark.parametrize("fast", [True, False])

MACHINE = Cpu(2, 1 << 21, amx=True, lanes=16)
ASKS = "const int fast = tiles_are_fast(near)"


class Raw(Affine):
    """Writes sums of integers as they are."""

    @property
    def types(self) -> Mapping[str, str]:
        """The result's."""
        return {"out": "int"}

    def write(self, address: str, value: str, left: str | None) -> str:
        """See `Finish`."""
        return f"WORDS_STORE({address}, {value})"


SHAPES = [
    GemmShape(1, 64, 96, 128),
    GemmShape(1, 197, 768, 100),
    GemmShape(2, 130, 200, 70),
    GemmShape(3, 40, 140, 150, shared=True),
    GemmShape(1, 512, 33, 48),
    GemmShape(1, 700, 65, 16),
    GemmShape(1, 128, 2100, 64),
    GemmShape(1, 3136, 64, 256),  # the last rows are fewer than those of others
]


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Also small products are computed so."""
    monkeypatch.setattr(amx, "_GAIN", np.inf)
    amx.share_of.cache_clear()
    yield
    amx.share_of.cache_clear()


def _random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def _forced(library: Library, fast: bool) -> Library:
    """Kernels that do not ask how fast tiles are."""
    own = f"const int fast = {int(fast)}"
    launches = tuple(
        replace(launch, source=launch.source.replace(ASKS, own))
        for launch in library.launches
    )
    assert any(own in launch.source for launch in launches)
    return replace(library, launches=launches)


def _operands(shape: GemmShape) -> tuple[Any, Any]:
    x = _random(shape.batch, shape.rows, shape.depth)
    return x, _random(shape.matrices, shape.depth, shape.columns, seed=1)


def _narrowed(x: Any, parts: int) -> Any:
    """Numbers that are sums of so many of bfloat16, small and large ones, too."""
    dtype = {1: ml_dtypes.bfloat16, 2: np.float16, 3: np.float32}[parts]
    scales = 10.0 ** np.random.default_rng(5).integers(-7, 2, x.shape)
    return (x * scales).astype(dtype).astype(np.float32)


def _product(
    shape: GemmShape, x: Any, w: Any, fast: bool, constant: bool = True
) -> Any:
    library = _forced(amx_gemm(shape, constant, Affine(), MACHINE, OPENCL), fast)
    known = {"x": x} if constant else {"x": x, "w": w}
    size = shape.batch, shape.rows, shape.columns
    return run(library, known, size, w, MACHINE.lanes)


@tiles
@both
@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products_are_as_exact_as_those_of_float32(
    shape: GemmShape, constant: bool, fast: bool
) -> None:
    x, w = _operands(shape)
    want = x.astype(np.float64) @ w
    got = _product(shape, x, w, fast, constant)
    vectors = gemm(shape, True, Affine(), replace(MACHINE, amx=False), OPENCL)
    other = run(vectors, {"x": x}, want.shape, w, MACHINE.lanes)
    assert np.abs(got - want).max() <= 1.2 * np.abs(other - want).max()


NARROW = [(i, j) for i in (1, 2, 3) for j in (1, 2, 3) if (i, j) != amx.WHOLE]


@tiles
@pytest.mark.parametrize("shape", [SHAPES[1], SHAPES[6]], ids=str)
@pytest.mark.parametrize("parts", NARROW, ids=str)
def test_products_of_few_parts_are_as_exact(shape: GemmShape, parts: amx.Parts) -> None:
    x, w = map(_narrowed, _operands(shape), parts)
    x[0, 3, 7] = 0
    own = replace(shape, parts=parts)
    want = x.astype(np.float64) @ w
    library = _forced(amx_gemm(own, True, Affine(), MACHINE, OPENCL), fast=True)
    got = run(library, {"x": x}, want.shape, w, MACHINE.lanes)
    vectors = gemm(shape, True, Affine(), replace(MACHINE, amx=False), OPENCL)
    other = run(vectors, {"x": x}, want.shape, w, MACHINE.lanes)
    assert np.abs(got - want).max() <= 1.2 * np.abs(other - want).max()
    (launch,) = library.launches
    dots = 4 * sum(i + j < 3 for i, j in np.ndindex(*parts))
    assert launch.source.count("TILE_DOT(") == dots
    sums = {1: SUMS[bfloat16], 2: SUMS[float16], 3: FLOATS}[parts[1]]
    narrow = amx_gemm(own, True, Affine(), MACHINE, OPENCL, sums)
    narrow = _forced(narrow, fast=True)
    again = run(narrow, {"x": x}, want.shape, w, MACHINE.lanes)
    np.testing.assert_array_equal(again, got)
    x[0, 3, 7] = np.inf
    got = run(narrow, {"x": x}, want.shape, w, MACHINE.lanes)
    assert not np.isfinite(got[0, 3]).any()
    assert np.isfinite(got[0, 4:]).all()


@tiles
@both
@pytest.mark.parametrize("seed", range(6))
def test_random_products(seed: int, fast: bool) -> None:
    pick = np.random.default_rng(seed).integers
    rows, depth, columns = (int(pick(16, most)) for most in (2000, 700, 300))
    shape = GemmShape(int(pick(1, 3)), rows, depth, columns)
    x, w = _operands(shape)
    want = x.astype(np.float64) @ w
    got = _product(shape, x, w, fast, constant=bool(seed % 2))
    assert np.abs(got - want).max() <= 3e-6 * np.abs(want).max()


@tiles
@both
def test_integers_have_exact_sums(fast: bool) -> None:
    shape = GemmShape(1, 70, 200, 90)
    pick = np.random.default_rng(0).integers
    x = pick(-(1 << 8), 1 << 8, (1, 70, 200)).astype(np.float32)
    w = pick(-(1 << 8), 1 << 8, (1, 200, 90)).astype(np.float32)
    np.testing.assert_array_equal(_product(shape, x, w, fast), x @ w)


@tiles
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_small_and_large_numbers_keep_their_bits(scale: float) -> None:
    shape = GemmShape(1, 64, 96, 64)
    x, w = _operands(shape)
    got = _product(shape, np.float32(scale) * x, w, fast=True)
    want = scale * (x.astype(np.float64) @ w)
    assert np.abs(got - want).max() <= 1e-6 * np.abs(want).max()


@tiles
@both
@pytest.mark.parametrize("where", ["x", "w"])
@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan, 3e38])
def test_what_is_not_finite_stays_in_its_row_or_column(
    odd: float, where: str, fast: bool
) -> None:
    shape = GemmShape(1, 70, 100, 80)
    x, w = np.abs(_operands(shape)[0]), np.abs(_operands(shape)[1])
    (x if where == "x" else w)[0, 40, 33] = odd
    if where == "x":
        w[0, 33, 5:9] = 0
    with np.errstate(all="ignore"):
        want = x @ w
    np.testing.assert_allclose(_product(shape, x, w, fast), want, rtol=1e-5)


@tiles
@both
def test_convolutions_that_are_products(fast: bool) -> None:
    shape = ConvShape(2, (9, 13), 72, 50, (1, 1), pixel=90, place=61)
    x, w = _random(2, 9, 13, 90), _random(50, 72, 1, 1, seed=1)
    finish = Affine(bias=True, residual=True, low=-2.0)
    library = convolution(shape, finish, MACHINE, OPENCL, None)
    bias, residual = _random(50, seed=2), _random(2, 9, 13, 50, seed=3)
    known = {"x": x, "bias": bias, "residual": residual}
    got = run(_forced(library, fast), known, (2, 9, 13, 61), w, MACHINE.lanes)
    sums = x[..., :72].astype(np.float64) @ w[:, :, 0, 0].T
    want = np.maximum(sums + bias + residual, -2)
    assert np.abs(got[..., :50] - want).max() <= 1e-6 * np.abs(sums).max()
    assert np.isnan(got[..., 50:]).all()


@tiles
def test_graphs_are_computed_so() -> None:
    x, w = _random(256, 384), _random(384, 512, seed=1)
    graph = gw.trace(lambda x: np.maximum(x @ w, 0.0), gw.spec("float32", (256, 384)))
    run = gw.compile(graph, backend="opencl", strict=True)
    kernels = [row.kernel for row in run.profile([x])]
    assert any(name.startswith("amx_gemm") for name in kernels)
    want = np.maximum(x.astype(np.float64) @ w, 0)
    assert np.abs(run(x) - want).max() <= 1e-6 * want.max()
    exact = gw.compile(graph, backend="opencl", strict=True, strict_float=True)
    kernels = [row.kernel for row in exact.profile([x])]
    assert not any(name.startswith("amx_gemm") for name in kernels)


@tiles
@pytest.mark.parametrize(
    ("narrow", "dots"), [("bfloat16", 4), ("float16", 16), ("float32", 24)]
)
def test_graphs_tell_of_how_many_parts_numbers_are(
    narrow: str, dots: int, tmp_path: Path
) -> None:
    dtype = DTYPES[narrow].numpy
    x, w = _random(256, 384).astype(dtype), _random(384, 512, seed=1).astype(dtype)
    graph = gw.trace(lambda x: x @ w, gw.spec(narrow, (256, 384)))
    exe = gw.compile(graph, backend="opencl", strict=True, dump=tmp_path)
    want = x.astype(np.float64) @ w.astype(np.float64)
    found = np.asarray(exe(x)).astype(np.float64)
    unit = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 1e-6}[narrow]
    assert np.abs(found - want).max() <= 1.01 * unit * np.abs(want).max()
    files = [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".npy"]
    sources = [p.read_text() for p in files if "void amx_gemm" in p.read_text()]
    assert {source.count("TILE_DOT(") for source in sources} == {dots}


def test_tiles_are_for_products_that_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    amx.share_of.cache_clear()
    assert pays(GemmShape(1, 128, 768, 768), MACHINE)
    assert not pays(GemmShape(1, 128, 768, 768), replace(MACHINE, amx=False))
    assert not pays(GemmShape(1, 128, 768, 768), replace(MACHINE, strict=True))
    assert not pays(GemmShape(1, 1, 768, 3072), MACHINE)
    assert not pays(GemmShape(64, 20, 20, 20), MACHINE)


@pytest.mark.parametrize("rows", [16, 197, 5000])
@pytest.mark.parametrize("depth", [16, 1000, 20000])
@pytest.mark.parametrize("columns", [16, 40, 30000])
@pytest.mark.parametrize("parts", [(1, 1), (2, 2), amx.WHOLE])
def test_shares_fit_the_cache(
    rows: int, depth: int, columns: int, parts: amx.Parts
) -> None:
    share = amx.share_of(rows, depth, columns, 1, parts, MACHINE)
    assert share is not None
    assert 4 * share.near <= 3 << 19
    assert share.tiles % 2 == 0
    assert share.high <= amx.HIGH


def test_flags_of_all_cores_count() -> None:
    needed, has = (
        frozenset({"amx_tile", "amx_bf16"}),
        "flags\t\t: fpu amx_bf16 amx_tile",
    )
    assert flags_in(["processor : 0", has, has], needed)
    assert not flags_in([has, "flags\t\t: fpu amx_tile"], needed)
    assert not flags_in(["flags\t\t: amx_tile amx_bf16_not"], needed)
    assert not flags_in(["Features : asimd"], needed)


BYTES = [
    GemmShape(1, 128, 48, 96),
    GemmShape(1, 70, 16, 50),
    GemmShape(3, 33, 32, 20),
    GemmShape(1, 300, 64, 16),
]


@tiles
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("shape", BYTES, ids=str)
def test_products_of_bytes_are_exact(shape: GemmShape, signed: bool) -> None:
    pick, zero = np.random.default_rng(0).integers, 3 if signed else 130
    low, high, dtype = (-128, 128, np.int8) if signed else (0, 256, np.uint8)
    x = pick(low, high, (shape.batch, shape.rows, 4 * shape.depth)).astype(dtype)
    w = pick(-128, 128, (shape.batch, 4 * shape.depth, shape.columns)).astype(np.int16)
    sums = Bytes(signed, zero, fast=True)
    assert amx_bytes.takes(shape, sums, MACHINE)
    library = amx_bytes.amx_bytes(shape, Raw(), MACHINE, OPENCL, sums)
    size = shape.batch, shape.rows, shape.columns
    got = run(library, {"x": x.view(np.int32)}, size, w, MACHINE.lanes)
    want = (x.astype(np.int64) - zero) @ w.astype(np.int64)
    np.testing.assert_array_equal(got.view(np.int32), want)
