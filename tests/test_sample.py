"""The sample ImageNet, read with the standard library alone: layout, labels, boxes, and what is odd on purpose."""

import csv
import io
import os
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from tests import drawn

CHECKOUT = Path(__file__).resolve().parent.parent
# The sample's classes and the ILSVRC2012_ID that the publisher gives each (map_clsloc.txt of the later devkits).
ILSVRC_IDS = {
    "n01531178": 387,
    "n01558993": 391,
    "n02012849": 429,
    "n02085620": 173,
    "n02086079": 69,
    "n02088364": 132,
    "n02099601": 125,
    "n02106662": 211,
    "n02123045": 174,
    "n03126707": 545,
    "n04146614": 962,
    "n04355933": 574,
    "n04356056": 535,
}
ABSENT = "n01558993_30001"
NO_OBJECT = "n03126707_20604"

Box = tuple[float, float, float, float]


def members(archive: Path | bytes) -> list[tuple[str, bytes]]:
    """The regular files of a tar or a gzipped tar, in its order."""
    data = archive if isinstance(archive, bytes) else archive.read_bytes()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [(info.name, tar.extractfile(info).read()) for info in tar if info.isfile()]


@pytest.fixture(scope="module")
def train(sample: Path) -> dict[str, bytes]:
    """The training images by id."""
    class_tars = members(sample / "ILSVRC2012_img_train.tar")
    return {Path(name).stem: data for _, class_tar in class_tars for name, data in members(class_tar)}


@pytest.fixture(scope="module")
def val(sample: Path) -> dict[str, bytes]:
    """The validation images by id."""
    return {Path(name).stem: data for name, data in members(sample / "ILSVRC2012_img_val.tar")}


@pytest.fixture(scope="module")
def annotations(sample: Path) -> dict[str, ElementTree.Element]:
    """The annotations of both archives, by the name of their file."""
    archives = ("ILSVRC2012_bbox_train_v2.tar.gz", "ILSVRC2012_bbox_val_v3.tgz")
    return {Path(name).stem: ElementTree.fromstring(data) for a in archives for name, data in members(sample / a)}


def numbers(element: ElementTree.Element, *tags: str) -> list[int]:
    return [int(element.findtext(tag)) for tag in tags]


def boxes(annotation: ElementTree.Element) -> list[list[int]]:
    """xmin, ymin, xmax, ymax of every object, as written."""
    return [numbers(box, "xmin", "ymin", "xmax", "ymax") for box in annotation.iterfind("object/bndbox")]


def repaired(annotation: ElementTree.Element) -> list[Box]:
    """The boxes over the stated size, put right as data/README.md asks: sorted, clipped, those outside left out."""
    width, height = numbers(annotation, "size/width", "size/height")
    done = []
    for x0, y0, x1, y1 in boxes(annotation):
        left, right = (min(max(x, 0), width) / width for x in sorted((x0, x1)))
        top, bottom = (min(max(y, 0), height) / height for y in sorted((y0, y1)))
        if left < right and top < bottom:
            done.append((left, top, right, bottom))
    return done


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def whole(data: bytes) -> bytes:
    """The bytes with JPEG's end mark put back where it is missing, without which Pillow decodes nothing."""
    return data + b"\xff\xd9" if data.startswith(b"\xff\xd8") and not data.endswith(b"\xff\xd9") else data


def test_the_sample_is_small(sample: Path) -> None:
    assert sum(file.stat().st_size for file in sample.iterdir()) < 2_000_000


def test_every_source_form_is_there(sample: Path) -> None:
    assert sorted(file.name for file in sample.iterdir()) == [
        "ILSVRC2012_bbox_train_v2.tar.gz",
        "ILSVRC2012_bbox_val_v3.tgz",
        "ILSVRC2012_devkit_t12.tar.gz",
        "ILSVRC2012_img_test_v10102019.tar",
        "ILSVRC2012_img_train.tar",
        "ILSVRC2012_img_val.tar",
        "LOC_synset_mapping.txt",
        "LOC_train_solution.csv",
        "LOC_val_solution.csv",
    ]


def test_train_is_a_tar_of_flat_class_tars(sample: Path) -> None:
    class_tars = members(sample / "ILSVRC2012_img_train.tar")
    assert [name for name, _ in class_tars] == [f"{wnid}.tar" for wnid in ILSVRC_IDS]
    for class_tar, data in class_tars:
        wnid = class_tar.removesuffix(".tar")
        names = [name for name, _ in members(data)]
        found = [int(name.removeprefix(f"{wnid}_").removesuffix(".JPEG")) for name in names]
        assert names == [f"{wnid}_{number}.JPEG" for number in found]
        assert len(set(found)) == 10
        assert max(found) - min(found) > 10, "the numbers are not consecutive"


