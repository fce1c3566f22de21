"""ImageNet-C as its archives unpack: validation images in folders of a corruption, a severity and a class."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from imagenet_tools.catalogue import labels
from tests.forms.annotations import write_files


def write(home: Path, images: Mapping[str, bytes], places: Iterable[str] = ("gaussian_noise/1",)) -> Path:
    """Write validation images by stem, once into each <corruption>/<severity>, with that many bytes behind them."""
    files: dict[str, bytes | str] = {
        f"{place}/{labels.validation_wnid(stem)}/{stem}.JPEG": data + bytes(n)
        for n, place in enumerate(places)
        for stem, data in images.items()
    }
    return write_files(home, files)
