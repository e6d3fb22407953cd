"""What the documents say holds: names, files, links, tables; their Python runs."""

import logging
import os
import pkgutil
import re
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import pytest

import graphwright as gw
from graphwright.backends import registry
from graphwright.cli import program
from graphwright.frontends.onnx import load
from graphwright.frontends.onnx.registry import CONVERTERS
from graphwright.ir.op import OPS, Tier
from graphwright.passes import manager, pipeline

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]

LOGGERS = {f"graphwright.{name}" for name in ("load", "compile", "run")}
FOLDERS = "api|backends|benchmarks|docs|examples|frontends|ir|passes|tests"
MODULES = load  # imported, it registers every converter


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    fence = rf"^```{language}\n(.*?)^```$"
    return re.findall(fence, text_of(page), re.M | re.S)


# Names and files ----------------------------------------------------------------------


@pytest.mark.parametrize("page", NAMES)
def test_public_names_exist(page: str) -> None:
    named = set(re.findall(r"\bgw\.(\w+)", text_of(page)))
    assert sorted(name for name in named if not hasattr(gw, name)) == []


@pytest.mark.parametrize("page", NAMES)
def test_modules_and_what_they_hold_exist(page: str) -> None:
    named = set(re.findall(r"\bgraphwright(?:\.\w+)+", text_of(page)))
    missing: list[str] = []
    for name in sorted(named - LOGGERS):
        try:
            pkgutil.resolve_name(name)
        except (ImportError, AttributeError):
            missing.append(name)
    assert missing == []


def test_all_options_are_listed() -> None:
    page = text_of("docs/configuration.md")
    context = click.Context(program)
    for name in program.list_commands(context):
        command = program.get_command(context, name)
        assert command is not None
        own = {o for p in command.params for o in p.opts if o.startswith("--")}
        (lines,) = re.findall(rf"^ +graphwright {name}\b(?:.*\n {{26}})*.*", page, re.M)
        listed = set(re.findall(r"--[\w-]+", lines))
        assert own - {"--json", "--debug", "--help"} == listed


def test_loggers_exist() -> None:
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("api", "backends", "frontends")
        for path in (ROOT / folder).rglob("*.py")
    )
    assert [name for name in LOGGERS if f'getLogger("{name}")' not in code] == []
    assert logging.getLogger("graphwright").handlers


@pytest.mark.parametrize("page", NAMES)
def test_files_exist(page: str) -> None:
    named = set(re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", text_of(page)))
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def anchors(path: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    heads = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.M)
    plain = (re.sub(r"[^\w\- ]", "", head.lower()) for head in heads)
    return {head.replace(" ", "-") for head in plain}


def broken(page: str) -> Iterator[str]:
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"https?:", link):
            continue
        place, _, anchor = link.partition("#")
        path = (ROOT / page).parent / place if place else ROOT / page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            yield link


@pytest.mark.parametrize("page", NAMES)
def test_links_lead_somewhere(page: str) -> None:
    assert list(broken(page)) == []


def test_every_page_can_be_reached() -> None:
    links = " ".join(text_of(page) for page in NAMES)
    lost = [page for page in NAMES if f"{Path(page).name})" not in links]
    assert [page for page in lost if not page.endswith("README.md")] == []


# Code ---------------------------------------------------------------------------------


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the blocks of a page take for granted: a model, an input for it."""
    model = Path(str(gw.__file__)).parent / "data" / "digits.onnx"
    shutil.copy(model, tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    for table in ("_factories", "_instances"):
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))
    assert set(pipeline.DEFAULT) <= set(manager.PASSES)  # those of the package stay
    monkeypatch.setattr(manager, "PASSES", dict(manager.PASSES))
    return {"gw": gw, "np": np, "x": np.zeros((2, 1, 32, 32), np.float32)}


@pytest.mark.parametrize("page", [page for page in NAMES if blocks(page, "python")])
def test_python_runs(page: str, names: dict[str, Any]) -> None:
    logger, ops = logging.getLogger("graphwright"), dict(OPS)
    level = logger.level
    try:
        for block in blocks(page, "python"):
            exec(compile(block, page, "exec"), names)
    finally:
        OPS.clear()
        OPS.update(ops)
        logger.setLevel(level)


# Tables -------------------------------------------------------------------------------


def test_the_table_of_operators_is_up_to_date() -> None:
    page = text_of("docs/operators.md")
    if f"with onnx {onnx.__version__};" not in page:
        pytest.skip("the page was written with another version of onnx")
    made = runpy.run_path(os.fspath(DOCS / "generate.py"))["page"]()
    assert made == page, "run python docs/generate.py"


def test_the_tables_of_passes_are_up_to_date() -> None:
    made = runpy.run_path(os.fspath(DOCS / "generate.py"))["passes_page"]()
    assert made == text_of("docs/passes.md"), "run python docs/generate.py"


def test_the_table_of_array_functions_is_up_to_date() -> None:
    made = runpy.run_path(os.fspath(DOCS / "generate.py"))["functions_page"]()
    assert made == text_of("docs/numpy-functions.md"), "run python docs/generate.py"


def test_the_table_of_what_opencl_lacks_is_up_to_date() -> None:
    made = runpy.run_path(os.fspath(DOCS / "generate_opencl.py"))["table"]()
    assert text_of("docs/opencl.md").endswith(made), (
        "run python docs/generate_opencl.py"
    )


def test_a_backend_must_know_at_most_64_ops() -> None:
    own = [c for c in OPS.values() if c.__module__.startswith("graphwright.ir.ops.")]
    assert sum(cls.tier is Tier.PRIMITIVE for cls in own) <= 64


def test_the_list_of_com_microsoft_is_complete() -> None:
    page = text_of("docs/com.microsoft.md")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("|")]
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert listed == {name for domain, name in CONVERTERS if domain == "com.microsoft"}
