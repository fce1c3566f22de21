"""How far long work has come, on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections import deque

_EVERY = 0.1  # seconds between two drawings of the bar
_LINE_EVERY = 10.0  # seconds between two plain lines
_WINDOW = 45.0  # seconds by whose pace the time left is told: what an earlier build left there passes in no time


class ProgressBar:
    """Called with (stage, done, total); draws a bar only where stderr is a terminal."""

    def __init__(self) -> None:
        self._bar = sys.stderr.isatty()
        self._stage = ""
        self._shown = 0.0
        self._marks: deque[tuple[float, int]] = deque()  # (time, done) of the last _WINDOW, a second apart
        self._then = 0.0  # seconds that what comes after the stage takes

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show it, not more often than a person can read."""
        now = time.monotonic()
        self._mark(now, done)
        if stage != self._stage:
            self._stage, self._shown, self._then = stage, 0.0, 0.0
            self._marks = deque([(now, done)])
            self._line(stage, done, total, now)
        elif done >= total or now - self._shown >= (_EVERY if self._bar else _LINE_EVERY):
            self._line(stage, done, total, now)
        if done >= total and self._bar:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def then(self, seconds: float) -> None:
        """About how long what comes after the stage takes: the time left counts it."""
        self._then = seconds

    def _mark(self, now: float, done: int) -> None:
        if self._marks and self._marks[-1][1] == done:
            # Nothing came of this time: what is told by the pace begins where something does.
            self._marks = deque([(now, done)]) if len(self._marks) == 1 else self._marks
        elif not self._marks or now - self._marks[-1][0] >= 1:
            self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[1][0] >= _WINDOW:
            self._marks.popleft()

    def _line(self, stage: str, done: int, total: int, now: float) -> None:
        self._shown = now
        text = f"{stage} {done:,} of {total:,}{self._left(done, total, now)}" if total > 1 else f"{stage} ..."
        if not self._bar:
            if done < total or total > 1:
                sys.stderr.write(text + "\n")
                sys.stderr.flush()
            return
        columns = _columns()
        room = columns - len(text) - 4
        width = min(40, room)
        full = width * done // max(total, 1)
        bar = f" [{'#' * full}{'.' * (width - full)}]" if width >= 8 and total > 1 else ""
        sys.stderr.write(f"\r{(text + bar)[: columns - 1]}\x1b[K")
        sys.stderr.flush()

    def _left(self, done: int, total: int, now: float) -> str:
        since, before = self._marks[0]
        if not before < done < total or now - since < 1:
            return ""
        seconds = int((now - since) / (done - before) * (total - done) + self._then)
        return f", {seconds // 60} min {seconds % 60:02d} s left" if seconds >= 60 else f", {seconds} s left"


def _columns() -> int:
    """The width of the terminal that stderr is; $COLUMNS overrides."""
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said):
        return int(said)
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80
