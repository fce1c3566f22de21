"""COCO's and LVIS's instances: splits, boxes, crowds, labels, synsets, and one query over them and ImageNet."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import imagenet_tools
from imagenet_tools.catalogue import lists
from imagenet_tools.errors import ExportError, FormatError, SourceError
from imagenet_tools.formats._shared import coco_json
from imagenet_tools.formats.coco import reader
from imagenet_tools.index import Index
from imagenet_tools.wordnet import wordnet
from tests.forms import coco
from tests.forms.coco import Box, Photo
from tests.forms.thousand import drawn

DOG = wordnet.synset("dog.n.01").wnid


def photo(number: int, folder: str, *boxes: Box, **values: Any) -> Photo:
    data = drawn(number)
    return Photo(number, folder, data, (24 + number % 7, 20 + number % 5), boxes, **values)


def dogs(n: int, breed: str = "dog") -> list[Box]:
    return [Box(breed, (1.25, 2, 9.5, 8)), *[Box("person", (3, 3, 5, 5))] * n]


COCO = {
    "annotations/instances_train2017.json": (
        "coco80",
        [
            photo(9, "train2017", *dogs(1)),
            photo(25, "train2017", Box("giraffe", (0, 0, 5, 5)), Box("person", (1, 1, 20, 15), crowd=True)),
            photo(30, "train2017", Box("stop sign", (2, 2, 6, 6))),
            photo(34, "train2017"),
        ],
    ),
    "annotations/instances_val2017.json": ("coco80", [photo(139, "val2017", *dogs(0)), photo(285, "val2017")]),
}
# LVIS divides the same photos in another way: an image of train2017 is in its val.
LVIS = {
    "lvis_v1_train.json": (
        "lvis1203",
        [
            photo(9, "train2017", Box("pug-dog", (1, 2, 9, 8)), negative=["dog_collar", "zebra"]),
            photo(25, "train2017", Box("giraffe", (0, 0, 5, 5)), not_exhaustive=["giraffe"]),
        ],
    ),
    "lvis_v1_val.json": (
        "lvis1203",
        [photo(34, "train2017", Box("dog", (1, 1, 4, 4))), photo(139, "val2017", Box("stop_sign", (1, 1, 4, 4)))],
    ),
}
DOGS = """
    SELECT dataset, split, count(*) AS images FROM images
    SEMI JOIN (SELECT dataset, image_id FROM images WHERE is_a(wnid, 'dog.n.01') UNION
               SELECT dataset, image_id FROM labels WHERE label_set = 'instances' AND is_a(wnid, 'dog.n.01'))
    USING (dataset, image_id) GROUP BY ALL ORDER BY ALL"""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Index:
    """COCO, LVIS and the sample of ILSVRC2012."""
    home = tmp_path_factory.mktemp("neighbours")
    coco.write(home / "coco", COCO)
    coco.write(home / "coco", LVIS)
    built = imagenet_tools.build_index([home / "coco", sample], home / "x.index", workers=1)
    return imagenet_tools.open_index(built.index)


def rows(index: Index, query: str) -> list[tuple[Any, ...]]:
    return index.sql(query).fetchall()


def test_an_export_of_images_of_many_classes_says_how_to_choose_them(index: Index) -> None:
    with pytest.raises(ExportError, match=r"unlabelled \(has no class of its own; .*Choose them by a query: imagenet"):
        imagenet_tools.plan_export(index.select(dataset="coco", under="dog.n.01"), to="coco")


def test_one_query_counts_dogs_in_imagenet_coco_and_lvis(index: Index) -> None:
    assert rows(index, DOGS) == [
        ("coco", "train", 1),
        ("coco", "val", 1),
        ("ilsvrc2012", "train", 50),
        ("ilsvrc2012", "val", 20),
        ("lvis", "train", 1),  # a pug is a dog
        ("lvis", "val", 1),
    ]
    boxes = "SELECT dataset, count(*) FROM boxes WHERE is_a(wnid, 'dog.n.01') GROUP BY ALL ORDER BY ALL"
    assert [n for dataset, n in rows(index, boxes) if dataset != "ilsvrc2012"] == [2, 2]
    ((n,),) = rows(index, "SELECT n_boxes_inclusive FROM synsets WHERE name = 'dog.n.01'")
    assert n == sum(count for _, count in rows(index, boxes))


def test_the_splits_are_those_of_each_release_and_the_photos_are_the_same(index: Index) -> None:
    found = rows(index, "SELECT dataset, split, image_id, photo FROM images WHERE dataset <> 'ilsvrc2012' ORDER BY ALL")
    stem = "{:012d}".format
    assert found == [
        *[("coco", "train", stem(n), f"ms-coco/{stem(n)}") for n in (9, 25, 30, 34)],
        *[("coco", "val", stem(n), f"ms-coco/{stem(n)}") for n in (139, 285)],
        *[("lvis", "train", stem(n), f"ms-coco/{stem(n)}") for n in (9, 25)],
        *[("lvis", "val", stem(n), f"ms-coco/{stem(n)}") for n in (34, 139)],
    ]
    assert index.image("coco/000000000009").read() == index.image("lvis/000000000009").read() == drawn(9)


def test_boxes_are_the_publisher_s_numbers_with_synsets_and_crowds(index: Index) -> None:
    found = rows(
        index,
        """SELECT image_id, name, wnid, xmin, ymin, xmax, ymax, list_contains(flags, 'crowd') FROM boxes
           WHERE dataset = 'coco' AND image_id IN ('000000000009', '000000000025') ORDER BY ALL""",
    )
    synset = {
        name: wordnet.synset(text).wnid for name, text in (("giraffe", "giraffe.n.01"), ("person", "person.n.01"))
    }
    assert found == [
        ("000000000009", "dog", DOG, 1.25, 2.0, 10.75, 10.0, False),
        ("000000000009", "person", synset["person"], 3.0, 3.0, 8.0, 8.0, False),
        ("000000000025", "giraffe", synset["giraffe"], 0.0, 0.0, 5.0, 5.0, False),
        ("000000000025", "person", synset["person"], 1.0, 1.0, 21.0, 16.0, True),
    ]
    assert rows(index, "SELECT count(*) FROM unused_boxes WHERE dataset IN ('coco', 'lvis')") == [(0,)]


def test_a_category_without_a_synset_keeps_its_boxes_and_is_a_problem(index: Index) -> None:
    found = rows(index, "SELECT dataset, name, wnid FROM boxes WHERE name LIKE 'stop%' ORDER BY ALL")
    assert found == [("coco", "stop sign", None), ("lvis", "stop_sign", None)]
    problems = rows(index, "SELECT code, reason FROM problems WHERE code = 'category_without_synset' ORDER BY ALL")
    assert len(problems) == 2 and "'stop sign' has no synset of WordNet 3.0: 1 box without" in problems[0][1]
    codes = {code for (code,) in rows(index, "SELECT DISTINCT code FROM problems WHERE dataset IN ('coco', 'lvis')")}
    assert codes == {"category_without_synset"}  # and none without a label


def test_lvis_says_what_is_absent_and_what_is_not_boxed_exhaustively(index: Index) -> None:
    found = rows(
        index,
        """SELECT label_set, image_id, name FROM labels JOIN synsets USING (wnid)
           WHERE dataset = 'lvis' ORDER BY ALL""",
    )
    assert found == [
        ("instances", "000000000009", "pug.n.01"),
        ("instances", "000000000025", "giraffe.n.01"),
        ("instances", "000000000034", "dog.n.01"),
        ("instances_negative", "000000000009", "dog_collar.n.01"),
        ("instances_negative", "000000000009", "zebra.n.01"),
        ("instances_not_exhaustive", "000000000025", "giraffe.n.01"),
    ]


def test_a_selection_leaves_out_images_of_many_classes_and_says_so(index: Index) -> None:
    chosen = index.select(under="dog.n.01")
    assert sum(sum(counts.values()) for counts in chosen.counts().values()) == 70
    assert chosen.left_out()["unlabelled"] == 10 + 5  # of COCO and LVIS, and the test images of ILSVRC2012


def test_lvis_0_5_has_other_numbers_and_two_names_for_an_image(tmp_path: Path) -> None:
    name = "COCO_val2014_000000266409.jpg"
    image = {
        "id": 266409,
        "file_name": name,
        "coco_url": f"{coco.URL}/val2017/000000266409.jpg",
        "neg_category_ids": [2],
    }
    content = {
        "categories": [
            {"id": 1, "name": "acorn", "synset": "acorn.n.01"},
            {"id": 2, "name": "air_conditioner", "synset": "air_conditioner.n.01"},
        ],
        "annotations": [{"id": 1, "image_id": 266409, "category_id": 1, "bbox": [12.08, 5, 2, 3]}],
        "images": [{**image, "width": 640, "height": 480}],
    }
    (tmp_path / "val2017").mkdir()
    (tmp_path / "val2017" / "000000266409.jpg").write_bytes(drawn(1))
    (tmp_path / "lvis_v0.5_val.json").write_text(json.dumps(content, indent=1))
    built = imagenet_tools.build_index(tmp_path, tmp_path / "x.index", workers=1, dataset="lvis")
    found = imagenet_tools.open_index(built.index)
    assert rows(found, "SELECT image_id, split, n_boxes, photo FROM images") == [
        ("000000266409", "val", 1, "ms-coco/000000266409")
    ]
    assert rows(found, "SELECT wnid FROM boxes") == [(wordnet.synset("acorn.n.01").wnid,)]
    assert rows(found, "SELECT count(*) FROM labels WHERE label_set = 'instances_negative'") == [(1,)]


def test_an_image_in_two_splits_is_refused(tmp_path: Path) -> None:
    both = {
        f"annotations/instances_{split}.json": ("coco80", [photo(9, split, *dogs(1))]) for split in ("train", "val")
    }
    coco.write(tmp_path, both)
    with pytest.raises(SourceError, match="in two classes or two splits"):
        imagenet_tools.build_index(tmp_path, tmp_path / "x.index", workers=1)


def test_absent_and_unlisted_images_and_bad_records_are_counted(tmp_path: Path) -> None:
    listed = [photo(n, "train2017", *dogs(1)) for n in (9, 25)]
    coco.write(tmp_path, {"annotations/instances_train2017.json": ("coco80", listed)})
    file = tmp_path / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    content["annotations"] += [
        {"image_id": 77, "category_id": 18, "bbox": [1, 1, 2, 2]},
        {"image_id": 9, "category_id": 12, "bbox": [1, 1, 2, 2]},
        {"image_id": 9, "category_id": 18, "bbox": [1, 1, None, 2]},
        {"image_id": 9, "category_id": 18},
    ]
    content["images"].append({"id": 5, "width": 3})
    file.write_text(json.dumps(content))
    (tmp_path / "train2017" / "000000000025.jpg").rename(tmp_path / "train2017" / "000000000026.jpg")
    built = imagenet_tools.build_index(tmp_path, tmp_path / "x.index", workers=1)
    found = imagenet_tools.open_index(built.index)
    problems = Counter(code for (code,) in rows(found, "SELECT code FROM problems"))
    assert problems == {"coco_bad_record": 5, "listed_absent": 1, "not_listed": 1}
    assert rows(found, "SELECT reason, count(*) FROM unused_boxes GROUP BY ALL") == [("no_image", 2)]


def test_keypoints_captions_and_other_json_are_not_instances(tmp_path: Path) -> None:
    coco.write(tmp_path, {"annotations/instances_train2017.json": ("coco80", [photo(9, "train2017", *dogs(1))])})
    file = tmp_path / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    keypoints = {**content, "categories": [{"id": 1, "name": "person", "keypoints": ["nose"]}]}
    others = {
        "person_keypoints_train2017": keypoints,
        "captions_train2017": {key: content[key] for key in ("info", "images", "annotations")},
        "other": {**content, "categories": [{"id": 1, "name": "scratch"}]},
        "config": {"info": {}, "x": [1, 2]},
        "list": [1, 2],
    }
    for name, value in others.items():
        (tmp_path / "annotations" / f"{name}.json").write_text(json.dumps(value))
    assert [detection.path for detection in reader.detect(tmp_path)] == [file]


def test_an_export_is_indexed_again_with_the_same_boxes_and_classes(index: Index, tmp_path: Path) -> None:
    chosen = index.select(dataset="ilsvrc2012")
    imagenet_tools.export(chosen, tmp_path / "x", to="coco")
    built = imagenet_tools.build_index(tmp_path / "x", tmp_path / "x.index", workers=1)
    again = imagenet_tools.open_index(built.index)
    query = """SELECT image_id, wnid, round(nxmin, 4), round(nymin, 4), round(nxmax, 4), round(nymax, 4) FROM boxes
               WHERE dataset = 'ilsvrc2012' AND nxmin IS NOT NULL ORDER BY ALL"""
    assert rows(again, query) == rows(index, query)
    assert rows(again, "SELECT count(*) FROM labels") == [(0,)]  # an image's class is its own


# ---- the parser

TEXTS = st.text(st.sampled_from('aé\\"{}[],: '), max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
LISTS = st.dictionaries(st.sampled_from(["info", "images", "annotations", "x"]), st.lists(VALUES, max_size=4) | VALUES)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine draws slowly
@given(LISTS, st.integers(1, 9), st.sampled_from([None, 1]), st.booleans())
def test_records_are_those_of_the_json_module(
    content: dict[str, Any], size: int, indent: int | None, escaped: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coco_json, "_CHUNK_CHARACTERS", size)
        file = _temporary(json.dumps(content, indent=indent, ensure_ascii=escaped))
        for key in ("images", "annotations"):
            values = content.get(key)
            expected = [each for each in values if isinstance(each, dict)] if isinstance(values, list) else []
            assert list(coco_json.records(file, key)) == expected
    file.unlink()


def _temporary(text: str) -> Path:
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False, encoding="utf-8", errors="replace") as file:
        file.write(text)
    return Path(file.name)


@pytest.mark.parametrize("text", ['{"images":[{"a":1},{"b"', '{"images":[{"a":1} x', '{"images":[{"a":1},', "", "[1]"])
def test_records_before_a_break_are_kept(text: str, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)
    found = []
    with pytest.raises(FormatError, match="Expected one JSON object"):
        for record in coco_json.records(file, "images"):
            found.append(record)
    assert found == [{"a": 1}] * text.startswith("{")


def test_the_categories_of_the_real_sets_are_told_by_numbers_and_names() -> None:
    for name in ("coco80", "lvis1203"):
        records = [{"id": each.number, "name": each.name} for each in lists.get(name).categories if each.number]
        assert lists.list_of_categories(records) == name
    assert lists.list_of_categories([{"id": 1, "name": "dog"}]) is None
    assert lists.list_of_categories([]) is None
