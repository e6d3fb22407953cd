"""Fourier transforms of rows, each by a work-item in memory of its own, in float64.

Inverse transforms are those of parts that changed places. See `stockham.py`.
"""

import math
from collections.abc import Mapping, Sequence

from graphwright.backends.codegen.device import Cpu
from graphwright.backends.codegen.dialect import OPENCL
from graphwright.backends.codegen.elements import Array, product, sizes_of
from graphwright.backends.codegen.items import items_for
from graphwright.backends.codegen.kernels.stockham import TABLE, number, passes
from graphwright.backends.codegen.kernels.table import single
from graphwright.backends.codegen.kernels.text import block, named
from graphwright.backends.codegen.loops import Kernel, Sizes, Written, index_dtype
from graphwright.backends.codegen.schedule_cpu import LANES
from graphwright.backends.codegen.spectra import Lengths, lengths
from graphwright.ir.dtype import float64
from graphwright.ir.emitter import Value
from graphwright.ir.graph import Node
from graphwright.ir.ops.signal import Fft


@single("fft")
def fft(node: Node, arrays: Mapping[Value, Array], target: Cpu) -> Sequence[Kernel]:
    """One kernel: each work-item transforms rows, in memory of its own."""
    op = node.op
    assert isinstance(op, Fft)
    found, inputs = lengths(op), [arrays[v] for v in node.operands]
    outputs = [arrays.get(v) or _unread(v) for v in node.results]
    x, result = inputs[0], outputs[0]
    inner = product(x.shape[op.axis + 1 :])
    rows = product(x.shape[: op.axis]) * inner
    work = 8 * rows * found.passed * max(1, len(found.factors))
    items = items_for(rows, work, target)
    scratch = Array(float64, (items, 4, found.passed + LANES))
    given, left = x.shape[op.axis], result.shape[op.axis]
    numbers = [rows, inner, given, left, found.n, found.core, found.passed]
    numbers.append(len(found.factors))
    dtype = index_dtype(max(x.size, result.size, scratch.size))
    name, text = _text(op.kind, x, found, OPENCL.types[dtype.name])
    return [
        Written(
            tuple(inputs),
            (*outputs, scratch),
            Sizes(dtype, numbers),
            (),
            (items,),
            name=name,
            text=text,
        )
    ]


def _unread(part: Value) -> Array:
    """Where a part goes that nobody asked for."""
    return Array(part.dtype, sizes_of(part.type))


# Source ------------------------------------------------------------------------------

_SIZES = ("rows", "inner", "given", "left", "n", "core", "m", "passes")


def _text(kind: str, x: Array, found: Lengths, index: str) -> tuple[str, str]:
    """The functions of a transform, and those of its radices alone."""
    stored, real = (OPENCL.types[t.name] for t in (x.dtype, float64))
    lines = [*passes(found.factors), *_tame(), *_kernel(kind, found)]
    text = "\n".join(lines) + "\n"
    for word, meaning in (
        ("LOOK", f"*(const __global {real}{LANES}u *)"),
        ("LAY", f"*(__global {real}{LANES}u *)"),
        ("VECTOR", f"{real}{LANES}"),
        ("MEMORY", f"{stored}{LANES}"),
        ("REAL", real),
        ("STORED", stored),
        ("INT", index),
    ):
        text = text.replace(word, meaning)
    return named("fft", text)


def _fetched(address: str) -> str:
    """A vector of an operand; all between is in float64."""
    return f"GW_CONVERT(VECTOR, *(const __global MEMORYu *)({address}))"


def _kept(address: str, value: str) -> str:
    """What writes a vector of a result."""
    return f"*(__global MEMORYu *)({address}) = GW_CONVERT(MEMORY, {value});"


def _tame() -> list[str]:
    """Whether a spectrum is far from where numbers end.

    Sums that overflow would leave infinities less infinities. Where some do, or are
    infinite from the first on, the row is transformed again, divided by 2^60.
    """
    most = math.ldexp(1.0, 1000)
    odd = "!(r[k] < most && r[k] > -most && r[k + wide] < most && r[k + wide] > -most)"
    lines = [
        f"const REAL most = {number(most)};",
        "int wild = 0;",
        f"for (INT k = 0; k < n; k++) wild |= {odd};",
        "return !wild;",
    ]
    head = "static int NAME_is_tame(const __global REAL *r, INT n, INT wide)"
    return block(head, lines)


