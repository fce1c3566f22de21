"""The room that data need, told before they are made."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def no_room(folder: Path, needed: int, advice: str) -> bool:
    """Say how many bytes are needed in a folder, and how many are free; whether that is too little, with advice."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    told = f"{needed / 1e9:.1f} GB are needed in {folder}, and {free / 1e9:.1f} GB are free."
    print(told if needed <= free else f"{told} Too little: {advice}", file=sys.stderr, flush=True)
    return needed > free


def bytes_below(folder: Path) -> int:
    """The bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
