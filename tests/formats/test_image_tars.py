"""The whole of ImageNet in tars and folders, ImageNet-21K-P, and trees in a tar: told, and read back byte for byte."""

import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import imagenet_tools
from imagenet_tools.catalogue import labels
from imagenet_tools.containers import tar
from imagenet_tools.formats import image_tars
from imagenet_tools.index import Index
from imagenet_tools.units import Detection
from tests.conftest import Extracted
from tests.forms import small, whole
from tests.parameters import short_list
from tests.read_back import read_all


def built(path: Path, index: Path, **options: object) -> Index:
    report = imagenet_tools.build_index([path], index, workers=1, **options)  # type: ignore[arg-type]
    assert report.problems == {}
    return imagenet_tools.open_index(index)


def only(path: Path) -> Detection:
    found = imagenet_tools.detect(path).found
    assert len(found) == 1
    return found[0]


@pytest.fixture
def images(extracted: Extracted) -> dict[str, dict[str, bytes]]:
    return whole.images(extracted.data.values())


Form = Callable[[Path, Mapping[str, Mapping[str, bytes]]], Path]


@pytest.mark.parametrize(
    ("form", "dataset"),
    [
        (lambda home, images: whole.fall11_whole(home / "fall11_whole.tar", images), "fall11"),
        (lambda home, images: whole.tree(home / "fall11", images), "fall11"),
        *(
            pytest.param(form, dataset, marks=pytest.mark.long)
            for form, dataset in (
                (lambda home, images: whole.fall11_whole(home / "renamed", images), "imagenet21k"),
                (lambda home, images: whole.winter21_folder(home / "winter21_whole", images), "winter21"),
                (lambda home, images: whole.tree(home / "pictures", images), "imagenet21k"),
            )
        ),
    ],
    ids=["fall11_whole.tar", "fall11 folders", "renamed", "winter21 class tars", "folders"],
)
def test_the_whole_is_told_and_read_back(
    form: Form, dataset: str, images: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    path = form(tmp_path, images)
    found = only(path)
    assert found.dataset == dataset
    assert found.labels is not None and found.labels.base is None
    assert any("--dataset" in text for text in found.readings)
    index = built(path, tmp_path / "x.index")
    assert read_all(index) == whole.flat(images)
    rows = index.sql("SELECT dataset, image_id, photo, wnid, split FROM images ORDER BY image_id").fetchall()
    assert rows == [
        (dataset, stem, stem, wnid, None) for wnid, inside in sorted(images.items()) for stem in sorted(inside)
    ]


def test_images_and_class_tars_of_fall_2011_that_are_wrapped_in_gzip_are_unwrapped(
    images: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    wrapped = ["n00004475_7", "n02123045_1020"]
    path = whole.fall11_whole(
        tmp_path / "fall11_whole.tar", images, wrapped=wrapped, gzipped=["n00007846", "n02123045"]
    )
    index = built(path, tmp_path / "x.index")
    assert read_all(index) == whole.flat(images)
    kinds = index.sql(
        'SELECT compression, count(*), count("offset"), count(position), count(width) FROM images GROUP BY 1 ORDER BY 1'
    )
    assert kinds.fetchall() == [
        ("gzip", 1, 1, 0, 1), ("tar.gz", 7, 0, 7, 7), ("tar.gz+gzip", 1, 0, 1, 1), (None, 11, 11, 0, 11)
    ]  # fmt: skip
    assert index.sql("SELECT member FROM images WHERE compression = 'tar.gz+gzip'").fetchall() == [
        ("n02123045.tar/n02123045_1020.JPEG",)
    ]


@pytest.mark.long
def test_a_tar_of_all_21841_classes_is_fall_2011(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "whole.tar", "w") as archive:
        for wnid in labels.fall11():
            whole.add(archive, f"{wnid}.tar", b"")
    found = only(tmp_path / "whole.tar")
    assert (found.dataset, found.missing, found.readings) == ("fall11", "", ())
    assert "21,841 class tars, n00004475 first" in found.evidence


def test_two_releases_of_a_photograph_share_it_and_nothing_else(extracted: Extracted, tmp_path: Path) -> None:
    images = {"n02123045": {path.stem: path.read_bytes() for path in (extracted.train / "n02123045").iterdir()}}
    path = whole.fall11_whole(tmp_path / "fall11_whole.tar", images)
    imagenet_tools.build_index([path, extracted.train], tmp_path / "x.index", workers=1)
    index = imagenet_tools.open_index(tmp_path / "x.index")
    counted = "count(*), count(DISTINCT photo), count(DISTINCT (dataset, image_id))"
    counts = index.sql(f"SELECT {counted} FROM images WHERE wnid = 'n02123045'")
    assert counts.fetchall() == [(20, 10, 20)]


# ---- ImageNet-21K-P


def _unpacked(home: Path, images: Mapping[str, Mapping[str, bytes]]) -> Path:
    return whole.imagenet21k_resized(home, images)


def _around(home: Path, images: Mapping[str, Mapping[str, bytes]]) -> Path:
    return whole.imagenet21k_resized(home / "data", images).parent


def _packed(home: Path, images: Mapping[str, Mapping[str, bytes]]) -> Path:
    return whole.pack(home / "imagenet21k_resized.tar", whole.imagenet21k_resized(home, images))


def _streamed(home: Path, images: Mapping[str, Mapping[str, bytes]]) -> Path:
    return whole.pack(home / "imagenet21k_resized.tar.gz", whole.imagenet21k_resized(home, images))


@pytest.mark.parametrize("form", short_list([_unpacked, _around, _packed, _streamed], _unpacked, _packed))
def test_imagenet_21k_p_is_told_and_read_back(form: Form, images: dict[str, dict[str, bytes]], tmp_path: Path) -> None:
    path = form(tmp_path, images)
    found = only(path)
    assert found.dataset == "imagenet21k-p-winter21"
    assert found.readings == ("ImageNet-21K-P of fall 2011 (--dataset imagenet21k-p-fall11)",)
    assert set(found.splits) == {"train", "val"}
    index = built(path, tmp_path / "x.index")
    assert read_all(index) == whole.flat(images)
    counts = index.sql("SELECT split, count(*), count(DISTINCT wnid) FROM images GROUP BY split ORDER BY split")
    assert counts.fetchall() == [("train", 8, 4), ("val", 8, 4), (None, 4, 1)]
    assert index.sql("SELECT count(*) FROM images WHERE photo = image_id").fetchall() == [(20,)]


def test_one_folder_of_imagenet_21k_p_is_its_split(images: dict[str, dict[str, bytes]], tmp_path: Path) -> None:
    path = whole.imagenet21k_resized(tmp_path, images) / "imagenet21k_val"
    found = only(path)
    assert (found.form, found.dataset, found.splits) == ("imagenet21k_p", "imagenet21k-p-winter21", ("val",))
    assert "imagenet21k_train/" in found.missing
    index = built(path, tmp_path / "x.index")
    assert index.sql("SELECT DISTINCT split FROM images").fetchall() == [("val",)]


# ---- a tree in a tar


def test_imagenette_gunzipped_is_a_data_set_of_its_own_splits(extracted: Extracted, tmp_path: Path) -> None:
    train = whole.images(extracted.data.values(), classes=small.CLASSES, each=2)
    val = whole.images(sorted(extracted.data.values())[20:], classes=small.CLASSES[:1], each=1)
    moved = {"ILSVRC2012_val_00000293": extracted.data["ILSVRC2012_val_00000020"]}
    wnid = labels.validation_wnid("ILSVRC2012_val_00000293")
    assert wnid == "n01440764"
    train[wnid] |= moved
    val[wnid] = {"n01440764_9981": next(iter(val[wnid].values()))}
    path = small.imagenette(tmp_path, train, val)
    (tmp_path / "plain").mkdir()
    plain = whole.pack(tmp_path / "plain" / "imagenette2-160.tar", tmp_path / "imagenette2-160")
    for given in (path, plain):
        index = built(given, tmp_path / f"{given.name}.index")
        assert read_all(index) == whole.flat(train) | whole.flat(val)
        rows = index.sql("SELECT dataset, split, wnid, photo FROM images WHERE image_id LIKE 'ILSVRC%'").fetchall()
        assert rows == [("imagenette2-160", "train", "n01440764", "ILSVRC2012_val_00000293")]


def test_class_tars_that_are_added_during_a_build_are_said_and_read_by_the_next(
    images: dict[str, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = whole.fall11_whole(tmp_path / "fall11_whole.tar", dict(list(images.items())[:2]))

    def add_the_others(*_: object) -> None:  # after the class tars were listed
        whole.fall11_whole(path, images)

    with monkeypatch.context() as patch:
        patch.setattr(
            "imagenet_tools.build.build._weights", lambda units, *_: (add_the_others(), ("", [1] * len(units)))[1]
        )
        report = imagenet_tools.build_index(path, tmp_path / "x.index", workers=1)
    assert report.problems == {"class_tars_unread": 1}
    report = imagenet_tools.build_index(path, tmp_path / "x.index", workers=1)
    assert (report.problems, report.rows["images"]) == ({}, sum(map(len, images.values())))


def test_a_tar_of_class_tars_is_walked_once_to_detect_it_and_to_cut_it(
    images: dict[str, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = whole.fall11_whole(tmp_path / "whole.tar", images)
    walks: list[int] = []
    walk = tar.walk

    def counting(source: Path, *, start: int = 0, **options: Any) -> Iterator[tar.Member]:
        walks.append(start)
        return walk(source, start=start, **options)

    monkeypatch.setattr(tar, "walk", counting)
    (detection,) = image_tars.detect(path)
    units = list(image_tars.units(detection, "whole", tmp_path))
    assert len(units) == len(images) + 1
    assert walks.count(0) == 1
    whole.fall11_whole(path, dict(list(images.items())[:1]))
    assert len(list(image_tars.units(detection, "whole", tmp_path))) == 2
