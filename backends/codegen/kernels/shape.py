"""A convolution's sizes."""

from dataclasses import replace

from graphwright.ir.record import record


@record(frozen=True, slots=True)
class Planes:
    """Planes of volumes along their first axis: the images of a `ConvShape`.

    Attributes:
        count: Of a volume.
        out: Of a result.
        taps: Of a filter.
        stride: Planes between windows.
        pad: Planes before the first one.
        dilation: Planes between taps.
    """

    count: int
    out: int
    taps: int
    stride: int
    pad: int
    dilation: int


@record(frozen=True, slots=True)
class ConvShape:
    """Channels last: ``[batch, *size, channels]`` to ``[batch, *out, filters]``.

    Attributes:
        batch: Images.
        size: Height and width.
        channels: Of an image, all groups together.
        filters: Of the result, all groups together.
        kernel: Height and width of a filter.
        strides: Rows and columns between windows.
        pads: Rows above and below, columns left and right; negative ones cut.
        dilations: Rows and columns between taps.
        groups: Into which channels and filters are cut.
        merged: Whether a line of taps is read as one, of ``kernel[1] * channels``.
        pixel: Floats from a pixel of the image to the next; 0 for ``channels``.
        place: Floats from a position of the result to the next; 0 for ``filters``.
        planes: Of what ``batch`` counts the planes of results, if these are volumes.
        parts: As of `GemmShape`.
    """

    batch: int
    size: tuple[int, int]
    channels: int
    filters: int
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1
    merged: bool = False
    pixel: int = 0
    place: int = 0
    planes: Planes | None = None
    parts: tuple[int, int] = (3, 3)

    @property
    def step(self) -> int:
        """Floats from a pixel to the next."""
        return self.pixel or self.channels

    @property
    def out_step(self) -> int:
        """Floats from a position of the result to the next."""
        return self.place or self.filters

    @property
    def image(self) -> int:
        """Floats from an image to the next."""
        return self.size[0] * self.size[1] * self.step

    @property
    def pixels(self) -> int:
        """Numbers of all images."""
        return self.batch * self.size[0] * self.size[1] * self.channels

    @property
    def out(self) -> tuple[int, int]:
        """Height and width of the result."""
        return self._out(0), self._out(1)

    def _out(self, axis: int) -> int:
        reach = (self.kernel[axis] - 1) * self.dilations[axis] + 1
        padded = self.size[axis] + sum(self.pads[axis])
        return (padded - reach) // self.strides[axis] + 1

    @property
    def rows(self) -> int:
        """Positions of the result, in all images."""
        return self.batch * self.out[0] * self.out[1]

    @property
    def depth(self) -> int:
        """Channels of a group."""
        return self.channels // self.groups

    @property
    def group(self) -> "ConvShape":
        """The convolution of one group by itself, in the same images."""
        if self.groups == 1:
            return self
        return replace(
            self,
            channels=self.depth,
            filters=self.filters // self.groups,
            groups=1,
            pixel=self.step,
            place=self.out_step,
        )

    @property
    def taps(self) -> int:
        """Positions in a filter."""
        return self.kernel[0] * self.kernel[1]

    @property
    def is_product(self) -> bool:
        """Whether each position of the result is made of the same one of the image."""
        plain = self.kernel == self.strides == (1, 1)
        return plain and not any(map(any, self.pads))

    @property
    def flops(self) -> int:
        """Operations of the direct algorithm."""
        return 2 * self.rows * self.filters * self.taps * self.depth


def pieces(total: int, most: int, step: int = 1) -> int:
    """The size of about equal pieces, a multiple of ``step`` up to ``most``."""
    count = max(1, -(-total // max(step, most)))
    return -(-total // (count * step)) * step
