"""``dump=`` and profiles: what they show of plans and kernels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphwright as gw
import graphwright.numpy as gnp
from graphwright.backends.opencl import library
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.ir.dtype import dtype

MISSING = OpenCLBackend().unavailable()
device = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


def layers() -> gw.Graph:
    """Two products with a function between them, and a reduction."""
    weights = np.ones((64, 64), np.float32)

    def model(x: Any) -> Any:
        hidden = gnp.maximum(x @ weights, 0)
        return gnp.sum(hidden @ weights, axis=0)

    return gw.trace(model, gw.spec("float32", ("rows", 64)))


def plans(folder: Path) -> list[Any]:
    return [json.loads(p.read_text()) for p in sorted(folder.glob("plan-*.json"))]


@device
def test_each_kernel_has_source_schedule_and_time(tmp_path: Path) -> None:
    exe = gw.compile(layers(), backend="opencl", strict=True, dump=tmp_path / "new")
    for rows in (12, 18):
        exe(np.ones((rows, 64), np.float32))
    first, second = plans(tmp_path / "new")
    assert (first["dims"], second["dims"]) == ({"rows": 12}, {"rows": 18})
    assert first["graph"] == second["graph"] == "graph-0.txt"
    gw.parse((tmp_path / "new" / "graph-0.txt").read_text())
    ((step,), _) = first["steps"], second["steps"]
    assert [k["op"] for k in step["kernels"]] == ["dot", "dot", "reduce"]
    for kernel in step["kernels"]:
        assert kernel["seconds"] > 0
        assert all("test_dump.py" in source for source in kernel["sources"])
        assert kernel["schedule"]["writes"]
        text = (tmp_path / "new" / kernel["file"]).read_text()
        assert Path(kernel["file"]).stem in text


def test_what_has_no_kernels_of_a_device_shows_its_steps(tmp_path: Path) -> None:
    exe = gw.compile(layers(), backend="numpy", dump=str(tmp_path))
    exe(np.ones((2, 64), np.float32))
    (plan,) = plans(tmp_path)
    assert "dot" in {step["op"] for step in plan["steps"]}
    assert all(step["kernels"] == [] for step in plan["steps"])


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(gw.ModelError, match="cannot write to dump="):
        gw.compile(layers(), dump=tmp_path / "file")


@device
@pytest.mark.parametrize("persists", [True, False])
def test_profiles_time_each_kernel(
    persists: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = library.Session(library.found().devices[0])
    session.shares = persists  # else nothing persists
    backend = OpenCLBackend()
    monkeypatch.setattr(backend, "_session", session, raising=False)
    exe = gw.compile(layers(), backend=backend, strict=True)
    x = np.random.default_rng(0).standard_normal((30, 64)).astype(np.float32)
    (found,), rows = exe.run_timed([x])
    np.testing.assert_array_equal(np.asarray(found), np.asarray(exe(x)))
    assert [row.op for row in rows] == ["dot", "dot", "reduce"]
    assert all(row.kernel and row.seconds > 0 for row in rows)
    assert all("test_dump.py" in row.source for row in rows)


@device
def test_profiles_notice_indices_out_of_range() -> None:
    graph = gw.trace(
        lambda x, i: gnp.exp(gnp.take(x, i, axis=0)),
        gw.spec("float32", (5,)),
        gw.spec("int64", (3,)),
    )
    exe = gw.compile(graph, backend="opencl", strict=True)
    with pytest.raises(gw.IndexBoundsError):
        exe.profile([np.ones(5, np.float32), np.array([0, 5, 1])])


@device
def test_narrow_floats_are_timed_too(tmp_path: Path) -> None:
    graph = gw.trace(lambda x, y: x * y + x, *[gw.spec("bfloat16", ("n",))] * 2)
    exe = gw.compile(graph, backend="opencl", strict=True, dump=tmp_path)
    exe(*[np.ones(100, dtype("bfloat16").numpy)] * 2)
    (plan,) = plans(tmp_path)
    assert all(k["seconds"] > 0 for step in plan["steps"] for k in step["kernels"])
    assert plan["steps"][0]["kernels"]
