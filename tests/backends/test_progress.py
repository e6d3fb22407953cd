"""Bars: after a second, and never beside a spinner."""

from threading import Event
from typing import Any

import pytest

from graphwright.backends import progress
from graphwright.backends.progress import Progress, giving_way


class Spinner:
    """Notes when it is asked to turn."""

    def __init__(self) -> None:
        self.calls = list[str]()

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of a clock."""
    found = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: found[0])
    monkeypatch.setenv("FORCE_COLOR", "1")
    return found


def test_a_bar_is_shown_after_a_second(
    now: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    bar = Progress("tuning kernels", 5)
    with bar.shown():
        bar.advance()
        assert not capsys.readouterr().err
        now[0] = 1.5
        bar.advance()
    assert "tuning kernels" in capsys.readouterr().err


def test_a_spinner_gives_way(now: list[float]) -> None:
    spinner = Spinner()
    with giving_way(spinner):
        bar = Progress("tuning kernels", 5)
    with bar.shown():
        bar.advance()
        assert not spinner.calls
        now[0] = 1.5
        bar.advance()
        assert spinner.calls == ["stop"]
    assert spinner.calls == ["stop", "start"]


def test_one_long_call_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    made, shown = list[Any](), Event()

    class Bar:
        def stop(self) -> None:
            made.append("stop")

    def bar(words: str, total: int | None) -> Bar:
        made.append((words, total))
        shown.set()
        return Bar()

    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    monkeypatch.setattr(progress, "_bar", bar)
    with Progress("building kernels").waiting():
        assert shown.wait(10)
    assert made == [("building kernels", None), "stop"]


def test_one_bar_is_shown_at_a_time(
    now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = list[str]()

    class Bar:
        task_ids = (0,)

        def stop(self) -> None:
            made.append("stop")

        def update(self, *_: object, **__: object) -> None:
            pass

    def bar(words: str, _: int | None) -> Bar:
        made.append(words)
        return Bar()

    monkeypatch.setattr(progress, "_bar", bar)
    outer, inner = Progress("tuning", 3), Progress("building", 3)
    now[0] = 1.5
    with outer.shown():
        outer.advance()
        with inner.shown():
            inner.advance()
    assert made == ["tuning", "stop"]
    other = Progress("other", 1)
    now[0] = 3.0
    with other.shown():
        other.advance()
    assert made == ["tuning", "stop", "other", "stop"]


def test_short_calls_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_bar", lambda *_: pytest.fail("a bar"))
    call = Progress("building kernels")
    with call.waiting():
        pass
    call._begin()  # by a timer that was too late to be cancelled
