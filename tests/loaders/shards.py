"""What the proofs of shards share: an export of the whole sample to small shards, and how it is held to the truth."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import imagenet_tools
from tests.loaders.truth import DOGS, OTHERS, Truth

CLASSES = sorted(DOGS + OTHERS)
CALLED = {"train": "train", "val": "validation"}


def exported(index: Any, root: Path, target: str) -> Path:
    """Every labelled image, in shards of a few, with the side files where there are some."""
    imagenet_tools.export(index.select(), root, to=target, shard_size=60_000, side_files=True)
    assert len([path for path in root.rglob("*") if re.fullmatch(r".*\.(tar|parquet)", path.name)]) > 4
    return root


def agree(read: dict[str, tuple[str, bytes, int]], truth: dict[str, Truth]) -> None:
    """Hold (split, bytes, class index) of each image by id to the truth."""
    expected = {name: (one.split, one.data, CLASSES.index(one.wnid)) for name, one in truth.items()}
    assert read == expected


def pixels(image: Truth, *, turned: bool = False) -> list[tuple[float, float, float, float]]:
    """Its boxes in pixels (xmin, ymin, xmax, ymax), sorted; of an image that is not turned."""
    assert not turned or image.orientation == 1
    width, height = image.size
    return sorted((x1 * width, y1 * height, x2 * width, y2 * height) for _, x1, y1, x2, y2 in image.boxes)