def test_training_numbers_have_several_widths(train: dict[str, bytes]) -> None:
    assert len({len(image_id) for image_id in train}) >= 3


def test_val_is_flat_and_not_sorted(sample: Path) -> None:
    names = [name for name, _ in members(sample / "ILSVRC2012_img_val.tar")]
    assert len(names) == 52
    assert all(name == f"ILSVRC2012_val_{int(name[15:23]):08d}.JPEG" for name in names)
    assert names != sorted(names)


def test_the_test_images_lie_in_a_folder(sample: Path) -> None:
    names = [name for name, _ in members(sample / "ILSVRC2012_img_test_v10102019.tar")]
    assert names == [f"test/ILSVRC2012_test_{number:08d}.JPEG" for number in range(1, 6)]


def test_the_devkit_labels_every_val_image_with_a_class_of_the_sample(sample: Path, val: dict[str, bytes]) -> None:
    devkit = dict(members(sample / "ILSVRC2012_devkit_t12.tar.gz"))
    truth = devkit["ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"]
    assert not truth.endswith(b"\n")
    ids = [int(line) for line in truth.splitlines()]
    assert len(ids) == 50_000
    assert ids[:5] == [490, 361, 171, 822, 297]
    assert set(Counter(ids).values()) == {50}
    labelled = Counter(ids[int(image_id[-8:]) - 1] for image_id in val)
    assert labelled == dict.fromkeys(ILSVRC_IDS.values(), 4)


def test_xml_and_csv_of_val_give_the_class_that_the_devkit_gives(
    sample: Path, val: dict[str, bytes], annotations: dict[str, ElementTree.Element]
) -> None:
    devkit = dict(members(sample / "ILSVRC2012_devkit_t12.tar.gz"))
    ids = devkit["ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"].split()
    for image_id in val:
        assert {ILSVRC_IDS[o.text] for o in annotations[image_id].iterfind("object/name")} == {
            int(ids[int(image_id[-8:]) - 1])
        }


def test_annotations_lie_where_the_publisher_puts_them(sample: Path, val: dict[str, bytes]) -> None:
    train_names = [name for name, _ in members(sample / "ILSVRC2012_bbox_train_v2.tar.gz")]
    assert all(name == f"{name[:9]}/{name[:9]}_{name.split('_')[1]}" for name in train_names)
    assert len(train_names) == 66
    val_names = [name for name, _ in members(sample / "ILSVRC2012_bbox_val_v3.tgz")]
    assert val_names == [f"val/{image_id}.xml" for image_id in sorted(val)]


def test_half_of_the_training_images_have_an_annotation(
    train: dict[str, bytes], annotations: dict[str, ElementTree.Element]
) -> None:
    annotated = {image_id for image_id in annotations if image_id.startswith("n")}
    assert annotated - set(train) == {ABSENT}
    assert Counter(image_id[:9] for image_id in annotated & set(train)) == dict.fromkeys(ILSVRC_IDS, 5)


