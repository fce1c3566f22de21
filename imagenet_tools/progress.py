"""Show the progress of long work on stderr: as a bar on a terminal, else as a line now and then."""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
from collections import deque

_BAR_SECONDS = 0.1  # between two drawings of the bar
_LINE_SECONDS = 10.0  # between two plain lines
# The time left is estimated from the pace of the last 45 s, because units that an interrupted build finished pass
# in no time.
_PACE_SECONDS = 45.0
_MIN_BAR_CHARS = 8
_MAX_BAR_CHARS = 40


class ProgressBar:
    """Show progress. Call it with (stage, done, total)."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._stage = ""
        self._shown = 0.0
        self._marks: deque[tuple[float, int]] = deque()  # (time, done) of the last _PACE_SECONDS, a second apart
        self._later_seconds = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show progress, at most as often as a person can read it."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._later_seconds, self._shown = stage, 0.0, -math.inf
            self._marks.clear()
        self._mark(now, done)
        if done >= total or now - self._shown >= (_BAR_SECONDS if self._is_terminal else _LINE_SECONDS):
            self._show(stage, done, total, now)
        if done >= total and self._is_terminal:
            self._write("\r\x1b[K")

    def then(self, seconds: float) -> None:
        """Add the estimated time of the work after this stage to the time left."""
        self._later_seconds = seconds

    def _mark(self, now: float, done: int) -> None:
        if len(self._marks) == 1 and self._marks[0][1] == done:
            self._marks.clear()  # nothing was counted since the stage began: measure the pace from now
        if not self._marks or (self._marks[-1][1] != done and now - self._marks[-1][0] >= 1):
            self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[1][0] >= _PACE_SECONDS:
            self._marks.popleft()

    def _show(self, stage: str, done: int, total: int, now: float) -> None:
        self._shown = now
        text = f"{stage} {done:,} of {total:,}{self._time_left(done, total, now)}" if total > 1 else f"{stage} ..."
        if not self._is_terminal:
            if done < total or total > 1:
                self._write(text + "\n")
            return
        # $COLUMNS overrides the width of the terminal.
        columns = shutil.get_terminal_size(os.get_terminal_size(sys.stderr.fileno())).columns or 80
        width = min(_MAX_BAR_CHARS, columns - len(text) - 4)
        full = width * done // max(total, 1)
        bar = f" [{'#' * full}{'.' * (width - full)}]" if width >= _MIN_BAR_CHARS and total > 1 else ""
        self._write(f"\r{(text + bar)[: columns - 1]}\x1b[K")

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()

    def _time_left(self, done: int, total: int, now: float) -> str:
        start, done_at_start = self._marks[0]
        if not done_at_start < done < total or now - start < 1:
            return ""
        seconds = int((now - start) / (done - done_at_start) * (total - done) + self._later_seconds)
        return f", {seconds // 60} min {seconds % 60:02d} s left" if seconds >= 60 else f", {seconds} s left"
