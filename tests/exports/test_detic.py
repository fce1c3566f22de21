"""Exports of image-level labels, read as Detic's published reader does: ids, paths, sizes and categories."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from PIL import Image

import imagenet_tools
from imagenet_tools.catalogue import lists
from imagenet_tools.index import Index

ORIENTATION = 0x0112  # of EXIF


def read(root: Path, split: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The records of images and the names of the categories by contiguous number, by the logic of Detic's reader.

    Categories are sorted by id and numbered from 0, images are sorted by id, and their labels become numbers.
    """
    content = json.loads((root / "annotations" / f"image_info_{split}.json").read_bytes())
    categories = sorted(content["categories"], key=lambda each: each["id"])
    number_of = {each["id"]: number for number, each in enumerate(categories)}
    if len(categories) == 1203:
        assert all(number_of[each["id"]] == each["id"] - 1 for each in categories)
    assert content["annotations"] == []
    images = {image["id"]: image for image in content["images"]}
    assert len(images) == len(content["images"])
    records = [
        {
            "file_name": root / split / image["file_name"],
            "height": image["height"],
            "width": image["width"],
            "pos_category_ids": [number_of[each] for each in image["pos_category_ids"]],
        }
        for _, image in sorted(images.items())
    ]
    return records, [each["name"] for each in categories]


def test_every_image_has_its_class_its_file_and_the_size_that_is_shown(index: Index, tmp_path: Path) -> None:
    imagenet_tools.export(index.select(), tmp_path / "x", to="detic")
    wnids = [each["wnid"] for each in json.loads((tmp_path / "x" / "classes.json").read_text())["classes"]]
    n = turned = 0
    for split in ("train", "val"):
        records, _ = read(tmp_path / "x", split)
        wnid_of = dict(index.sql("SELECT image_id, wnid FROM images WHERE split = $split", split=split).fetchall())
        assert {record["file_name"].stem for record in records} == set(wnid_of)
        for record in records:
            path = record["file_name"]
            assert (
                [wnids[number] for number in record["pos_category_ids"]] == [wnid_of[path.stem]] == [path.parent.name]
            )
            with Image.open(path) as image:
                size = (record["width"], record["height"])
                turned += image.getexif().get(ORIENTATION, 1) >= 5
                assert image.size == (size[::-1] if image.getexif().get(ORIENTATION, 1) >= 5 else size)
            n += 1
    assert (n, turned) == (182, 1)


def test_the_categories_of_lvis_keep_all_their_numbers(index: Index, tmp_path: Path) -> None:
    chosen = index.select(superclasses="lvis1203", from_="train")
    imagenet_tools.export(chosen, tmp_path / "x", to="detic", names="listed")
    records, names = read(tmp_path / "x", "train")
    assert names == [each.name for each in lists.get("lvis1203").categories]  # stop_sign among them
    labels = Counter(names[number] for record in records for number in record["pos_category_ids"])
    assert (labels["school_bus"], labels["stop_sign"]) == (10, 0)
    assert labels["dog"] + labels["shepherd_dog"] == 50


def test_an_export_is_indexed_again_as_class_folders(index: Index, tmp_path: Path) -> None:
    imagenet_tools.export(index.select(), tmp_path / "x", to="detic")
    built = imagenet_tools.build_index(tmp_path / "x", tmp_path / "x.index", workers=1)
    again = imagenet_tools.open_index(built.index)
    query = """SELECT dataset, image_id, wnid, split, length FROM images
               WHERE dataset = 'ilsvrc2012' AND wnid IS NOT NULL ORDER BY ALL"""
    assert again.sql(query).fetchall() == index.sql(query).fetchall()
    assert again.sql("SELECT count(*) FROM problems").fetchall() == [(0,)]
