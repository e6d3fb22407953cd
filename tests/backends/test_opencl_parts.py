"""Functions of plans: each built once, some of them by other processes."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphwright as gw
import graphwright.numpy as gnp
from graphwright.backends.codegen.persistent import TELL
from graphwright.backends.contract import BuildError
from graphwright.backends.opencl import aside, cache, library, parts
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.backends.opencl.library import Session, found, session

MISSING = OpenCLBackend().unavailable()
LEADS = MISSING is None and session(0).helpers is not None
leads = pytest.mark.skipif(
    not LEADS, reason=MISSING or "needs a CPU device on x86-64 Linux"
)
X = np.random.default_rng(0).standard_normal((40, 50)).astype(np.float32)


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("GRAPHWRIGHT_CACHE_DIR", str(tmp_path))
    return tmp_path / "opencl"


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sources that are built in this process."""
    found, compiled = list[str](), Session.compiled

    def noted(self: Session, text: str) -> Any:
        found.append(text)
        return compiled(self, text)

    monkeypatch.setattr(Session, "compiled", noted)
    return found


def row_sums(x: Any) -> Any:
    return gnp.sum(x, axis=1)


def product(x: Any) -> Any:
    return gnp.exp(row_sums(x)) + gnp.max(x @ gnp.swapaxes(x, 0, 1), axis=0)


def run(function: Any, backend: OpenCLBackend) -> list[float]:
    graph = gw.trace(function, gw.spec("float32", X.shape))
    found = np.asarray(gw.compile(graph, backend=backend, strict=True)(X))
    want = np.asarray(gw.compile(graph, backend="numpy")(X))
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-4)
    values: list[float] = found.tolist()
    return values


# How they are shared out --------------------------------------------------------------


def test_few_functions_are_one_part() -> None:
    assert parts.shares({"b": 10, "a": 20}, 8) == [["a", "b"]]
    assert parts.shares({"a": 90_000}, 8) == [["a"]]
    assert parts.shares({f"f{i}": 50_000 for i in range(8)}, 1) == [
        [f"f{i}" for i in range(8)]
    ]


