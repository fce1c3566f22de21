"""COCO exports, read as plain JSON: ids, categories and what they say of partial annotation."""

import json
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import imagenet_tools
from imagenet_tools.annotations import bbox
from imagenet_tools.catalogue import lists
from imagenet_tools.errors import FormatError
from imagenet_tools.exports.rows import BoxColumns
from imagenet_tools.formats.coco import writer
from imagenet_tools.index import Index
from imagenet_tools.wordnet import wordnet


def read(root: Path) -> dict[str, dict[str, Any]]:
    files = (root / "annotations").iterdir()
    return {path.stem.removeprefix("instances_"): json.loads(path.read_text()) for path in files}


@pytest.fixture(scope="module")
def exported(index: Index, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("coco") / "x"
    imagenet_tools.export(index.select(), root, to="coco", unboxed="background")
    return root


def test_ids_are_unique_over_all_splits_and_every_annotation_is_of_an_image_of_its_file(exported: Path) -> None:
    splits = read(exported)
    assert set(splits) == {"train", "val"}
    for key in ("images", "annotations"):
        ids = [one["id"] for one in chain.from_iterable(found[key] for found in splits.values())]
        assert len(ids) == len(set(ids)) > 0
        assert min(ids) == 1
    for found in splits.values():
        assert {one["image_id"] for one in found["annotations"]} <= {one["id"] for one in found["images"]}


def test_categories_are_1_to_n_and_the_same_in_every_split_with_or_without_images(index: Index, tmp_path: Path) -> None:
    chosen = index.select(where="NOT (split = 'val' AND wnid = 'n02012849')")
    imagenet_tools.export(chosen, tmp_path / "x", to="coco")
    splits = read(tmp_path / "x")
    classes = json.loads((tmp_path / "x" / "classes.json").read_text())["classes"]
    for found in splits.values():
        assert [one["id"] for one in found["categories"]] == list(range(1, 14))
        assert [(one["wnid"], one["name"]) for one in found["categories"]] == [
            (one["wnid"], one["display"]) for one in classes
        ]
    used = {one["category_id"] for one in splits["val"]["annotations"]}
    [crane] = [one["id"] for one in splits["val"]["categories"] if one["wnid"] == "n02012849"]
    assert crane not in used and max(used) > crane


def test_a_category_names_its_first_hypernym_and_lists_them_all(index: Index, tmp_path: Path) -> None:
    imagenet_tools.export(index.select(), tmp_path / "x", to="coco")
    categories = {one["wnid"]: one for one in read(tmp_path / "x")["train"]["categories"]}
    assert categories["n02123045"]["supercategory"] == "domestic_cat.n.01"
    for wnid, one in categories.items():
        parents = [parent["wnid"] for parent in one["hypernyms"]]
        assert parents == list(wordnet.synset(wnid).hypernyms)
        assert one["supercategory"] == one["hypernyms"][0]["name"]


def test_images_say_where_annotation_may_lack_something(exported: Path, index: Index, tmp_path: Path) -> None:
    unboxed = {one for (one,) in index.sql("SELECT image_id FROM images WHERE n_boxes = 0").fetchall()}
    seen = set()
    for found in read(exported).values():
        wnid_of = {one["id"]: one["wnid"] for one in found["categories"]}
        for image in found["images"]:
            assert image["neg_category_ids"] == []
            partial = [wnid_of[n] for n in image["not_exhaustive_category_ids"]]
            assert partial == ([image["wnid"]] if Path(image["file_name"]).stem in unboxed else [])
            seen |= set(partial)
    assert seen
    imagenet_tools.export(index.select(), tmp_path / "x", to="coco", min_box=20)
    images = read(tmp_path / "x")["train"]["images"]
    assert all(len(one["not_exhaustive_category_ids"]) == 1 for one in images)


def test_coco_s_own_ids_and_names_are_kept_on_request(index: Index, tmp_path: Path) -> None:
    chosen = index.select(superclasses="coco80", boxed=True)
    imagenet_tools.export(chosen, tmp_path / "plain", to="coco")
    imagenet_tools.export(chosen, tmp_path / "x", to="coco", names="listed")
    numbers = {each.name: each.number for each in lists.get("coco80").categories if each.name != "stop sign"}
    plain = read(tmp_path / "plain")
    for split, found in read(tmp_path / "x").items():
        # A stop sign is no synset, and keeps its place among the 80 that loaders count.
        classes = [one for one in found["categories"] if one["wnid"]]
        assert {one["name"]: one["id"] for one in classes} == numbers
        assert [one["id"] for one in found["categories"]] == [each.number for each in lists.get("coco80").categories]
        assert [one["id"] for one in plain[split]["categories"]] == list(range(1, 80))
        id_of = {one["id"]: other["id"] for one, other in zip(plain[split]["categories"], classes, strict=True)}
        for key in ("bbox", "image_id", "id"):
            assert [one[key] for one in found["annotations"]] == [one[key] for one in plain[split]["annotations"]]
        assert [one["category_id"] for one in found["annotations"]] == [
            id_of[one["category_id"]] for one in plain[split]["annotations"]
        ]
        assert 18 in {one["category_id"] for one in found["annotations"]}  # dogs
    assert imagenet_tools.check(tmp_path / "x", index=index).ok


def test_joined_classes_are_not_boxed_exhaustively(index: Index, tmp_path: Path) -> None:
    chosen = index.select(superclasses="n02099601,n02085620,domestic_animal.n.01", boxed=True)
    imagenet_tools.export(chosen, tmp_path / "x", to="coco")
    for found in read(tmp_path / "x").values():
        wnid_of = {one["id"]: one["wnid"] for one in found["categories"]}
        for image in found["images"]:
            partial = [wnid_of[n] for n in image["not_exhaustive_category_ids"]]
            # A golden retriever's class is its own; a tabby became a domestic animal, and others may be beside it.
            assert partial == ([] if image["wnid"] in ("n02099601", "n02085620") else [image["wnid"]])


def test_boxes_are_pixels_of_the_stored_raster_and_their_area_is_theirs(exported: Path, index: Index) -> None:
    boxes = index.sql(
        """SELECT image_id, nxmin * width, nymin * height, (nxmax - nxmin) * width, (nymax - nymin) * height
           FROM boxes JOIN images USING (dataset, image_id) WHERE nxmin IS NOT NULL ORDER BY ALL"""
    ).fetchall()
    found = []
    for one in read(exported).values():
        name_of = {image["id"]: Path(image["file_name"]).stem for image in one["images"]}
        found += [(name_of[box["image_id"]], *box["bbox"]) for box in one["annotations"]]
        for box in one["annotations"]:
            assert box["area"] == pytest.approx(box["bbox"][2] * box["bbox"][3], abs=1e-4)
            assert (box["iscrowd"], box["segmentation"]) == (0, [])
    assert len(found) == len(boxes)
    for ours, theirs in zip(sorted(found), boxes, strict=True):
        assert ours[0] == theirs[0]
        assert ours[1:] == pytest.approx(theirs[1:], abs=1e-4)


def test_annotations_are_spelled_as_python_spells_them() -> None:
    edges = np.array([[0, 0, 1, 1], [0.1, 0.25, 0.3, 0.9], [1 / 3, 0, 2 / 3, 0.0002], [0.5, 0.5, 1, 1]])
    boxes = BoxColumns(
        np.array([2, 0, 2]), np.array([4, 0, 7, 7]), tuple(edges.T), ([None] * 4, [None] * 4, [None] * 4)
    )  # fmt: skip
    sizes = [(500, 375), (500, 375), (20_000, 200_000)]
    columns = {
        "number": [7, 8, 9],
        "box_width": [width for width, _ in sizes],
        "box_height": [height for _, height in sizes],
        "first_box": [10, 12, 12],
    }
    expected = ""
    for n, (image, category) in enumerate(zip((0, 0, 2, 2), boxes.class_index.tolist(), strict=True)):
        corner = [float(round(x, 5)) for x in bbox.coco(*edges[n], width=sizes[image][0], height=sizes[image][1])]
        area = round(corner[2] * corner[3], 5)
        expected += (
            f',\n{{"id":{11 + n},"image_id":{image + 8},"category_id":{category + 1},"bbox":{corner},"area":{area},'
            f'"iscrowd":0,"segmentation":[]}}'
        )
    assert bytes(writer._annotations(columns, boxes, np.arange(1, 20))).decode() == expected


def test_a_number_that_arrow_spells_with_an_exponent_is_a_number_of_json() -> None:
    values = [0.00001, 0.00012, 99999.5, 9_999_999_999.0, 1e10, 12_345_678_901.0, 4e17]
    texts, after = writer._floats(np.array(values), "]")
    spelled = [text + rest for text, rest in zip(texts.to_pylist(), after.to_pylist(), strict=True)]
    assert [json.loads(f"[{text}") for text in spelled] == [[value] for value in values]


@pytest.mark.parametrize("damage", [lambda text: text[: len(text) // 2], lambda text: text.replace('"image_id":3', "")])
def test_a_file_that_is_not_as_it_was_written_is_an_error(exported: Path, tmp_path: Path, damage: Any) -> None:
    file = tmp_path / "annotations" / "instances_train.json"
    file.parent.mkdir()
    (tmp_path / "images").symlink_to(exported / "images")
    file.write_text(damage((exported / "annotations" / "instances_train.json").read_text()))
    with pytest.raises(FormatError):
        list(writer.read_back(tmp_path))


def test_categories_count_the_images_and_boxes_that_train_really_has(odd: Index, tmp_path: Path) -> None:
    plan = imagenet_tools.export(odd.select(), tmp_path / "x", to="coco", resize=24)
    assert plan.left_out["undecodable"] == 1
    splits = read(tmp_path / "x")
    for found in splits.values():
        for one in found["categories"]:
            images = [image for image in splits["train"]["images"] if image["wnid"] == one["wnid"]]
            boxes = [box for box in splits["train"]["annotations"] if box["category_id"] == one["id"]]
            assert (one["image_count"], one["instance_count"]) == (len(images), len(boxes))
            assert one["frequency"] == ("c" if len(images) > 10 else "r")
