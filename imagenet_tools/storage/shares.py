"""Shards of a build or an export: shares of its work, done by a command each, in any order, perhaps on many machines.

All shards write into the folder <target>.partial, which all machines see.

    command.json            what each of them was asked for; `imagenet-tools merge` does the rest of it
    shard-0-of-3.lock       held by the process that works on shard 0
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from imagenet_tools.errors import ExistsError, UsageError
from imagenet_tools.storage.files import lock, write_whole

COMMAND = "command.json"

_LOCKS = "shard-*.lock"

_Unit = TypeVar("_Unit")


class Share(NamedTuple):
    """One of several shares of some work, numbered from 0."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def take(self, units: Sequence[_Unit]) -> Sequence[_Unit]:
        """Return the units of this share: every n-th, so that each share has small and large ones."""
        return units[self.number :: self.of]

    @contextmanager
    def locked(self, folder: Path) -> Iterator[None]:
        """Hold the lock of this share. Raise ExistsError if another process works on it."""
        with lock(folder / f"shard-{self.number}-of-{self.of}.lock"):
            yield


def parse(text: str) -> Share:
    """Return the share that I/N names.

    Raises:
        UsageError: The text is not I/N, with I from 0 to N - 1.
    """
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if not match or int(match[1]) >= int(match[2]):
        raise UsageError(f"--shard {text}: expected I/N with I from 0 to N - 1, such as 0/3, 1/3 and 2/3.")
    return Share(int(match[1]), int(match[2]))


def refuse_running(folder: Path) -> None:
    """Raise ExistsError if a process works on a shard in a folder."""
    for path in sorted(folder.glob(_LOCKS)):
        with lock(path):
            pass


def write_command(folder: Path, command: dict[str, Any]) -> None:
    """Write what all shards in a folder are asked for, as values of JSON.

    Raises:
        ExistsError: Another shard was asked for something else.
    """
    path, text = folder / COMMAND, json.dumps(command, indent=1, ensure_ascii=False)
    try:
        write_whole(path, text.encode())
    except ExistsError:
        if path.read_text() != text:
            message = (
                f"{path}: another shard was asked for something else. Give all shards the same arguments, or remove "
                f"{folder} if nobody needs it."
            )
            raise ExistsError(message) from None


def read_command(folder: Path) -> dict[str, Any] | None:
    """Return what the shards in a folder were asked for, or None if there are none."""
    try:
        command: dict[str, Any] = json.loads((folder / COMMAND).read_text())
    except FileNotFoundError:
        return None
    return command
