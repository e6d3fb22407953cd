"""PNG files as tensors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from graphwright.ir.dim import Dim
from graphwright.ir.errors import FeedError
from graphwright.ir.types import TensorType

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def pictures(paths: Sequence[str], type_: TensorType, name: str) -> Any:
    """PNGs as one tensor of a type, each an element of its batch.

    The type is ``[batch, channels, height, width]`` or ``[batch, height, width,
    channels]``, or one of them without the batch, or ``[height, width]``; channels are
    1 (grey), 3 (red, green, blue) or 4 (with alpha). A picture is brought to the
    declared channels, and to the declared height and width where they are known. Floats
    are divided by 255, so that they lie in [0, 1]; uint8 stays.

    Raises:
        FeedError: If a file is no PNG of 8 bits a channel, or the type is no picture's.
    """
    if type_.dtype.name != "uint8" and not type_.dtype.is_float:
        raise _unfit(type_, name)
    shape = type_.shape or ()
    if len(shape) not in (2, 3, 4) or (len(paths) > 1 and len(shape) != 4):
        raise _unfit(type_, name)
    sizes, channels, first = _layout(type_, name)
    arrays = [_read(path, sizes, channels) for path in paths]
    if len({x.shape for x in arrays}) > 1:
        raise FeedError(
            f"the PNGs for input {name!r} differ in size: feed one at a time"
        )
    batch = np.stack(arrays)
    if len(shape) > 2:
        batch = batch[:, None] if channels == 1 and first else batch
        batch = batch[..., None] if channels == 1 and not first else batch
        batch = batch.transpose(0, 3, 1, 2) if channels > 1 and first else batch
    if type_.dtype.is_float:
        batch = (batch / np.float32(255)).astype(type_.dtype.numpy)
    return np.ascontiguousarray(batch if len(shape) == 4 else batch[0])


def _layout(type_: TensorType, name: str) -> tuple[tuple[Dim, Dim], int, bool]:
    """Height and width, channels, and whether those come first."""
    *_, a, b, c = (1, *(type_.shape or ()))
    if type_.rank == 2:
        return (b, c), 1, True
    if a in _MODES:
        return (b, c), int(a), True  # type: ignore[arg-type]
    if c in _MODES:
        return (a, b), int(c), False  # type: ignore[arg-type]
    raise _unfit(type_, name)


def _unfit(type_: TensorType, name: str) -> FeedError:
    return FeedError(
        f"a PNG does not fit input {name!r}, {type_}: wanted are floats or uint8 as"
        " [batch, channels, height, width] or [batch, height, width, channels] with 1,"
        " 3 or 4 channels; give a .npy file"
    )


def _read(path: str, sizes: tuple[Dim, Dim], channels: int) -> Any:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.mode.startswith(("I", "F")):
                raise FeedError(f"{path!r} has over 8 bits a channel: save it with 8")
            found = image.convert(_MODES[channels])
    except FileNotFoundError:
        raise FeedError(f"cannot read {path!r}: there is no such file") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise FeedError(f"{path!r} cannot be read as a PNG: {error}") from None
    height, width = (
        size if isinstance(size, int) else found.size[1 - axis]
        for axis, size in enumerate(sizes)
    )
    if found.size != (width, height):
        found = found.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(found)
