"""Programs on disk: kept, checked, and never trusted."""

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import graphwright as gw
from graphwright.backends.opencl import cache
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.backends.opencl.library import Session
from graphwright.backends.opencl.objects import unpacked

MISSING = OpenCLBackend().unavailable()
device = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
KEY = cache.key_of("source", "device", "driver")


@pytest.fixture(autouse=True, scope="module")
def known_device() -> None:
    """What is found out about the device, once, is stored elsewhere."""
    if MISSING is None:
        run_anew()


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("GRAPHWRIGHT_CACHE_DIR", str(tmp_path))
    return tmp_path / "opencl"


def test_what_is_stored_is_loaded() -> None:
    assert cache.load(KEY) is None
    cache.store({KEY: b"binary"})
    assert cache.load(KEY) == b"binary"
    assert cache.load(cache.key_of("source", "device", "driver2")) is None


def test_keys_tell_parts_apart() -> None:
    assert cache.key_of("ab", "c") != cache.key_of("a", "bc")


def test_files_that_were_changed_are_not_used(place: Path) -> None:
    cache.store({KEY: b"binary of some length"})
    path = place / KEY.hex()
    whole = path.read_bytes()
    for number in range(len(whole)):
        path.write_bytes(whole[:number])
        assert cache.load(KEY) is None
    for number in range(len(whole)):
        changed = bytearray(whole)
        changed[number] ^= 1
        path.write_bytes(changed)
        assert cache.load(KEY) is None


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs users with numbers")
def test_files_that_others_can_write_are_not_used(place: Path) -> None:
    cache.store({KEY: b"binary"})
    (place / KEY.hex()).chmod(0o666)
    assert cache.load(KEY) is None


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs users with numbers")
def test_files_of_others_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.store({KEY: b"binary"})
    other = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: other)
    assert cache.load(KEY) is None


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_folder_that_takes_nothing_is_read(
    monkeypatch: pytest.MonkeyPatch, place: Path, number: int
) -> None:
    cache.store({KEY: b"binary"})

    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    other = cache.key_of("another source")
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "mkstemp", refused)
        cache.store({other: b"binary"})
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", refused)
        cache.store({other: b"binary"})
    assert cache.load(KEY) == b"binary"
    assert cache.load(other) is None
    assert [path.name for path in place.iterdir()] == [KEY.hex()]


def test_a_folder_that_cannot_be_made_is_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("GRAPHWRIGHT_CACHE_DIR", str(tmp_path / "file"))
    cache.store({KEY: b"binary"})
    assert cache.load(KEY) is None
    monkeypatch.setenv("GRAPHWRIGHT_CACHE_DIR", "")
    cache.store({KEY: b"binary"})
    assert cache.load(KEY) is None


def test_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.setattr(cache, "_MOST_BYTES", 4000)
    keys = [cache.key_of(str(i)) for i in range(6)]
    for age, key in enumerate(keys):
        cache.store({key: bytes(900)})
        if (place / key.hex()).exists():
            os.utime(place / key.hex(), (age, age))
    assert cache.load(keys[0]) is None
    assert cache.load(keys[-1]) == bytes(900)


def doubled() -> tuple["np.ndarray[tuple[int], np.dtype[np.float32]]", gw.Graph]:
    x = np.arange(20, dtype=np.float32)
    return x, gw.trace(lambda v: v * 2.0 + 0.125, gw.spec("float32", (20,)))


def run_anew() -> None:
    x, graph = doubled()
    found = gw.compile(graph, backend=OpenCLBackend(), strict=True)(x)
    assert np.array_equal(np.asarray(found), x * 2 + np.float32(0.125))


def unbuilt(*_: object) -> None:
    raise AssertionError("a program is built")


def stamps(place: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in place.iterdir()}


@device
def test_programs_are_built_once(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    run_anew()
    before = stamps(place)
    assert before
    monkeypatch.setattr(Session, "compiled", unbuilt)
    run_anew()
    assert stamps(place) == before


@device
def test_each_kept_program_is_loaded_as_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.arange(20, dtype=np.float32)

    def results() -> list[list[float]]:
        own = [OpenCLBackend() for _ in range(3)]
        graphs = [
            gw.trace(lambda v, i=i: v * 2.0**i + 0.25, gw.spec("float32", (20,)))
            for i in range(3)
        ]
        exes = [
            gw.compile(graph, backend=backend, strict=True)
            for graph, backend in zip(graphs, own, strict=True)
        ]
        return [np.asarray(exe(x)).tolist() for exe in exes]

    want = [(x * 2**i + np.float32(0.25)).tolist() for i in range(3)]
    assert results() == want
    monkeypatch.setattr(Session, "compiled", unbuilt)
    assert results() == want


@pytest.mark.parametrize("data", [b"", b"short", bytes(8), bytes(100), b"\xff" * 100])
def test_what_is_no_shared_object_is_not_loaded(data: bytes) -> None:
    assert unpacked(data) is None


@device
def test_binaries_that_a_driver_refuses_are_built_anew(place: Path) -> None:
    run_anew()
    for path in place.iterdir():
        cache.store({bytes.fromhex(path.name): b"not a program of any driver"})
    run_anew()


@device
@pytest.mark.parametrize("length", [0, 1, 80, -1])
def test_programs_that_were_cut_off_are_built_anew(place: Path, length: int) -> None:
    run_anew()
    whole = {path: path.read_bytes() for path in place.iterdir()}
    for cut in whole:
        for path, data in whole.items():
            path.write_bytes(data[:length] if path is cut else data)
        run_anew()
        for path, data in whole.items():  # written again, as a whole
            assert len(path.read_bytes()) >= len(data) // 2


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from test_opencl_cache import run_anew
run_anew()
"""


@device
@pytest.mark.full
def test_many_processes_share_a_folder(place: Path) -> None:
    script = SCRIPT.format(tests=str(Path(__file__).parent))
    runs = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(16)]
    assert [run.wait() for run in runs] == [0] * 16
    assert not list(place.glob("new-*"))
