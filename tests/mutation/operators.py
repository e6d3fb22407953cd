"""Mutants: small changes of a pass's source, by its syntax tree, in memory only."""

import ast
import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
KINDS = ("guard", "swap", "axis", "dtype", "coefficient")

MACHINERY = frozenset(
    {"__init__", "batching", "gradients", "lower", "manager", "pattern", "pipeline"}
    | {"rewriter", "rules", "steps", "walk"}
)
"""Modules of ``passes/`` that hold no rewrites."""

SLIGHTLY = 2.0**-12
"""What changes a coefficient by less than 1e-3."""

_ORDERED = frozenset({"sub", "div", "pow", "lt", "where", "dot", "emit"})
_KINDS_OF_DTYPES = frozenset("biufcS")
_MARK = "_mutant_dtype"


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        module: Name of the module.
        number: Which of the module's changes it is.
        kind: Which of ``KINDS``.
        owner: The function, class or name at the top of the module that it is in.
        line: Its line.
        text: What was there and what is there now.
    """

    module: str
    number: int
    kind: str
    owner: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line} {self.owner} [{self.kind}] {self.text}"


@dataclass
class Site:
    """A place in a tree, and what may stand there instead."""

    kind: str
    parent: ast.AST
    field: str
    index: int | None
    old: ast.AST
    new: ast.AST

    def put(self) -> None:
        """Changes the tree."""
        if self.index is None:
            setattr(self.parent, self.field, self.new)
        else:
            getattr(self.parent, self.field)[self.index] = self.new


def path_of(module: str) -> Path:
    """The file of a module of ``passes/``."""
    return ROOT / "passes" / f"{module}.py"


def modules() -> list[str]:
    """Names of the modules that hold rewrites."""
    names = (path.stem for path in sorted((ROOT / "passes").glob("*.py")))
    return [name for name in names if name not in MACHINERY]


def mutants(module: str) -> list[Mutant]:
    """All changes of a module."""
    tree = ast.parse(path_of(module).read_text(encoding="utf-8"))
    found: list[Mutant] = []
    for number, (owner, site) in enumerate(_sites(tree)):
        text = f"{ast.unparse(site.old)} -> {ast.unparse(site.new)}"
        line = getattr(site.old, "lineno", 0)
        found.append(Mutant(module, number, site.kind, owner, line, text))
    return found


def mutated(source: str, number: int) -> ast.Module:
    """The tree of a source with one of its changes made."""
    tree = ast.parse(source)
    for i, (_, site) in enumerate(_sites(tree)):
        if i == number:
            site.put()
            break
    else:
        raise IndexError(number)
    line = f"from graphwright.ir.dtype import float16 as {_MARK}"
    tree.body.insert(1, ast.parse(line).body[0])
    return ast.fix_missing_locations(tree)


# Sites --------------------------------------------------------------------------------


def _sites(tree: ast.Module) -> Iterator[tuple[str, Site]]:
    for top in tree.body:
        if isinstance(top, ast.FunctionDef | ast.ClassDef):
            owner = top.name
        elif isinstance(top, ast.Assign | ast.AnnAssign):
            target = top.targets[0] if isinstance(top, ast.Assign) else top.target
            owner = ast.unparse(target)
        else:
            continue
        for site in _inside(top, ()):
            yield owner, site


def _inside(node: ast.AST, above: tuple[ast.AST, ...]) -> Iterator[Site]:
    """Sites at and below a node; ``above`` are the nodes around, the nearest last."""
    around = (*above, node)
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "type_comment", "args_annotation"):
            continue
        children = value if isinstance(value, list) else [value]
        for i, child in enumerate(children):
            if not isinstance(child, ast.AST) or _is_docstring(node, field, child):
                continue
            index = i if isinstance(value, list) else None
            for kind, new in _changes(child, around):
                yield Site(kind, node, field, index, child, new)
            yield from _inside(child, around)


def _is_docstring(node: ast.AST, field: str, child: ast.AST) -> bool:
    return (
        field == "body"
        and isinstance(child, ast.Expr)
        and isinstance(child.value, ast.Constant)
        and isinstance(child.value.value, str)
    ) or isinstance(node, ast.Assert | ast.JoinedStr)


def _changes(node: ast.AST, above: tuple[ast.AST, ...]) -> Iterator[tuple[str, Any]]:
    yield from (("guard", new) for new in _without_guard(node, above))
    yield from (("swap", new) for new in _swapped(node))
    yield from (("axis", new) for new in _moved(node, above))
    yield from (("dtype", new) for new in _retyped(node, above))
    yield from (("coefficient", new) for new in _weighed(node, above))


def _without_guard(node: ast.AST, above: tuple[ast.AST, ...]) -> Iterator[ast.AST]:
    """A condition that no longer asks something."""
    match node:
        case ast.If(test=test, body=[ast.Return() | ast.Continue()]):
            yield _with(node, test=ast.Constant(value=False))
            if isinstance(test, ast.BoolOp):
                for fewer in _fewer(test):
                    yield _with(node, test=fewer)
        case ast.IfExp(body=body, orelse=ast.Constant(value=None)):
            yield body
        case ast.IfExp(body=ast.Constant(value=None), orelse=orelse):
            yield orelse
        case ast.BoolOp(op=ast.And()) if not isinstance(above[-1], ast.If):
            yield from _fewer(node)
        case ast.Attribute(value=value, attr="once"):
            yield value
        case ast.Call(func=ast.Name(id="all")):
            yield ast.Constant(value=True)
        case ast.Call(func=ast.Attribute(value=ast.Name(id="P"), attr=name)):
            for i in range(len(node.keywords)):
                rest = [k for j, k in enumerate(node.keywords) if j != i]
                yield _with(node, keywords=rest)
            if name == "value":
                yield node.args[0]


def _fewer(test: ast.BoolOp) -> Iterator[ast.expr]:
    for i in range(len(test.values)):
        rest = [v for j, v in enumerate(test.values) if j != i]
        yield rest[0] if len(rest) == 1 else ast.BoolOp(op=test.op, values=rest)


def _swapped(node: ast.AST) -> Iterator[ast.AST]:
    """Operands in the other order."""
    match node:
        case ast.Call(func=ast.Attribute(attr=name), args=args) if name in _ORDERED:
            least = 3 if name in ("emit", "where") else 2
            if len(args) >= least and ast.dump(args[-1]) != ast.dump(args[-2]):
                yield _with(node, args=[*args[:-2], args[-1], args[-2]])
        case ast.BinOp(op=ast.Sub() | ast.Div() | ast.FloorDiv() | ast.Mod()):
            yield _with(node, left=node.right, right=node.left)
        case ast.Compare(ops=[ast.Lt() | ast.LtE() | ast.Gt() | ast.GtE()]):
            yield _with(node, left=node.comparators[0], comparators=[node.left])
        case ast.IfExp(body=body, orelse=orelse):
            if not _is_none(body) and not _is_none(orelse):
                yield _with(node, body=orelse, orelse=body)


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _moved(node: ast.AST, above: tuple[ast.AST, ...]) -> Iterator[ast.AST]:
    """An axis or index one further, or one less."""
    parent = above[-1]
    named = isinstance(node, ast.Attribute) and node.attr == "axis"
    named |= isinstance(node, ast.Name) and node.id == "axis"
    loaded = named and isinstance(getattr(node, "ctx", None), ast.Load)
    keyword = isinstance(parent, ast.keyword) and parent.arg in ("axis", "batch_dims")
    called = (
        isinstance(parent, ast.Call)
        and isinstance(parent.func, ast.Name)
        and parent.func.id == "along"
    )
    index = _whole(node) is not None and _is_index(parent, node)
    if loaded or index or ((keyword or called) and _whole(node) is not None):
        for step in (1, -1):
            whole = _whole(node)
            if whole is not None:
                yield ast.Constant(value=whole + step)
            else:
                yield _sum(node, step)


def _is_index(parent: ast.AST, node: ast.AST) -> bool:
    if isinstance(parent, ast.Subscript):
        return parent.slice is node
    ranged = isinstance(parent, ast.Call) and ast.unparse(parent.func) == "range"
    return isinstance(parent, ast.Slice) or ranged


def _whole(node: ast.AST) -> int | None:
    """The integer that an expression spells."""
    match node:
        case ast.Constant(value=value) if type(value) is int:
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=value)):
            return -value if type(value) is int else None
        case _:
            return None


def _sum(node: Any, step: int) -> ast.expr:
    amount = ast.Constant(value=abs(step))
    sign = ast.Add() if step > 0 else ast.Sub()
    return ast.BinOp(left=copy.deepcopy(node), op=sign, right=amount)


def _retyped(node: ast.AST, above: tuple[ast.AST, ...]) -> Iterator[ast.AST]:
    """Another dtype, or other kinds of dtypes."""
    parent = above[-1]
    match node:
        case ast.Attribute(value=ast.Name(id="np"), attr="float64" | "float32"):
            yield _with(node, attr="float16")
        case ast.Attribute(attr="dtype", ctx=ast.Load()):
            if isinstance(parent, ast.Call | ast.keyword):
                yield ast.Name(id=_MARK, ctx=ast.Load())
        case ast.Attribute(attr="is_float"):
            yield _with(node, attr="is_int")
        case ast.Constant(value=str(text)) if _names_kinds(text, parent):
            yield ast.Constant(value="i" if text == "f" else "f")
            if len(text) > 1:
                yield ast.Constant(value=text[:-1])
                yield ast.Constant(value=text[1:])


def _names_kinds(text: str, parent: ast.AST) -> bool:
    asked = isinstance(parent, ast.Compare) and "kind" in ast.unparse(parent)
    pattern = isinstance(parent, ast.Call) and ast.unparse(parent.func) == "P.value"
    last = pattern and isinstance(parent, ast.Call) and parent.args[-1]
    is_kinds = isinstance(last, ast.Constant) and last.value == text
    return bool(text) and set(text) <= _KINDS_OF_DTYPES and bool(asked or is_kinds)


def _weighed(node: ast.AST, above: tuple[ast.AST, ...]) -> Iterator[ast.AST]:
    """Another number."""
    parent = above[-1]
    match node:
        case ast.Constant(value=float(value)):
            yield ast.Constant(value=value * (1 + SLIGHTLY) if value else SLIGHTLY)
        case ast.Constant(value=value) if type(value) is int:
            index = _is_index(parent, node) or isinstance(parent, ast.Subscript)
            if not index and not isinstance(parent, ast.UnaryOp):
                yield ast.Constant(value=value + 1)
                if _is_spelled(above):
                    yield ast.Constant(value=value + (value or 1) * SLIGHTLY)
        case ast.BinOp(op=ast.Div()):
            yield _times(node)
        case ast.Call(func=ast.Attribute(value=ast.Name(id="math"), attr="sqrt")):
            yield _times(node)


def _is_spelled(above: tuple[ast.AST, ...]) -> bool:
    """Whether a number is an operand of a pattern or of an op that is emitted."""
    call = next((n for n in reversed(above) if isinstance(n, ast.Call)), None)
    name = ast.unparse(call.func) if call is not None else ""
    return name.startswith(("P.", "b.full", "b.mul", "b.add", "b.sub", "b.div"))


def _times(node: Any) -> ast.expr:
    factor = ast.Constant(value=1 + SLIGHTLY)
    return ast.BinOp(left=copy.deepcopy(node), op=ast.Mult(), right=factor)


def _with(node: Any, **fields: Any) -> Any:
    """A copy of a node with other fields."""
    return type(node)(**{**dict(ast.iter_fields(node)), **fields})


# Who is to blame ----------------------------------------------------------------------


_Name = tuple[str, str]
"""A module, and a name at its top."""

_ALSO = {"decompose_all": "decompose", "fuse_all": "fuse_elementwise"}
"""Passes that are known by another name than their function's."""


