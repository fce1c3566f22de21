"""What others do to read images and their boxes."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.benchmarks import timed
from tests.benchmarks.peers import torchvision_half


def _pillow_class(folder: str) -> int:
    from PIL import Image

    n = 0
    for entry in os.scandir(folder):
        with Image.open(entry.path) as image:
            n += bool(image.size and image.mode)
    return n


def pillow_two_processes(root: str) -> Callable[[], int]:
    """Size and mode of every image in class folders by Pillow, in two processes."""
    folders = [entry.path for entry in os.scandir(root)]

    def work() -> int:
        with ProcessPoolExecutor(2) as pool:
            return sum(pool.map(_pillow_class, folders))

    return work


def _pillow_tar(path: str) -> int:
    import tarfile

    from PIL import Image

    n = 0
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            with Image.open(tar.extractfile(member)) as image:  # type: ignore[arg-type]
                n += bool(image.size and image.mode)
    return n


def pillow_tars_two_processes(root: str) -> Callable[[], int]:
    """Return the work that reads size and mode of every image in class tars by tarfile and Pillow, in two processes."""
    paths = [entry.path for entry in os.scandir(root)]

    def work() -> int:
        with ProcessPoolExecutor(2) as pool:
            return sum(pool.map(_pillow_tar, paths))

    return work


def datumaro_folders(root: str) -> Callable[[], int]:
    """Datumaro's import of class folders."""
    import datumaro

    return lambda: len(datumaro.Dataset.import_from(root, "imagenet"))


def datasets_imagefolder(root: str, cache: str) -> Callable[[], int]:
    """Hugging Face's imagefolder."""
    import datasets

    datasets.disable_progress_bars()
    return lambda: len(datasets.load_dataset("imagefolder", data_dir=root, split="train", cache_dir=cache))


def torchvision_folders(root: str) -> Callable[[], int]:
    """torchvision's ImageFolder, which opens no image."""
    torchvision_half.complete()
    import torchvision

    return lambda: len(torchvision.datasets.ImageFolder(root))


def _nested(path: str) -> Iterator[tuple[str, int]]:
    import tarfile

    with tarfile.open(path, "r:") as outer:
        for member in outer:
            inner_file = outer.extractfile(member)
            assert inner_file is not None
            with tarfile.open(fileobj=inner_file, mode="r:") as inner:
                for one in inner:
                    yield one.name, one.offset_data


def tarfile_nested(path: str) -> Callable[[], int]:
    """Names and places of the members of a tar of tars, by tarfile."""
    return lambda: sum(1 for _ in _nested(path))


def _class_archives(path: str) -> Iterator[bytes]:
    """The class tars in a tar.gz of tar.gz, unpacked."""
    import gzip
    import tarfile

    with tarfile.open(path, "r|gz") as outer:
        for member in outer:
            packed = outer.extractfile(member)
            assert packed is not None
            yield gzip.decompress(packed.read())


def _boxes(parse: Callable[[bytes], object], path: str) -> int:
    """How many annotations were read, each box to its four numbers."""
    import tarfile

    n = 0
    for data in _class_archives(path):
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as inner:
            for one in inner:
                file = inner.extractfile(one)
                assert file is not None
                tree = parse(file.read())
                boxes = [[int(edge.text) for edge in box] for box in tree.iter("bndbox")]  # type: ignore[attr-defined]
                n += all(len(box) == 4 for box in boxes)
    return n


def etree_boxes(path: str) -> Callable[[], int]:
    """The boxes of a nested tar.gz by tarfile and the standard library's ElementTree."""
    from xml.etree import ElementTree

    return lambda: _boxes(ElementTree.fromstring, path)


def lxml_boxes(path: str) -> Callable[[], int]:
    """The boxes of a nested tar.gz by tarfile and lxml."""
    from lxml import etree

    return lambda: _boxes(etree.fromstring, path)


def gunzipped_boxes(path: str) -> Callable[[], int]:
    """The same bytes unpacked and looked through for the ends of annotations, and nothing else: the limit."""
    return lambda: sum(data.count(b"</annotation>") for data in _class_archives(path))


def random_files(root: str, n: str) -> Callable[[], int]:
    """Files of class folders in random order, opened, read and closed as torchvision's ImageFolder does."""
    import random

    paths = [str(file) for folder in sorted(Path(root).iterdir()) for file in sorted(folder.iterdir())]
    order = random.Random(0).choices(range(len(paths)), k=int(n))

    def work() -> int:
        for number in order:
            with open(paths[number], "rb") as file:  # noqa: PTH123  as torchvision does
                file.read()
        return len(order)

    return work


if __name__ == "__main__":
    timed.run(globals(), __name__)
