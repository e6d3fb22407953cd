"""Write `docs/operators.md`, `passes.md` and `numpy-functions.md` from the code.

python docs/generate.py
"""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from onnx import __version__ as onnx_version
from onnx import defs

from graphwright import testing
from graphwright.backends.contract import Backend
from graphwright.backends.numpy.backend import NumpyBackend
from graphwright.backends.numpy.table import KERNELS
from graphwright.frontends.onnx import load
from graphwright.frontends.onnx.registry import CONVERTERS, EXPORTERS, find_converter
from graphwright.frontends.tracing import numpy as namespace
from graphwright.frontends.tracing.numpy.ufunc import UFunc
from graphwright.ir.op import OPS, Op, Tier
from graphwright.passes.manager import PASSES
from graphwright.passes.pipeline import PIPELINES, SIMPLIFY
from graphwright.passes.rules import Rewrite, RuleSet

PAGE = Path(__file__).resolve().parent / "operators.md"
PASSES_PAGE = PAGE.with_name("passes.md")
BACKENDS: tuple[Backend, ...] = (NumpyBackend(),)
"""Those that the library brings, in the order of the columns."""

MODULES = load, testing  # imported, they fill the registries

HEAD = """\
# Operators

Written by `python docs/generate.py` with onnx {onnx}; a test holds it to the code.

- [ONNX operators](#onnx-operators), by domain
- [IR ops](#ir-ops): what they are converted to, and who runs them

## ONNX operators

**Opset versions** are those in which the operator's definition changed and which are
imported; a version holds until the next one. **Exported**: `gw.export` writes this
operator; a graph made from another one is written in terms of those. The columns of
backends say whether it runs there: **yes** if the backend runs every IR op itself;
where one lacks an op, the table of [IR ops](#ir-ops) says which.

An operator without a converter of its own is imported by the function that the standard
defines it with (*function*). What `com.microsoft`'s mean and lack:
[com.microsoft.md](com.microsoft.md).
"""

IR_HEAD = """
## IR ops

The first line of each op's documentation, and its tier (`graphwright.ir.op.Tier`): a
*primitive* is what a backend must know ({primitives} of at most 64), a *composite* is
decomposed into primitives where a backend declines it, a *host* op runs as its
`compute`, *control* is run by the executor. Columns of backends: **kernel** where there
is one of its own, **compute** where the op's meaning runs as it stands, **executor**
where the backend is not asked. **Exported**: **yes**, or **parts** where the op is
decomposed first.
"""