def guilty(mutant: Mutant) -> set[str]:
    """Names under which the change may be noted: of rewrites and passes it reaches."""
    readers, inner = _readers()
    owners = re.findall(r"\w+", mutant.owner)
    reached, work = set[_Name](), [(mutant.module, name) for name in owners]
    while work:
        name = work.pop()
        if name not in reached:
            reached.add(name)
            work += readers.get(name, ())
    names = {own for _, own in reached}.union(*(inner.get(n, ()) for n in reached))
    return {n.lstrip("_") for n in names} | {_ALSO[n] for n in names & _ALSO.keys()}


@cache
def _readers() -> tuple[dict[_Name, set[_Name]], dict[_Name, set[str]]]:
    """By a name, the names whose code reads it; and the functions inside of it."""
    found: dict[_Name, set[_Name]] = {}
    inner: dict[_Name, set[str]] = {}
    for module in modules():
        tree = ast.parse(path_of(module).read_text(encoding="utf-8"))
        homes = _imported(tree)
        for top in tree.body:
            names = {(module, name) for name in _defined(top)}
            for node in ast.walk(top):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                    home = homes.get(node.id, module)
                    found.setdefault((home, node.id), set()).update(names)
                elif isinstance(node, ast.FunctionDef):
                    for name in names:
                        inner.setdefault(name, set()).add(node.name)
    return found, inner


def _imported(tree: ast.Module) -> dict[str, str]:
    """The modules of passes that names come from."""
    return {
        name.name: node.module.rsplit(".", 1)[-1]
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        if node.module and node.module.startswith("graphwright.passes.")
        for name in node.names
    }


def _defined(top: ast.stmt) -> set[str]:
    match top:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Assign(targets=targets):
            named = (n for t in targets for n in ast.walk(t))
            return {n.id for n in named if isinstance(n, ast.Name)}
        case _:
            return set()
