"""ObjectNet, ImageNet-D and NINCO: folders called by words are classes where the published list gives them one."""

from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.formats import listed_folders
from imagenet_tools.index import Index
from tests.conftest import Extracted
from tests.forms.annotations import write_files

ALARM_CLOCK = ("n02708093", "n03196217")
BACKPACK = "n02769748"


@pytest.fixture
def jpeg(extracted: Extracted) -> bytes:
    return next(iter(extracted.data.values()))


def build(home: Path, names: list[str], jpeg: bytes) -> Index:
    write_files(home, {name: jpeg + bytes((n,)) for n, name in enumerate(names)})
    imagenet_tools.build_index([home / names[0].split("/")[0]], home / "x.index", workers=1)
    return imagenet_tools.open_index(home / "x.index")


def images(index: Index) -> list[tuple[str, str, str, str | None]]:
    return index.sql("SELECT image_id, photo, split, wnid FROM images ORDER BY image_id").fetchall()


def test_folders_of_objectnet_are_classes_labels_or_neither(jpeg: bytes, tmp_path: Path) -> None:
    names = ["alarm_clock/a", "backpack/b", "adhesive_tape/c"]
    index = build(tmp_path, [f"objectnet-1.0/images/{name}.png" for name in names], jpeg)
    assert images(index) == [
        ("a", "objectnet/a", "test", None),
        ("b", "objectnet/b", "test", BACKPACK),
        ("c", "objectnet/c", "test", None),
    ]
    labels = index.sql("SELECT dataset, image_id, label_set, wnid FROM labels ORDER BY wnid").fetchall()
    assert labels == [("objectnet", "a", "objectnet113", wnid) for wnid in ALARM_CLOCK]


def test_images_of_imagenet_d_that_are_called_alike_are_kept_apart(jpeg: bytes, tmp_path: Path) -> None:
    names = [f"{home}/{folder}/0" for home in ("background", "material") for folder in ("alarm_clock", "backpack")]
    index = build(tmp_path, [f"ImageNet-D/{name}.png" for name in names], jpeg)
    assert [(image_id, wnid) for image_id, _, _, wnid in images(index)] == [
        (name, BACKPACK if "backpack" in name else None) for name in names
    ]
    assert index.sql("SELECT count(*), count(DISTINCT image_id) FROM labels").fetchall() == [(4, 2)]


def test_of_ninco_the_classes_alone_are_read(jpeg: bytes, tmp_path: Path) -> None:
    names = ["NINCO/NINCO_OOD_classes/amphiuma_means/0.jpg", "NINCO/NINCO_OOD_unit_tests/noise/1.jpg"]
    index = build(tmp_path, names, jpeg)
    assert [(row[2], row[3]) for row in images(index)] == [("test", None)]
    assert imagenet_tools.detect(tmp_path / "NINCO").ignored


def test_words_mean_these_classes_in_these_sets_only(jpeg: bytes, tmp_path: Path) -> None:
    files = ["mine/alarm_clock/a.png", "objectnet-1.0/sofas/a.png", "imagenet-data/backpack/a.png"]
    write_files(tmp_path, dict.fromkeys(files, jpeg))
    for name in files:
        assert listed_folders.detect(tmp_path / name.split("/")[0]) == []
