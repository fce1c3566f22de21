"""Exports that a page starts: each is the command `imagenet-tools export` in a process, with its progress."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.errors import UsageError
from imagenet_tools.explorer import subsets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}", re.ASCII)
_PROGRESS = re.compile(r"([\d,]+) of ([\d,]+)")
_MAX_LINES = 200


class ExportState(NamedTuple):
    """The state of an export: what is done of how much, the lines it printed, and its exit code once it has ended."""

    done: int
    total: int
    lines: tuple[str, ...]
    code: int | None


class Export:
    """A running or finished export."""

    def __init__(self, index: Path, roots: Mapping[str, Path], folder: Path, name: str, target: str,
                 words: Mapping[str, object]) -> None:  # fmt: skip
        self.name, self.target, self.path = name, target, folder / name
        moved = [text for source, root in roots.items() for text in ("--root", f"{source}={root}")]
        command = [sys.executable, "-m", "imagenet_tools", "export", str(self.path), "-i", str(index), "--to", target]
        self._process = subprocess.Popen(
            [*command, *moved, *subsets.arguments(words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._lines: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines = [*self._lines, line.rstrip()][-_MAX_LINES:]
        self._process.wait()

    @property
    def progress(self) -> ExportState:
        """Its state now."""
        lines = tuple(self._lines)
        code = None if self._thread.is_alive() else self._process.returncode
        counts = next((match for line in reversed(lines) if (match := _PROGRESS.search(line))), None)
        done, total = (int(text.replace(",", "")) for text in counts.groups()) if counts else (0, 0)
        return ExportState(done, total, lines, code)

    def stop(self) -> None:
        """Interrupt the export, which then leaves nothing under its name."""
        if self._process.poll() is None:
            self._process.terminate()


class Exports:
    """The exports of one run of the website. They write into one folder only: where the command was started."""

    def __init__(self, index: Path, roots: Mapping[str, Path], folder: Path, targets: Sequence[str]) -> None:
        self._index, self._roots, self.folder, self.targets = index, roots, folder, targets
        self.started: list[Export] = []

    def start(self, name: str, target: str, words: Mapping[str, object]) -> int:
        """Start an export and return its number.

        Raises:
            UsageError: The name is no plain name of a folder, it is taken, or there is no such target.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(f"Folder {name!r}: expected a name of letters, digits, '_', '-' and '.', without folders.")
        if (self.folder / name).exists():
            raise UsageError(f"{self.folder / name} exists. Expected a new name.")
        if target not in self.targets:
            raise UsageError(f"Target {target!r}: expected one of {', '.join(self.targets)}.")
        self.started.append(Export(self._index, self._roots, self.folder, name, target, words))
        return len(self.started) - 1

    def stop(self) -> None:
        """Interrupt those that run."""
        for export in self.started:
            export.stop()
