"""Short rows sorted by a network of exchanges, eight rows side by side.

Which elements are exchanged hangs on their number alone (Batcher, "Sorting networks and
their applications", 1968; Knuth, volume 3, 5.2.2 M): so each lane of a vector can be a
row of its own. Where only values are read, an exchange is a minimum and a maximum.
Else, and where keys that differ count as equal (zeros of two signs, NaN), each key
goes with its place, which settles what comes first among equals.
"""

from collections.abc import Sequence

from graphwright.backends.codegen.dialect import OPENCL
from graphwright.backends.codegen.kernels.text import block, named
from graphwright.ir.dtype import DType

ROWS = 8
"""Rows side by side: two registers of their keys and places at the widest."""
MOST = 256
"""Elements of a row up to which this is faster than by digits."""

_LOOPS = (
    "for (int s = 1; 1 << s < 2 * n; s++)",
    "for (int p = 1 << (s - 1), k = p; k > 0; k /= 2)",
    "for (int j = k % p; j + k < n; j += 2 * k)",
)
"""Lists of ``p`` are merged in pairs; what lies ``k`` apart is exchanged."""


def network(
    key: DType, floats: bool, descending: bool, places: bool
) -> tuple[str, str]:
    """The name and text of the kernel.

    It has ``units`` of eight of ``rows`` of ``n`` keys ``a``, and writes them to ``b``,
    and with ``places`` to ``b_place`` where in their row they were.

    Args:
        key: The dtype of keys.
        floats: Whether they are those of floats, all bits of them.
        descending: Whether all bits are turned over.
        places: Whether places are read, too.
    """
    word = OPENCL.types[key.name]
    arrays = [f"__global {word} *a", f"__global {word} *b"]
    arrays += ["__global uint *b_place"] * places
    head = OPENCL.kernel.format(
        name="NAME",
        group="1, 1, 1",
        arguments=", ".join([*arrays, "int units", "int n", "int rows"]),
    )
    unit = [*_pointers(word, places), *_Unit(key, floats, descending, places).text()]
    body = block("for (long u = ITEM(0); u < units; u += ITEMS)", unit)
    return named("network", "\n".join(block(head, body)) + "\n")


def _pointers(word: str, places: bool) -> list[str]:
    """Where eight rows begin; who has none takes the last one, which is the same."""
    lines = ["long row = u * 8;"]
    for i in range(ROWS):
        lines += [
            f"long r{i} = (row + {i} < rows ? row + {i} : rows - 1) * n;",
            f"__global {word} *from{i} = a + r{i}, *to{i} = b + r{i};",
        ]
        if places:
            lines.append(f"__global uint *place{i} = b_place + r{i};")
    return lines


