"""TFRecord shards, classic and TensorFlow Datasets': every image is a byte range, boxes stay the fractions they are."""

import io
import shutil
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

import imagenet_tools
from imagenet_tools.errors import SourceError
from imagenet_tools.formats import tfrecord
from imagenet_tools.index import Index
from tests.conftest import Extracted
from tests.forms import tfrecord as form
from tests.scanned import Scanned


def scan(path: Path) -> Scanned:
    return Scanned(tfrecord, path)


Boxes = dict[str, list[tuple[float, float, float, float]]]


@pytest.fixture(scope="module")
def boxes(index: Index) -> Boxes:
    """The sample's boxes as process_bounding_boxes.py writes them: repaired fractions of the stated size, 4 digits."""
    found: Boxes = {}
    rows = index.sql("SELECT image_id, nxmin, nymin, nxmax, nymax FROM boxes WHERE nxmin IS NOT NULL ORDER BY ALL")
    for image_id, *edges in rows.fetchall():
        left, top, right, bottom = (round(edge, 4) for edge in edges)
        found.setdefault(image_id, []).append((left, top, right, bottom))
    return found


@pytest.fixture(scope="module")
def classic(extracted: Extracted, boxes: Boxes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return form.write_classic(tmp_path_factory.mktemp("tf") / "tfrecords", extracted.data, boxes)


@pytest.fixture(scope="module")
def tfds(extracted: Extracted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return form.write_tfds(tmp_path_factory.mktemp("tfds"), extracted.data)


def jpeg(mode: str = "RGB") -> bytes:
    sink = io.BytesIO()
    Image.new(mode, (40, 30), 100).save(sink, "JPEG")
    return sink.getvalue()


# ---- the classic kind


def test_the_classic_shards_are_named_with_their_evidence(classic: Path) -> None:
    [found] = tfrecord.detect(classic)
    assert (found.form, found.dataset, found.splits) == ("tfrecord", "ilsvrc2012", ("train", "val"))
    assert found.holds == ("images", "boxes")
    assert "6 TFRecord shards" in found.evidence
    assert "class numbers in sorted order of ilsvrc2012, from 1: 13 of 13 names agree" in found.evidence
    assert found.labels is not None
    assert (found.labels.space, found.labels.order, found.labels.base) == ("ilsvrc2012", "wnid", 1)
    assert found.missing == ""


def test_every_image_is_a_byte_range_of_its_shard(classic: Path, extracted: Extracted) -> None:
    scanned = scan(classic)
    assert scanned.problems == {}
    expected = {stem: data for stem, data in extracted.data.items() if "_test_" not in stem}
    assert scanned.bytes() == expected
    for image_id, row in scanned.images.items():
        with (classic / row["file"]).open("rb") as file:
            file.seek(row["offset"])
            assert file.read(row["length"]) == expected[image_id]
    assert Counter(row["split"] for row in scanned.images.values()) == {"train": 130, "val": 52}


def test_boxes_are_fractions_of_a_stated_size_of_one(classic: Path, boxes: Boxes) -> None:
    scanned = scan(classic)
    found: Boxes = {}
    for row in scanned.tables["boxes"]:
        edges = tuple(round(row[edge], 6) for edge in ("xmin", "ymin", "xmax", "ymax"))
        found.setdefault(row["image_id"], []).append(edges)  # type: ignore[arg-type]
        assert (row["stated_width"], row["stated_height"], row["flags"]) == (1, 1, ["fractions"])
        assert row["wnid"] is not None
        assert row["name"].isdecimal()
    expected = {stem: rows for stem, rows in boxes.items() if "_test_" not in stem}
    assert {stem: sorted(rows) for stem, rows in found.items()} == expected
    assert sum(map(len, found.values())) > 100


def test_the_index_has_the_boxes_of_the_xml(classic: Path, boxes: Boxes, index: Index, tmp_path: Path) -> None:
    report = imagenet_tools.build_index([classic], tmp_path / "x.index", workers=1)
    made = imagenet_tools.open_index(tmp_path / "x.index")
    query = "SELECT image_id, wnid, nxmin, nymin, nxmax, nymax FROM boxes WHERE nxmin IS NOT NULL ORDER BY ALL"
    ours, official = made.sql(query).fetchall(), index.sql(query).fetchall()
    assert len(ours) == len(official)
    for one, other in zip(ours, official, strict=True):
        assert one[:2] == other[:2]
        assert one[2:] == pytest.approx(other[2:], abs=1e-4)
    assert made.sql("SELECT DISTINCT flags FROM boxes").fetchall() == [(["fractions"],)]
    assert report.problems == {}
    assert made.sql("SELECT count(*) FROM images WHERE n_boxes > 0").fetchall() == [(len(boxes),)]


def test_boxes_that_the_xml_has_too_are_repeated_and_the_xmls_are_taken(
    classic: Path, sample: Path, tmp_path: Path
) -> None:
    paths = [classic, sample / "ILSVRC2012_bbox_val_v3.tgz", sample / "ILSVRC2012_bbox_train_v2.tar.gz"]
    report = imagenet_tools.build_index(paths, tmp_path / "x.index", workers=1)
    made = imagenet_tools.open_index(tmp_path / "x.index")
    assert made.sql("SELECT DISTINCT source FROM boxes ORDER BY 1").fetchall() == [
        (path.name,) for path in reversed(paths[1:])
    ]
    counts = dict(made.sql("SELECT reason, count(*) FROM unused_boxes GROUP BY reason").fetchall())
    # Boxes without area were left out of the TFRecords, so that the other boxes of their image are others.
    assert counts["repeated"] > 100
    assert counts.get("conflict", 0) <= 2
    assert report.problems.get("box_conflict", 0) <= 1


def test_shards_of_splits_in_folders_and_missing_ones_are_seen(classic: Path, tmp_path: Path) -> None:
    for folder in ("train", "validation"):
        (tmp_path / folder).mkdir()
        for shard in sorted(classic.glob(f"{folder}-*"))[1:]:
            shutil.copy(shard, tmp_path / folder)
    [found] = tfrecord.detect(tmp_path)
    assert found.splits == ("train", "val")
    assert found.missing == "1 of 4 shards of train; 1 of 2 shards of val"
    assert len(scan(tmp_path).units) == 4


def test_one_shard_is_read_by_itself_whatever_it_is_called(classic: Path, tmp_path: Path) -> None:
    shutil.copy(classic / "validation-00001-of-00002", tmp_path / "imagenet.tfrecords")
    scanned = scan(tmp_path / "imagenet.tfrecords")
    assert [(found.dataset, found.splits) for found in scanned.found] == [("ilsvrc2012", ("val",))]
    assert len(scanned.images) == 26


# ---- TensorFlow Datasets


def test_tensorflow_datasets_layout_is_found_from_above_and_within(tfds: Path, extracted: Extracted) -> None:
    for path in (tfds, tfds.parent, tfds.parent.parent):
        [found] = tfrecord.detect(path)
        assert (found.dataset, found.splits, found.path) == ("ilsvrc2012", ("train", "val", "test"), tfds)
        assert found.holds == ("images",)
        assert found.labels is not None
        assert (found.labels.space, found.labels.order, found.labels.base) == ("ilsvrc2012", "wnid", 0)
    scanned = scan(tfds.parent.parent)
    assert scanned.problems == {}
    assert scanned.bytes() == extracted.data


def test_an_index_of_it_ignores_nothing(tfds: Path, tmp_path: Path) -> None:
    report = imagenet_tools.build_index([tfds], tmp_path / "x.index", workers=1)
    assert report.problems == {}
    assert report.sources[0].ignored == ()


def test_other_data_sets_of_tensorflow_datasets_keep_their_name(extracted: Extracted, tmp_path: Path) -> None:
    form.write_tfds(tmp_path, extracted.data, "imagenet2012_corrupted")
    form.write_tfds(tmp_path, extracted.data, "imagenet2012_subset")
    assert [found.dataset for found in tfrecord.detect(tmp_path)] == ["imagenet2012_corrupted", "ilsvrc2012"]


# ---- what is wrong is said


def test_a_number_that_contradicts_the_name_is_counted_and_one_of_a_validation_image_refused(
    extracted: Extracted, tmp_path: Path
) -> None:
    def write(folder: Path, split: str, wrong: int) -> str:
        stems = form.shuffled(stem for stem in extracted.data if form.split_of(stem) == split)
        examples = [form.classic(stem, extracted.data[stem]) for stem in stems]
        examples[3]["image/class/label"] = [wrong]
        del examples[4]["image/class/label"]
        form.write_shards(folder, f"{split}-" + "{:05d}-of-{:05d}", [form.example(one) for one in examples], 1)
        return stems[3]

    write(tmp_path / "a", "train", 1)
    scanned = scan(tmp_path / "a")
    assert scanned.problems == {"label_differs": 1}
    assert all(row["wnid"] == image_id[:9] for image_id, row in scanned.images.items())
    write(tmp_path / "b", "train", 0)
    assert scan(tmp_path / "b").problems == {"label_unread": 1}
    stem = write(tmp_path / "c", "val", 1)
    with pytest.raises(SourceError, match=stem):
        imagenet_tools.build_index([tmp_path / "c"], tmp_path / "x.index", workers=1)


def test_odd_records_are_problems_and_no_other_suffers(extracted: Extracted, tmp_path: Path) -> None:
    stems = [stem for stem in extracted.data if stem.startswith("n")]
    examples = [form.classic(stem, extracted.data[stem], [(0.1, 0.2, 0.3, 0.4)]) for stem in stems]
    examples[3]["image/filename"] = [b"holiday.jpg"]
    del examples[4]["image/encoded"]
    examples[5]["image/object/bbox/xmin"] = [0.1, 0.2]
    examples[6]["image/encoded"] = [b"<html>"]
    examples[7]["image/class/synset"] = [b"n04356056"]
    data = [form.example(one) for one in examples]
    data[8] = b"\xff\xff no Example"
    form.write_shards(tmp_path, "train-{:05d}-of-{:05d}", data, 1)
    scanned = scan(tmp_path)
    problems = {"no_name": 1, "no_image": 1, "boxes_unread": 1, "not_an_image": 1, "example_damaged": 1}
    assert scanned.problems == problems | {"class_differs": 1}
    assert scanned.images.keys() == set(stems) - {stems[3], stems[4], stems[8]}
    assert len(scanned.tables["boxes"]) == 130 - 4


@pytest.mark.parametrize("share", [0.2, 0.7, 0.999])
def test_a_shard_that_is_cut_keeps_its_whole_records_and_says_so(
    share: float, classic: Path, extracted: Extracted, tmp_path: Path
) -> None:
    data = (classic / "train-00000-of-00004").read_bytes()
    (tmp_path / "train-00000-of-00004").write_bytes(data[: int(len(data) * share)])
    shutil.copy(classic / "train-00001-of-00004", tmp_path)
    scanned = scan(tmp_path)
    assert scanned.problems == {"tfrecord_truncated": 1}
    found = scanned.bytes()
    assert 32 + int(33 * share) - 8 <= len(found) <= 32 + 33
    assert all(extracted.data[image_id] == data for image_id, data in found.items())


def test_an_image_that_was_encoded_anew_is_said(tmp_path: Path) -> None:
    originals = [("n02105855_2933", jpeg()), ("n01739381_1309", jpeg()), ("n02077923_14822", jpeg("CMYK"))]
    examples = [form.example(form.classic(stem, data)) for stem, data in originals]
    form.write_shards(tmp_path, "train-{:05d}-of-{:05d}", examples, 1)
    scanned = scan(tmp_path)
    assert scanned.problems == {"reencoded": 2}
    assert {row["image_id"] for row in scanned.tables["problems"]} == {"n02105855_2933", "n01739381_1309"}


def test_shards_called_imagenet_without_its_names_are_told_and_not_read(extracted: Extracted, tmp_path: Path) -> None:
    folder = tmp_path / "imagenet_resized" / "32x32" / "0.1.0"  # which has neither names nor a sorted order
    examples = [form.example({"image": [data], "label": [7]}) for data in list(extracted.data.values())[:20]]
    form.write_shards(folder, "imagenet_resized-train.tfrecord-{:05d}-of-{:05d}", examples, 2)
    for path in (tmp_path, folder):
        [found] = tfrecord.detect(path)
        assert (found.holds, found.dataset) == ((), "imagenet_resized")
        with pytest.raises(SourceError, match="2 TFRecord shards whose images have none of ImageNet's names"):
            imagenet_tools.build_index([path], tmp_path / "x.index", workers=1)


def test_other_files_are_not_claimed(sample: Path, tmp_path: Path) -> None:
    assert all(tfrecord.detect(path) == [] for path in sample.iterdir())
    form.write_shards(tmp_path, "train-{:05d}-of-{:05d}", [form.example({"image": [jpeg()], "label": [3]})], 1)
    assert tfrecord.detect(tmp_path) == []
    other = form.example({"image/encoded": [jpeg()], "image/filename": [b"COCO_val2014_000000000042.jpg"]})
    form.write_shards(tmp_path, "val-{:05d}-of-{:05d}", [other], 1)
    assert tfrecord.detect(tmp_path) == []
    (tmp_path / "empty").write_bytes(b"")
    assert tfrecord.detect(tmp_path / "empty") == []
