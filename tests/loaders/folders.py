"""The sample's sound images as class folders, and what the data set over its archives is compared by.

A spawned worker imports this, so no framework is imported here.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.loaders.truth import Truth

# What Pillow does not decode of the sample: its last bytes are missing, and no header tells.
SOUND = "image_id <> 'n02088364_19183'"


def class_folders(root: Path, truth: dict[str, Truth]) -> Path:
    """train/<wnid>/*.JPEG and val/<wnid>/*.JPEG, as the archives and the official scripts make them."""
    for image_id, image in truth.items():
        if image.problem is None:
            folder = root / image.split / image.wnid
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{image_id}.JPEG").write_bytes(image.data)
    return root


def face(dataset: Any) -> tuple[object, ...]:
    """What ImageFolder shows, with names in place of paths."""
    names = [(Path(path).name, label) for path, label in dataset.samples]
    return list(dataset.classes), dataset.class_to_idx, list(dataset.targets), names


def pixels(image: Any) -> NDArray[np.uint8]:
    """(64, 64, 3): the upper left corner of a Pillow image, black beyond its edges."""
    return np.array(image.crop((0, 0, 64, 64)))


def decoded(data: bytes) -> Image.Image:
    """What torchvision's default loader makes of a file."""
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")
