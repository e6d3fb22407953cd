"""The least keys of rows, in order, where they are few beside all.

A list of those found so far is kept in order. Keys are looked at many at once: most
are not less than the last one of the list. What comes first stays first among equals.
"""

from graphwright.backends.codegen.dialect import OPENCL
from graphwright.backends.codegen.kernels.text import block, named
from graphwright.ir.dtype import DType

MOST = 128
"""Keys that are kept at most: each one that is found moves those behind it."""
LEAST = 8
"""Keys of a row for each that is kept, at least."""
_LANES, _VECTORS = 16, 4


def select(key: DType, placed: bool) -> tuple[str, str]:
    """The name and text of the kernel.

    It has ``units``: of rows of ``n`` keys ``a``, each of ``blocks`` parts, the ``k``
    least, written to ``b`` one unit after another, and to ``b_place`` where in their
    row they were; with ``placed``, what ``a_place`` says of them.
    """
    word = OPENCL.types[key.name]
    arrays = [f"const __global {word} *a"]
    arrays += ["const __global uint *a_place"] * placed
    arrays += [f"__global {word} *b", "__global uint *b_place"]
    head = OPENCL.kernel.format(
        name="NAME",
        group="1, 1, 1",
        arguments=", ".join(
            [*arrays, *(f"int {n}" for n in ("units", "n", "blocks", "k"))]
        ),
    )
    body = block("for (long u = ITEM(0); u < units; u += ITEMS)", _unit(word, placed))
    return named("select", "\n".join(block(head, body)) + "\n")


def _unit(word: str, placed: bool) -> list[str]:
    place = "a_place[row * n + first + i]" if placed else "first + i"
    insert = [
        f"{word} own = from[i];",
        "int j = i < k ? i : k - 1;",
        "for (; j > 0 && list[j - 1] > own; j--)",
        "{ list[j] = list[j - 1]; where[j] = where[j - 1]; }",
        "list[j] = own;",
        f"where[j] = (uint)({place});",
    ]
    each = block("for (int i = begin; i < end; i++)", _if_less(insert))
    vector = f"{word}{_LANES}"
    step = _LANES * _VECTORS
    loads = [
        f"{vector} x{i} = vload{_LANES}({i}, from + begin);" for i in range(_VECTORS)
    ]
    least = [f"x{i} = min(x{i}, x{i + 2});" for i in range(2)] + ["x0 = min(x0, x1);"]
    halves = [
        f"{word}8 m8 = min(x0.lo, x0.hi);",
        f"{word}4 m4 = min(m8.lo, m8.hi);",
        f"{word}2 m2 = min(m4.lo, m4.hi);",
        "if (min(m2.x, m2.y) >= list[k - 1]) continue;",
    ]
    many = ["int end = begin + STEP;".replace("STEP", str(step)), *loads, *least]
    return [
        "long row = u / blocks, part = u % blocks;",
        "int first = (int)(part * n / blocks);",
        "int count = (int)((part + 1) * n / blocks) - first;",
        f"const __global {word} *from = a + row * n + first;",
        f"{word} list[{MOST}];",
        f"uint where[{MOST}];",
        *block("for (int i = 0; i < k; i++)", insert),
        "int begin = k;",
        *block(
            f"for (; begin + {step} <= count; begin += {step})",
            [*many, *halves, *each],
        ),
        "int end = count;",
        *each,
        *block(
            "for (int j = 0; j < k; j++)",
            ["b[u * k + j] = list[j];", "b_place[u * k + j] = where[j];"],
        ),
    ]


def _if_less(insert: list[str]) -> list[str]:
    return ["if (from[i] >= list[k - 1]) continue;", *insert]
