"""Hugging Face's Parquet shards: every image is read back by its row, and every contradiction is said."""

import shutil
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import imagenet_tools
from imagenet_tools.build.build import Report
from imagenet_tools.catalogue import labels
from imagenet_tools.errors import SourceError
from imagenet_tools.formats import hf_parquet
from imagenet_tools.index import Index
from tests.conftest import Extracted
from tests.forms import hf_parquet as form
from tests.read_back import read_all
from tests.scanned import Scanned


@pytest.fixture(scope="module")
def repository(extracted: Extracted, sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return form.write(tmp_path_factory.mktemp("hf") / "imagenet-1k", extracted.data, form.words(sample))


def build(path: Path, index: Path) -> tuple[Report, Index]:
    return imagenet_tools.build_index([path], index, workers=1), imagenet_tools.open_index(index)


def scan(path: Path) -> Scanned:
    return Scanned(hf_parquet, path)


def classes(extracted: Extracted, split: str) -> dict[str, str | None]:
    return {stem: form.wnid_of(stem) for stem in extracted.data if form.split_of(stem) == split}


def test_the_repository_is_named_with_its_evidence(repository: Path) -> None:
    [found] = hf_parquet.detect(repository)
    assert (found.form, found.dataset, found.splits) == ("hf_parquet", "ilsvrc2012", ("train", "val", "test"))
    assert "7 Parquet shards" in found.evidence
    assert "class numbers in sorted order of ilsvrc2012, from 0: 13 of 13 names agree" in found.evidence
    assert found.labels is not None
    assert (found.labels.space, found.labels.order, found.labels.base) == ("ilsvrc2012", "wnid", 0)
    assert found.missing == ""
    assert "costs the decoding of its row group, up to 0.1 MB here" in found.advice
    assert hf_parquet.detect(repository / "data") != []
    assert hf_parquet.detect(repository / "data" / "validation-00000-of-00002.parquet")[0].splits == ("val",)


def test_every_image_is_read_back_by_its_row(repository: Path, extracted: Extracted, tmp_path: Path) -> None:
    report, index = build(repository, tmp_path / "x.index")
    assert report.problems == {}
    assert report.sources[0].ignored == ()
    assert read_all(index) == extracted.data
    places = index.sql('SELECT DISTINCT compression, "offset" FROM images').fetchall()
    assert places == [("parquet", None)]


def test_shards_that_are_not_there_are_counted(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository, tmp_path / "part")
    for number in (1, 3):
        (tmp_path / "part" / "data" / f"train-{number:05d}-of-00004.parquet").unlink()
    [found] = hf_parquet.detect(tmp_path / "part")
    assert found.missing == "2 of 4 shards of train"


def test_the_hubs_own_conversion_is_read_too(extracted: Extracted, tmp_path: Path) -> None:
    for split, folder in (("train", "partial-train"), ("val", "validation"), ("test", "test")):
        rows = form.rows_of(extracted.data, split)
        form.write_rows(tmp_path / "default" / folder / "0000.parquet", rows[:3], None)
        form.write_rows(tmp_path / "default" / folder / "0001.parquet", rows[3:], None)
    scanned = scan(tmp_path)
    assert Counter(row["split"] for row in scanned.images.values()) == {"train": 130, "val": 52, "test": 5}
    assert scanned.problems == {}


def test_validation_images_in_shards_called_train_are_validation_images(extracted: Extracted, tmp_path: Path) -> None:
    form.write_rows(tmp_path / "data" / "train-00000-of-00001.parquet", form.rows_of(extracted.data, "val"), None)
    [found] = hf_parquet.detect(tmp_path)
    assert found.splits == ("val",)
    scanned = scan(tmp_path)
    assert {row["split"] for row in scanned.images.values()} == {"val"}
    assert scanned.problems == {}


def test_names_without_a_suffix_and_labels_from_one_are_understood(extracted: Extracted, tmp_path: Path) -> None:
    rows = form.rows_of(extracted.data, "train")
    for row in rows:
        row["image"]["path"] = "_".join(row["image"]["path"].split("_")[:2]) + ".JPEG"  # type: ignore[index]
        row["label"] += 1  # type: ignore[operator]
    form.write_rows(tmp_path / "train-00000-of-00001.parquet", rows, None)
    [found] = hf_parquet.detect(tmp_path)
    assert found.labels is not None
    assert found.labels.base == 1
    scanned = scan(tmp_path)
    assert scanned.problems == {}
    assert {image_id: row["wnid"] for image_id, row in scanned.images.items()} == classes(extracted, "train")


def test_a_list_of_wnids_in_the_metadata_tells_what_numbers_mean(extracted: Extracted, tmp_path: Path) -> None:
    rows = form.rows_of(extracted.data, "train")
    wnids = sorted({form.wnid_of(stem) or "" for stem in extracted.data} - {""}, reverse=True)
    for row in rows:
        row["label"] = wnids.index(labels.ilsvrc2012_sorted()[row["label"]])  # type: ignore[call-overload]
    rows[7]["label"] = (rows[7]["label"] + 1) % len(wnids)  # type: ignore[operator]
    form.write_rows(tmp_path / "train-00000-of-00001.parquet", rows, wnids)
    scanned = scan(tmp_path)
    assert scanned.problems == {"label_differs": 1}
    assert scanned.tables["problems"][0]["image_id"] == form.stem_of(rows[7])
    assert {image_id: row["wnid"] for image_id, row in scanned.images.items()} == classes(extracted, "train")


def test_a_label_that_contradicts_the_name_is_counted_and_one_of_a_validation_image_refused(
    extracted: Extracted, tmp_path: Path
) -> None:
    train, val = form.rows_of(extracted.data, "train"), form.rows_of(extracted.data, "val")
    train[5]["label"] = (train[5]["label"] + 1) % 1000  # type: ignore[operator]
    train[6]["label"] = 1000
    form.write_rows(tmp_path / "train" / "train-00000-of-00001.parquet", train, None)
    scanned = scan(tmp_path / "train")
    assert scanned.problems == {"label_differs": 1, "label_unread": 1}
    assert {image_id: row["wnid"] for image_id, row in scanned.images.items()} == classes(extracted, "train")
    val[9]["label"] = (val[9]["label"] + 1) % 1000  # type: ignore[operator]
    form.write_rows(tmp_path / "val" / "validation-00000-of-00001.parquet", val, None)
    with pytest.raises(SourceError, match=form.stem_of(val[9])):
        build(tmp_path / "val", tmp_path / "y.index")
    assert not (tmp_path / "y.index").exists()


def test_a_row_without_a_name_or_bytes_is_a_problem_and_no_other_row_suffers(
    extracted: Extracted, tmp_path: Path
) -> None:
    rows = form.rows_of(extracted.data, "train")
    rows[3]["image"] = None
    rows[4]["image"] = {"bytes": None, "path": "n01440764_1_n01440764.JPEG"}
    rows[5]["image"]["path"] = None  # type: ignore[index]
    rows[6]["image"]["path"] = "holiday.jpg"  # type: ignore[index]
    rows[7]["image"]["bytes"] = b"<html>"  # type: ignore[index]
    form.write_rows(tmp_path / "train-00000-of-00001.parquet", rows, None)
    scanned = scan(tmp_path)
    assert scanned.problems == {"no_name": 3, "no_image": 1, "not_an_image": 1}
    good = {form.stem_of(row) for row in [*rows[:3], *rows[8:]]}
    data = scanned.bytes()
    assert data.keys() == good | {form.stem_of(rows[7])}
    assert all(data[stem] == extracted.data[stem] for stem in good)


def test_a_shard_that_is_cut_or_damaged_is_said_and_the_others_are_read(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository, tmp_path / "hf")
    first, second = sorted((tmp_path / "hf" / "data").glob("train-*"))[:2]
    first.write_bytes(first.read_bytes()[:-100])
    data = bytearray(second.read_bytes())
    chunk = pq.ParquetFile(second).metadata.row_group(0).column(0)
    data[chunk.dictionary_page_offset] = 0xFF  # the header of the page of images
    second.write_bytes(data)
    scanned = scan(tmp_path / "hf")
    assert scanned.problems == {"parquet_damaged": 2}
    assert len(scanned.images) == 187 - 40 - 40
    assert {row["file"] for row in scanned.tables["problems"]} == {f"data/{first.name}", f"data/{second.name}"}
    for row in scanned.tables["problems"]:
        assert row["reason"].startswith(f"{row['file']}: found ")  # and no path of this machine, for an index moves
        assert str(tmp_path) not in row["reason"]


def test_of_a_damaged_row_group_nothing_is_indexed_and_of_the_others_all(extracted: Extracted, tmp_path: Path) -> None:
    path = tmp_path / "train-00000-of-00001.parquet"
    rows = form.rows_of(extracted.data, "train")
    form.write_rows(path, rows, None, row_group_size=50)
    data = bytearray(path.read_bytes())
    data[pq.ParquetFile(path).metadata.row_group(1).column(0).dictionary_page_offset] = 0xFF
    path.write_bytes(data)
    scanned = scan(path)
    assert [row["member"] for row in scanned.tables["problems"]] == ["row group 1"]
    expected = {form.stem_of(row) for row in rows[:50] + rows[100:]}
    assert scanned.bytes() == {stem: extracted.data[stem] for stem in expected}


@pytest.mark.parametrize("cut", [pytest.param(False, marks=pytest.mark.long), True])
def test_wherever_a_shard_is_damaged_the_scan_goes_on_and_names_the_file(
    cut: bool, extracted: Extracted, tmp_path: Path
) -> None:
    path = tmp_path / "train-00000-of-00001.parquet"
    form.write_rows(path, form.rows_of(extracted.data, "train")[:30], None, row_group_size=10, write_page_checksum=True)
    whole = path.read_bytes()
    undamaged = scan(path)
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    said = 0
    for place in [*range(4, footer, footer // 30), *range(footer, len(whole), 97 if cut else 7)]:
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        path.write_bytes(whole[:place] if cut else damaged)
        found = [(table, row) for table, batch in hf_parquet.scan(undamaged.units[0]) for row in batch.to_pylist()]
        images, problems = ([row for table, row in found if table == name] for name in ("images", "problems"))
        assert all(row["file"] == path.name for row in problems)
        if place < footer or cut:
            # Checksums cover pages; of their headers, some bytes say nothing that is needed.
            kept = [row for row in undamaged.tables["images"] if row["image_id"] in {one["image_id"] for one in images}]
            assert images == kept
            assert len(images) == (0 if cut else 20) or (images == undamaged.tables["images"] and not problems)
            said += [row["code"] for row in problems] == ["parquet_damaged"]
    assert said >= 25


def test_training_images_beside_validation_images_do_not_become_official(extracted: Extracted, tmp_path: Path) -> None:
    mixed = form.rows_of(extracted.data, "train")[:60] + form.rows_of(extracted.data, "val")
    for called in ("train", "validation", "all"):
        form.write_rows(tmp_path / called / "data" / f"{called}-00000-of-00001.parquet", mixed, None)
        scanned = scan(tmp_path / called)
        val = {image_id for image_id, row in scanned.images.items() if row["split"] == "val"}
        official = {stem for stem in scanned.images if "_val_" in stem}
        if called == "validation":  # a data set's own split of training images is its own
            assert val == set(scanned.images)
        else:
            assert val == official
            assert {row["split"] for image_id, row in scanned.images.items() if image_id not in official} == {"train"}
        assert scanned.problems == ({"split_differs": 52} if called == "train" else {})


def test_shards_that_are_not_shuffled_are_looked_at_here_and_there(extracted: Extracted, tmp_path: Path) -> None:
    rows = sorted(form.rows_of(extracted.data, "train"), key=form.stem_of)
    for number in range(13):
        form.write_rows(tmp_path / f"train-{number:05d}-of-00013.parquet", rows[number * 10 : number * 10 + 10], None)
    [found] = hf_parquet.detect(tmp_path)
    assert "class numbers in sorted order of ilsvrc2012, from 0: 13 of 13 names agree" in found.evidence
    assert found.readings == ()


def test_shards_called_imagenet_without_its_names_are_told_and_not_read(extracted: Extracted, tmp_path: Path) -> None:
    rows = form.rows_of(extracted.data, "train")
    for row in rows:
        row["image"]["path"] = None  # type: ignore[index]
    form.write_rows(tmp_path / "imagenet-1k-small" / "data" / "train-00000-of-00001.parquet", rows, None)
    for path in (tmp_path / "imagenet-1k-small", tmp_path / "imagenet-1k-small" / "data"):
        [found] = hf_parquet.detect(path)
        assert (found.holds, found.dataset) == ((), "imagenet-1k-small")
    with pytest.raises(SourceError, match=r"images have none of ImageNet's names; .*no box, no other release"):
        build(tmp_path / "imagenet-1k-small", tmp_path / "x.index")
    form.write_rows(tmp_path / "pets" / "data" / "train-00000-of-00001.parquet", rows, None)
    assert hf_parquet.detect(tmp_path / "pets") == []


_CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def _nameless(extracted: Extracted, path: Path, names: list[str], labels: list[int]) -> list[bytes]:
    """Write a shard whose images have no names, and return their bytes."""
    images = list(extracted.data.values())[: len(labels)]
    rows: list[dict[str, object]] = [
        {"image": {"bytes": image, "path": None}, "label": label} for image, label in zip(images, labels, strict=True)
    ]
    form.write_rows(path, rows, names)
    return images


def test_images_without_names_are_read_as_a_data_set_of_their_own_if_the_file_names_their_classes(
    extracted: Extracted, tmp_path: Path
) -> None:
    wnids = ["n01443537", "n01629819"]
    data = tmp_path / "tiny" / "data"
    train = _nameless(extracted, data / "train-00000-of-00001-1359597a978bc4fa.parquet", wnids, [0, 1, 1, 5, -1])
    _nameless(extracted, data / "valid-00000-of-00001-70d52db3c749a935.parquet", wnids, [1, 0])
    [found] = hf_parquet.detect(tmp_path / "tiny")
    assert (found.holds, found.dataset, found.splits) == (("images",), "tiny", ("train", "val"))
    assert "name by wnids, in order: n01443537 is goldfish.n.01, n01629819 is" in found.evidence
    for dataset in (None, "ilsvrc2012"):
        with pytest.raises(SourceError, match="Name it: --dataset NAME, such as --dataset tiny"):
            imagenet_tools.build_index([tmp_path / "tiny"], tmp_path / "x.index", workers=1, dataset=dataset)
    report = imagenet_tools.build_index([tmp_path / "tiny"], tmp_path / "x.index", workers=1, dataset="mine")
    index = imagenet_tools.open_index(tmp_path / "x.index")
    assert report.problems["no_class_name"] == 1
    rows = index.sql("SELECT image_id, photo, wnid FROM images WHERE split = 'train' ORDER BY position").fetchall()
    ids = [f"train-00000-of-00001-1359597a978bc4fa_{row}" for row in range(5)]
    assert rows == [
        (image_id, f"mine/{image_id}", wnid)
        for image_id, wnid in zip(ids, (wnids[0], wnids[1], wnids[1], None, None), strict=True)
    ]
    assert [index.image(image_id).read() for image_id in ids] == train


@pytest.mark.parametrize(
    ("names", "wnids"),
    [
        (
            ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
            {"n02691156", "n02958343"},
        ),  # CIFAR-10
        (["tench", "goldfish"], {"n01440764", "n01443537"}),  # one synset each
        (["tench", "crane"], set()),
        (["tench", "Tinca tinca"], set()),  # two names of one synset
        (["n01440764", "n99999999"], set()),
    ],
)
def test_names_of_classes_are_read_if_each_means_one_synset(
    names: list[str], wnids: set[str], extracted: Extracted, tmp_path: Path
) -> None:
    shard = tmp_path / "imagenet-like" / "default" / "train" / "0000.parquet"
    _nameless(extracted, shard, names, [0, 1])
    [found] = hf_parquet.detect(tmp_path / "imagenet-like")
    if not wnids:
        assert found.holds == ()
        assert f"classes {names[1] if names[1] != 'Tinca tinca' else 'tench, Tinca tinca'} mean" in found.evidence
        return
    imagenet_tools.build_index([tmp_path / "imagenet-like"], tmp_path / "x.index", workers=1, dataset="mine")
    index = imagenet_tools.open_index(tmp_path / "x.index")
    assert {wnid for (wnid,) in index.sql("SELECT wnid FROM images").fetchall()} == wnids
    assert index.sql("SELECT min(image_id) FROM images").fetchall() == [("train-0000_0",)]


def test_a_column_wnid_that_holds_words_is_not_that_of_an_export(extracted: Extracted, tmp_path: Path) -> None:
    data = min(extracted.data.values())
    rows = [
        {
            "image": {"bytes": data, "path": f"{stem}.JPEG"},
            "dataset": "mine",
            "image_id": stem,
            "photo": stem,
            "wnid": word,
        }
        for stem, word in [("n02123045_1", "tabby"), ("n02123045_2", "../x"), ("n02123045_3", "n02123045")]
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train-00000-of-00001.parquet")
    scanned = scan(tmp_path)
    assert {stem: row["wnid"] for stem, row in scanned.images.items()} == dict.fromkeys(
        ("n02123045_1", "n02123045_2", "n02123045_3"), "n02123045"
    )


def test_other_parquet_files_are_not_claimed(index: Index, tmp_path: Path) -> None:
    assert hf_parquet.detect(index.path) == []
    assert hf_parquet.detect(index.path / "images") == []
    rows = [{"image": {"bytes": b"x", "path": "dog.jpg"}, "label": 3}]
    form.write_rows(tmp_path / "data" / "train-00000-of-00001.parquet", rows, None)
    assert hf_parquet.detect(tmp_path) == []
    (tmp_path / "train-00000-of-00001.parquet").write_bytes(b"PAR1 and no more")
    assert hf_parquet.detect(tmp_path / "train-00000-of-00001.parquet") == []
    assert hf_parquet.detect(tmp_path / "nothing.parquet") == []


def test_what_a_shard_holds_besides_is_named(extracted: Extracted, tmp_path: Path) -> None:
    import pyarrow as pa

    rows = form.rows_of(extracted.data, "val")
    table = pa.Table.from_pylist(rows, form.schema(None)).append_column("objects", pa.array([[1]] * len(rows)))
    pq.write_table(table, tmp_path / "validation-00000-of-00001.parquet")
    [found] = hf_parquet.detect(tmp_path)
    assert found.evidence.endswith("columns that are not read: objects")


def test_a_unit_is_read_again_when_its_file_changes(repository: Path, extracted: Extracted, tmp_path: Path) -> None:
    shutil.copytree(repository, tmp_path / "hf")
    first, _ = build(tmp_path / "hf", tmp_path / "x.index")
    shard = next((tmp_path / "hf" / "data").glob("test-*"))
    form.write_rows(shard, form.rows_of(extracted.data, "test")[:2], None)
    again, index = build(tmp_path / "hf", tmp_path / "x.index")
    assert first.units["scanned"] == 7
    assert (again.units["scanned"], again.units["unchanged"]) == (1, 6)
    assert index.sql("SELECT count(*) FROM images WHERE split = 'test'").fetchall() == [(2,)]


# Of ImageNet-Hard: the names are OpenAI's, of which some are no lemmas.
HARD = [([0], ["tench"]), ([1, 13], ["goldfish", "snowbird"]), ([2], ["great white shark"]), ([20], ["water ouzel"])]


def test_lists_of_labels_are_a_label_set_and_a_single_label_is_the_class(extracted: Extracted, tmp_path: Path) -> None:
    images = [*extracted.data.values()][:4]
    rows = [(data, *labels) for data, labels in zip(images, HARD, strict=True)]
    shard = form.write_hard(tmp_path / "hub" / "data" / "validation-00000-of-00001-abcdef0123456789.parquet", rows)
    [found] = hf_parquet.detect(tmp_path / "hub")
    assert (found.dataset, found.holds, found.splits) == ("imagenet-hard", ("images", "labels"), ("test",))
    assert "5 of 5 names beside the numbers agree with the sorted order of ilsvrc2012" in found.evidence
    report, index = build(tmp_path / "hub", tmp_path / "x.index")
    wnids, ids = labels.ilsvrc2012_sorted(), [f"{shard.stem}_{n}" for n in range(4)]
    assert index.sql("SELECT image_id, wnid FROM images ORDER BY position").fetchall() == [
        (ids[0], wnids[0]), (ids[1], None), (ids[2], wnids[2]), (ids[3], wnids[20])
    ]  # fmt: skip
    assert index.sql("SELECT image_id, label_set, wnid FROM labels ORDER BY ALL").fetchall() == [
        (image_id, "imagenet-hard", wnids[n]) for image_id, (ns, _) in zip(ids, HARD, strict=True) for n in ns
    ]
    assert [index.image(image_id).read() for image_id in ids] == images and not report.problems
    form.write_hard(shard, rows, id=7)
    assert hf_parquet.detect(shard)[0].dataset == "imagenet-hard-4k"


def test_lists_of_labels_whose_names_contradict_are_not_read(extracted: Extracted, tmp_path: Path) -> None:
    images = [*extracted.data.values()][:4]
    rows = [(data, [n + 1 for n in ns], names) for data, (ns, names) in zip(images, HARD, strict=True)]
    form.write_hard(tmp_path / "data" / "validation-00000-of-00001.parquet", rows)
    with pytest.raises(SourceError, match=r"0 of 5 names .*; expected more than half of them"):
        build(tmp_path / "data", tmp_path / "x.index")


def test_a_damaged_shard_of_lists_leaves_the_others_to_decide(extracted: Extracted, tmp_path: Path) -> None:
    images = [*extracted.data.values()][:4]
    rows = [(data, *labels) for data, labels in zip(images, HARD, strict=True)]
    for number in range(2):
        shard = form.write_hard(tmp_path / "data" / f"validation-{number:05d}-of-00003.parquet", rows)
        if number == 0:
            shard.write_bytes(shard.read_bytes()[:-20])
    form.write_rows(tmp_path / "data" / "validation-00002-of-00003.parquet", form.rows_of(extracted.data, "val"), None)
    report, index = build(tmp_path / "data", tmp_path / "x.index")
    assert dict(report.problems) == {"parquet_damaged": 2}
    assert index.sql("SELECT count(*), count(DISTINCT file) FROM images").fetchall() == [(4, 1)]


def test_a_row_without_a_label_and_one_of_no_class_are_problems(extracted: Extracted, tmp_path: Path) -> None:
    images = [*extracted.data.values()][:4]
    rows = [(data, *labels) for data, labels in zip(images, [*HARD[:2], ([], []), ([1000, 3], [])], strict=True)]
    form.write_hard(tmp_path / "data" / "validation-00000-of-00001.parquet", rows)
    report, index = build(tmp_path / "data", tmp_path / "x.index")
    assert dict(report.problems) == {"no_class_name": 2}
    assert index.sql("SELECT count(*), count(wnid) FROM images").fetchall() == [(4, 1)]
