"""Regions, boxes and files of images: ops that run on the host, most of them."""

import io
import math
from typing import Any, ClassVar

import numpy as np

from graphwright.ir.dim import Dim, Expr, product, symbols
from graphwright.ir.dtype import dtype, int64, uint8
from graphwright.ir.emitter import Emitter, Value
from graphwright.ir.errors import BackendUnavailable, BudgetError, UnsupportedOpError
from graphwright.ir.op import Op, Tier
from graphwright.ir.ops.index import check_bounds
from graphwright.ir.rules import need, need_kind, ranked
from graphwright.ir.types import TensorType

MAX_PIXELS = 1 << 26
"""Images of more pixels are not decoded."""

MAX_SAMPLES = 1 << 16
"""Cells of regions are not sampled more often along an axis."""

_FORMATS = ("BMP", "JPEG", "JPEG2000", "TIFF", "PNG", "WEBP", "PPM")


class Regions(Op):
    """A grid of ``shape`` cells over each region, each cell pooled to one element.

    ``scale`` takes coordinates of the regions to those of the images.
    """

    tier: ClassVar[Tier] = Tier.HOST
    shape: tuple[int, int]
    scale: float

    def result_of(self, x: TensorType, regions: TensorType, width: int) -> TensorType:
        """``[regions, channels, *shape]``; a region has ``width`` numbers."""
        ranked(self.name, x, regions)
        need_kind(self.name, x, "f")
        fits = x.rank == 4 and regions.rank == 2 and regions.dims[1] == width
        need(fits, f"{self.name} of {x} with regions {regions}")
        return TensorType(x.dtype, (regions.dims[0], x.dims[1], *self.shape))


class MaxRoiPool(Regions):
    """Largest element of each cell (Girshick, "Fast R-CNN", 2015); 0 of an empty one.

    A region is (image, x1, y1, x2, y2), its corners included.
    """

    name = "max_roi_pool"

    def result_type(self, x: TensorType, regions: TensorType) -> TensorType:
        return self.result_of(x, regions, 5)

    def compute(self, xp: Any, x: Any, regions: Any) -> Any:
        check_bounds(self.name, regions[:, 0].astype(np.int64), max(x.shape[0], 1))
        y = np.zeros((len(regions), x.shape[1], *self.shape), x.dtype)
        corners = np.asarray(regions[:, 1:], np.float64) * self.scale
        corners = np.trunc(corners + np.copysign(0.5, corners)).astype(np.int64)
        for r, (x1, y1, x2, y2) in enumerate(corners.tolist()):
            image = x[int(regions[r, 0])]
            rows = _cells(y1, y2, self.shape[0], x.shape[2])
            columns = _cells(x1, x2, self.shape[1], x.shape[3])
            for i, (top, bottom) in enumerate(rows):
                for j, (left, right) in enumerate(columns):
                    if top < bottom and left < right:
                        cell = image[:, top:bottom, left:right]
                        y[r, :, i, j] = cell.max(axis=(1, 2))
        return y


def _cells(first: int, last: int, count: int, size: int) -> list[tuple[int, int]]:
    """Begin and end of each cell, inside the image."""
    step = max(last - first + 1, 1) / count
    ends = (
        (math.floor(i * step) + first, math.ceil((i + 1) * step) + first)
        for i in range(count)
    )
    return [(min(max(a, 0), size), min(max(z, 0), size)) for a, z in ends]


