"""A subset that is being built: its words, its counts, its recipe, command and Python, and exports of it.

An export is the command `imagenet-tools export` in a process, with its progress.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from imagenet_tools.errors import UsageError
from imagenet_tools.selection import recipe
from imagenet_tools.selection.words import BY_KEYWORD
from imagenet_tools.wordnet import wordnet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}", re.ASCII)
_PROGRESS = re.compile(r"([\d,]+) of ([\d,]+)")
_MAX_LINES = 200

# The words that the page sets, by their parameter in an address: those that name no file of the user.
WORDS = ("under", "without", "dataset", "from_", "boxed", "where", "min_images", "max_images", "split", "per_class",
         "limit", "nested", "seed")  # fmt: skip
LISTED = ("under", "without", "dataset", "from_")  # several values with ',' between


def words_of(parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return the words of a selection that an address names, as index.select takes them.

    `split` of an address filters by the official split, so the word split is `resplit` there, and `from_` is `from`.

    Raises:
        UsageError: A number is none.
    """
    words: dict[str, Any] = {}
    for keyword in WORDS:
        text = parameters.get(parameter_of(keyword), "").strip()
        if not text:
            continue
        kind = BY_KEYWORD[keyword].kind
        if keyword in LISTED:
            words[keyword] = [part.strip() for part in text.split(",") if part.strip()]
        elif kind == "number":
            if not (text.isascii() and text.isdecimal() and len(text) < 12):
                raise UsageError(f"{keyword} {text}: expected a whole number.")
            words[keyword] = int(text)
        else:
            words[keyword] = True if kind == "flag" else text
    return words


def parameter_of(keyword: str) -> str:
    """Return the parameter of an address for a word of a selection."""
    return {"split": "resplit", "dataset": "sets", "from_": "from"}.get(keyword, keyword)


def count(index_path: Path, question: Mapping[str, Any]) -> dict[str, Any]:
    """Return the counts of a selection and its words in three spellings. Runs in a child process: see query_child.

    Args:
        index_path: The index.
        question: The words as `words`, and the roots of sources as `roots`.

    Returns:
        images, boxes, bytes and classes by split; the steps with what each left; notes; the recipe, command and Python.
    """
    from imagenet_tools.index import Index

    with Index.open(index_path, roots=dict(question["roots"])) as index:
        chosen = index.select(**question["words"])
        sums = chosen.run(
            """SELECT split, count(*), count(DISTINCT wnid), coalesce(sum(n_boxes), 0)::BIGINT,
                      coalesce(sum(length), 0)::BIGINT
               FROM made WHERE left_out IS NULL GROUP BY split ORDER BY split"""
        ).fetchall()
        names = ("split", "images", "classes", "boxes", "bytes")
        splits = [dict(zip(names, row, strict=True)) for row in sums]
        by_class = {wnid: n for counted in chosen.counts().values() for wnid, n in counted.items()}
        return {
            "splits": splits,
            "images": sum(row["images"] for row in splits),
            "boxes": sum(row["boxes"] for row in splits),
            "bytes": sum(row["bytes"] for row in splits),
            "classes": len(by_class),
            "smallest": [(wnid, wordnet.label_of(wnid), by_class[wnid]) for wnid in
                         sorted(by_class, key=lambda wnid: (by_class[wnid], wnid))[:5]],
            "steps": [step.cells() for step in chosen.steps()],
            "notes": list(chosen.notes()),
            "recipe": recipe.text(chosen, name="subset"),
            "command": "imagenet-tools export subset --to image_folder" + flags(question["words"]),
            "python": recipe.python(question["words"]),
        }  # fmt: skip


def flags(words: Mapping[str, Any]) -> str:
    """Return words as flags of the command line, each after a space.

    Example:
        >>> flags({"under": ["n02084071"], "boxed": True, "where": "width >= 256"})
        " --under dog.n.01 --boxed --where 'width >= 256'"
    """
    return "".join(f" {text}" for text in map(shlex.quote, arguments(words)))


def arguments(words: Mapping[str, Any]) -> list[str]:
    """Return words as arguments of the command line."""
    texts: list[str] = []
    for keyword, value in words.items():
        word = BY_KEYWORD[keyword]
        if word.kind == "flag":
            texts.append(word.flag)
            continue
        for part in value if isinstance(value, list) else [value]:
            texts += [word.flag, recipe.spelled(word.form.synsets, str(part))]
    return texts


# ---- exports that a page starts


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
            [*command, *moved, *arguments(words)],
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
