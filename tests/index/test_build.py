"""Building an index: every form of the same images gives the same rows, and nothing is lost on the way."""

import gzip
import json
import os
import shutil
import tarfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import imagenet_tools
from imagenet_tools import system
from imagenet_tools.build import parts as build_parts
from imagenet_tools.build.build import Report
from imagenet_tools.build.unit_work import Task, UnitResult, work
from imagenet_tools.catalogue import labels
from imagenet_tools.errors import ExistsError, SourceError, UsageError
from imagenet_tools.index import Index
from imagenet_tools.storage.files import lock
from tests.conftest import OFFICIAL, Extracted
from tests.network_disk import keep_open_files
from tests.parameters import short_list
from tests.read_back import images_of, read_all

FACTS = "image_id, photo, wnid, split, length, width, height, mode, encoding, orientation, hash32, problem"


def build(paths: Iterable[Path], index: Path, **options: object) -> Report:
    return imagenet_tools.build_index(paths, index, workers=1, **options)  # type: ignore[arg-type]


def facts(path: Path, where: str = "true") -> list[tuple[object, ...]]:
    return imagenet_tools.open_index(path).sql(f"SELECT {FACTS} FROM images WHERE {where} ORDER BY ALL").fetchall()


def assert_read_back(path: Path, extracted: Extracted) -> None:
    """Every image of an index has the bytes of its file."""
    for image_id, data in read_all(imagenet_tools.open_index(path)).items():
        assert data == extracted.data[image_id]


def tables(path: Path) -> dict[str, list[str]]:
    """The digests of all tables but sources, whose values are the machine's."""
    found = json.loads((path / "manifest.json").read_text())["tables"]
    return {table: [entry["sha256"] for entry in entries] for table, entries in found.items() if table != "sources"}


# ---- forms


def _tree(extracted: Extracted, home: Path) -> list[Path]:
    return [extracted.train.parent]


def _bare(extracted: Extracted, home: Path) -> list[Path]:
    shutil.copytree(extracted.train, home / "pictures")
    return [home / "pictures"]


def _loose(extracted: Extracted, home: Path) -> list[Path]:
    (home / "loose").mkdir()
    for path in extracted.train.glob("*/*"):
        shutil.copy(path, home / "loose")
    return [home / "loose"]


def _class_tars(extracted: Extracted, home: Path) -> list[Path]:
    return [extracted.class_tars]


def _lone_class_tars(extracted: Extracted, home: Path) -> list[Path]:
    return sorted(extracted.class_tars.iterdir())


def _gnu_tar_of_tars(extracted: Extracted, home: Path) -> list[Path]:
    path = home / "renamed.bin"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as outer:
        for inner in sorted(extracted.class_tars.iterdir()):
            outer.add(inner, arcname=f"./some/folder/{inner.name}")
    return [path]


Form = Callable[[Extracted, Path], list[Path]]


@pytest.mark.parametrize(
    "form",
    short_list([_tree, _bare, _loose, _class_tars, _lone_class_tars, _gnu_tar_of_tars], _gnu_tar_of_tars),
)
def test_every_form_of_the_training_images_gives_the_same_rows(
    form: Form, extracted: Extracted, index: Index, tmp_path: Path
) -> None:
    report = build(form(extracted, tmp_path), tmp_path / "x.index")
    assert facts(tmp_path / "x.index") == facts(index.path, "split = 'train'")
    assert_read_back(tmp_path / "x.index", extracted)
    assert len(facts(tmp_path / "x.index")) == 130
    assert report.problems == {}


def test_a_flat_folder_of_validation_images_gives_the_rows_of_the_tar(
    extracted: Extracted, index: Index, tmp_path: Path
) -> None:
    build([extracted.val], tmp_path / "x.index")
    assert facts(tmp_path / "x.index") == facts(index.path, "split = 'val'")
    assert_read_back(tmp_path / "x.index", extracted)


def test_val_and_test_are_found_in_the_folder_around_them(extracted: Extracted, tmp_path: Path) -> None:
    build([extracted.val.parent], tmp_path / "x.index")
    counts = imagenet_tools.open_index(tmp_path / "x.index").sql(
        "SELECT split, count(*), count(wnid) FROM images GROUP BY split ORDER BY split"
    )
    assert counts.fetchall() == [("test", 5, 0), ("val", 52, 52)]
    assert_read_back(tmp_path / "x.index", extracted)