def _kernel(kind: str, found: Lengths) -> list[str]:
    ins = ["xr"] if kind == "rfft" else ["xr", "xi"]
    outs = ["yr"] if kind == "irfft" else ["yr", "yi"]
    arguments = [
        *(f"const __global STORED *restrict {name}" for name in ins),
        *(TABLE, "const __global int *restrict factors"),
        *(f"__global STORED *restrict {name}" for name in outs),
        "__global REAL *scratch",
        *(f"const INT {name}" for name in _SIZES),
    ]
    head = OPENCL.kernel.format(
        name="NAME", group="1, 1, 1", arguments=", ".join(arguments)
    )
    swapped = kind in ("ifft", "irfft")
    turn = [
        *_loaded(kind, found, swapped),
        *_chirped(found),
        "if (NAME_is_tame(a + which * 2 * wide, core, wide)) break;",
        "tame = (REAL)0x1p-60;",
    ]
    row = [
        "const INT from = u / inner * given * inner + u % inner;",
        "const INT to = u / inner * left * inner + u % inner;",
        "INT which = 0;",
        "REAL tame = 1;",
        *block("for (int turn = 0; turn < 2; turn++)", turn),
        "const __global REAL *r = a + which * 2 * wide, *i = r + wide;",
        *_stored(kind, found, swapped),
    ]
    first = len(found.factors) and found.factors[0]
    behind = f"2 * m + 2 * (m - m / {first})" if first else "2 * m"
    lines = [
        f"const INT wide = m + {LANES};",
        "__global REAL *a = scratch + (INT)ITEM(0) * 4 * wide;",
        f"const __global REAL *after = table + {behind};",
        *block("for (INT u = ITEM(0); u < rows; u += ITEMS)", row),
    ]
    return block(head, lines)


def _loaded(kind: str, found: Lengths, swapped: bool) -> list[str]:
    """What reads a row, cut or filled up with zeros, as it is transformed."""
    real, imag = ("a[wide + k]", "a[k]") if swapped else ("a[k]", "a[wide + k]")
    term = "from + ({}) * inner"
    if kind == "rfft":
        if not found.is_half:
            return block(
                "for (INT k = 0; k < core; k++)",
                [
                    f"a[k] = k < given ? xr[{term.format('k')}] * tame : 0;",
                    "a[wide + k] = 0;",
                ],
            )
        pair = [
            f"a[k] = 2 * k < given ? xr[{term.format('2 * k')}] * tame : 0;",
            f"REAL next = 2 * k + 1 < given ? xr[{term.format('2 * k + 1')}] : 0;",
            "a[wide + k] = next * tame;",
        ]
        whole = [
            f"const VECTOR low = {_fetched('xr + from + 2 * k')};",
            f"const VECTOR high = {_fetched(f'xr + from + 2 * k + {LANES}')};",
            "LAY(a + k) = (VECTOR)(low.even, high.even) * tame;",
            "LAY(a + wide + k) = (VECTOR)(low.odd, high.odd) * tame;",
        ]
        many = f"inner == 1 && k + {LANES} <= core && 2 * k + {2 * LANES} <= given"
        return [
            "INT read = 0;",
            *block(f"for (INT k = 0; {many}; k += {LANES}, read = k)", whole),
            *block("for (INT k = read; k < core; k++)", pair),
        ]
    if kind == "irfft":
        return _half_loaded() if found.is_half else _mirrored()
    return block(
        "for (INT k = 0; k < core; k++)",
        [
            f"{real} = k < given ? xr[{term.format('k')}] * tame : 0;",
            f"{imag} = k < given ? xi[{term.format('k')}] * tame : 0;",
        ],
    )


_TERM = """\
const REAL {0}r = {1} < given ? xr[from + ({1}) * inner] * tame : 0;
const REAL {0}i = {2} && {1} < given ? xi[from + ({1}) * inner] * tame : 0;"""


def _half_loaded() -> list[str]:
    """Half a spectrum as that of pairs; the ends of it are real."""
    return block(
        "for (INT k = 0; k < core; k++)",
        [
            *_TERM.format("f", "k", "k").splitlines(),
            *_TERM.format("g", "core - k", "k").splitlines(),
            "const REAL er = (fr + gr) / 2, ei = (fi - gi) / 2;",
            "const REAL dr = (fr - gr) / 2, di = (fi + gi) / 2;",
            "const REAL c = after[k], s = after[core + 1 + k];",
            "a[wide + k] = er - (di * c + dr * s);",
            "a[k] = ei + (dr * c - di * s);",
        ],
    )


def _mirrored() -> list[str]:
    """Half a spectrum as a whole one, of an odd number of terms."""
    return block(
        "for (INT k = 0; k < core; k++)",
        [
            "const INT j = 2 * k < core ? k : core - k;",
            *_TERM.format("f", "j", "j").splitlines(),
            "a[wide + k] = fr;",
            "a[k] = 2 * k < core ? fi : -fi;",
        ],
    )


