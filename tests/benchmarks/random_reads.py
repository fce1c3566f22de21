"""Random reads for training: images out of one big tar through a data set, beside the same images as extracted files.

    python tests/benchmarks/random_reads.py [--images 50000] [--reads 20000] [--rounds 7] [--keep DIR]

The images are noise of 50 to 100 KB behind a drawn JPEG header, for a read does not look at them. Both ways read the
same images in the same random order, in turn, a hundred at a time, from a warm page cache; what counts is the ratio of
their times. The files are read as torchvision's ImageFolder reads them: open, read to the end, close.
"""

from __future__ import annotations

import argparse
import io
import random
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from PIL import Image

import imagenet_tools
from imagenet_tools.training.dataset import Dataset

_TURN = 100


def make(home: Path, n: int) -> None:
    """train/<wnid>/*.JPEG and train.tar, a tar of class tars as ILSVRC2012_img_train.tar is; of the same bytes."""
    dice = random.Random(0)
    picture = io.BytesIO()
    Image.new("RGB", (500, 375)).save(picture, "JPEG")
    wnids = imagenet_tools.classes("ilsvrc2012").wnids[:50]
    with tarfile.open(home / "ILSVRC2012_img_train.tar", "w") as outer:
        for wnid in wnids:
            folder = home / "train" / wnid
            folder.mkdir(parents=True)
            for number in range(n // len(wnids)):
                data = picture.getvalue() + dice.randbytes(dice.randrange(50_000, 100_000) - picture.tell())
                (folder / f"{wnid}_{number}.JPEG").write_bytes(data)
            with tarfile.open(home / "class.tar", "w") as inner:
                for file in sorted(folder.iterdir()):
                    inner.add(file, file.name)
            outer.add(home / "class.tar", f"{wnid}.tar")
    (home / "class.tar").unlink()


def from_files(paths: Sequence[str], order: Sequence[int]) -> int:
    """Read files as torchvision's ImageFolder does; gives the bytes read."""
    total = 0
    for n in order:
        with open(paths[n], "rb") as file:  # noqa: PTH123  as torchvision does
            total += len(file.read())
    return total


def from_tar(dataset: Dataset, order: Sequence[int]) -> int:
    """Read the same through a data set, each by dataset[n]; gives the bytes read."""
    total = 0
    for n in order:
        (data,) = dataset[n]
        total += len(data)
    return total


def in_turn(ways: Sequence[Callable[[Sequence[int]], int]], order: Sequence[int]) -> list[float]:
    """The seconds that each way takes for the reads of an order, a hundred by one, the same hundred by the next."""
    seconds, sizes = [0.0] * len(ways), [0] * len(ways)
    for start in range(0, len(order), _TURN):
        for n in sorted(range(len(ways)), reverse=bool(start // _TURN % 2)):
            begun = time.perf_counter()
            sizes[n] += ways[n](order[start : start + _TURN])
            seconds[n] += time.perf_counter() - begun
    if len(set(sizes)) > 1:
        raise SystemExit(f"not the same bytes: {sizes}")
    return seconds


def main() -> None:
    """Make the images, read them in turn both ways, and print the ratio of each round and their median."""
    parser = argparse.ArgumentParser(description="Random reads: one big tar beside extracted files.")
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--reads", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--keep", type=Path, help="a folder to keep the images in, or to find them in")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as scratch:
        home = asked.keep or Path(scratch)
        if not (home / "ILSVRC2012_img_train.tar").exists():
            home.mkdir(parents=True, exist_ok=True)
            make(home, asked.images)
        index = Path(scratch) / "x.index"
        imagenet_tools.build_index(home / "ILSVRC2012_img_train.tar", index)
        dataset = imagenet_tools.open_index(index).select().dataset("train", fields=("bytes",))
        paths = [str(file) for folder in sorted((home / "train").iterdir()) for file in sorted(folder.iterdir())]
        everything = range(len(dataset))
        if [Path(path).name for path, _ in dataset.samples] != [Path(path).name for path in paths]:
            raise SystemExit("the tar and the files do not hold the same images")
        ways = [partial(from_files, paths), partial(from_tar, dataset)]
        in_turn(ways, everything)  # into the page cache
        ratios = []
        for number in range(asked.rounds):
            files, tar = in_turn(ways, random.Random(number).choices(everything, k=asked.reads))
            ratios.append(files / tar)
            rates = f"files {asked.reads / files:,.0f}/s, tar {asked.reads / tar:,.0f}/s"
            print(f"round {number + 1}: {rates}, ratio {files / tar:.3f}")
        print(f"random reads from the tar / from files: {statistics.median(ratios):.3f} (median; aim: 0.95 or more)")


if __name__ == "__main__":
    main()