class _Unit:
    def __init__(
        self, key: DType, floats: bool, descending: bool, places: bool
    ) -> None:
        self.bits, self.floats, self.places = key.bits, floats, places
        self.word = OPENCL.types[key.name]
        self.vector = f"{self.word}{ROWS}"
        self.turned = 2**key.bits - 1 if descending else 0
        mantissa, top = 23 if key.bits == 32 else 52, 1 << (key.bits - 1)
        self.low = (1 << mantissa) - 1  # of minus infinity
        self.high = top | (top - 1 - self.low)  # of infinity
        self.zero = top - 1  # of minus zero

    def text(self) -> list[str]:
        """The statements for eight rows."""
        mask = "int8" if self.bits == 32 else "long8"
        keys = ", ".join(f"from{i}[i]" for i in range(ROWS))
        load = [f"{self.vector} x = ({self.vector})({keys});", "v[i] = x;"]
        lines = [f"{self.vector} v[{MOST}];"]
        if self.floats and not self.places:
            lines.append(f"{mask} odd = ({mask})(0);")
            load += [f"x ^= {self._number(self.turned)};", f"odd |= {self._equal()};"]
        lines += block("for (int i = 0; i < n; i++)", load)
        if self.places:
            return [*lines, *self._ordered()]
        if not self.floats:
            return [*lines, *self._values()]
        any_ = " | ".join(f"odd.s{i}" for i in range(ROWS))
        ordered = block(f"if ({any_})", self._ordered())
        return [*lines, *ordered, *block("else", self._values())]

    def _number(self, value: int) -> str:
        return f"({self.vector})({value}{'U' if self.bits == 32 else 'UL'})"

    def _outside(self) -> str:
        """Where ``x`` is no number."""
        span = self.high - self.low
        return f"((x - {self._number(self.low)}) > {self._number(span)})"

    def _equal(self) -> str:
        """Where other keys may count as equal."""
        return f"{self._outside()} | (x == {self._number(self.zero)})"

    def _values(self) -> list[str]:
        exchange = [
            f"{self.vector} x = v[i], y = v[i + k];",
            "v[i] = x < y ? x : y;",
            "v[i + k] = x < y ? y : x;",
        ]
        if self.bits == 64:  # which are compared as signed ones
            top = self._number(1 << 63)
            exchange[1:] = [
                f"long8 m = as_long8(x ^ {top}) < as_long8(y ^ {top});",
                "v[i] = m ? x : y;",
                "v[i + k] = m ? y : x;",
            ]
        stores = (f"to{i}[i] = v[i].s{i};" for i in range(ROWS))
        write = block("for (int i = 0; i < n; i++)", [*stores])
        return [*_exchanged(exchange), *write]

    def _ordered(self) -> list[str]:
        """Keys with their places; first they become what is compared."""
        turn = self._number(self.turned)
        begin = [f"{self.vector} x = v[i] ^ {turn};"] if self.turned else []
        begin = begin or [f"{self.vector} x = v[i];"]
        if self.floats:
            begin += [
                f"x = {self._outside()} ? {self._number(2**self.bits - 1)} : x;",
                f"x += x == {self._number(self.zero)} ? {self._number(1)}"
                f" : {self._number(0)};",
            ]
        begin += [f"x ^= {turn};"] if self.turned else []
        top = self._number(1 << (self.bits - 1))
        if self.bits == 32:
            declared = [f"long8 w[{MOST}];"]
            begin.append(
                f"w[i] = (GW_CONVERT(long8, as_int8(x ^ {top})) << (long8)(32))"
                " | (long8)(i);"
            )
            exchange = ["long8 x = w[i], y = w[i + k];", "long8 m = x < y;"]
            swap = ["w[i] = m ? x : y;", "w[i + k] = m ? y : x;"]
            place = "(uint)w[i].s{}"
        else:
            declared = [f"long8 w[{MOST}], at[{MOST}];"]
            begin += [f"w[i] = as_long8(x ^ {top});", "at[i] = (long8)(i);"]
            exchange = [
                "long8 x = w[i], y = w[i + k], q = at[i], r = at[i + k];",
                "long8 m = (x < y) | ((x == y) & (q < r));",
            ]
            swap = ["w[i] = m ? x : y;", "w[i + k] = m ? y : x;"]
            swap += ["at[i] = m ? q : r;", "at[i + k] = m ? r : q;"]
            place = "(uint)at[i].s{}"
        write: list[str] = []
        for i in range(ROWS):
            at = place.format(i)
            write.append(f"to{i}[i] = from{i}[{at}];")
            write += [f"place{i}[i] = {at};"] * self.places
        return [
            *declared,
            *block("for (int i = 0; i < n; i++)", begin),
            *_exchanged([*exchange, *swap]),
            *block("for (int i = 0; i < n; i++)", write),
        ]


def _exchanged(exchange: Sequence[str]) -> list[str]:
    """The network: each exchange leaves the lesser one first."""
    each = block("for (int i = j; i < j + k && i + k < n; i++)", exchange)
    inner = ["if (j >> s != (j + k) >> s) continue;", *each]
    for head in reversed(_LOOPS):
        inner = block(head, inner)
    return inner
