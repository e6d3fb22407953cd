"""The library's layers: who may import whom and when, and how long a file may grow."""

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

LAYERS = ("ir", "passes", "backends", "frontends", "api")
"""Each imports from itself and from the layers to its left."""

IR_ORDER = (
    "record",
    "collector",
    "errors",
    "arguments",
    "dtype",
    "dlpack",
    "dim",
    "types",
    "rules",
    "philox",
    "special",
    "constant",
    "emitter",
    "op",
    "ops",
    "printer",
    "graph",
    "ratio",
    "builder",
    "verify",
    "scanner",
    "parser",
    "evaluate",
)
"""The same inside `ir/`, module by module; `__init__` comes after all of them."""

ONLY_IN = {
    "onnx": "frontends/onnx",
    "cupy": "backends/cuda",
    "pyopencl": "backends/opencl",
}
"""The one folder of the library that knows each of these."""

OPTIONAL = {
    *ONLY_IN,
    "IPython",
    "PIL",
    "click",
    "jax",
    "matplotlib",
    "onnxruntime",
    "openvino",
    "rich",
    "safetensors",
    "tensorboardX",
    "torch",
}
"""What a function may import when it is called: not every user has or needs it."""

LAZY = ("PIL", "click", "cupy", "numpy", "onnx", "onnxruntime", "pyopencl", "rich")
"""What `import graphwright` leaves for later."""

FILE_LINES, FUNCTION_LINES = 400, 50
"""Lines of code at most: not blank, not comment, not docstring."""

BACKEND_LINES = 150
"""The same for the example on PyTorch, which has a function for each primitive."""


@dataclass(frozen=True)
class Import:
    """One imported module and where, with how it is reached."""

    path: Path
    line: int
    target: str
    in_function: bool
    for_types: bool

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT).as_posix()}:{self.line} {self.target}"