class RoiAlign(Regions):
    """Mean or ``max`` of bilinear samples in each cell (He et al., "Mask R-CNN", 2017).

    Operands: images, regions (x1, y1, x2, y2), and the image that each lies in.
    ``ratio`` samples an axis of a cell, or one a pixel if 0. Without ``half_pixel``
    pixels are at whole coordinates and regions at least one pixel large.
    """

    name = "roi_align"
    kind: str
    ratio: int
    half_pixel: bool

    def result_type(
        self, x: TensorType, regions: TensorType, images: TensorType
    ) -> TensorType:
        need(self.kind in ("avg", "max"), f"roi_align has no kind {self.kind!r}")
        need_kind("roi_align's images", images, "iu")
        return self.result_of(x, regions, 4)

    def compute(self, xp: Any, x: Any, regions: Any, images: Any) -> Any:
        check_bounds(self.name, images, x.shape[0])
        need(not len(regions) or 0 not in x.shape, "roi_align of images of no pixels")
        wide = dtype(x.dtype).accumulate.numpy
        y = np.zeros((len(regions), x.shape[1], *self.shape), wide)
        corners = np.asarray(regions, wide) * wide.type(self.scale)
        corners -= wide.type(0.5 if self.half_pixel else 0)
        for r, (x1, y1, x2, y2) in enumerate(corners):
            image = x[int(images[r])].astype(wide, copy=False)
            down = self._samples(y1, y2, self.shape[0], x.shape[2])
            across = self._samples(x1, x2, self.shape[1], x.shape[3])
            pool = _mean_samples if self.kind == "avg" else _max_samples
            y[r] = pool(image, down, across)
        return y.astype(x.dtype, copy=False)

    def _samples(self, low: Any, high: Any, count: int, size: int) -> Any:
        """For each cell and sample two indices ``[count, n]`` and their weights."""
        length = high - low if self.half_pixel else max(high - low, low.dtype.type(1))
        cell = length / count
        n = self.ratio if self.ratio > 0 else _adaptive(float(cell))
        if n > MAX_SAMPLES:
            raise BudgetError(f"roi_align: {n} samples a cell are over {MAX_SAMPLES}")
        inner = (np.arange(n, dtype=low.dtype) + low.dtype.type(0.5)) * cell / max(n, 1)
        at = low + np.arange(count, dtype=low.dtype)[:, None] * cell + inner
        valid = (at >= -1) & (at <= size)
        at = np.clip(at, 0, size - 1)
        first = np.floor(at).astype(np.int64)
        part = at - first
        second = np.minimum(first + 1, size - 1)
        return first, second, (1 - part) * valid, part * valid

    def decompose(self, b: Emitter, *operands: Value) -> Value:
        """Pixels, each with all channels, weighted and pooled; not without ``ratio``.

        Regions then say how many samples there are, and no shape can.
        """
        if not 0 < self.ratio <= MAX_SAMPLES:
            raise UnsupportedOpError(f"{self.name} has as many samples as pixels")
        x, regions, images = operands
        wide, (_, channels, height, width) = x.dtype.accumulate, x.shape
        corners = b.mul(b.cast(regions, wide), self.scale)
        corners = b.sub(corners, 0.5 if self.half_pixel else 0.0)
        left, top, right, bottom = b.split(corners, [1] * 4, 1)
        down, tall = self._corners(b, top, bottom, self.shape[0], height)
        across, long = self._corners(b, left, right, self.shape[1], width)
        image = b.expand_dims(b.cast(images, int64), [1])
        down = b.add(b.mul(image, b.dim_scalar(height, int64)), down)
        down = b.mul(down, b.dim_scalar(width, int64))
        at = b.add(b.expand_dims(down, [2]), b.expand_dims(across, [1]))
        weights = b.mul(b.expand_dims(tall, [2]), b.expand_dims(long, [1]))
        pixels = b.transpose(x, (0, 2, 3, 1))
        pixels = b.reshape(pixels, (product(pixels.shape[:3]), channels))
        found = b.mul(
            b.cast(b.gather(pixels, at, 0), wide), b.expand_dims(weights, [3])
        )
        rows, columns = ((n, 2 * self.ratio) for n in self.shape)
        found = b.reshape(found, (regions.shape[0], *rows, *columns, channels))
        mean = self.kind == "avg"
        pooled = b.reduce("sum" if mean else "max", found, (2, 4))
        pooled = b.mul(pooled, 1 / self.ratio**2) if mean else pooled
        return b.cast(b.transpose(pooled, (0, 3, 1, 2)), x.dtype)

    def _corners(
        self, b: Emitter, low: Value, high: Value, count: int, size: Dim
    ) -> tuple[Value, Value]:
        """Indices and weights of what ``_samples`` finds, in a row for each region."""
        n, wide, (regions, _) = self.ratio, low.dtype, low.shape
        length = b.sub(high, low)
        cell = b.div(length if self.half_pixel else b.max(length, 1.0), float(count))
        low, cell = (b.expand_dims(v, [2]) for v in (low, cell))
        inner = b.div(b.mul(b.add(b.iota((1, 1, n), 2, wide), 0.5), cell), float(n))
        at = b.add(b.add(low, b.mul(b.iota((1, count, 1), 1, wide), cell)), inner)
        last = b.dim_scalar(size - 1, wide)
        valid = b.and_(b.ge(at, -1.0), b.le(at, b.dim_scalar(size, wide)))
        at = b.where(valid, b.min(b.max(at, 0.0), last), 0.0)
        first = b.floor(at)
        far = b.sub(at, first)
        near = b.where(valid, b.sub(1.0, far), 0.0)
        indices = b.stack([first, b.min(b.add(first, 1.0), last)], 3)
        row = (regions, count * n * 2)
        weights = b.reshape(b.stack([near, far], 3), row)
        return b.cast(b.reshape(indices, row), int64), weights