def test_a_folder_of_archives_is_read_archive_by_archive(sample: Path, index: Index, tmp_path: Path) -> None:
    shutil.copytree(sample, tmp_path / "imagenet")
    (tmp_path / "imagenet" / "notes.txt").write_text("ours")
    (tmp_path / "imagenet" / "bbox").mkdir()
    (tmp_path / "imagenet" / "ILSVRC2012_bbox_val_v3.tgz").rename(tmp_path / "imagenet" / "bbox" / "val.tgz")
    report = build([tmp_path / "imagenet"], tmp_path / "x.index")
    assert facts(tmp_path / "x.index", "split <> 'test'") == facts(index.path)
    assert report.sources[0].ignored == ("bbox/", "notes.txt")


@pytest.mark.parametrize(
    "name", ["ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_img_test_v10102019.tar"]
)
def test_every_image_is_read_back_from_its_tar_byte_for_byte(
    name: str, sample: Path, extracted: Extracted, tmp_path: Path
) -> None:
    build([sample / name], tmp_path / "x.index")
    index = imagenet_tools.open_index(tmp_path / "x.index")
    ids = [image_id for (image_id,) in index.sql("SELECT image_id FROM images").fetchall()]
    assert ids
    for image_id in ids:
        assert index.image(image_id).read() == extracted.data[image_id]


def test_sizes_modes_and_orientations_are_pillows(index: Index, extracted: Extracted) -> None:
    rows = index.sql("SELECT image_id, width, height, mode, encoding, orientation FROM images").fetchall()
    images = images_of(index)
    for image_id, *found in rows:
        with images[image_id].pil() as image:
            assert isinstance(image, Image.Image)
            encoding = (image.format or "").lower()
            assert found == [*image.size, image.mode, encoding, image.getexif().get(0x0112)], image_id
    assert {mode for _, _, _, mode, _, _ in rows} == {"RGB", "L", "CMYK"}


# ---- the index as files


@pytest.mark.parametrize("workers", short_list([2, 7], 7))
def test_the_number_of_workers_changes_no_byte(workers: int, sample: Path, index: Index, tmp_path: Path) -> None:
    paths = [sample / name for name in OFFICIAL]
    imagenet_tools.build_index(paths, tmp_path / "x.index", workers=workers)
    assert tables(tmp_path / "x.index") == tables(index.path)


def slow_work(task: Task) -> UnitResult:
    """Work as on a slow disk, and leave the number of the thread in the folder `readers` beside the index."""
    time.sleep(0.2)
    (task.parts.parents[1] / "readers" / f"{os.getpid()}-{threading.get_native_id()}").touch()
    return work(task)