@cache
def sources() -> dict[str, Path]:
    """The library's files by the name of their module."""
    found: dict[str, Path] = {}
    for layer in LAYERS:
        for path in sorted((ROOT / layer).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            inner = parts[1:] if layer == "api" else parts
            names = [part for part in inner if part != "__init__"]
            found[".".join(["graphwright", *names])] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def targets(node: ast.Import | ast.ImportFrom, module: str, path: Path) -> list[str]:
    """The modules that a statement names: the submodule where it imports one."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        parents = module.split(".")
        keep = len(parents) - node.level + (path.name == "__init__.py")
        base = ".".join([*parents[:keep], *([base] if base else [])])
    names = [f"{base}.{alias.name}" for alias in node.names]
    return [name if name in sources() else base for name in names]


def is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def find_imports(
    node: ast.AST, module: str, path: Path, in_function: bool, for_types: bool
) -> Iterator[Import]:
    """All imports below a node, with what stands around each."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        for target in dict.fromkeys(targets(node, module, path)):
            yield Import(path, node.lineno, target, in_function, for_types)
    in_function |= isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    guarded: list[ast.stmt] = []
    if isinstance(node, ast.If) and is_type_checking(node.test):
        guarded = node.body
    for child in ast.iter_child_nodes(node):
        types = for_types or child in guarded
        yield from find_imports(child, module, path, in_function, types)


@cache
def imports() -> dict[str, list[Import]]:
    """Every import in the library, by the module that it stands in."""
    return {
        module: list(find_imports(tree(path), module, path, False, False))
        for module, path in sources().items()
    }


def every_import() -> Iterator[Import]:
    for found in imports().values():
        yield from found


def layer_of(path: Path) -> int:
    return LAYERS.index(path.relative_to(ROOT).parts[0])


def complain(offenders: Iterable[object], rule: str) -> None:
    lines = [str(offender) for offender in offenders]
    if lines:
        pytest.fail("\n  ".join([rule, *lines]), pytrace=False)


def test_layers_import_leftwards() -> None:
    complain(
        (
            found
            for found in every_import()
            if found.target in sources()
            and layer_of(sources()[found.target]) > layer_of(found.path)
        ),
        f"imports against the order {' < '.join(LAYERS)}:",
    )


def ir_ranks() -> dict[Path, int]:
    """Each file's place in the order; the package's own face comes last."""
    order = [*IR_ORDER, "__init__"]
    ranks: dict[Path, int] = {}
    for path in sources().values():
        if layer_of(path) == LAYERS.index("ir"):
            name = path.relative_to(ROOT / "ir").with_suffix("").parts[0]
            ranks[path] = order.index(name) if name in order else -1
    return ranks


def test_every_ir_module_has_its_place() -> None:
    unplaced = [path.name for path, rank in ir_ranks().items() if rank < 0]
    complain(unplaced, "modules of ir/ that IR_ORDER does not name:")


def test_ir_imports_leftwards() -> None:
    ranks = ir_ranks()
    complain(
        (
            found
            for found in every_import()
            if found.path in ranks
            and found.target in sources()
            and ranks.get(sources()[found.target], 0) > ranks[found.path]
        ),
        f"imports against the order {' < '.join(IR_ORDER)}:",
    )


def test_no_import_circles() -> None:
    graph = {
        module: {
            each.target
            for each in found
            if each.target in sources() and not each.in_function and not each.for_types
        }
        for module, found in imports().items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("import circle: " + " <- ".join(error.args[1]))


def test_imports_name_modules_that_exist() -> None:
    complain(
        (
            found
            for found in every_import()
            if found.target.split(".")[0] == "graphwright"
            and found.target not in sources()
        ),
        "imports of modules that are not there:",
    )


def test_functions_import_only_optional_libraries() -> None:
    complain(
        (
            found
            for found in every_import()
            if found.in_function and found.target.split(".")[0] not in OPTIONAL
        ),
        "imports inside functions that belong at the top of the file:",
    )


def test_each_library_is_known_in_one_place() -> None:
    complain(
        (
            found
            for found in every_import()
            if (library := found.target.split(".")[0]) in ONLY_IN
            and (ROOT / ONLY_IN[library]) not in found.path.parents
        ),
        f"imports outside {ONLY_IN}:",
    )


@cache
def code_lines(path: Path) -> frozenset[int]:
    """The numbers of the lines that hold code."""
    prose: set[int] = set()
    for node in ast.walk(tree(path)):
        match node:
            case ast.Expr(ast.Constant(str())):
                prose.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
            case _:
                pass
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    held = {
        number for number, line in lines if line.strip() and line.lstrip()[0] != "#"
    }
    return frozenset(held - prose)


def test_files_are_short() -> None:
    sizes = {path: len(code_lines(path)) for path in sources().values()}
    complain(
        (
            f"{path.relative_to(ROOT).as_posix()} {size}"
            for path, size in sizes.items()
            if size > FILE_LINES
        ),
        f"files of over {FILE_LINES} lines of code:",
    )


def test_a_backend_of_all_primitives_is_short() -> None:
    path = ROOT / "examples" / "backend_torch" / "graphwright_torch.py"
    assert 100 < len(code_lines(path)) <= BACKEND_LINES


def long_functions(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            extent = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            size = len(code_lines(path).intersection(extent))
            if size > FUNCTION_LINES:
                place = f"{path.relative_to(ROOT).as_posix()}:{node.lineno}"
                yield f"{place} {node.name} {size}"


def test_functions_are_short() -> None:
    complain(
        (each for path in sources().values() for each in long_functions(path)),
        f"functions of over {FUNCTION_LINES} lines of code:",
    )


LOADED = "import sys; print(*{name.split('.')[0] for name in sys.modules})"


def loaded_by(statements: list[str]) -> set[str]:
    """The top-level modules that a fresh Python in the checkout has loaded then."""
    script = "\n".join([*statements, LOADED])
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def test_importing_loads_no_heavy_library() -> None:
    loaded = loaded_by(["import graphwright"])
    complain(sorted(loaded.intersection(LAZY)), "`import graphwright` loads:")


def test_no_module_is_loaded_by_its_folder() -> None:
    modules = [name for name in sources() if not name.endswith(".__main__")]
    loaded = loaded_by([f"import {name}" for name in modules])
    complain(sorted(loaded.intersection(LAYERS)), "loaded twice:")
