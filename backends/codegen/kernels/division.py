"""How a convolution by Winograd's algorithm is cut: into tiles and spans of these."""

from graphwright.backends.codegen.kernels.shape import ConvShape
from graphwright.backends.codegen.kernels.tile import Tile, heights
from graphwright.ir.record import record

GAP = 16
"""Floats by which frequencies lie further apart than they must: else all are in the
same few sets of the cache where channels are a power of two."""


@record(frozen=True, slots=True)
class Division:
    """How the work is cut.

    Attributes:
        outputs: Of a tile, in each direction.
        span: Tiles that go through all steps together; 0 for all tiles step by step.
        taps: Of a window, in each direction.
    """

    outputs: int
    span: int = 0
    taps: int = 3

    def __str__(self) -> str:
        together = f", {self.span} together" if self.span else ""
        return f"F({self.outputs}){together}"

    def tile(self, lanes: int) -> Tile:
        """The register tile of products, whose rows are tiles of outputs.

        It is as high as registers allow so that whole ones make a span.
        """
        high = (rows for rows in heights(lanes) if self.span % rows == 0)
        return Tile(next(high, self.span), lanes=lanes)

    @property
    def points(self) -> int:
        """Frequencies of a tile, in each direction."""
        return self.outputs + self.taps - 1

    @property
    def frequencies(self) -> int:
        """Products of a tile and channel."""
        return self.points**2

    def grid(self, shape: ConvShape) -> tuple[int, int]:
        """Tiles down and across an image."""
        high, wide = shape.out
        return -(-high // self.outputs), -(-wide // self.outputs)

    def tiles(self, shape: ConvShape) -> int:
        """Tiles of all images, of a group."""
        down, across = self.grid(shape)
        return shape.batch * down * across

    def near(self, shape: ConvShape, lanes: int) -> int:
        """Bytes of local memory."""
        if not self.span:
            return 0
        floats = self.span * (shape.depth + Tile(lanes=lanes).columns) + GAP
        return 4 * self.frequencies * floats