@pytest.mark.parametrize("workers", short_list([None, 2], None))
def test_a_slow_disk_is_read_by_more_threads_than_cores_unless_their_number_is_given(
    workers: int | None, sample: Path, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers, cores = tmp_path / "readers", system.cores()
    readers.mkdir()
    monkeypatch.setattr("imagenet_tools.build.build.work", slow_work)
    # Otherwise the driver works on small units while the workers start, on a busy machine on nearly all.
    monkeypatch.setattr("imagenet_tools.build.build._is_small", lambda unit: False)
    units = imagenet_tools.build_index(
        [sample / name for name in OFFICIAL], tmp_path / "x.index", workers=workers
    ).units
    found = len(list(readers.iterdir()))
    assert found == workers if workers else found > min(cores, units["scanned"] / 2)
    assert tables(tmp_path / "x.index") == tables(index.path)


def test_sources_elsewhere_and_later_change_no_byte(sample: Path, index: Index, tmp_path: Path) -> None:
    for name in OFFICIAL:
        shutil.copy(sample / name, tmp_path)
        os.utime(tmp_path / name, (1, 1))
    build([tmp_path / name for name in reversed(OFFICIAL)], tmp_path / "x.index")
    assert tables(tmp_path / "x.index") == tables(index.path)


def test_any_tool_reads_the_tables(index: Index) -> None:
    import pandas as pd

    rows = pd.concat(pd.read_parquet(path) for path in sorted((index.path / "images").iterdir()))
    assert len(rows) == 182
    assert set(rows["wnid"]) == {wnid for (wnid,) in index.sql("SELECT DISTINCT wnid FROM images").fetchall()}


def test_the_manifest_names_every_file_and_no_other(index: Index) -> None:
    named = json.loads((index.path / "manifest.json").read_text())["tables"]
    listed = {entry["file"] for entries in named.values() for entry in entries}
    there = {path.relative_to(index.path).as_posix() for path in index.path.rglob("*") if path.is_file()}
    assert there == listed | {"manifest.json"}


def test_reading_writes_nothing(index: Index, tmp_path: Path) -> None:
    def state() -> list[tuple[str, int, int]]:
        found = [index.path, *sorted(index.path.rglob("*"))]
        return [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in found]

    before = state()
    opened = imagenet_tools.open_index(index.path)
    opened.sql("SELECT count(*) FROM images JOIN boxes USING (image_id)").fetchall()
    opened.select(under="dog").counts()
    assert state() == before


def test_an_index_and_its_sources_can_be_moved(sample: Path, extracted: Extracted, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    shutil.copy(sample / "ILSVRC2012_img_val.tar", tmp_path / "old")
    build([tmp_path / "old" / "ILSVRC2012_img_val.tar"], tmp_path / "x.index")
    (tmp_path / "old").rename(tmp_path / "new")
    (tmp_path / "x.index").rename(tmp_path / "y.index")
    index = imagenet_tools.open_index(tmp_path / "y.index", roots={"ILSVRC2012_img_val.tar": tmp_path / "new"})
    assert index.image("ILSVRC2012_val_00000020").read() == extracted.data["ILSVRC2012_val_00000020"]
    gone = imagenet_tools.open_index(tmp_path / "y.index")
    with pytest.raises(SourceError, match="--root"):
        gone.image("ILSVRC2012_val_00000020").read()
    with pytest.raises(UsageError, match="No source is called"):
        imagenet_tools.open_index(tmp_path / "y.index", roots={"elsewhere": tmp_path})


# ---- again, and more


def test_a_second_build_adds_and_the_result_is_that_of_one(sample: Path, index: Index, tmp_path: Path) -> None:
    for name in OFFICIAL:
        build([sample / name], tmp_path / "x.index")
    assert tables(tmp_path / "x.index") == tables(index.path)


def test_what_has_not_changed_is_not_read_again(sample: Path, tmp_path: Path) -> None:
    paths = [sample / name for name in OFFICIAL]
    first = build(paths, tmp_path / "x.index")
    before = tables(tmp_path / "x.index")
    again = build(paths, tmp_path / "x.index")
    assert first.units == {"scanned": 18, "resumed": 0, "unchanged": 0, "removed": 0}
    assert again.units == {"scanned": 0, "resumed": 0, "unchanged": 18, "removed": 0}
    assert tables(tmp_path / "x.index") == before


def test_adding_a_class_rewrites_the_file_it_lies_in_alone(extracted: Extracted, tmp_path: Path) -> None:
    shutil.copytree(extracted.train, tmp_path / "train")
    shutil.rmtree(tmp_path / "train" / "n04355933")
    build([tmp_path / "train"], tmp_path / "x.index")
    before = tables(tmp_path / "x.index")["images"]
    shutil.copytree(extracted.train / "n04355933", tmp_path / "train" / "n04355933")
    report = build([tmp_path / "train"], tmp_path / "x.index")
    after = tables(tmp_path / "x.index")["images"]
    assert report.units == {"scanned": 1, "resumed": 0, "unchanged": 12, "removed": 0}
    assert len(before) == 4
    assert len(set(after) - set(before)) == 1


def test_a_changed_a_new_and_a_removed_image_are_seen(extracted: Extracted, tmp_path: Path) -> None:
    shutil.copytree(extracted.train, tmp_path / "train")
    build([tmp_path / "train"], tmp_path / "x.index")
    folder = tmp_path / "train" / "n02123045"
    changed, removed = sorted(folder.iterdir())[:2]
    data = changed.read_bytes()
    changed.write_bytes(data + b"\0")
    removed.unlink()
    (folder / "n02123045_999999.JPEG").write_bytes(data)
    report = build([tmp_path / "train"], tmp_path / "x.index")
    rows = dict(
        imagenet_tools.open_index(tmp_path / "x.index")
        .sql("SELECT image_id, length FROM images WHERE wnid = 'n02123045'")
        .fetchall()
    )
    assert report.units["scanned"] == 1
    assert len(rows) == 10
    assert rows[changed.stem] == len(data) + 1
    assert rows["n02123045_999999"] == len(data)
    assert removed.stem not in rows
    shutil.rmtree(folder)
    assert build([tmp_path / "train"], tmp_path / "x.index").units["removed"] == 1
    assert len(facts(tmp_path / "x.index")) == 120


def done(result: object) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(result)
    return future


class StoppingExecutor(Executor):
    """Does the work in this process, and is interrupted after a number of units."""

    def __init__(self, after: int):
        self._after = after

    def submit(self, fn, /, *arguments: object) -> Future[Any]:  # type: ignore[no-untyped-def,override]
        if self._after == 0:
            raise KeyboardInterrupt
        self._after -= 1
        return done(fn(*arguments))


def test_an_interrupted_build_goes_on_and_gives_the_same_bytes(sample: Path, index: Index, tmp_path: Path) -> None:
    paths = [sample / name for name in OFFICIAL]
    with pytest.raises(KeyboardInterrupt):
        imagenet_tools.build_index(paths, tmp_path / "x.index", executor=StoppingExecutor(5))
    assert not (tmp_path / "x.index").exists()
    parts = sorted((tmp_path / "x.index.partial" / "parts").iterdir())
    parts[0].write_bytes(parts[0].read_bytes()[:-20])  # a part that a power cut left half
    parts[1].write_bytes(bytes(parts[1].stat().st_size))  # and one of which it left the size alone
    report = build(paths, tmp_path / "x.index")
    assert report.units == {"scanned": 15, "resumed": 3, "unchanged": 0, "removed": 0}
    assert tables(tmp_path / "x.index") == tables(index.path)
    assert not (tmp_path / "x.index.partial").exists()


def test_a_merge_of_other_sources_that_was_interrupted_leaves_no_file(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("imagenet_tools.store.layout.write_manifest", interrupt)
        build([sample / "ILSVRC2012_img_train.tar"], tmp_path / "x.index")
    build([sample / "ILSVRC2012_img_val.tar"], tmp_path / "x.index")
    test_the_manifest_names_every_file_and_no_other(imagenet_tools.open_index(tmp_path / "x.index"))


def test_parts_of_another_version_are_not_taken_over(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [sample / name for name in OFFICIAL]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(build_parts, "__version__", "0.0.1")
        imagenet_tools.build_index(paths, tmp_path / "x.index", executor=StoppingExecutor(5))
    assert build(paths, tmp_path / "x.index").units["scanned"] == 18


class OrderedExecutor(Executor):
    """Does all at once, and keeps the form of each unit in the order in which they came."""

    def __init__(self) -> None:
        self.forms: list[str] = []

    def submit(self, fn, /, task: Task) -> Future[Any]:  # type: ignore[no-untyped-def,override]
        self.forms.append(task.unit.form)
        return done(fn(task))


def test_annotations_are_begun_before_images_and_change_no_order(sample: Path, index: Index, tmp_path: Path) -> None:
    executor = OrderedExecutor()
    build([sample / name for name in OFFICIAL], tmp_path / "x.index", executor=executor)
    assert executor.forms == ["devkit", "box_xml", "box_xml", *["image_tars"] * 15]
    assert tables(tmp_path / "x.index") == tables(index.path)


def test_a_second_builder_is_told_of_the_first(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "x.index.partial").mkdir()
    with lock(tmp_path / "x.index.partial" / "lock"), pytest.raises(ExistsError, match=f"process {os.getpid()}"):
        build([sample / "ILSVRC2012_img_val.tar"], tmp_path / "x.index")


def test_a_second_builder_is_told_of_the_first_that_calls_the_index_by_a_link(sample: Path, tmp_path: Path) -> None:
    build([sample / "ILSVRC2012_img_val.tar"], tmp_path / "x.index")
    (tmp_path / "home").mkdir()
    link = tmp_path / "home" / "link.index"
    link.symlink_to(tmp_path / "x.index")
    (tmp_path / "x.index.partial").mkdir()
    with lock(tmp_path / "x.index.partial" / "lock"), pytest.raises(ExistsError, match=f"process {os.getpid()}"):
        build([sample / "ILSVRC2012_img_val.tar"], link)
    build([sample / "ILSVRC2012_img_train.tar"], link)
    assert imagenet_tools.open_index(tmp_path / "x.index").n_images == 182
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "x.index"]


def test_an_index_on_a_network_disk_leaves_nothing_beside_it(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_open_files(monkeypatch)
    build([sample / "ILSVRC2012_img_val.tar"], tmp_path / "x.index")
    assert [path.name for path in tmp_path.iterdir()] == ["x.index"]


def test_fresh_forgets_what_the_index_held(sample: Path, tmp_path: Path) -> None:
    build([sample / "ILSVRC2012_img_train.tar"], tmp_path / "x.index")
    build([sample / "ILSVRC2012_img_val.tar"], tmp_path / "x.index", fresh=True)
    assert imagenet_tools.open_index(tmp_path / "x.index").sql("SELECT DISTINCT split FROM images").fetchall() == [
        ("val",)
    ]


def test_an_image_in_two_sources_is_one_image_with_a_copy(sample: Path, extracted: Extracted, tmp_path: Path) -> None:
    build([sample / "ILSVRC2012_img_train.tar", extracted.train], tmp_path / "x.index")
    index = imagenet_tools.open_index(tmp_path / "x.index")
    assert index.sql("SELECT count(*), count(DISTINCT image_id) FROM images").fetchall() == [(130, 130)]
    copies = index.sql("SELECT DISTINCT source FROM copies").fetchall()
    assert copies == [("train",)]


# ---- what is wrong is said


def test_a_path_that_is_nothing_known_is_refused_with_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    for path, found in ((tmp_path / "notes.txt", "5 bytes"), (tmp_path / "empty", "an empty folder")):
        with pytest.raises(
            SourceError, match=f"not recognised: it is .*{found}.*\nExpected class folders called by wnids"
        ):
            build([path], tmp_path / "x.index")
    with pytest.raises(SourceError, match="does not exist"):
        build([tmp_path / "nowhere"], tmp_path / "x.index")
    assert not (tmp_path / "x.index").exists()


@pytest.mark.parametrize("cut", short_list([20_000, 54_321, -600], 54_321))
def test_a_tar_that_is_cut_short_keeps_its_whole_images_and_says_so(cut: int, sample: Path, tmp_path: Path) -> None:
    data = (sample / "ILSVRC2012_img_val.tar").read_bytes()
    end = cut if cut > 0 else len(data.rstrip(b"\0")) + cut
    (tmp_path / "val.tar").write_bytes(data[:end])
    report = build([tmp_path / "val.tar"], tmp_path / "x.index")
    with tarfile.open(sample / "ILSVRC2012_img_val.tar") as members:
        whole = sum(member.offset_data + member.size <= end for member in members)
    assert report.rows.get("images", 0) == whole
    assert sum(report.problems.values()) == 1
    rows = imagenet_tools.open_index(tmp_path / "x.index").sql("SELECT file, reason FROM problems").fetchall()
    assert [file for file, _ in rows] == ["val.tar"]
    assert "expected" in rows[0][1]


def test_a_tar_that_is_cut_inside_its_first_image_is_refused_as_cut(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "val.tar").write_bytes((sample / "ILSVRC2012_img_val.tar").read_bytes()[:700])
    with pytest.raises(SourceError, match=r"a tar that is broken: .*expected"):
        build([tmp_path / "val.tar"], tmp_path / "x.index")


def test_a_cut_inside_a_class_tar_costs_no_other_class(sample: Path, tmp_path: Path) -> None:
    data = bytearray((sample / "ILSVRC2012_img_train.tar").read_bytes())
    with tarfile.open(sample / "ILSVRC2012_img_train.tar") as outer:
        member = outer.getmembers()[3]
    data[member.offset_data + 100] ^= 0xFF  # the first header of that class tar
    (tmp_path / "train.tar").write_bytes(data)
    report = build([tmp_path / "train.tar"], tmp_path / "x.index")
    assert report.rows["images"] == 120
    assert sum(report.problems.values()) == 1


def test_a_validation_image_in_a_training_folder_stays_validation(extracted: Extracted, tmp_path: Path) -> None:
    shutil.copytree(extracted.train, tmp_path / "train")
    stem = "ILSVRC2012_val_00000020"
    wnid = labels.validation_wnid(stem)
    shutil.copy(extracted.val / f"{stem}.JPEG", tmp_path / "train" / wnid)
    report = build([tmp_path], tmp_path / "x.index")
    assert report.problems == {"split_differs": 1}
    index = imagenet_tools.open_index(tmp_path / "x.index")
    assert index.sql(f"SELECT split, wnid FROM images WHERE image_id = '{stem}'").fetchall() == [("val", wnid)]


@pytest.mark.parametrize(
    "name", ["ILSVRC2012_val_00000020 (1)", "ilsvrc2012_val_00000020", "n02123045_ILSVRC2012_val_00000020"]
)
def test_a_copy_of_a_validation_image_in_a_training_folder_is_of_no_training_split(
    name: str, extracted: Extracted, tmp_path: Path
) -> None:
    shutil.copytree(extracted.train, tmp_path / "train")
    shutil.copy(extracted.val / "ILSVRC2012_val_00000020.JPEG", tmp_path / "train" / "n02123045" / f"{name}.JPEG")
    report = build([tmp_path], tmp_path / "x.index")
    assert report.problems == {"other_name": 1, "split_differs": 1}
    index = imagenet_tools.open_index(tmp_path / "x.index")
    assert index.sql("SELECT image_id, wnid FROM images WHERE split <> 'train'").fetchall() == [(name, "n02123045")]


def test_a_validation_image_in_the_folder_of_another_class_is_an_error_that_names_it(
    extracted: Extracted, tmp_path: Path
) -> None:
    folder = tmp_path / "val" / "n04355933"
    folder.mkdir(parents=True)
    shutil.copy(extracted.val / "ILSVRC2012_val_00000020.JPEG", folder)
    with pytest.raises(SourceError, match=r"are in a folder of another class.*: 1\. .*\n.*ILSVRC2012_val_00000020"):
        build([tmp_path / "val"], tmp_path / "x.index")
    assert not (tmp_path / "x.index").exists()


def test_a_devkit_that_contradicts_the_official_labels_is_an_error_that_names_the_images(
    sample: Path, tmp_path: Path
) -> None:
    with tarfile.open(sample / "ILSVRC2012_devkit_t12.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    truth = next(tmp_path.rglob("*validation_ground_truth.txt"))
    lines = truth.read_text().split("\n")
    lines[19] = "1" if lines[19] != "1" else "2"
    truth.write_text("\n".join(lines))
    with pytest.raises(SourceError, match=r"have another label.*: 1\. .*\n.*ILSVRC2012_val_00000020"):
        build([sample / "ILSVRC2012_img_val.tar", tmp_path / "ILSVRC2012_devkit_t12"], tmp_path / "x.index")


def test_a_validation_box_of_another_class_is_an_error_that_names_the_image(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    text = (
        "<annotation><filename>ILSVRC2012_val_00000020</filename><size><width>9</width><height>9</height></size><object>"
        "<name>n04355933</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></object>"
        "</annotation>"
    )
    (tmp_path / "val" / "ILSVRC2012_val_00000020.xml").write_text(text)
    with pytest.raises(SourceError, match=r"have a box of another class.*: 1\. .*\n.*ILSVRC2012_val_00000020"):
        build([sample / "ILSVRC2012_img_val.tar", tmp_path / "val"], tmp_path / "x.index")


def test_one_data_set_cannot_hold_an_image_in_two_splits(extracted: Extracted, tmp_path: Path) -> None:
    first = next(iter(sorted((extracted.train / "n02123045").iterdir())))
    (tmp_path / "mine" / "val" / "n02123045").mkdir(parents=True)
    shutil.copy(first, tmp_path / "mine" / "val" / "n02123045")
    with pytest.raises(SourceError, match=f"two classes or two splits.*\n.*{first.stem}"):
        build([extracted.train, tmp_path / "mine"], tmp_path / "x.index")
    build([extracted.train], tmp_path / "x.index")
    build([tmp_path / "mine"], tmp_path / "x.index", dataset="mine")
    rows = imagenet_tools.open_index(tmp_path / "x.index").sql(
        f"SELECT dataset, split, photo FROM images WHERE image_id = '{first.stem}' ORDER BY ALL"
    )
    assert rows.fetchall() == [("ilsvrc2012", "train", first.stem), ("mine", "val", first.stem)]


def test_images_without_labels_are_counted(extracted: Extracted, tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    data = next(iter(extracted.data.values()))
    for number in (1, 2):
        (tmp_path / "val" / f"ILSVRC2010_val_{number:08d}.JPEG").write_bytes(data)
    report = build([tmp_path / "val"], tmp_path / "x.index")
    assert report.problems == {"no_label": 1}
    rows = imagenet_tools.open_index(tmp_path / "x.index").sql("SELECT dataset, reason FROM problems").fetchall()
    assert rows[0][0] == "ilsvrc2010"
    assert rows[0][1].startswith("2 images of split val have no label")


def test_names_that_repeat_in_every_folder_become_paths(extracted: Extracted, tmp_path: Path) -> None:
    data = next(iter(extracted.data.values()))
    for wnid in ("n02123045", "n01531178"):
        (tmp_path / "r" / wnid).mkdir(parents=True)
        (tmp_path / "r" / wnid / "art_0.jpg").write_bytes(data)
    (tmp_path / "r" / "n02123045" / "art_1.jpg").write_bytes(data)
    build([tmp_path / "r"], tmp_path / "x.index", dataset="renditions")
    index = imagenet_tools.open_index(tmp_path / "x.index")
    rows = index.sql("SELECT image_id, photo, hash32 FROM images ORDER BY image_id").fetchall()
    assert [image_id for image_id, _, _ in rows] == ["n01531178/art_0", "n02123045/art_0", "n02123045/art_1"]
    from imagenet_tools.wordnet.wnid import hash32

    assert [(photo, drawn) for _, photo, drawn in rows] == [
        (f"renditions/{image_id}", hash32(f"renditions/{image_id}")) for image_id, _, _ in rows
    ]
    (tmp_path / "r" / "n01531178" / "art_0.jpg").unlink()
    build([tmp_path / "r"], tmp_path / "x.index", dataset="renditions")
    index = imagenet_tools.open_index(tmp_path / "x.index")
    assert index.sql("SELECT image_id FROM images ORDER BY 1").fetchall() == [("art_0",), ("art_1",)]


def test_bytes_that_are_no_image_are_a_row_with_a_problem(extracted: Extracted, tmp_path: Path) -> None:
    folder = tmp_path / "n02123045"
    folder.mkdir()
    (folder / "n02123045_1.JPEG").write_bytes(b"<html>not found</html>")
    (folder / "n02123045_2.JPEG").write_bytes(b"")
    (folder / "n02123045_3.JPEG").write_bytes(next(iter(extracted.data.values())))
    (folder / "readme.txt").write_text("stray")
    (folder / "._n02123045_3.JPEG").write_bytes(b"\0\5\x16\7")
    report = build([tmp_path], tmp_path / "x.index")
    rows = imagenet_tools.open_index(tmp_path / "x.index").sql("SELECT image_id, problem FROM images ORDER BY 1")
    assert rows.fetchall() == [("n02123045_1", "not_an_image"), ("n02123045_2", "empty"), ("n02123045_3", None)]
    assert report.problems == {"stray_file": 2, "empty": 1, "not_an_image": 1}


def test_names_that_are_no_text_and_files_that_are_no_files_are_counted(extracted: Extracted, tmp_path: Path) -> None:
    folder = tmp_path / "n02123045"
    folder.mkdir()
    data = next(iter(extracted.data.values()))
    (folder / "n02123045_1.JPEG").write_bytes(data)
    (Path(os.fsdecode(os.fsencode(folder) + b"/n02123045_\xff.JPEG"))).write_bytes(data)
    os.mkfifo(folder / "n02123045_2.JPEG")
    (folder / "n02123045_3.JPEG").symlink_to("nowhere")
    with tarfile.open(tmp_path / "n01531178.tar", "w") as archive:
        archive.add(folder / "n02123045_1.JPEG", "n01531178_1.JPEG")
        archive.add(folder / "n02123045_1.JPEG", os.fsdecode(b"n01531178_\xff.JPEG"))
    report = build([tmp_path], tmp_path / "x.index")
    # In a tar the bytes are found by their place, whatever the name; in a folder, by a name that no table can hold.
    assert report.problems == {"name_not_utf8": 1, "unreadable_file": 2, "other_name": 1}
    assert report.rows["images"] == 3
    # The folder is looked at again, for what could not be read may be there the next time; the tar is not.
    assert build([tmp_path], tmp_path / "x.index").units["scanned"] == 1


def test_class_folders_of_annotations_are_not_taken_for_images(sample: Path, tmp_path: Path) -> None:
    with tarfile.open(sample / "ILSVRC2012_bbox_train_v2.tar.gz") as archive:
        archive.extractall(tmp_path / "Annotation", filter="data")
    report = build([tmp_path / "Annotation"], tmp_path / "x.index")
    assert report.sources[0].forms == ("box_xml",)
    assert "stray_file" not in report.problems


def test_an_image_wrapped_in_gzip_is_read_as_the_image_inside(extracted: Extracted, tmp_path: Path) -> None:
    data = extracted.data["ILSVRC2012_val_00000020"]
    (tmp_path / "n02123045").mkdir()
    (tmp_path / "n02123045" / "n02123045_1.JPEG").write_bytes(gzip.compress(data))
    (tmp_path / "n02123045" / "n02123045_2.JPEG").write_bytes(gzip.compress(data)[:-9])
    with tarfile.open(tmp_path / "n01531178.tar", "w") as archive:
        archive.add(tmp_path / "n02123045" / "n02123045_1.JPEG", "n01531178_1.JPEG")
    build([tmp_path], tmp_path / "x.index")
    index = imagenet_tools.open_index(tmp_path / "x.index")
    rows = index.sql("SELECT image_id, compression, width > 0, problem FROM images ORDER BY ALL").fetchall()
    assert rows == [
        ("n01531178_1", "gzip", True, None),
        ("n02123045_1", "gzip", True, None),
        ("n02123045_2", None, None, "gzipped"),
    ]
    assert index.image("n01531178_1").read() == index.image("n02123045_1").read() == data


# ---- boxes at the merge


def test_boxes_given_twice_are_counted_once(sample: Path, tmp_path: Path) -> None:
    names = ("ILSVRC2012_img_val.tar", "ILSVRC2012_bbox_val_v3.tgz", "LOC_val_solution.csv")
    report = build([sample / name for name in names], tmp_path / "x.index")
    index = imagenet_tools.open_index(tmp_path / "x.index")
    assert report.rows["boxes"] == 59
    assert index.sql("SELECT DISTINCT source FROM boxes").fetchall() == [("ILSVRC2012_bbox_val_v3.tgz",)]
    assert index.sql("SELECT reason, count(*) FROM unused_boxes GROUP BY ALL").fetchall() == [("repeated", 59)]
    assert index.sql("SELECT sum(n_boxes) FROM images").fetchall() == [(59,)]


def test_boxes_wait_for_their_images(sample: Path, index: Index, tmp_path: Path) -> None:
    early = build([sample / "ILSVRC2012_bbox_val_v3.tgz"], tmp_path / "x.index")
    assert (early.rows.get("boxes", 0), early.rows["unused_boxes"]) == (0, 59)
    late = build([sample / "ILSVRC2012_img_val.tar"], tmp_path / "x.index")
    assert (late.rows["boxes"], late.rows.get("unused_boxes", 0)) == (59, 0)
    query = "SELECT * EXCLUDE (unit) FROM boxes WHERE image_id LIKE 'ILSVRC%' ORDER BY ALL"
    assert imagenet_tools.open_index(tmp_path / "x.index").sql(query).fetchall() == index.sql(query).fetchall()


def test_the_counts_of_synsets_are_those_of_a_brute_force_union(index: Index) -> None:
    images = index.sql("SELECT image_id, wnid FROM images WHERE wnid IS NOT NULL").fetchall()
    below: dict[str, set[str]] = {}
    for image_id, wnid in images:
        for ancestor in imagenet_tools.wordnet.hierarchy.ancestors(wnid):  # type: ignore[attr-defined]
            below.setdefault(ancestor, set()).add(image_id)
    found = index.sql("SELECT wnid, n_images_inclusive FROM synsets WHERE n_images_inclusive > 0").fetchall()
    assert dict(found) == {wnid: len(ids) for wnid, ids in below.items()}