def table(titles: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


# ONNX ---------------------------------------------------------------------------------


def schema_versions() -> dict[tuple[str, str], dict[int, Any]]:
    """For each operator of the standard, its definitions by opset version."""
    found: dict[tuple[str, str], dict[int, Any]] = {}
    for schema in defs.get_all_schemas_with_history():
        rows = found.setdefault((schema.domain, schema.name), {})
        rows[schema.since_version] = schema
    return found


def imported(domain: str, name: str, schemas: dict[int, Any]) -> str:
    """The versions of an operator that are imported; *function* if only by its body."""
    if not schemas:
        return ", ".join(str(since) for since, _ in CONVERTERS[domain, name])
    has = {v: find_converter(domain, name, v) is not None for v in schemas}
    if not any(has.values()):
        return f"{', '.join(map(str, sorted(schemas)))} (function)"
    return ", ".join(
        str(v) for v in sorted(has) if has[v] and not schemas[v].deprecated
    )


def written_operators() -> frozenset[str]:
    """Names of operators that stand in the exporters, also where they are composed."""
    folder = Path(load.__file__).parent
    names: set[str] = set()
    for path in [*folder.glob("ops_*_export.py"), *folder.glob("export*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names |= set(_strings(tree)) - _field_values(tree)
        names |= {name.upper() for name in EXPORTERS if ".upper()" in ast.unparse(tree)}
    return frozenset(names)


def _strings(tree: ast.AST) -> Iterator[str]:
    """String constants, and each ``f"Prefix{...}"`` with each of them in its hole."""
    nodes = list(ast.walk(tree))
    plain = [n.value for n in nodes if isinstance(n, ast.Constant)]
    texts = [value for value in plain if isinstance(value, str)]
    yield from texts
    for node in nodes:
        match node:
            case ast.JoinedStr([ast.Constant(str(prefix)), ast.FormattedValue()]):
                yield from (prefix + text for text in texts)
            case _:
                pass


def _field_values(tree: ast.AST) -> set[str]:
    """Values of tables from an option to its spelling: ``{"elu": "Elu"}``."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                match key, value:
                    case ast.Constant(str(option)), ast.Constant(str(spelling)) if (
                        option not in EXPORTERS and option == spelling.lower()
                    ):
                        found.add(spelling)
                    case _:
                        pass
    return found


def runs_all(backend: Backend) -> bool:
    """Whether a backend runs every op that it is asked for."""
    asked = (c for c in OPS.values() if c.tier is not Tier.CONTROL)
    return all(backend.supports(_blank(cls), ()) for cls in asked)


def _blank(cls: type[Op]) -> Op:
    """An op without its fields: only its class is asked about."""
    return object.__new__(cls)


def operator_lines() -> Iterator[str]:
    """The tables of ONNX operators."""
    schemas, written = schema_versions(), written_operators()
    keys = sorted(CONVERTERS.keys() | {k for k in schemas if _function(schemas[k])})
    marks = ["yes" if runs_all(backend) else "see below" for backend in BACKENDS]
    for domain in sorted({domain for domain, _ in keys}):
        names = [name for d, name in keys if d == domain]
        rows = (
            (
                f"`{name}`",
                imported(domain, name, schemas.get((domain, name), {})),
                "yes" if name in written and _own_name(domain, name) else "",
                *marks,
            )
            for name in names
        )
        yield f"\n### {domain or 'ai.onnx'}: {len(names)} operators\n"
        titles = ("operator", "opset versions", "exported")
        yield from table((*titles, *(b.name for b in BACKENDS)), rows)


def _own_name(domain: str, name: str) -> bool:
    """Whether no operator of ai.onnx has the name: where one has, that is written."""
    return not domain or ("", name) not in CONVERTERS


def _function(schemas: dict[int, Any]) -> bool:
    return any(
        schema.has_function or schema.has_context_dependent_function
        for schema in schemas.values()
    )


# IR -----------------------------------------------------------------------------------


def library_ops() -> list[type[Op]]:
    """The library's own ops, by tier and name."""
    own = [c for c in OPS.values() if c.__module__.startswith("graphwright.ir.ops.")]
    order = list(Tier)
    return sorted(own, key=lambda c: (order.index(c.tier), c.name))


def summary(described: Any) -> str:
    """The first line of what documents a class, function or module, as Markdown."""
    text = (described.__doc__ or "").strip().splitlines()
    return re.sub(r"``(.+?)``", r"`\1`", text[0]) if text else ""


def how_run(cls: type[Op], backend: Backend) -> str:
    """What a backend does with an op."""
    if cls.name in KERNELS:
        return "kernel"
    if cls.tier is Tier.CONTROL:
        return "executor"
    return "compute" if backend.supports(_blank(cls), ()) else "falls back"


def how_exported(cls: type[Op]) -> str:
    """Whether an op has an exporter, or is decomposed into those that have."""
    if cls.name in EXPORTERS:
        return "yes"
    return "parts" if cls.tier is Tier.COMPOSITE else ""


def ir_lines() -> Iterator[str]:
    """The table of IR ops."""
    ops = library_ops()
    count = sum(cls.tier is Tier.PRIMITIVE for cls in ops)
    yield IR_HEAD.format(primitives=count)
    titles = (
        "op",
        "tier",
        "meaning",
        "family",
        "exported",
        *(b.name for b in BACKENDS),
    )
    rows = (
        (
            f"`{cls.name}`",
            cls.tier.value,
            summary(cls),
            f"[{family}](../ir/ops/{family}.py)",
            how_exported(cls),
            *(how_run(cls, backend) for backend in BACKENDS),
        )
        for cls in ops
        for family in [cls.__module__.rpartition(".")[2]]
    )
    yield from table(titles, rows)


def page() -> str:
    """The whole page."""
    lines = [HEAD.format(onnx=onnx_version).rstrip(), *operator_lines(), *ir_lines()]
    return "\n".join(lines) + "\n"


# Passes -------------------------------------------------------------------------------


def passes_page() -> str:
    """The page of passes: what is between its marks is written anew."""
    text = PASSES_PAGE.read_text(encoding="utf-8")
    for mark, lines in (
        ("passes", pass_lines()),
        ("pipelines", pipeline_lines()),
        ("rewrites", rewrite_lines()),
    ):
        begin, end = f"<!-- {mark} -->\n", f"<!-- end of {mark} -->"
        head, _, rest = text.partition(begin)
        _, _, tail = rest.partition(end)
        text = f"{head}{begin}\n" + "\n".join(lines) + f"\n\n{end}{tail}"
    return text


def pass_lines() -> Iterator[str]:
    """The table of passes that have names."""

    def rows() -> Iterator[Sequence[str]]:
        for name, step in sorted(PASSES.items()):
            if isinstance(step, RuleSet):
                count = len({r.name for r in step.rewrites})
                yield f"`{name}`", f"{count} [rewrites](#rewrites)"
            else:
                yield f"`{name}`", (step.__doc__ or "").split("\n")[0]

    return table(("pass", "what it does"), rows())


def pipeline_lines() -> Iterator[str]:
    """The table of pipelines."""

    def rows() -> Iterator[Sequence[str]]:
        for name, (passes, kind) in PIPELINES.items():
            words = ", ".join(f"`{p}`" for p in passes)
            yield f"`{name}`", kind.name.lower(), words or "none"

    return table(("pipeline", "rewrites up to", "passes"), rows())


def rewrite_lines() -> Iterator[str]:
    """The table of rewrites, each once."""
    found: dict[str, tuple[Rewrite, str]] = {}
    for step in PASSES.values():
        if isinstance(step, RuleSet) and step is not SIMPLIFY:
            for r in step.rewrites:
                found.setdefault(r.name, (r, step.name))

    def rows() -> Iterator[Sequence[str]]:
        for name, (r, home) in found.items():
            law = " ".join(r.equation.split()).replace("``", "`")
            yield f"`{name}`", home, r.kind.name.lower(), law

    return table(("rewrite", "pass", "class", "equation"), rows())


# Array functions ----------------------------------------------------------------------

FUNCTIONS = PAGE.with_name("numpy-functions.md")
FUNCTIONS_HEAD = """\
# Functions of `gw.numpy`

Written by `python docs/generate.py`; a test holds it to the code. [numpy.md](numpy.md)
says how they are used, and where results may differ from NumPy's. Those marked *ufunc*
take `out=`, `where=` and `dtype=`, and have `reduce`, `accumulate`, `outer`, `reduceat`
and `at`. NumPy's other names are NumPy's own, or errors that say what to write instead.
"""


def families() -> dict[str, list[tuple[str, Any]]]:
    """Array functions by the first line of their module, with their dotted names."""
    found: dict[str, list[tuple[str, Any]]] = {}
    for module in (*namespace.MODULES, namespace.fft, namespace.linalg):
        home = module.__name__.rpartition(".")[2]
        prefix = f"{home}." if home in ("fft", "linalg") else ""
        rows = [(prefix + n, _public(prefix, module, n)) for n in module.__all__]
        called = [(n, f) for n, f in rows if callable(f) and not isinstance(f, type)]
        if called:
            found[summary(module)] = called
    return found


def _public(prefix: str, module: Any, name: str) -> Any:
    return getattr(module if prefix else namespace, name)


def functions_page() -> str:
    """The whole page of array functions."""
    lines = [FUNCTIONS_HEAD]
    for title, functions in families().items():
        rows = (
            (f"`{name}`", summary(f), "ufunc" if isinstance(f, UFunc) else "")
            for name, f in sorted(functions)
        )
        lines += [f"## {title.rstrip('.')}", "", *table(("function", "", ""), rows), ""]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    PASSES_PAGE.write_text(passes_page(), encoding="utf-8")
    FUNCTIONS.write_text(functions_page(), encoding="utf-8")