@pytest.mark.parametrize("cores", [2, 3, 16])
def test_shares_end_at_about_one_time(cores: int) -> None:
    lengths = {f"f{i}": 1_000 * (i % 20 + 1) for i in range(60)}
    rows = parts.shares(lengths, cores)
    assert len(rows) == min(cores, sum(lengths.values()) // 80_000)
    assert sorted(name for row in rows for name in row) == sorted(lengths)
    starts = [0, *[60_000] * (len(rows) - 1)]
    ends = [
        start + sum(lengths[name] + 4_000 for name in row)
        for start, row in zip(starts, rows, strict=True)
    ]
    assert max(ends) - min(ends) <= 24_000


# What is known ------------------------------------------------------------------------


@leads
def test_only_what_is_new_is_built(texts: list[str]) -> None:
    backend = OpenCLBackend()
    first, both = run(row_sums, backend), run(product, backend)
    one, other = texts[-2:]
    assert "KERNEL" in one
    sums = [line for line in one.splitlines() if line.startswith("KERNEL(")]
    assert sums
    assert not set(sums) & set(other.splitlines())
    del texts[:]
    assert run(row_sums, backend) == first
    assert run(product, OpenCLBackend()) == both  # from disk
    assert not texts


@leads
def test_what_names_the_wrong_part_is_built_anew(
    texts: list[str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "shares", each_apart)
    monkeypatch.setattr(parts, "built", lambda *_: None)
    want = run(product, OpenCLBackend())
    rows = {key: cache.load(key) or b"" for key in kept(place)}
    notes = [key for key, data in rows.items() if len(data) == len(key)]
    assert len({rows[key] for key in notes}) > 2
    cache.store(dict.fromkeys(notes, rows[notes[0]]))
    del texts[:]
    assert run(product, OpenCLBackend()) == want
    assert texts
    del texts[:]
    assert run(product, OpenCLBackend()) == want
    assert not texts


def kept(place: Path) -> list[bytes]:
    return [bytes.fromhex(path.name) for path in place.iterdir()]


# Other processes ----------------------------------------------------------------------


def each_apart(lengths: dict[str, int], _: int) -> list[list[str]]:
    return [[name] for name in sorted(lengths)]


@leads
def test_other_processes_build_the_same(
    texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAPHWRIGHT_CACHE_DIR", "")
    want = run(product, OpenCLBackend())
    monkeypatch.setattr(parts, "shares", each_apart)
    del texts[:]
    assert run(product, OpenCLBackend()) == want
    assert sum(TELL in text for text in texts) == 1


@leads
def test_what_other_processes_build_is_kept(
    texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "shares", each_apart)
    want = run(product, OpenCLBackend())
    del texts[:]
    assert run(product, OpenCLBackend()) == want
    assert not texts


RUBBISH = ["import sys; sys.exit(1)", "print('no object')", "pass"]


@leads
@pytest.mark.parametrize("code", [None, *RUBBISH])
def test_what_no_other_process_builds_is_built_here(
    texts: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str | None
) -> None:
    own, python = run(product, OpenCLBackend()), tmp_path / "python"
    if code is not None:
        python.write_text(f"#!{sys.executable}\n{code}\n")
        python.chmod(0o700)
    monkeypatch.setenv("GRAPHWRIGHT_CACHE_DIR", "")
    monkeypatch.setattr(parts, "shares", each_apart)
    monkeypatch.setattr(sys, "executable", str(python))
    del texts[:]
    assert run(product, OpenCLBackend()) == own
    assert sum(TELL in text for text in texts) > 1


@leads
def test_what_another_process_does_not_say_to_the_end_is_built_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, started = run(product, OpenCLBackend()), subprocess.run

    def cut(*args: Any, **options: Any) -> Any:
        done = started(*args, **options)
        assert len(done.stdout) > 2000
        done.stdout = done.stdout[:2000]
        return done

    monkeypatch.setenv("GRAPHWRIGHT_CACHE_DIR", "")
    monkeypatch.setattr(parts, "shares", each_apart)
    monkeypatch.setattr(subprocess, "run", cut)
    assert run(product, OpenCLBackend()) == own


@leads
def test_other_processes_look_where_this_one_does(
    texts: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(parts, "shares", each_apart)
    monkeypatch.setattr(sys, "path", [*sys.path, tmp_path])  # no string: not looked at
    run(product, OpenCLBackend())
    assert sum(TELL in text for text in texts) == 1


@leads
def test_what_is_built_for_another_device_is_not_taken(
    texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = run(product, OpenCLBackend())
    monkeypatch.setenv("GRAPHWRIGHT_CACHE_DIR", "")
    monkeypatch.setattr(parts, "shares", each_apart)
    monkeypatch.setattr(Session, "identity", ("another",))
    del texts[:]
    assert run(product, OpenCLBackend()) == own
    assert sum(TELL in text for text in texts) > 1


@leads
def test_forked_processes_time_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "forked", lambda: True)
    with pytest.raises(gw.BackendUnavailable, match="this process was forked"):
        session(0).timing_queue()


@leads
@pytest.mark.parametrize("name", ["", "/usr/bin/embedding"])
def test_no_process_starts_where_python_is_a_part_of_a_program(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def started(*_: object, **__: object) -> None:
        raise AssertionError("a process starts")

    monkeypatch.setattr(subprocess, "run", started)
    monkeypatch.setattr(sys, "executable", name)
    assert aside.built(session(0), "", 0) is None


@leads
def test_what_does_not_build_is_an_error_in_any_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "__kernel void wrong(__global int *a) { a[0] = unknown; }"
    monkeypatch.setattr(parts.Parts, "_text", lambda *_: text)
    monkeypatch.setattr(parts, "shares", each_apart)
    graph = gw.trace(product, gw.spec("float32", X.shape))
    with pytest.raises(BuildError, match="does not build"):
        gw.compile(graph, backend=OpenCLBackend(), strict=True)(X)


FORKED = """
import os, sys
sys.path.insert(0, {tests!r})
from test_opencl_parts import OpenCLBackend, layer, product, run
launching, own = OpenCLBackend(schedule="gpu"), OpenCLBackend()
want = run(product, own), run(product, launching)

def in_child(function):
    child = os.fork()
    if not child:
        try:
            print(function(), flush=True)
        finally:
            os._exit(0)
    os.waitpid(child, 0)

def refusal():
    try:
        run(product, launching)
    except Exception as error:
        return f"{{type(error).__name__}}: {{error}}"

in_child(lambda: run(product, own) == want[0])
in_child(lambda: len(run(layer, own)))
in_child(refusal)
"""


@leads
def test_forked_processes_let_others_build_and_say_what_they_cannot() -> None:
    script = FORKED.format(tests=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    same, length, refusal = done.stdout.splitlines()
    assert (same, length) == ("True", "40"), done.stderr
    assert refusal.startswith("BackendUnavailable: this process was forked"), refusal


# Without threads ----------------------------------------------------------------------


@leads
def test_where_no_thread_can_be_started_all_is_done_by_those_who_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    want = run(layer, OpenCLBackend())
    monkeypatch.setenv("GRAPHWRIGHT_CACHE_DIR", "")
    monkeypatch.setattr(parts, "shares", each_apart)
    monkeypatch.setattr(threading.Thread, "start", refused)
    own = Session(found().devices[0])
    monkeypatch.setattr(library, "_session", lambda *_: own)
    assert run(layer, OpenCLBackend()) == want


def layer(x: Any) -> Any:
    return product(x @ np.ones((50, 60), np.float32))


LATE = """
import sys, threading, time
sys.path.insert(0, {tests!r})
from test_opencl_parts import OpenCLBackend, layer, run

def late():
    time.sleep(0.2)
    run(layer, OpenCLBackend())
    print("done")

threading.Thread(target=late).start()
"""


@leads
def test_threads_that_outlive_the_main_one_can_compile() -> None:
    script = LATE.format(tests=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "done\n", done.stderr


# Devices by number --------------------------------------------------------------------


def test_an_error_names_a_device_of_the_same_backend() -> None:
    with pytest.raises(gw.BackendUnavailable, match="as in 'opencl:1'"):
        gw.compile(gw.trace(row_sums, gw.spec("float32", (2, 2))), backend="opencl:x")
