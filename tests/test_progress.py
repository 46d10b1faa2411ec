"""Progress of long steps: silent when short, lines with rate and time left, a bar on a terminal."""

import io
import sys

import pytest

from phenolip_lib.core import progress


@pytest.fixture
def clock(monkeypatch):
    """Time that moves by hand."""

    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    found = Clock()
    monkeypatch.setattr(progress, "time", found)
    return found


@pytest.fixture
def lines(monkeypatch):
    found = []
    monkeypatch.setattr(progress.log, "info", lambda text, *parts: found.append(text % parts))
    return found


def test_a_short_step_says_nothing_and_passes_items_on(clock, lines):
    assert list(progress.track("abc", "letters", 3)) == ["a", "b", "c"]
    assert lines == []


def test_a_long_step_says_rate_and_what_is_left(clock, lines):
    with progress.Progress("pictures", 100, done=40, unit="pictures") as own:
        for _ in range(3):
            clock.now += 11
            own.update(10)
    assert lines == ["  pictures: 60/100, 0.909 pictures/s, 44 s left"]


def test_a_terminal_gets_a_bar_and_no_lines(clock, lines, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress.Progress("pictures", 4) as own:
        clock.now += 100
        own.update(4)
        shown = sys.stderr.getvalue()
    assert "pictures" in shown
    assert "0/4" in shown
    assert lines == []
