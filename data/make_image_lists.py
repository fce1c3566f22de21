#!/usr/bin/env python3
"""Make the image lists that papers are defined by, and ReaL's labels, in imagenet_tools/tables/.

    python data/make_image_lists.py SOURCES

    SOURCES/                             laid out as LISTS spells the paths; of each file the SHA-256 is pinned here
        fanyix/STMN/ILSVRC2015_..._blacklist.txt            36: the number of a validation image
        Jerrynet/cmyk_and_png_names.md                      n01739381_1309.JPEG, and one name in a sentence: the PNG
        google-research/meta-dataset/ImageNet_...txt        n01531178/n01531178_12730.JPEG   # file in the other set
        google-research/simclr/imagenet_subsets/...         n04235860_14959.JPEG
        facebookresearch/msn/imagenet_subsets1/...          n04235860_14959.JPEG
        princetonvisualai/imagenetood/imagenetood.txt       n02925009/n02925009_2846.JPEG
        reassessed-imagenet/real.json                       [[], [970, 795], ...] by validation image, sorted classes

    image_lists.parquet         a list a row; images are sorted by wnid (none: a validation image) and number
    ilsvrc2012_real.parquet     a validation image a row

Nothing is written unless every file has its SHA-256. These tables are Parquet files, because no command needs them
quickly.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from tables import pinned, write_parquet

Images = set[tuple[int, int]]  # offset of the wnid, 0 for a validation image; and number


class ListFile(NamedTuple):
    """An image list: its facts, the file that it is read from, and how."""

    name: str
    title: str
    path: str
    n: int
    sha256: str
    source: str
    checked: str
    dataset: str = "ilsvrc2012"
    read: Callable[[bytes], Images] | None = None  # default: names


def names(data: bytes) -> Images:
    """Return the images that a text names, in lines or sentences."""
    matches = re.findall(r"(?:n(\d{8})|ILSVRC2012_val)_(\d+)\.JPEG", data.decode("utf-8"))
    return {(int(offset or 0), int(number)) for offset, number in matches}


def numbers(data: bytes) -> Images:
    """Return the validation images whose numbers a text has, one a line."""
    return {(0, int(line)) for line in data.split()}


def cmyk(data: bytes) -> Images:
    """Return the images of Jerrynet's page that are in its block of lines."""
    return names(data.split(b"```")[1])


def png(data: bytes) -> Images:
    """Return the image that Jerrynet's page names after its block of lines."""
    return names(data.split(b"```")[2])


def real_empty(data: bytes) -> Images:
    """Return the validation images to which ReaL gives no label."""
    return {(0, number) for number, labels in enumerate(json.loads(data), 1) if not labels}


def real_multiple(data: bytes) -> Images:
    """Return the validation images to which ReaL gives several labels."""
    return {(0, number) for number, labels in enumerate(json.loads(data), 1) if len(labels) > 1}


