"""Interpolation at computed positions, in terms of gathers."""

from collections.abc import Sequence
from itertools import product as cartesian

from graphwright.ir.dim import Dim, product
from graphwright.ir.dtype import int64
from graphwright.ir.emitter import Emitter, Value

Tap = tuple[Value, Value | None]
"""An index into an axis, and its weight; None for 1."""

_FAR = float(1 << 30)
_CUBIC = -0.75


def interpolate(
    b: Emitter,
    image: Value,
    places: Sequence[Value],
    *,
    mode: str = "linear",
    padding: str = "zeros",
    align_corners: bool = False,
) -> Value:
    """Values of images between their pixels.

    Args:
        b: Where to emit.
        image: ``[N, C, *spatial]``.
        places: For each spatial axis ``[N, P]``, positions in pixels.
        mode: ``nearest``, ``linear`` or ``cubic`` (Keys, 1981, with a = -0.75).
        padding: What lies outside: ``zeros``, the ``border``, or the image by
            ``reflection`` at its border.
        align_corners: Whether reflection is at the outer pixels' centres, not edges.

    Returns:
        ``[N, C, P]``.
    """
    sizes = image.shape[2:]
    wide = image.dtype.accumulate
    flat = b.reshape(image, (*image.shape[:2], product(sizes)))
    axes = [
        _axis_taps(b, place, size, mode, padding, align_corners)
        for place, size in zip(places, sizes, strict=True)
    ]
    total: Value | None = None
    for corner in cartesian(*axes):
        index, weight = _corner(b, corner, sizes)
        found = b.cast(b.gather(flat, index, 2, batch_dims=1), wide)
        if weight is not None:
            found = b.mul(found, b.cast(b.expand_dims(weight, [1]), wide))
        total = found if total is None else b.add(total, found)
    assert total is not None
    return b.cast(total, image.dtype)


def _corner(
    b: Emitter, corner: Sequence[Tap], sizes: Sequence[Dim]
) -> tuple[Value, Value | None]:
    """Position in the flattened image, and the product of the weights."""
    index, weight = corner[0]
    for (own, factor), size in zip(corner[1:], sizes[1:], strict=True):
        index = b.add(b.mul(index, b.dim_scalar(size, int64)), own)
        if weight is None or factor is None:
            weight = weight or factor
        else:
            weight = b.mul(weight, factor)
    return index, weight


def _axis_taps(
    b: Emitter, place: Value, size: Dim, mode: str, padding: str, align_corners: bool
) -> list[Tap]:
    place = b.min(b.max(place, -_FAR), _FAR)
    rows: list[tuple[int, Value, Value | None]]
    if mode == "nearest":
        rows = [(0, b.unary("round", place), None)]
    else:
        base = b.floor(place)
        t = b.sub(place, base)
        rows = _weights(b, base, t, mode)
    taps: list[Tap] = []
    for shift, base, weight in rows:
        index = b.add(b.cast(base, int64), shift)
        taps.append(_outside(b, index, weight, size, padding, align_corners, place))
    return taps


def _weights(
    b: Emitter, base: Value, t: Value, mode: str
) -> list[tuple[int, Value, Value | None]]:
    rest = b.sub(b.full(t.shape, 1, t.dtype), t)
    if mode == "linear":
        return [(0, base, rest), (1, base, t)]
    return [
        (-1, base, _cubic_far(b, b.add(t, 1))),
        (0, base, _cubic_near(b, t)),
        (1, base, _cubic_near(b, rest)),
        (2, base, _cubic_far(b, b.add(rest, 1))),
    ]


def _cubic_near(b: Emitter, x: Value) -> Value:
    """``(a + 2) x^3 - (a + 3) x^2 + 1``, for distances up to 1."""
    inner = b.sub(b.mul(x, _CUBIC + 2), _CUBIC + 3)
    return b.add(b.mul(b.mul(inner, x), x), 1)


def _cubic_far(b: Emitter, x: Value) -> Value:
    """``a x^3 - 5a x^2 + 8a x - 4a``, for distances from 1 to 2."""
    inner = b.sub(b.mul(x, _CUBIC), 5 * _CUBIC)
    inner = b.add(b.mul(inner, x), 8 * _CUBIC)
    return b.sub(b.mul(inner, x), 4 * _CUBIC)


def _outside(
    b: Emitter,
    index: Value,
    weight: Value | None,
    size: Dim,
    padding: str,
    align_corners: bool,
    like: Value,
) -> Tap:
    last = b.sub(b.dim_scalar(size, int64), 1)
    if padding == "reflection":
        return _reflect(b, index, size, align_corners), weight
    near = b.min(b.max(index, 0), last)
    if padding == "border":
        return near, weight
    inside = b.cast(b.eq(near, index), like.dtype)
    return near, inside if weight is None else b.mul(weight, inside)


def _reflect(b: Emitter, index: Value, size: Dim, align_corners: bool) -> Value:
    """Indices mirrored at the outer pixels' centres, or at their edges."""
    count = b.dim_scalar(size, int64)
    span = b.sub(count, 1) if align_corners else count
    period = b.max(b.mul(span, 2), 1)
    turned = b.rem(b.add(b.rem(index, period), period), period)
    back = b.sub(period, turned)
    back = back if align_corners else b.sub(back, 1)
    near = b.min(turned, back)
    return b.min(b.max(near, 0), b.sub(count, 1))