def test_kaggle_csv_has_the_numbers_of_the_xml(sample: Path, annotations: dict[str, ElementTree.Element]) -> None:
    rows: dict[str, list[list[str]]] = {}
    for split in ("train", "val"):
        with (sample / f"LOC_{split}_solution.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                assert row["PredictionString"].endswith(" ")
                words = row["PredictionString"].split()
                rows[row["ImageId"]] = [words[at : at + 5] for at in range(0, len(words), 5)]
    assert {i: [[int(n) for n in box[1:]] for box in found] for i, found in rows.items()} == {
        image_id: boxes(annotation) for image_id, annotation in annotations.items() if image_id != NO_OBJECT
    }
    assert all(box[0] in ILSVRC_IDS for found in rows.values() for box in found)


def test_the_synset_mapping_has_the_thousand_classes_in_order(sample: Path) -> None:
    lines = (sample / "LOC_synset_mapping.txt").read_text().splitlines()
    assert len(lines) == 1000
    assert lines == sorted(lines)
    assert lines[0] == "n01440764 tench, Tinca tinca"
    assert set(ILSVRC_IDS) < {line.split()[0] for line in lines}


def test_pillow_decodes_every_image_but_the_one_that_is_cut(
    sample: Path, train: dict[str, bytes], val: dict[str, bytes]
) -> None:
    test = dict(members(sample / "ILSVRC2012_img_test_v10102019.tar"))
    for image_id, data in {**train, **val, **test}.items():
        if image_id == "n02088364_19183":
            with pytest.raises(OSError, match="truncated"):
                opened(data).load()
        else:
            opened(data).load()
        opened(whole(data)).load()


def test_the_drawings_are_in_the_boxes_and_nowhere_else(
    train: dict[str, bytes], val: dict[str, bytes], annotations: dict[str, ElementTree.Element]
) -> None:
    images = {**train, **val}
    for image_id in sorted(set(annotations) - {ABSENT, NO_OBJECT}):
        assert drawn.lies_in(opened(whole(images[image_id])), repaired(annotations[image_id])), image_id


def test_a_box_that_is_moved_is_noticed(val: dict[str, bytes], annotations: dict[str, ElementTree.Element]) -> None:
    for image_id, data in val.items():
        (left, top, right, bottom), *others = repaired(annotations[image_id])
        shift = 0.5 * (right - left) * (1 if left < 1 - right else -1)
        assert not drawn.lies_in(opened(data), [(left + shift, top, right + shift, bottom), *others]), image_id


def test_some_images_have_two_boxes(annotations: dict[str, ElementTree.Element]) -> None:
    assert sum(len(boxes(annotations[image_id])) > 1 for image_id in annotations if "val" in image_id) >= 5


def test_the_odd_images_are_as_the_readme_says(train: dict[str, bytes]) -> None:
    looks = {i: (image.format, image.mode) for i, data in train.items() for image in [opened(data)]}
    assert {i: look for i, look in looks.items() if look != ("JPEG", "RGB")} == {
        "n01531178_2697": ("PNG", "RGB"),
        "n04356056_17758": ("JPEG", "L"),
        "n04146614_12834": ("JPEG", "CMYK"),
    }
    assert {i for i, data in train.items() if opened(data).info.get("progressive")} == {"n02123045_15837"}
    assert {i: dict(opened(data).getexif()) for i, data in train.items() if opened(data).getexif()} == {
        "n02106662_11846": {0x0112: 6}
    }
    assert {i for i, data in train.items() if whole(data) != data} == {"n02088364_19183"}


def test_the_odd_annotations_are_as_the_readme_says(
    train: dict[str, bytes], annotations: dict[str, ElementTree.Element]
) -> None:
    here = {image_id: annotations[image_id] for image_id in annotations if image_id in train}
    sizes = {image_id: tuple(numbers(note, "size/width", "size/height")) for image_id, note in here.items()}
    words = {image_id: note.findtext("object/name") for image_id, note in here.items()}
    assert {i for i, size in sizes.items() if size != opened(train[i]).size} == {"n02088364_2386"}
    assert {i for i, note in here.items() if note.findtext("filename") != i} == {"n02085620_22997"}
    assert here["n02085620_22997"].findtext("filename") == "%s"
    assert {i: word for i, word in words.items() if word not in ILSVRC_IDS} == {
        "n02085620_26916": "Chihuahua",
        "n02086079_12805": "Pekinese",
        NO_OBJECT: None,
    }
    assert {i for i, note in here.items() if any(x0 > x1 for x0, _, x1, _ in boxes(note))} == {"n02099601_19831"}
    beyond = {i for i in here if any(x0 < 0 or x1 >= sizes[i][0] for x0, _, x1, _ in boxes(here[i]))}
    assert beyond == {"n02099601_11497", "n02106662_26958"}
    assert {i for i in here if len(repaired(here[i])) < len(boxes(here[i]))} == {"n02106662_26958"}


def test_the_readme_names_only_images_of_the_sample(train: dict[str, bytes]) -> None:
    text = (CHECKOUT / "data" / "README.md").read_text()
    named = {word for word in text.replace("`", " ").split() if word[:1] == "n" and word[1:9].isdigit() and "_" in word}
    assert ABSENT in named
    assert named - set(train) == {ABSENT}


def test_the_script_writes_the_same_bytes_every_time(sample: Path, tmp_path: Path) -> None:
    made = []
    for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo")):
        folder = tmp_path / seed
        subprocess.run(
            [sys.executable, str(CHECKOUT / "data" / "make_sample.py"), "-o", str(folder)],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone},
        )
        made.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert made[0] == made[1]
    # Pillow and zlib may change the shipped bytes, but not what lies where.
    for name, data in made[0].items():
        if "tar" in name or "tgz" in name:
            assert [n for n, _ in members(data)] == [n for n, _ in members(sample / name)]
