"""The backends in `examples/` pass the conformance kit; each installs by itself."""

import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphwright as gw
from graphwright.backends import registry
from graphwright.frontends.onnx.suite import Suite
from graphwright.testing import conform
from graphwright.testing.kit_checks import all_checks
from graphwright.testing.report import DECLINED, FALLS_BACK, WRONG

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
NAMES = {"c": "CBackend", "torch": "TorchBackend", "jax": "JaxBackend"}
MARKED = ["c", *(pytest.param(n, marks=pytest.mark.peers) for n in ("torch", "jax"))]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def made(name: str, patch: pytest.MonkeyPatch, cache: Path) -> gw.Backend:
    """An example's backend; skips where its library is missing."""
    patch.setenv("XDG_CACHE_HOME", str(cache))
    patch.syspath_prepend(str(EXAMPLES / f"backend_{name}"))
    if name != "c":
        pytest.importorskip(name, reason=f"{name} is not installed")
    if name == "torch":  # many small ops: threads only get in each other's way
        importlib.import_module("torch").set_num_threads(1)
    backend: gw.Backend = getattr(
        importlib.import_module(f"graphwright_{name}"), NAMES[name]
    )()
    lacking = backend.unavailable()
    if lacking:
        pytest.skip(lacking)
    return backend


@pytest.mark.parametrize("name", MARKED)
def test_the_first_stages(
    name: str, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    backend = made(name, monkeypatch, cache)
    report = conform(backend, "primitives", every=60, parts=["first", "executables"])
    assert report.ok, report
    assert report.score == 100


@pytest.mark.peers
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_jax_rounds_what_a_maximum_is_subtracted_from(
    dtype: str, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    rows = np.linspace(1, 2, 35, dtype=dtype).reshape(5, 7, 1)
    x = rows / np.finfo(dtype).eps * np.ones(169, dtype) * 1000

    def shifted(x: Any) -> Any:
        y = x.sum(-1) * x.dtype.type(1 / 169)
        return y - y.max(-1, keepdims=True)

    exe = gw.compile(gw.trace(shifted, x), backend=made("jax", monkeypatch, cache))
    assert (np.asarray(exe(x)).max(-1) == 0).all()


@pytest.mark.peers
def test_jax_sums_a_product(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    x = np.ones((169, 512), np.float32)

    def summed(x: Any) -> Any:
        return np.maximum(x @ np.ones((512, 1000), np.float32) + 1, 0).sum(0)

    exe = gw.compile(gw.trace(summed, x), backend=made("jax", monkeypatch, cache))
    assert (np.asarray(exe(x)) == 169 * 513).all()


@pytest.mark.peers
@pytest.mark.parametrize("name", ["torch", "jax"])
def test_arrays_that_are_no_buffers(
    name: str, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    found = Suite(made(name, monkeypatch, cache)).run("test_celu_bfloat16_cpu")
    assert found.error is None


@pytest.mark.peers
@pytest.mark.parametrize("name", ["torch", pytest.param("jax", marks=pytest.mark.full)])
def test_primitives(name: str, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    backend = made(name, monkeypatch, cache)
    parts = ["primitives", "behaviour", "sizes"] if name == "torch" else ["sizes"]
    report = conform(backend, "primitives", every=60, parts=parts)
    wrong = [f"{f}"[:200] for f in report.findings if f.status == WRONG]
    assert not wrong, wrong[:6]
    if name == "torch":
        assert not [f for f in report.findings if f.status == FALLS_BACK]
        rest = [f for f in report.findings if f.status == DECLINED]
        assert not [f.case for f in rest if not DECLINES.search(f.case)]


@pytest.mark.parametrize("name", MARKED)
def test_an_op_of_the_users_own(
    name: str, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    backend = made(name, monkeypatch, cache)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    op = importlib.import_module("custom_op").Squash(width=2.0)
    graph = gw.trace(lambda x: gw.apply(op, x), gw.spec("float32", ("n",)))
    x = np.linspace(-3, 3, 7, dtype=np.float32)
    for each in (graph, gw.load(gw.export(graph))):
        exe = gw.compile(each, backend=backend, strict=True)
        assert np.allclose(np.asarray(exe(x)), x / (1 + np.square(x / 2)), rtol=1e-6)


@pytest.mark.peers
def test_a_graph_on_two_of_them(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    torch, c = made("torch", monkeypatch, cache), made("c", monkeypatch, cache)
    monkeypatch.setitem(registry._factories, "torch", lambda: torch)
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    graph = gw.trace(lambda v: np.tanh(v + v) * v, x)
    exe = gw.compile(graph, backend=c, placement={"tanh": "torch"})
    ops = [node.op for node in exe.program.graph.nodes]
    placed = [getattr(op, "device", "") for op in ops if op.name == "copy_to"]
    assert placed == ["torch", "c"]
    assert np.allclose(np.asarray(exe(x)), np.tanh(x + x) * x, rtol=1e-6)


DECLINES = re.compile("uint64|int4|string|^pow-.*complex|^bitcast-.*64")
"""Cases that PyTorch has no kernels for (see the example's docstring)."""


SOME = ("pad", "conv", "scatter", "arg_reduce", "cast", "shr", "cumulative")


def test_primitives_in_c(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    backend = made("c", monkeypatch, cache)
    checks = [c for c in all_checks("primitives") if c.subject in SOME]
    findings = [f for c in checks if c.part == "primitives" for f in c.run(backend, 99)]
    assert not [f for f in findings if f.status == WRONG]
    ran = {f.subject for f in findings if f.status not in (WRONG, DECLINED)}
    assert ran == set(SOME)


def test_sums_of_what_is_read_backwards_in_c(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    backend = made("c", monkeypatch, cache)
    x = np.arange(8.0).reshape(2, 2, 2)

    def squares(v: Any) -> Any:
        turned = v[::-1, ::-1, ::-1]
        return np.sum(turned * turned, axis=(1, 2))

    exe = gw.compile(gw.trace(squares, x), backend=backend, strict=True)
    assert np.asarray(exe(x)).tolist() == squares(x).tolist() == [126, 14]


def test_c_sources_hold_no_name_of_the_model(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    made("c", monkeypatch, cache)
    module: Any = importlib.import_module("graphwright_c.backend")
    b = gw.Builder("evil_graph")
    x = b.input('evil_x"; system("true', _type())
    y = b.add(b.mul(x, 0.1), x)
    graph = b.finish([y], ["evil_y"])
    source = module.Region(graph).source
    assert "evil" not in source
    assert float(np.float32(0.1)).hex() in source


def _type() -> Any:
    return gw.trace(lambda v: v, gw.spec("float32", (3, 4))).input_types[0]


def test_without_a_compiler_c_says_so(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    backend = made("c", monkeypatch, cache)
    module: Any = importlib.import_module("graphwright_c.backend")
    monkeypatch.setattr(module, "compiler", lambda: None)
    assert "gcc" in str(backend.unavailable())
    graph = gw.trace(lambda v: v + v, gw.spec("float32", (3,)))
    with pytest.raises(gw.BackendUnavailable, match="gcc"):
        gw.compile(graph, backend=backend)
    monkeypatch.setitem(registry._factories, "c-missing", lambda: backend)
    exe = gw.compile(graph, backend=["c-missing", "numpy"])
    assert np.asarray(exe(np.ones(3, np.float32))).tolist() == [2, 2, 2]


def test_a_changed_library_is_built_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made("c", monkeypatch, tmp_path)
    build: Any = importlib.import_module("graphwright_c.build")
    source = "long long run(void **p) { return 7; }\n"
    build.folder.cache_clear()
    assert build._built("key", source).parent.stat().st_mode & 0o077 == 0
    key = build._key(source)
    first = build._found(key) or build._built(key, source)
    first.write_bytes(b"spoiled")
    assert build._found(key) is None
    assert build.load(source)(None) == 7
    build.folder.cache_clear()


def test_c_installs_by_itself(tmp_path: Path) -> None:
    site = str(tmp_path / "site")
    options = ["-q", "--no-deps", "--no-build-isolation", "--target", site]
    copy = tmp_path / "copy"
    shutil.copytree(EXAMPLES / "backend_c", copy)
    command = [sys.executable, "-m", "pip", "install", *options, str(copy)]
    subprocess.run(command, check=True, capture_output=True)
    code = "import json, graphwright as gw; print(json.dumps(sorted(gw.backends())))"
    env = {"PYTHONPATH": site, "PATH": "/usr/bin:/bin"}
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=env,
    )
    assert "c" in json.loads(found.stdout)
