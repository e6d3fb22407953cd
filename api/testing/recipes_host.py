"""Recipes of ops that run on the host: matrices, images, trees."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphwright.ir.constant import Constant
from graphwright.ir.dtype import DTYPES, float32, float64, int64, uint8
from graphwright.ir.emitter import Value
from graphwright.ir.types import MapType, TensorType
from graphwright.testing.maker import Maker, Reject
from graphwright.testing.registry import recipe


def _matrix(m: Maker, *, square: bool = True) -> Value:
    """Matrices, square ones with a heavy diagonal."""
    dtype = m.dtype("fc" if m.world.fresh else "f")
    if dtype.bits < 32:
        raise Reject
    n = m.dim()
    x = m.shaped(dtype, (*m.shape(0, 1), n, n if square else m.dim()))
    x = m.inside(x, (-2.0, 2.0))
    if not square:
        return x
    b = m.b
    rows, columns = (b.iota(x.shape, x.rank - k, int64) for k in (2, 1))
    heavy = b.where(b.eq(rows, columns), b.full(x.shape, 24.0, dtype), b.zeros_like(x))
    return m.state(b.add(x, heavy), -26.0, 26.0)


@recipe("cholesky")
def cholesky(m: Maker) -> Sequence[Value]:
    return m.bounded(8.0, "cholesky", _matrix(m))


@recipe("solve")
def solve(m: Maker) -> Sequence[Value]:
    a = _matrix(m)
    y = m.shaped(a.dtype, (*a.shape[:-1], m.dim()))
    return m.bounded(m.size(y), "solve", a, y)


@recipe("slogdet")
def slogdet(m: Maker) -> Sequence[Value]:
    return m.bounded(32.0, "slogdet", _matrix(m))


@recipe("det", alone=True)
def det(m: Maker) -> Sequence[Value]:
    return m.emit("det", _matrix(m))


@recipe("inverse")
def inverse(m: Maker) -> Sequence[Value]:
    return m.bounded(1.0, "inverse", _matrix(m))


@recipe("qr", alone=True)
def qr(m: Maker) -> Sequence[Value]:
    return m.emit("qr", _matrix(m, square=False), complete=m.flag())


@recipe("svd", alone=True)
def svd(m: Maker) -> Sequence[Value]:
    return m.emit("svd", _matrix(m, square=False), full=m.flag())


@recipe("singular_values")
def singular_values(m: Maker) -> Sequence[Value]:
    x = _matrix(m, square=False)
    return m.bounded(64.0, "singular_values", x)


@recipe("eigh", alone=True)
def eigh(m: Maker) -> Sequence[Value]:
    return m.emit("eigh", _matrix(m), upper=m.flag())


@recipe("eig", alone=True)
def eig(m: Maker) -> Sequence[Value]:
    return m.emit("eig", _matrix(m))


# Images -------------------------------------------------------------------------------


def _pictures(m: Maker) -> Value:
    x = m.shaped(m.dtype("f"), (2, 2, 4, 4), exact=True)
    if x.dtype.bits < 16:
        raise Reject
    return x


@recipe("max_roi_pool")
def max_roi_pool(m: Maker) -> Sequence[Value]:
    x = _pictures(m)
    rows = [[0, 0, 0, 3, 3], [1, 1, 1, 2, 2], [0, 2, 0, 3, 1]]
    regions = m.constant(np.array(rows), x.dtype)
    return m.emit("max_roi_pool", x, regions, shape=(2, 2), scale=1.0)


@recipe("roi_align")
def roi_align(m: Maker) -> Sequence[Value]:
    x = _pictures(m)
    regions = m.constant(np.array([[0.5, 0.5, 3, 3], [1, 1, 2.5, 2]]), x.dtype)
    images = m.constant([1, 0], int64)
    fields = {"kind": m.c.pick(["avg", "max"]), "ratio": m.c.integer(0, 2)}
    fields |= {"shape": (2, 2), "scale": 1.0, "half_pixel": m.flag()}
    return m.bounded(m.size(x) + 1, "roi_align", x, regions, images, **fields)


@recipe("non_max_suppression")
def non_max_suppression(m: Maker) -> Sequence[Value]:
    rows = [[[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, 2, 1, 3], [0, 2, 1, 2.5]]]
    boxes = m.constant(np.array(rows, np.float32))
    scores = m.shaped(float32, (1, 2, 4), exact=True)
    limits = [m.constant(2, int64), m.constant(0.5, float32), m.constant(0.0, float32)]
    fields = {"count": m.b.fresh_symbol(), "centred": m.flag()}
    return m.emit("non_max_suppression", boxes, scores, *limits, **fields)


def _portable_map(pixels: Any) -> bytes:
    """The file of an image as portable pixel map."""
    height, width, _ = pixels.shape
    out = io.BytesIO()
    out.write(f"P6 {width} {height} 255\n".encode())
    out.write(pixels.tobytes())
    return out.getvalue()


@recipe("image_decoder")
def image_decoder(m: Maker) -> Sequence[Value]:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3) * 9
    data = m.constant(np.frombuffer(_portable_map(pixels), np.uint8), uint8)
    sizes = {"height": m.b.fresh_symbol(), "width": m.b.fresh_symbol()}
    kind = m.c.pick(["RGB", "BGR", "Grayscale"])
    return m.emit("image_decoder", data, pixels=kind, **sizes)


# Classical machine learning -----------------------------------------------------------


@recipe("lookup_table")
def lookup_table(m: Maker) -> Sequence[Value]:
    x = m.tensor("i", (0, 2))
    if x.dtype.bits < 8:
        raise Reject
    keys = m.constant([0, 1, 2, 5], x.dtype)
    values = m.constant([0.5, 1.5, -1.0, 2.0], float32)
    default = m.constant([0.25], float32)
    return m.emit("lookup_table", x, keys, values, default)


_TREE: tuple[tuple[list[Any], str], ...] = (
    ([0, 1, 0, 0, 0], "int64"),  # feature
    ([0, 1, 6, 6, 6], "int64"),  # comparison; 6 is a leaf
    ([0.25, -0.5, 0, 0, 0], "float32"),  # threshold
    ([1, 2, 2, 3, 4], "int64"),  # where it holds
    ([4, 3, 2, 3, 4], "int64"),  # where it does not
    ([0, 1, 0, 0, 0], "bool"),  # missing values hold
    ([0], "int64"),  # roots
    ([0, 0, 0, 1, 2], "int64"),  # first weight
    ([0, 0, 1, 1, 2], "int64"),  # number of weights
    ([0, 1, 0, 1], "int64"),  # target
    ([0.5, 1.5, -1.0, 0.25], "float64"),  # weight
)


@recipe("tree_ensemble")
def tree_ensemble(m: Maker) -> Sequence[Value]:
    dtype = m.dtype("f")
    if dtype.bits < 16:
        raise Reject
    x = m.shaped(dtype, (m.dim(), 2), exact=True)
    nodes = [m.b.constant(np.array(v), DTYPES[name]) for v, name in _TREE]
    fields = {"aggregate": m.c.pick(["sum", "average", "min", "max"])}
    return m.emit("tree_ensemble", x, *nodes, targets=2, depth=3, **fields)


@recipe("coupled_probabilities", alone=True)
def coupled_probabilities(m: Maker) -> Sequence[Value]:
    x = m.shaped(m.dtype("f"), (m.dim(), 3), within=(0.25, 0.75))
    return m.emit("coupled_probabilities", x, classes=3)


@recipe("zip_map", alone=True)
def zip_map(m: Maker) -> Sequence[Value]:
    x = m.shaped(float32, (m.dim(), 2))
    return m.emit("zip_map", x, labels=m.c.pick([("no", "yes"), (0, 1)]))


@recipe("map_to_tensor", alone=True)
def map_to_tensor(m: Maker) -> Sequence[Value]:
    scalar = TensorType(m.dtype("f"), ())
    x = m.input(MapType(int64, scalar), stem="map")
    to = m.c.pick([float32, float64, int64])
    return m.emit("map_to_tensor", x, dtype=to, count=2, keys=(0, 2))


def text(m: Maker, words: Sequence[str]) -> Value:
    """A constant of strings."""
    array = np.empty(len(words), object)
    array[:] = words
    return m.b.constant_of(Constant.of(array))
