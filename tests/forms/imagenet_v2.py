"""ImageNetV2 as its archives unpack: folders called by class indices, images called by 40 hexadecimal digits."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from tests.forms.annotations import write_files

SETS = {  # the folder in each published archive, and the data set
    "imagenetv2-matched-frequency-format-val": "imagenetv2-matched-frequency",
    "imagenetv2-threshold0.7-format-val": "imagenetv2-threshold-0.7",
    "imagenetv2-top-images-format-val": "imagenetv2-top-images",
}


def name(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


def write(home: Path, images: Mapping[int, list[bytes]], folder: str = next(iter(SETS))) -> Path:
    """Write the images of each class index; return the folder."""
    return write_files(home / folder, {f"{n}/{name(one)}.jpeg": one for n, some in images.items() for one in some})
