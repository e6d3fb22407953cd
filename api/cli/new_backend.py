"""``graphwright new-backend``: a skeleton that installs and passes the first stage."""

import re
from pathlib import Path

import click

from graphwright.backends.contract import CONTRACT_VERSION
from graphwright.backends.registry import backend_names
from graphwright.cli.common import common_options, show
from graphwright.display import facts

PROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "graphwright-{name}"
version = "0.1.0"
description = "The graphwright backend {name}"
requires-python = ">=3.11"
dependencies = ["graphwright", "numpy"]

[project.entry-points."graphwright.backends"]
{name} = "graphwright_{name}:Backend"

[tool.setuptools]
packages = ["graphwright_{name}"]
"""

MODULE = '''\
"""The graphwright backend {name}: so far, a table of NumPy's functions."""

from typing import Any

import numpy as np

import graphwright as gw


def plain(function: Any) -> Any:
    """A function of arrays as the table wants it: called with the op first."""
    return lambda op, *arrays: function(*arrays)


TABLE = {{
    "add": plain(np.add),
    "mul": plain(np.multiply),
    "max": plain(np.maximum),
    "exp": plain(np.exp),
    "dot": plain(np.matmul),
    "reshape": lambda op, x: x.reshape(op.shape),
    "transpose": lambda op, x: x.transpose(op.perm),
    "broadcast_to": lambda op, x: np.broadcast_to(x, op.shape),
}}


class Backend(gw.TableBackend):
    """Runs what is in its table; the rest is decomposed, or runs on the host."""

    name = "{name}"
    contract = {contract}
    table = TABLE
    dtypes = frozenset({{"float32"}})

    def to_device(self, array: Any) -> Any:
        """Your array of a numpy array."""
        return array

    def to_host(self, array: Any) -> Any:
        """The numpy array of one of yours."""
        return array
'''

TEST = '''\
"""The kit tests the backend: pytest --graphwright-backend={name}"""

import numpy as np

import graphwright as gw
from graphwright.ir.dtype import float32
from graphwright.ir.types import TensorType


def test_a_graph_runs_on_it_alone() -> None:
    """Nothing falls back: that would be an error with ``strict``."""
    b = gw.Builder("sum")
    x = b.input("x", TensorType(float32, (3,)))
    exe = gw.compile(b.finish([b.add(x, x)]), backend="{name}", strict=True)
    assert np.asarray(exe(np.ones(3, np.float32))).tolist() == [2, 2, 2]
'''

README = """\
# graphwright-{name}

    pip install -e .
    pytest
    pytest --graphwright-backend={name} --graphwright-stage=first

`graphwright_{name}/__init__.py` is the backend. When the first stage passes, leave
`--graphwright-stage` away, and the report says what is missing.
"""

FILES = {
    "pyproject.toml": PROJECT,
    "README.md": README,
    "graphwright_{name}/__init__.py": MODULE,
    "tests/test_{name}.py": TEST,
}


@click.command("new-backend")
@click.argument("name")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to write it; by default ./graphwright-NAME.",
)
@common_options
def command(name: str, folder: Path | None, as_json: bool) -> int:
    """Write the project of a backend called NAME, which installs and passes tests."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise click.UsageError(
            f"{name!r} is no name of a backend: use small letters, digits and _."
        )
    if name in backend_names():
        raise click.UsageError(f"there is a backend {name!r} already.")
    folder = folder or Path(f"graphwright-{name}")
    if folder.exists() and any(folder.iterdir()):
        raise click.UsageError(f"{folder} is not empty.")
    written: list[str] = []
    for pattern, text in FILES.items():
        path = folder / pattern.format(name=name)
        path.parent.mkdir(parents=True, exist_ok=True)
        made = text.format(name=name, contract=CONTRACT_VERSION)
        path.write_text(made, encoding="utf-8")
        written.append(str(path))
    rows = [("written", path) for path in written]
    rows.append(("install", f"pip install -e {folder}"))
    rows.append(("test", f"pytest --graphwright-backend={name}"))
    data = {"folder": str(folder), "files": written}
    show(as_json, data, facts(rows))
    return 0
