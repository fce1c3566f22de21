"""The merge: the quick way and the careful one give the same bytes, and what cannot change is not written."""

import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

import imagenet_tools
from imagenet_tools.build import merge_images, parts, plain, plain_files, stage
from imagenet_tools.build.merge import merge
from imagenet_tools.build.merge_boxes import choose_boxes
from imagenet_tools.build.plain import odd_images
from imagenet_tools.build.stage import Stage
from imagenet_tools.errors import ImagenetToolsError
from imagenet_tools.schema import arrow_schema
from imagenet_tools.store import layout
from imagenet_tools.store.layout import FileEntry, Manifest
from tests.conftest import Extracted
from tests.forms.written_index import Row, image
from tests.parameters import short_list

Tables = dict[str, list[FileEntry]]
CLASSES = ("n01440764", "n01443537", "n02084071", "n02085374", "n02127808", "n15102894")


def of_class(unit: int, wnid: str, numbers: Iterable[int], **more: object) -> list[Row]:
    """Rows of a class in the whole ImageNet, out of order as a tar may have them."""
    said: Row = {"dataset": "fall11", "split": None, "source": "whole.tar", "unit": unit, **more}
    rows = [image(f"{wnid}_{number}", wnid, **said) for number in numbers]
    random.Random(unit).shuffle(rows)
    return rows


PLAIN = {n: of_class(n, wnid, range(n * 7, 300 + n)) for n, wnid in enumerate(CLASSES)}
ODD = {
    # The same class once more, in another source: copies.
    10: of_class(10, CLASSES[0], range(250, 400), source="more.tar"),
    # Images of one class in the folder of another, one of which stands in its own class too.
    11: [
        *of_class(11, CLASSES[4], range(3)),
        image(f"{CLASSES[2]}_50", CLASSES[4], dataset="fall11", split=None, source="whole.tar", unit=11),
        image(f"{CLASSES[2]}_9000", CLASSES[4], dataset="fall11", split=None, source="whole.tar", unit=11),
    ],
    # A shard of classes of another data set, and validation images.
    12: [row for n, wnid in enumerate(CLASSES) for row in of_class(12, wnid, range(n), dataset="ilsvrc2012")],
    13: [image(f"ILSVRC2012_val_{n:08d}", CLASSES[n % 6], "val", unit=13) for n in range(1, 20)],
    # Names that no release shares.
    14: [
        image("a", CLASSES[n], "train", dataset="mine", photo=f"mine/{n}/a", file=f"{CLASSES[n]}/a.png", unit=14)
        for n in range(3)
    ],
    # A tree in one tar, of a release whose files are of half a head each: plain images of several classes and splits.
    15: [
        row for wnid in CLASSES for split, numbers in (("train", range(20)), ("val", range(20, 30)))
        for row in of_class(15, wnid, numbers, dataset="winter21", split=split, source="tree.tar")
    ],
}  # fmt: skip


def written(folder: Path, units: Mapping[int, list[Row]]) -> dict[int, Path]:
    """The parts of units."""
    folder.mkdir(exist_ok=True)
    found = {}
    for unit, rows in units.items():
        found[unit] = folder / f"{unit}.part"
        table = pa.Table.from_pylist(rows, arrow_schema("images"))
        parts.write_part(found[unit], (("images", batch) for batch in table.to_batches(max_chunksize=64)))
    return found


def merged(
    home: Path, new: Mapping[int, Path], *, old: Tables | None = None, dropped: Iterable[int] = (), threads: int = 1
) -> Tables:
    """The files of images and copies that a merge of these parts gives."""
    home.mkdir(exist_ok=True)
    opened = {unit: parts.open_part(path) for unit, path in new.items()}
    at_work = Stage(home, Manifest(old or {}), opened, tuple(dropped), threads)
    odd = odd_images(at_work)
    boxes = choose_boxes(at_work, odd)
    problems = at_work.table_rows("problems").all
    found = merge_images.merge_images(
        at_work, odd, counts=boxes.counts, problems=problems, seek_points=[], changed=boxes.changed or ()
    )
    return {table: entries for table, entries in found.items() if entries}


def rows_of(home: Path, tables: Tables, table: str) -> int:
    files = [str(home / entry.file) for entry in tables.get(table, [])]
    return int(duckdb.sql(f"SELECT count(*) FROM read_parquet({files})").fetchall()[0][0])


@pytest.fixture
def units(tmp_path: Path) -> dict[int, Path]:
    return written(tmp_path / "parts", PLAIN | ODD)


