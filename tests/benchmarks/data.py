"""The data of the benchmarks: made once below a folder, and found there again."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

import imagenet_tools
from imagenet_tools.class_lists import labels
from tests.benchmarks import full_imagenet

HERE = Path(__file__).parent


class Data(NamedTuple):
    """What contests run on."""

    folders: Path  # train/<wnid>/*.JPEG of some 55 KB
    n_folders: int  # images there
    folders_index: Path
    whole: Path  # fall11_whole.tar of small images
    boxes: Path  # bboxes_annotations.tar.gz
    index: Path  # of whole and boxes
    limits: Path  # limits.c, compiled


def make(folder: Path, *, classes: int, per_class: int, every: int) -> Data:
    """Class folders of `classes` x `per_class` images, and a whole ImageNet of every n-th class."""
    folder.mkdir(parents=True, exist_ok=True)
    limits = folder / "limits"
    subprocess.run(["cc", "-O2", "-o", str(limits), str(HERE / "limits.c")], check=True)
    train = folder / f"tree-{classes}x{per_class}" / "train"
    if not train.exists():
        _class_folders(train, classes, per_class)
    sets = folder / f"every-{every}"
    whole = full_imagenet.make(sets, every=every)
    boxes = sets / "bboxes_annotations.tar.gz"
    indexes = (_index(train.parent.with_suffix(".index"), train.parent), _index(sets / "whole.index", whole, boxes))
    return Data(train, classes * per_class, indexes[0], whole, boxes, indexes[1], limits)


def _index(index: Path, *sources: Path) -> Path:
    if not index.exists():
        imagenet_tools.build_index(sources, index)
    return index


def _class_folders(train: Path, classes: int, per_class: int) -> None:
    partial = train.with_name("train.partial")
    shutil.rmtree(partial, ignore_errors=True)
    photographs = [_photograph(seed) for seed in range(64)]
    for wnid in labels.ilsvrc2012_sorted()[:classes]:
        (partial / wnid).mkdir(parents=True)
        for n in range(per_class):
            (partial / wnid / f"{wnid}_{n}.JPEG").write_bytes(photographs[(n + int(wnid[1:])) % len(photographs)])
    partial.rename(train)


def _photograph(seed: int) -> bytes:
    """A JPEG of ImageNet's middle size, 400 x 350 pixels, and of some 55 KB, as noise in smooth colours makes it."""
    draw = np.random.default_rng(seed)
    smooth = Image.fromarray(draw.integers(0, 256, (7, 8, 3)).astype(np.uint8)).resize(
        (400, 350), Image.Resampling.BICUBIC
    )
    grain = draw.normal(0, 14, (350, 400, 3))
    pixels = np.clip(np.asarray(smooth) + grain, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=75)
    return buffer.getvalue()