def _chirped(found: Lengths) -> list[str]:
    """The passes, between two products with a chirp if that is what is transformed."""
    passes = "NAME_passes(a, table, factors, m, passes, wide)"
    if not found.is_chirped:
        return [f"which = {passes};"]
    turn = [
        "const REAL c = wave[k], s = wave[core + k], x = {0}[k], y = {0}[wide + k];",
        "{1} = x * c + y * s;",
        "{2} = y * c - x * s;",
    ]
    before = [line.format("a", "a[k]", "a[wide + k]") for line in turn]
    after = [line.format("b", "b[k]", "b[wide + k]") for line in turn]
    middle = [
        "const REAL c = wave[2 * core + k], s = wave[2 * core + m + k];",
        "const REAL x = b[k], y = b[wide + k];",
        "a[wide + k] = x * c - y * s;",
        "a[k] = x * s + y * c;",
    ]
    back = [
        "const REAL x = b[wide + k], y = b[k];",
        "b[k] = x;",
        "b[wide + k] = y;",
    ]
    start = "after + 2 * (core + 1)" if found.is_half else "after"
    return [
        f"const __global REAL *wave = {start};",
        *block("for (INT k = 0; k < core; k++)", before),
        "for (INT k = core; k < m; k++) a[k] = a[wide + k] = 0;",
        f"which = {passes};",
        "__global REAL *b = a + which * 2 * wide;",
        *block("for (INT k = 0; k < m; k++)", middle),
        f"which = {passes};",
        "b = a + which * 2 * wide;",
        *block("for (INT k = 0; k < core; k++)", back),
        *block("for (INT k = 0; k < core; k++)", after),
    ]


def _stored(kind: str, found: Lengths, swapped: bool) -> list[str]:
    """What writes a row of the result."""
    over = " / core" if swapped else ""
    scale = f"const REAL scale = (REAL)1{over} / tame;"
    if kind == "rfft" and found.is_half:
        return [scale, *_half_stored()]
    if kind == "rfft":
        return [scale, *_plain("k < left", "r", "i")]
    if kind == "irfft" and found.is_half:
        pair = [
            "yr[to + 2 * k * inner] = i[k] * scale;",
            "yr[to + (2 * k + 1) * inner] = r[k] * scale;",
        ]
        return [scale, *block("for (INT k = 0; k < core; k++)", pair)]
    if kind == "irfft":
        one = "yr[to + k * inner] = i[k] * scale;"
        return [scale, *block("for (INT k = 0; k < core; k++)", [one])]
    if swapped:
        return [scale, *_plain("k < core", "i", "r")]
    return [scale, *_plain("k < core", "r", "i")]


def _plain(until: str, real: str, imag: str) -> list[str]:
    return block(
        f"for (INT k = 0; {until}; k++)",
        [
            f"yr[to + k * inner] = {real}[k] * scale;",
            f"yi[to + k * inner] = {imag}[k] * scale;",
        ],
    )


def _half_stored() -> list[str]:
    """The spectrum of pairs as that of real numbers: a half of it."""

    def terms(type_: str, back: tuple[str, str], tables: tuple[str, str]) -> list[str]:
        look = "LOOK" if type_ == "VECTOR" else "*"
        return [
            f"const {type_} zr = {look}(r + k), zi = {look}(i + k);",
            f"const {type_} wr = {back[0]}, wi = {back[1]};",
            f"const {type_} er = (zr + wr) / 2, ei = (zi - wi) / 2;",
            f"const {type_} dr = (zr - wr) / 2, di = (zi + wi) / 2;",
            f"const {type_} c = {tables[0]}, s = {tables[1]};",
        ]

    turned = [f"(LOOK({x} + core - k - {LANES - 1})).s76543210" for x in "ri"]
    many = [
        *terms(
            "VECTOR",
            (turned[0], turned[1]),
            ("LOOK(after + k)", "LOOK(after + core + 1 + k)"),
        ),
        _kept("yr + to + k", "(er + di * c - dr * s) * scale"),
        _kept("yi + to + k", "(ei - dr * c - di * s) * scale"),
    ]
    one = [
        *block(
            "if (2 * k == core)",
            [
                "yr[to + k * inner] = r[k] * scale;",
                "yi[to + k * inner] = -i[k] * scale;",
                "continue;",
            ],
        ),
        *terms(
            "REAL",
            ("r[core - k]", "i[core - k]"),
            ("after[k]", "after[core + 1 + k]"),
        ),
        "yr[to + k * inner] = (er + di * c - dr * s) * scale;",
        "yi[to + k * inner] = (ei - dr * c - di * s) * scale;",
    ]
    return [
        "INT k = 1;",
        "yr[to] = (r[0] + i[0]) * scale;",
        "yi[to] = 0;",
        *block(f"for (; inner == 1 && k + {LANES} <= core; k += {LANES})", many),
        *block("for (; k < core; k++)", one),
        "yr[to + core * inner] = (r[0] - i[0]) * scale;",
        "yi[to + core * inner] = 0;",
    ]