def _adaptive(cell: float) -> int:
    """One sample a pixel; none where the region has no finite size."""
    return max(math.ceil(cell), 0) if math.isfinite(cell) else 0


def _mean_samples(image: Any, down: Any, across: Any) -> Any:
    """Bilinear weights are products: the mean is a matrix product from each side."""
    left = _matrix(down, image.shape[1], image.dtype)
    right = _matrix(across, image.shape[2], image.dtype)
    return np.matmul(np.matmul(left, image), right.T)


def _matrix(samples: Any, size: int, to: Any) -> Any:
    first, second, near, far = samples
    matrix = np.zeros((len(first), size), to)
    row = np.arange(len(first))[:, None]
    np.add.at(matrix, (row, first), near)
    np.add.at(matrix, (row, second), far)
    return matrix / max(first.shape[1], 1)


def _max_samples(image: Any, down: Any, across: Any) -> Any:
    """The largest weighted corner, as the standard's reference takes it."""
    shape = (image.shape[0], *down[0].shape, *across[0].shape)
    best: Any = None
    for rows, tall in ((down[0], down[2]), (down[1], down[3])):
        for columns, long in ((across[0], across[2]), (across[1], across[3])):
            part = image[:, rows.ravel()][:, :, columns.ravel()]
            part = part * (tall.reshape(-1, 1) * long.reshape(1, -1)).astype(
                image.dtype
            )
            best = part if best is None else np.maximum(best, part)
    if best.size == 0:
        return np.zeros((shape[0], shape[1], shape[3]), image.dtype)
    return best.reshape(shape).max(axis=(2, 4))


