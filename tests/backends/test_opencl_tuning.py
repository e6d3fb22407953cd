"""Ways to compute, chosen by measuring: kept, loaded, and the same but for rounding."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx_graphs import model_of

import graphwright as gw
from graphwright.backends.codegen.kernels.division import Division
from graphwright.backends.codegen.kernels.table import Site, Way
from graphwright.backends.opencl import tuner
from graphwright.backends.opencl.backend import OpenCLBackend
from graphwright.backends.tuning import FORMAT, Mode, Tuning
from graphwright.cli import main

MISSING = OpenCLBackend().unavailable()
device = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


def _random(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


X = _random(1, 16, 20, 20)
W = _random(24, 16, 3, 3, seed=1) / 12


def _graph() -> gw.Graph:
    text = """g (float[1,16,20,20] x) => (float[1,24,20,32] y) {
        c = Conv<pads=[1,1,1,1]>(x, w) r = Relu(c) y = MatMul(r, k)
    }"""
    return gw.load(model_of(text, w=W, k=_random(20, 32, seed=2)))


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("GRAPHWRIGHT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


class Clock:
    """Times ways without running them, and notes which."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds, self.asked = seconds, list[str]()

    def __call__(self, site: Site, way: Way) -> float:
        self.asked.append(way.name)
        return self.seconds.get(way.name, 1.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock({"direct": 0.5, "direct, 16 items": 0.25})
    monkeypatch.setattr(tuner.Tuner, "_seconds", found)
    return found


def _choices(file: Path) -> dict[str, str]:
    found = json.loads(file.read_text())
    assert found["format"] == FORMAT
    (choices,) = found["choices"].values()
    return {key.split()[0]: choice for key, choice in choices.items()}


def _run(mode: Mode, file: Path | None = None, strict_float: bool = False) -> Any:
    exe = gw.compile(
        _graph(),
        backend=OpenCLBackend(),
        tune=mode,
        tuning=file,
        strict_float=strict_float,
    )
    return np.asarray(exe(X))


@device
def test_nothing_is_measured_unless_asked_for(clock: Clock) -> None:
    _run("off")
    assert not clock.asked


@device
def test_what_is_fastest_is_chosen_and_remembered(clock: Clock, place: Path) -> None:
    _run("fast", place / "record")
    assert _choices(place / "record") == {"conv": "direct"}
    asked = len(clock.asked)
    assert asked == len(set(clock.asked)) > 2
    _run("fast")  # from the folder of built programs
    _run("off", place / "record")
    assert len(clock.asked) == asked


@device
def test_all_divisions_are_measured_in_full(clock: Clock, place: Path) -> None:
    _run("full", place / "record")
    assert _choices(place / "record") == {"conv": "direct, 16 items", "dot": "tiles"}
    asked = len(clock.asked)
    _run("fast", place / "other")  # what was measured in full serves as well
    assert _choices(place / "other") == {"conv": "direct, 16 items", "dot": "tiles"}
    assert len(clock.asked) == asked


@device
def test_small_gains_are_noise(clock: Clock, place: Path) -> None:
    clock.seconds = {"direct": 0.98}
    _run("fast", place / "record")
    assert _choices(place / "record")["conv"] != "direct"


@device
def test_each_device_has_choices_of_its_own(
    clock: Clock, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run("fast", place / "record")
    asked = len(clock.asked)
    other = property(lambda self: ("another", "device"))
    monkeypatch.setattr("graphwright.backends.opencl.library.Session.identity", other)
    _run("fast", place / "record")
    assert len(clock.asked) == 2 * asked
    assert len(json.loads((place / "record").read_text())["choices"]) == 2


@device
def test_strict_floats_leave_nothing_to_choose(clock: Clock) -> None:
    _run("fast", strict_float=True)
    assert not clock.asked


@device
def test_every_way_gives_the_same_but_for_rounding(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = list[Way]()

    def noted(own: Any, site: Site, key: str, found: Sequence[Way]) -> Way:
        ways.extend(w for way in found for w in (way, *way.finer))
        return found[0]

    with monkeypatch.context() as patch:
        patch.setattr(tuner.Tuner, "choose", noted)
        want = _run("off")
    some = {"direct", "direct, 4 items", "F(2)", "F(6), 6 together", "tiles, 4 items"}
    assert some <= {way.name for way in ways}
    for name in sorted(some):
        monkeypatch.setattr(tuner.Tuner, "_known", lambda own, key, name=name: name)
        got = _run("off")
        assert np.abs(got - want).max() <= 2e-5 * np.abs(want).max()


@device
def test_a_device_is_really_timed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = "graphwright.backends.codegen.kernels.convolution.cuts"
    monkeypatch.setattr(few, lambda shape, machine: [Division(4), None])
    want = _run("off")
    got = _run("fast", place / "record")
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()
    assert set(_choices(place / "record")) == {"conv"}


@device
def test_choices_that_nobody_knows_are_measured_anew(clock: Clock, place: Path) -> None:
    _run("fast", place / "record")
    text = (place / "record").read_text()
    (place / "record").write_text(text.replace('"direct"', '"of a later version"'))
    _run("off", place / "record")  # is none
    asked = len(clock.asked)
    cache = place / "cache" / "opencl"
    for path in cache.iterdir():
        path.unlink()
    _run("fast", place / "record")
    assert len(clock.asked) > asked
    assert _choices(place / "record") == {"conv": "direct"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"format": "graphwright tuning 1"}',
        '{"format": "graphwright tuning 0", "choices": {}}',
        '{"format": "graphwright tuning 1", "choices": {"device": ["conv"]}}',
        '{"format": "graphwright tuning 1", "choices": {"device": {"conv": 1}}}',
        "[" * 100_000,
    ],
)
def test_other_files_are_no_records(place: Path, text: str) -> None:
    (place / "record").write_text(text)
    with pytest.raises(gw.CacheError, match="record"):
        Tuning("fast", place / "record")


def test_records_that_are_missing_are_made_by_measuring_only(place: Path) -> None:
    with pytest.raises(gw.CacheError, match="there is no tuning record"):
        Tuning("off", place / "none")
    found = Tuning("fast", place / "none")
    assert found.known("device", "conv") is None
    found.keep("device", "conv", "direct")
    assert Tuning("off", place / "none").known("device", "conv") == "direct"


def test_records_that_cannot_be_written_are_errors(place: Path) -> None:
    found = Tuning("fast", place / "no folder" / "record")
    with pytest.raises(gw.CacheError, match="no folder"):
        found.keep("device", "conv", "direct")


def test_other_modes_are_errors() -> None:
    with pytest.raises(gw.ArgumentError, match=r"'off', 'fast', 'full'.*got 'quick'"):
        gw.compile(_graph(), tune="quick")  # type: ignore[arg-type]


def test_backends_without_choices_take_any_mode() -> None:
    exe = gw.compile(_graph(), backend="numpy", tune="full")
    assert np.asarray(exe(X)).shape == (1, 24, 20, 32)


@device
def test_functions_are_tuned_as_models_are(clock: Clock, place: Path) -> None:
    def product(x: Any, y: Any) -> Any:
        return gw.numpy.maximum(x @ y, 0)

    options: Any = {"backend": OpenCLBackend(), "tuning": place / "record"}
    tuned = gw.jit(product, tune="full", **options)
    x, y = _random(40, 48), _random(48, 32, seed=1)
    want = np.maximum(x @ y, 0)
    for _ in range(2):
        np.testing.assert_allclose(np.asarray(tuned(x, y)), want, rtol=1e-5)
    asked = len(clock.asked)
    assert asked > 1
    (choice,) = _choices(place / "record").values()
    gw.jit(product, **options)(x, y)  # from the record
    tuned.lower(x, y).compile()
    assert (len(clock.asked), choice) == (asked, "tiles")


@device
def test_commands_tune_and_take_a_record(clock: Clock, place: Path) -> None:
    path, record = place / "model.onnx", place / "record"
    text = "g (float[1,16,9,9] x) => (float[1,24,7,7] y) { y = Conv(x, w) }"
    path.write_bytes(model_of(text, w=W).SerializeToString())
    own = ["opencl", "--tuning", str(record)]
    model = [str(path), "--tune", "fast"]
    assert main(["run", *model, "--random", "--backend", *own]) == 0
    asked = len(clock.asked)
    assert asked
    assert _choices(record) == {"conv": "direct"}
    short = ["--blocks", "1", "--seconds", "0.01", "--rest", "0"]
    assert main(["bench", *model, *short, "--backends", *own]) == 0
    assert main(["bench", str(path), *short, "--backends", *own]) == 0
    assert len(clock.asked) == asked


def test_commands_refuse_what_is_no_record(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place / "model.onnx"
    text = "g (float[2] x) => (float[2] y) { y = Neg(x) }"
    path.write_bytes(model_of(text).SerializeToString())
    for command in (["run", "--random"], ["bench"]):
        assert main([*command, str(path), "--tuning", str(place / "none")]) == 2
        assert "there is no tuning record" in capsys.readouterr().err


def test_functions_refuse_what_is_no_record(place: Path) -> None:
    with pytest.raises(gw.CacheError, match="there is no tuning record"):
        gw.jit(np.sin, tuning=place / "none")
