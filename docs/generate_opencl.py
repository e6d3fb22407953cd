"""Write `docs/opencl.md`'s table of what falls back, from the code itself.

python docs/generate_opencl.py
"""

import re
from collections.abc import Iterator
from pathlib import Path

from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.ir.dtype import DTYPES
from graphwright.ir.op import OPS, Op, Tier
from graphwright.testing import cases

PAGE = Path(__file__).resolve().parent / "opencl.md"
MARK = "<!-- what follows is written by docs/generate_opencl.py -->\n"

HEAD = """
| primitive | kernels of | some cases of | falls back |
|---|---|---|---|
"""


def _claimed(cls: type[Op]) -> dict[str, list[bool]]:
    """Whether each case of an op is claimed, by dtype."""
    backend, found = OpenCLBackend(), dict[str, list[bool]]()
    for case in cases(cls.name):
        label = re.match(rf"{cls.name}-\w+-(\w+?)-\d+$", case.name)
        if label is None or label[1] not in DTYPES:
            continue
        for node in case.graph.nodes:
            if node.op.name == cls.name:
                own = backend.supports(node.op, [v.type for v in node.operands])
                found.setdefault(label[1], []).append(own)
    return found


def _row(cls: type[Op]) -> str:
    claimed = _claimed(cls)
    known = [d for d in DTYPES if d in claimed]
    full = [d for d in known if all(claimed[d])]
    part = [d for d in known if any(claimed[d]) and d not in full]
    none = [d for d in known if not any(claimed[d])]
    cells = (_words(group, known) for group in (full, part, none))
    return f"| `{cls.name}` | {' | '.join(cells)} |"


def _words(group: list[str], known: list[str]) -> str:
    """Dtypes; what most are is told by what is missing."""
    rest = [d for d in known if d not in group]
    if not rest:
        return "all"
    if len(rest) < len(group):
        return f"all but {', '.join(rest)}"
    return ", ".join(group)


def rows() -> Iterator[str]:
    """A row for each primitive."""
    own = (c for c in OPS.values() if c.__module__.startswith("graphwright.ir.ops."))
    for cls in sorted(own, key=lambda c: c.name):
        if cls.tier is Tier.PRIMITIVE:
            yield _row(cls)


def table() -> str:
    """What the page ends with."""
    return "\n".join([HEAD.strip(), *rows()]) + "\n"


if __name__ == "__main__":
    written, _, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    PAGE.write_text(written + MARK + "\n" + table(), encoding="utf-8")
