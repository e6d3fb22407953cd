"""Weights that were packed give the pages of their file back."""

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx_graphs import model_of

import graphwright as gw
from graphwright.backends.mapped import release, release_part
from graphwright.backends.opencl.backend import OpenCLBackend

MAPS = Path("/proc/self/smaps")
linux = pytest.mark.skipif(not MAPS.exists(), reason="/proc/self/smaps is missing")
MISSING = OpenCLBackend().unavailable()
device = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


def resident(path: Path) -> int:
    """Bytes of a mapped file that are in this process's memory."""
    found, inside = 0, False
    for line in MAPS.read_text().splitlines():
        if "-" in line.split(maxsplit=1)[0]:
            inside = line.endswith(str(path))
        elif inside and line.startswith("Rss:"):
            found += int(line.split()[1]) << 10
    return found


@pytest.fixture
def rows(tmp_path: Path) -> tuple[Path, Any]:
    path = tmp_path / "rows"
    np.arange(1 << 20, dtype=np.float32).tofile(path)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    found = np.frombuffer(mapped, np.float32).reshape(256, 4096)
    assert found.sum() > 0
    return path, found


@linux
def test_a_part_in_one_piece_is_dropped_and_read_again(rows: Any) -> None:
    path, array = rows
    before = resident(path)
    release_part(array[128:])
    assert resident(path) <= before // 2 + (1 << 16)
    assert array[-1, -1] == (1 << 20) - 1


@linux
def test_what_others_lie_between_stays(rows: Any) -> None:
    path, array = rows
    before = resident(path)
    release_part(array[:, :64])
    assert resident(path) == before
    release(array)
    assert resident(path) < before


@linux
@device
def test_packed_weights_are_in_memory_once(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    w = np.random.default_rng(0).standard_normal((512, 4096), np.float32)
    body = "g (float[3,4096] x) => (float[3,512] y) { y = Gemm<transB=1>(x, w) }"
    onnx.save(model_of(body, w=w), path)
    exe = gw.compile(gw.load(path), backend="opencl", strict=True)
    x = np.ones((3, 4096), np.float32)
    (found,) = exe.run(None, {"x": x})
    assert np.allclose(found, x @ w.T, rtol=1e-3, atol=1e-3)
    assert resident(path) < w.nbytes // 4
