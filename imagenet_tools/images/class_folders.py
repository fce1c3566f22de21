"""Folders called by a wnid that hold images of the class: told from those that hold annotations or anything else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from imagenet_tools.images.image_rows import is_image_name
from imagenet_tools.wnid import is_wnid
from imagenet_tools.wordnet import find_row

if TYPE_CHECKING:
    from pathlib import Path


def class_folders(folder: Path) -> list[str]:
    """The folders called by a wnid, sorted, if one wnid at least exists and the first that is not empty has images."""
    with os.scandir(folder) as entries:
        wnids = sorted(entry.name for entry in entries if is_wnid(entry.name) and entry.is_dir())
    if not any(find_row(wnid) is not None for wnid in wnids):
        return []
    for wnid in wnids:
        with os.scandir(folder / wnid) as entries:
            names = [entry.name for entry in entries]
        if names:
            return wnids if any(map(is_image_name, names)) else []
    return []
