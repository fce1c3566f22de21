#!/usr/bin/env python3
"""Make the image lists that papers are defined by, and ReaL's labels, in imagenet_tools/tables/.

    python data/make_image_lists.py SOURCES

    SOURCES/                             laid out as LISTS spells the paths; of each file the SHA-256 is pinned here
        Jerrynet/val_blacklist_names.txt                    ILSVRC2012_val_00000036.JPEG
        google-research/simclr/imagenet_subsets/...         n04235860_14959.JPEG
        facebookresearch/msn/imagenet_subsets1/...          n04235860_14959.JPEG
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
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from tables import pinned, write_parquet


class ListFile(NamedTuple):
    """A file of image names."""

    name: str
    title: str
    path: str
    n: int
    sha256: str
    source: str
    checked: str


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
LISTS = (
    ListFile(
        "ilsvrc2012-val-blacklist",
        "validation images that ILSVRC's localisation score leaves out since 2013, their boxes being unsatisfactory: "
        "inferred, not official",
        "Jerrynet/val_blacklist_names.txt",
        1_762,
        "1e962be159b1164eb6d68dfee939234785039e1fb010c6b5b710121c677d8185",
        "Jerrynet/ILSVRC-File-Lists on GitHub: what valList_filtered.txt leaves out of valList.txt; it calls them CMYK "
        "images, which they are not",
        "the devkits' readme, for the count alone: the devkits' own file was not at hand",
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
REAL = "d83e9bff374c631aae8439eb064c7019acc56e1b3bc3f56b8380c2a710b0220b"


def images(data: bytes, file: ListFile) -> list[tuple[int, int]]:
    """Return (offset of the wnid, 0 for a validation image; number) of each image of a list, sorted."""
    names = data.decode("ascii").split()
    matches = [re.fullmatch(r"(?:n(\d{8})|ILSVRC2012_val)_(\d+)\.JPEG", name) for name in names]
    pairs = {(int(match[1] or 0), int(match[2])) for match in matches if match}
    if len(pairs) != file.n or len(names) != file.n:
        raise SystemExit(f"{file.path}: expected {file.n:,} images, found {len(pairs):,} in {len(names):,} lines")
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
            **{key: pa.array([getattr(file, key) for file in LISTS]) for key in ("name", "title", "source", "checked")},
            "offsets": pa.array([[offset for offset, _ in pairs] for pairs in lists], pa.list_(pa.int32())),
            "numbers": pa.array([[number for _, number in pairs] for pairs in lists], pa.list_(pa.int32())),
        },
        "Image lists that papers are defined by, a list a row: the wnid (n and the eight digits of the offset; 0: a "
        "validation image) and the number of each image, sorted.",
        *((f"{file.source}, {file.path}", sources / file.path) for file in LISTS),
    )
    labels = json.loads(pinned(sources / "reassessed-imagenet/real.json", REAL))
    write_parquet(
        "ilsvrc2012_real",
        {"labels": pa.array(labels, pa.list_(pa.int32()))},
        "ReaL's labels of validation image 1, 2 ... 50,000: indexes of ILSVRC2012's classes sorted by wnid; none where "
        "the raters agreed on none.",
        ("real.json of google-research/reassessed-imagenet on GitHub", sources / "reassessed-imagenet/real.json"),
    )


if __name__ == "__main__":
    main()