def test_the_quick_way_gives_the_bytes_of_the_careful_way(
    units: dict[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = merged(tmp_path / "quick", units)
    monkeypatch.setattr(parts, "homes", lambda rows: None)
    careful = merged(tmp_path / "careful", written(tmp_path / "odd", PLAIN | ODD))
    assert quick == careful
    assert {entry.plain for entry in quick["images"]} == {True, False}
    assert rows_of(tmp_path / "quick", quick, "copies") == len(range(250, 300)) + 1
    ids = {(row["dataset"], row["image_id"]) for rows in (PLAIN | ODD).values() for row in rows if row["unit"] != 14}
    assert rows_of(tmp_path / "quick", quick, "images") == len(ids) + 3


def test_the_number_of_processes_changes_no_byte(
    units: dict[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge_images, "_MIN_IMAGES_FOR_WORKERS", 0)
    assert merged(tmp_path / "one", units) == merged(tmp_path / "two", units, threads=2)


@pytest.mark.parametrize("last", short_list(sorted(PLAIN | ODD), min(ODD)))
def test_a_unit_that_comes_later_gives_what_all_at_once_give(units: dict[int, Path], last: int, tmp_path: Path) -> None:
    home = tmp_path / "later"
    before = merged(home, {unit: part for unit, part in units.items() if unit != last})
    after = merged(home, {last: units[last]}, old=before)
    assert after == merged(tmp_path / "once", units)
    assert merged(home, {}, old=after, dropped=[last]) == before


def test_a_class_more_is_one_file_more_or_other_and_reads_no_other(units: dict[int, Path], tmp_path: Path) -> None:
    home = tmp_path / "home"
    before = merged(home, {unit: part for unit, part in units.items() if unit in PLAIN and unit != 3})
    named = {entry.part: home / entry.file for entry in before["images"]}
    for part, path in named.items():
        if part != "fall11-nosplit-n020":
            path.write_bytes(b"not read")
    after = merged(home, {3: units[3]}, old=before)
    changed = {entry.part for entry in after["images"] if entry not in before["images"]}
    assert changed == {"fall11-nosplit-n020"}


def test_a_merge_that_would_lose_images_says_so(
    units: dict[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = plain_files.read_part
    monkeypatch.setattr(plain_files, "read_part", lambda part, table: read(part, table).slice(1))
    with pytest.raises(ImagenetToolsError, match=r"expected [\d,]+ images and copies, found .* written"):
        merged(tmp_path / "home", units)


def test_an_unchanged_build_writes_no_table_but_sources(
    extracted: Extracted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imagenet_tools.build_index([extracted.train], tmp_path / "x.index", workers=1)
    first = layout.read_manifest(tmp_path / "x.index")
    wrote: list[str] = []

    def counted(folder: Path, table: str, *rest: object, **options: object) -> None:
        wrote.append(table)

    monkeypatch.setattr(stage, "write_table", counted)
    report = imagenet_tools.build_index([extracted.train], tmp_path / "x.index", workers=1)
    assert not wrote
    assert report.rows == {table: sum(entry.rows for entry in entries) for table, entries in first.tables.items()}
    assert layout.read_manifest(tmp_path / "x.index") == first


def boxes_of(unit: int, ids: Iterable[str]) -> list[Row]:
    """A box of each of these images, of the whole ImageNet whose release is not told."""
    edges = {"xmin": 1.0, "ymin": 2.0, "xmax": 50.0, "ymax": 60.0, "stated_width": 100, "stated_height": 80}
    names = {"dataset": "imagenet21k", "source": "boxes", "file": "boxes.tar.gz", "unit": unit, "flags": []}
    return [{"image_id": one, "photo": one, "wnid": one[:9], **edges, **names} for one in ids]


def test_boxes_are_written_anew_where_they_or_their_images_changed(
    units: dict[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"{wnid}_{number}" for wnid in CLASSES[:2] for number in range(50, 80)]
    boxes = tmp_path / "parts" / "20.part"
    table = pa.Table.from_pylist(boxes_of(20, ids), arrow_schema("boxes"))
    parts.write_part(boxes, (("boxes", batch) for batch in table.to_batches()))
    some = {unit: units[unit] for unit in PLAIN} | {20: boxes}
    wrote: list[str] = []

    def kept(folder: Path, table: str, *rest: Any, **options: Any) -> list[FileEntry]:
        wrote.append(table)
        return layout.write_table(folder, table, *rest, **options)

    monkeypatch.setattr(stage, "write_table", kept)

    def whole(home: Path, new: Iterable[int], old: Manifest | None = None) -> Manifest:
        home.mkdir(exist_ok=True)
        wrote.clear()
        opened = {unit: parts.open_part(some[unit]) for unit in new}
        manifest, _ = merge(Stage(home, old or Manifest({}), opened, (), threads=1))
        return Manifest({table: entries for table, entries in manifest.tables.items() if entries})

    at_once = whole(tmp_path / "once", some)
    assert at_once.tables.keys() >= {"boxes", "images"}
    for last, written_too in ((3, False), (1, True), (20, True)):
        home = tmp_path / f"{last}"
        before = whole(home, [unit for unit in some if unit != last])
        assert whole(home, [last], before) == at_once
        assert ("boxes" in wrote) == written_too


@pytest.mark.parametrize(
    "row",
    [
        image("n01440764_1", "n01443537"),
        image("n01440764_1", None),
        image("ILSVRC2012_val_00000001", "n01440764", "val"),
        image("n01440764_1", "n01440764", photo="ilsvrc2012/n01440764_1"),
        image("n01440764", "n01440764"),
        image("n014407641", "n01440764"),
    ],
)
def test_an_image_that_is_not_plain_is_known_here_and_in_sql(row: Row) -> None:
    rows = pa.Table.from_pylist([image("n01443537_1", "n01443537"), row], arrow_schema("images"))
    assert plain.homes(rows.to_batches()[0]) is None
    first = plain.homes(rows.slice(0, 1).to_batches()[0])
    assert first == {plain.PlainHome("ilsvrc2012", "train", "n01443537")}
    told = duckdb.sql(f"SELECT {plain.PLAIN}, {plain.PART} FROM rows").fetchall()
    assert [is_plain for is_plain, _ in told] == [True, False]
    assert told[0][1] == next(iter(first)).part