_SIMCLR = "google-research/simclr on GitHub at 383d414"
_MSN = "facebookresearch/msn on GitHub at 4388dc1"
_SHOTS = (
    (1, 1, "1imgs", "ffa4f960419ce75479a2af80d632c7a98756b624aad2399a334a3549584ab426"),
    (1, 2, "2imgs", "9b0c2d1957ad7a1135773a868afbaeaa6d50d30b4ec54d1b0bf759879a3c0933"),
    (1, 5, "5imgs", "f8daf7e637fafe92e7567016db43e6db2c816f7bbf8ce60f5cf59c0788f12890"),
    (2, 1, "1imgs", "7f13beaba20a6e6413cc98bcaefb084961d4c7f1938a3b7e2f20464d5575cf43"),
    (2, 2, "2imgs", "35b93fb0d809b17a30420a507b2fd356f22152671567f4b9704735e1e379b440"),
    (2, 5, "5imgs", "284603d071f36b298c893d2df8fda2d1a110f680a25d0f8b1faa9acea20fcc04"),
    (3, 1, "1imgs", "d77d56527da4842b96a7bbbc14f846c4e637a95b43df592e11770d26997b5b5f"),
    (3, 2, "2imgs", "400ae5a31e01bc1a034c392c2bdbdfaab45699dc4f59392e65acfcaae172cf1b"),
    (3, 5, "3imgs", "eaab6e72d1ea83c3624f5d28a8c217568ea138ea7c5cacfa0cdcd206b5fd8e24"),  # its name says 3, it holds 5
)
_CMYK_AND_PNG = ("Jerrynet/cmyk_and_png_names.md", "2e1eb69d4edd18334c7888e4ffa9a35eafe2dc4a939220c6bfdbaa79bb272e1b")
_CMYK_SOURCE = "Jerrynet/ILSVRC-File-Lists on GitHub"
_CMYK_CHECKED = "TensorFlow's build_imagenet_data.py, and imagenet2012 in tensorflow-datasets 4.9.10"
_REAL = "reassessed-imagenet/real.json"
_REAL_SHA256 = "d83e9bff374c631aae8439eb064c7019acc56e1b3bc3f56b8380c2a710b0220b"
_REAL_SOURCE = "real.json of google-research/reassessed-imagenet on GitHub"
_REAL_CHECKED = "imagenet_real_labels.json in timm 1.0.31"
_META_DATASET = "google-research/meta-dataset on GitHub at 1676095"
_OVERLAPS = (
    ("cub", "CUB-200-2011", "CUBirds", 43, "4cb029e33acd1bfc227cd84144ce5b5bd5e085b1c980836fa1c2f1e3e9e4555f"),
    ("caltech101", "Caltech-101", "Caltech101", 84, "9349135e1155fa767e14151744a3cceb345027e7e49caeb8684ad998ba7c6216"),
    (
        "caltech256",
        "Caltech-256",
        "Caltech256",
        285,
        "24b9fd68069fb1009fc69b5bbfcd40caab9b287acf0a96fad4683b0c4b638cb4",
    ),
)
LISTS = (
    ListFile(
        "ilsvrc2012-val-blacklist",
        "validation images that ILSVRC's localisation score leaves out since 2013, their boxes being unsatisfactory",
        "fanyix/STMN/ILSVRC2015_clsloc_validation_blacklist.txt",
        1_762,
        "9bb7a1a102fd1902ebdd011bc0f83f870ea91953928fc389e8c083354ec6678a",
        "ILSVRC2015_clsloc_validation_blacklist.txt of the devkit of 2015, in fanyix/STMN on GitHub at b19e54e",
        "the readme of the devkits, for the count; Jerrynet/ILSVRC-File-Lists on GitHub: what valList_filtered.txt "
        "leaves out of valList.txt",
        read=numbers,
    ),
    ListFile(
        "ilsvrc2012-cmyk",
        "training images of ILSVRC2012 that are CMYK JPEGs",
        _CMYK_AND_PNG[0],
        22,
        _CMYK_AND_PNG[1],
        _CMYK_SOURCE,
        _CMYK_CHECKED,
        read=cmyk,
    ),
    ListFile(
        "ilsvrc2012-png",
        "the training image of ILSVRC2012 that is a PNG in spite of its name",
        _CMYK_AND_PNG[0],
        1,
        _CMYK_AND_PNG[1],
        _CMYK_SOURCE,
        _CMYK_CHECKED,
        read=png,
    ),
    ListFile(
        "real-empty",
        "validation images to which ReaL gives no label, because its raters agreed on none",
        _REAL,
        3_163,
        _REAL_SHA256,
        _REAL_SOURCE,
        _REAL_CHECKED,
        read=real_empty,
    ),
    ListFile(
        "real-multiple",
        "validation images to which ReaL gives two labels or more, up to nine",
        _REAL,
        7_443,
        _REAL_SHA256,
        _REAL_SOURCE,
        _REAL_CHECKED,
        read=real_multiple,
    ),
    *(
        ListFile(
            f"overlap-{name}",
            f"training images of ILSVRC2012 that are in {title} too",
            f"google-research/meta-dataset/ImageNet_{file}_duplicates.txt",
            n,
            sha256,
            _META_DATASET,
            "",
        )
        for name, title, file, n, sha256 in _OVERLAPS  # images; a few are named in several lines
    ),
    ListFile(
        "imagenet-ood",
        "ImageNet-OOD: images of 637 classes of the whole ImageNet that show none of ILSVRC2012's classes",
        "princetonvisualai/imagenetood/imagenetood.txt",
        31_802,
        "80192c520a1789778b56d9342346a61c4cde3a2c3db12abc8512839145f886a0",
        "princetonvisualai/imagenetood on GitHub at a8ff817",
        "",
        "imagenet21k",
    ),
    ListFile(
        "simclr-1pct",
        "SimCLR's 1 % of ILSVRC2012's training images: 12 or 13 of a class",
        "google-research/simclr/imagenet_subsets/1percent.txt",
        12_811,
        "71e82a48ba78252683ae334c4d019ebd5c6e855b9599c1389fbe83eb9549cf17",
        _SIMCLR,
        "the SHA-256 in tensorflow-datasets 4.9.10; facebookresearch/msn and facebookresearch/suncet on GitHub",
    ),
    ListFile(
        "simclr-10pct",
        "SimCLR's 10 % of ILSVRC2012's training images: 128 or 129 of a class, simclr-1pct among them",
        "google-research/simclr/imagenet_subsets/10percent.txt",
        128_116,
        "6d09de11e7bdaf5b1f3b1f249b6183695f97310cdd20f0c03e7235b6b9392091",
        _SIMCLR,
        "the SHA-256 in tensorflow-datasets 4.9.10; facebookresearch/suncet on GitHub",
    ),
    *(
        ListFile(
            f"msn-{n}shot-{draw}",
            f"MSN's low-shot ILSVRC2012: {n} training {'image' if n == 1 else 'images'} a class, draw {draw} of 3",
            f"facebookresearch/msn/imagenet_subsets{draw}/{file}_class.txt",
            n * 1_000,
            sha256,
            _MSN,
            "",
        )
        for draw, n, file, sha256 in _SHOTS
    ),
)
_FACTS = ("name", "title", "dataset", "source", "checked")