class NonMaxSuppression(Op):
    """Greedy choice of boxes: int64 ``[count, 3]`` of (image, class, box).

    Operands: boxes ``[N, boxes, 4]``, scores ``[N, classes, boxes]``, then one number
    each: how many an image and class may have, the overlap (intersection over union)
    above which the lower score goes, and what scores must exceed. A box is two
    opposite corners, or with ``centred`` its centre and size.
    """

    name = "non_max_suppression"
    tier = Tier.HOST
    count: Dim
    centred: bool = False

    def result_type(self, boxes: TensorType, scores: TensorType, *_: Any) -> TensorType:
        ranked(self.name, boxes, scores)
        fits = boxes.rank == scores.rank == 3 and boxes.dims[2] == 4
        need(fits, f"{self.name} of boxes {boxes} with scores {scores}")
        return TensorType(int64, (self.count, 3))

    def defined_symbols(self) -> tuple[str, ...]:
        return tuple(symbols(self.count)) if isinstance(self.count, Expr) else ()

    def compute(
        self, xp: Any, boxes: Any, scores: Any, most: Any, overlap: Any, least: Any
    ) -> Any:
        limit, share, floor = (
            np.asarray(v).reshape(-1)[0] for v in (most, overlap, least)
        )
        chosen: list[tuple[int, int, int]] = []
        for n, box in enumerate(boxes):
            low, high = self._corners(box)
            for k, score in enumerate(scores[n]):
                order = np.argsort(-score, kind="stable")
                order = order[score[order] > floor]
                kept = _greedy(low, high, order, int(limit), share)
                chosen += [(n, k, i) for i in kept]
        return np.array(chosen, np.int64).reshape(-1, 3)

    def _corners(self, box: Any) -> tuple[Any, Any]:
        first, second = box[:, :2], box[:, 2:]
        if self.centred:
            return first - second / 2, first + second / 2
        return np.minimum(first, second), np.maximum(first, second)


def _greedy(low: Any, high: Any, order: Any, limit: int, share: Any) -> list[int]:
    areas = np.prod(high - low, axis=1)
    kept: list[int] = []
    while len(order) and len(kept) < limit:
        best, order = int(order[0]), order[1:]
        kept.append(best)
        sides = np.minimum(high[best], high[order]) - np.maximum(low[best], low[order])
        common = np.prod(np.maximum(sides, 0), axis=1)
        union = areas[best] + areas[order] - common
        solid = (areas[best] > 0) & (areas[order] > 0) & (union > 0)
        ratio = np.divide(common, union, out=np.zeros_like(common), where=solid)
        order = order[ratio <= share]
    return kept


class ImageDecoder(Op):
    """The pixels uint8 ``[height, width, channels]`` of an encoded image.

    ``pixels`` is ``RGB``, ``BGR`` or ``Grayscale``. What cannot be decoded is empty.
    """

    name = "image_decoder"
    tier = Tier.HOST
    pixels: str
    height: Dim
    width: Dim

    @property
    def channels(self) -> int:
        """Numbers of one pixel."""
        return 1 if self.pixels == "Grayscale" else 3

    def result_type(self, data: TensorType) -> TensorType:
        known = self.pixels in ("RGB", "BGR", "Grayscale")
        need(known, f"image_decoder has no pixels {self.pixels!r}")
        need(data.dtype is uint8 and data.rank == 1, f"image_decoder of {data}")
        return TensorType(uint8, (self.height, self.width, self.channels))

    def defined_symbols(self) -> tuple[str, ...]:
        sizes = (d for d in (self.height, self.width) if isinstance(d, Expr))
        return tuple(name for d in sizes for name in symbols(d))

    def compute(self, xp: Any, data: Any) -> Any:
        try:
            from PIL import Image
        except ImportError:
            raise BackendUnavailable(
                "image_decoder needs Pillow: pip install pillow"
            ) from None
        try:
            image = Image.open(io.BytesIO(np.asarray(data).tobytes()), formats=_FORMATS)
            _check_pixels(image.width, image.height)
            pixels = image.convert("L" if self.channels == 1 else "RGB")
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise BudgetError(f"image_decoder: too many pixels: {error}") from None
        except (OSError, SyntaxError, ValueError):
            return np.zeros((0, 0, self.channels), np.uint8)
        array = np.asarray(pixels).reshape(pixels.height, pixels.width, self.channels)
        return np.ascontiguousarray(
            array[:, :, ::-1] if self.pixels == "BGR" else array
        )


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise BudgetError(
            f"image_decoder: {width} x {height} pixels are over {MAX_PIXELS}"
        )
