"""Write `docs/primitives.md`: what a backend must know, from the code itself.

python docs/generate_primitives.py
"""

import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graphwright.ir.dtype import DTYPES
from graphwright.ir.op import OPS, Op, Tier
from graphwright.passes.decompose import decompose_unsupported
from graphwright.testing import cases
from graphwright.testing.registry import arity, is_plain, kinds_of

PAGE = Path(__file__).resolve().parent / "primitives.md"

HEAD = """\
# Primitives

Written by `python docs/generate_primitives.py`; a test holds it to the code.

The {count} ops (of at most 64) that a backend must know to run everything else but
[host ops](operators.md#ir-ops) itself; how to give it them:
[write-a-backend.md](write-a-backend.md). Kinds of one op, such as `sum` and `max` of
`reduce`, count once. Operands of an op have one dtype and, where it works element by
element, one shape. What an op means to the last detail is its `compute` in `ir/ops/`.

**Dtypes**: kinds that the first operands may be of; *int* is signed. **ULP**: by how
many units in the last place a result may be off, for operands that are off by as much;
0 is exact.
"""

SPECIAL_HEAD = """
## Special values

Of ops that work element by element, at float32 or int8 operands. Every backend gives
these.
"""

PARTS_HEAD = """
## Decompositions

What composite ops are made of where a backend declines them, by the primitives that
their cases come to; `scan` and `while_loop` are run by the executor.
"""

KINDS = {"b": "bool", "i": "int", "u": "uint", "f": "float", "c": "complex"}
KINDS["S"] = "string"

UNARY = (-np.inf, -1.5, -0.0, 0.0, 0.5, np.inf, np.nan)
PAIRS = ((1.0, np.nan), (np.inf, np.inf), (np.inf, -np.inf), (0.0, 0.0), (1.0, 0.0))
INTEGERS = ((5, 0), (-128, -1), (1, 8), (-1, -1), (127, 1))


def named(tier: Tier) -> list[type[Op]]:
    """The library's own ops of a tier, by name."""
    own = (c for c in OPS.values() if c.__module__.startswith("graphwright.ir.ops."))
    return sorted((c for c in own if c.tier is tier), key=lambda c: c.name)


def prose(cls: type[Op]) -> str:
    """An op's documentation on one line, as Markdown."""
    text = " ".join(inspect.cleandoc(cls.__doc__ or "").split())
    return re.sub(r"``(.+?)``", r"`\1`", text).replace("|", "\\|")


def dtypes_of(cls: type[Op]) -> str:
    """Kinds of dtypes that an op takes."""
    if is_plain(cls):
        return ", ".join(word for kind, word in KINDS.items() if kind in kinds_of(cls))
    labels = (re.match(rf"{cls.name}-\w+-(\w+?)-\d+$", c.name) for c in cases(cls.name))
    found = {DTYPES[label[1]].kind for label in labels if label}
    return ", ".join(word for kind, word in KINDS.items() if kind in found)


def fields_of(cls: type[Op]) -> str:
    """Names of an op's fields."""
    return ", ".join(f"`{name}`" for name in cls.field_names)


def bound_of(cls: type[Op]) -> str:
    """The op's error bound; a case tells where it depends on the kind."""
    for case in cases(cls.name):
        for node in case.graph.nodes:
            if node.op.name == cls.name:
                return f"{node.op.error_bound():g}"
    return f"{cls.ulps:g}"


def table(titles: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def primitive_lines() -> Iterator[str]:
    """The table of primitives."""
    rows = (
        (f"`{c.name}`", prose(c), fields_of(c), dtypes_of(c), bound_of(c))
        for c in named(Tier.PRIMITIVE)
    )
    yield from table(("op", "meaning", "fields", "dtypes", "ULP"), rows)


def shown(value: Any) -> str:
    """A number as the table has it."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    return f"{float(value):.4g}" if np.asarray(value).dtype.kind == "f" else str(value)


def special_lines() -> Iterator[str]:
    """Tables of results at special values: unary, binary, binary of integers."""
    plain = [c for c in named(Tier.PRIMITIVE) if is_plain(c)]
    for count, kind, dtype, points in (
        (1, "f", np.float32, [(x,) for x in UNARY]),
        (2, "f", np.float32, list(PAIRS)),
        (2, "i", np.int8, list(INTEGERS)),
    ):
        chosen = [c for c in plain if arity(c) == count and kind in kinds_of(c)]
        titles = [", ".join(map(shown, point)) for point in points]
        rows = (
            (f"`{c.name}`", *(shown(result(c, point, dtype)) for point in points))
            for c in chosen
        )
        yield ""
        yield from table(("op", *titles), rows)


def result(cls: type[Op], point: Sequence[Any], dtype: Any) -> Any:
    """What an op gives for one element."""
    with np.errstate(all="ignore"):
        found = cls().compute(np, *(np.array([x], dtype) for x in point))
    return np.asarray(found)[0]


def parts_of(cls: type[Op]) -> list[str]:
    """Primitives (and control flow) that cases of a composite come to."""
    found: set[str] = set()
    for case in cases(cls.name):
        if "-static-" in case.name and "complex" not in case.name:
            simple = decompose_unsupported(case.graph, _is_primitive)
            before = {n.op.name for n in case.graph.nodes} - {cls.name}
            found |= {n.op.name for n in simple.nodes} - before | (
                {n.op.name for n in simple.nodes} & {cls.name}
            )
    return sorted(found)


def _is_primitive(op: Op, types: Sequence[Any]) -> bool:
    return op.tier is Tier.PRIMITIVE


def parts_lines() -> Iterator[str]:
    """The table of decompositions."""
    rows = (
        (f"`{c.name}`", ", ".join(f"`{name}`" for name in parts_of(c)))
        for c in named(Tier.COMPOSITE)
    )
    yield ""
    yield from table(("composite", "made of"), rows)


def page() -> str:
    """The whole page."""
    head = HEAD.format(count=len(named(Tier.PRIMITIVE)))
    parts = [head, *primitive_lines(), SPECIAL_HEAD.rstrip(), *special_lines()]
    return "\n".join([*parts, PARTS_HEAD.rstrip(), *parts_lines()]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