def images(data: bytes, file: ListFile) -> list[tuple[int, int]]:
    """Return the images of a list, sorted; stop if they are not as many as published."""
    pairs = (file.read or names)(data)
    if len(pairs) != file.n:
        raise SystemExit(f"{file.path}: expected {file.n:,} images, found {len(pairs):,}")
    return sorted(pairs)


def main() -> None:
    """Read the sources, write the two tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sources", type=Path, help="the folder of the sources")
    sources = parser.parse_args().sources
    lists = [images(pinned(sources / file.path, file.sha256), file) for file in LISTS]
    write_parquet(
        "image_lists",
        {
            **{key: pa.array([getattr(file, key) for file in LISTS]) for key in _FACTS},
            "offsets": pa.array([[offset for offset, _ in pairs] for pairs in lists], pa.list_(pa.int32())),
            "numbers": pa.array([[number for _, number in pairs] for pairs in lists], pa.list_(pa.int32())),
        },
        "Image lists that papers are defined by, a list a row: the wnid (n and the eight digits of the offset; 0: a "
        "validation image) and the number of each image, sorted.",
        *((f"{file.source}, {file.path}", sources / file.path) for file in LISTS),
    )
    labels = json.loads(pinned(sources / _REAL, _REAL_SHA256))
    write_parquet(
        "ilsvrc2012_real",
        {"labels": pa.array(labels, pa.list_(pa.int32()))},
        "ReaL's labels of validation image 1, 2 ... 50,000: indexes of ILSVRC2012's classes sorted by wnid; none where "
        "the raters agreed on none.",
        (_REAL_SOURCE, sources / _REAL),
    )


if __name__ == "__main__":
    main()
