"""The package as users get it: all of it in the wheel, and the shipped model right."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from PIL import Image

import graphwright

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("api", "backends", "frontends", "ir", "passes")
DIGITS = tuple(range(10))


@cache
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def shipped_name(path: Path) -> str:
    """Where a file of the checkout lies in the wheel."""
    top, *rest = path.relative_to(ROOT).parts
    return "/".join(["graphwright", *([] if top == "api" else [top]), *rest])


def library_files() -> list[Path]:
    """What belongs to the library: its modules, its marker of types, its data."""
    found = [path for top in FOLDERS for path in (ROOT / top).rglob("*")]
    return [path for path in found if path.is_file() and path.suffix != ".pyc"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy, where no earlier build has left anything."""
    copy = tmp_path_factory.mktemp("source")
    for folder in FOLDERS:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    build = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    command = [sys.executable, "-c", build]
    run = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    (built,) = (copy / "dist").glob("*.whl")
    return built


def test_every_folder_of_code_is_a_package() -> None:
    bare = {path.parent for path in library_files() if path.suffix == ".py"}
    assert [str(each) for each in bare if not (each / "__init__.py").exists()] == []


def test_no_package_is_forgotten() -> None:
    packages = {
        shipped_name(path.parent).replace("/", ".")
        for path in library_files()
        if path.name == "__init__.py"
    }
    assert set(project()["tool"]["setuptools"]["packages"]) == packages


def test_the_wheel_holds_the_library_and_nothing_else(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == {shipped_name(path) for path in library_files()}


def test_the_wheel_carries_licence_and_command(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = (n for n in names if n.endswith("entry_points.txt"))
        commands = archive.read(entry_points).decode()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "graphwright = graphwright.cli:main" in commands


def test_versions_agree() -> None:
    assert graphwright.__version__ == version("graphwright")
    assert graphwright.__version__ == project()["project"]["version"]


def readme_commands() -> list[str]:
    """The lines of the README's first two shell blocks."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:bash|sh|shell)\n(.*?)^```$", text, re.M | re.S)
    return [block.strip() for block in blocks[:2]]


def test_ci_runs_the_second_command_to_the_letter() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert readme_commands()[1] in [line.strip() for line in script]


def test_the_first_command_names_files_that_exist() -> None:
    paths = re.findall(r"[\w/]+\.(?:onnx|png)", readme_commands()[0])
    assert {Path(path).suffix for path in paths} == {".onnx", ".png"}
    assert [path for path in paths if not (ROOT / path).exists()] == []


def shipped(name: str) -> Path:
    """A file of the package's data."""
    return Path(str(files(graphwright) / "data" / name))


def pictures() -> NDArray[np.float32]:
    """The shipped digits as the model wants them."""
    found: list[NDArray[np.float32]] = []
    for digit in DIGITS:
        with Image.open(shipped(f"digits/{digit}.png")) as image:
            assert image.mode == "L"
            found.append(np.asarray(image, np.float32)[None] / np.float32(255))
    return np.stack(found)


def read_all() -> NDArray[np.float32]:
    """What ONNX Runtime makes of the shipped digits."""
    session: Any = ort.InferenceSession(shipped("digits.onnx"))
    (odds,) = session.run(None, {"image": pictures()})
    return np.asarray(odds, np.float32)


def test_the_shipped_model_says_what_it_is() -> None:
    path = shipped("digits.onnx")
    assert path.stat().st_size <= 300_000
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    labels = {entry.key: entry.value for entry in model.metadata_props}["labels"]
    assert json.loads(labels) == [str(digit) for digit in DIGITS]
    (image,) = model.graph.input
    dims = image.type.tensor_type.shape.dim
    assert (image.name, dims[0].dim_param) == ("image", "batch")
    assert [dim.dim_value for dim in dims[1:]] == [1, 32, 32]


def test_the_shipped_model_reads_the_shipped_digits() -> None:
    odds = read_all()
    assert odds.argmax(axis=1).tolist() == list(DIGITS)
    np.testing.assert_allclose(odds.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.peers
def test_a_peer_reads_the_shipped_digits_alike() -> None:
    openvino: Any = pytest.importorskip("openvino", reason="needs openvino")
    config = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(shipped("digits.onnx"), "CPU", config)
    np.testing.assert_allclose(model(pictures())[0], read_all(), atol=1e-5)
