"""A build over an index that is there reads what changed and nothing else, and leaves the bytes of one from nothing."""

import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.build.build import Report
from imagenet_tools.errors import ExistsError, NoIndexError, SourceError, UsageError
from imagenet_tools.index import Index
from tests.conftest import OFFICIAL, Extracted
from tests.index.test_build import build, facts, tables
from tests.parameters import short_list
from tests.read_back import read_all
from tests.test_headers import counted


@pytest.fixture
def train(extracted: Extracted, tmp_path: Path) -> Path:
    """A copy of the class folders, which may be changed."""
    shutil.copytree(extracted.train, tmp_path / "train")
    return tmp_path / "train"


def anew(paths: list[Path], home: Path, **options: object) -> dict[str, list[str]]:
    """The digests of an index that is built of these sources from nothing."""
    build(paths, home / "anew.index", **options)
    found = tables(home / "anew.index")
    shutil.rmtree(home / "anew.index")
    return found


def states(report: Report) -> dict[str, int]:
    return {state: n for state, n in report.units.items() if n}


def widths(index: Path) -> list[tuple[int, int]]:
    return imagenet_tools.open_index(index).sql("SELECT count(*), count(width) FROM images").fetchall()


# ---- what changed


def test_of_what_has_not_changed_no_image_is_opened(train: Path, tmp_path: Path) -> None:
    with counted() as first:
        build([train], tmp_path / "x.index")
    with counted() as again:
        report = build([train], tmp_path / "x.index")
    assert states(report) == {"unchanged": 13}
    opened = [sum(n for name, n in counts.items() if name.endswith(".JPEG")) for counts in (first, again)]
    assert opened == [130, 0]
    assert tables(tmp_path / "x.index") == anew([train], tmp_path)


def test_bytes_that_change_behind_the_same_size_and_time_are_seen_by_hash_alone(train: Path, tmp_path: Path) -> None:
    build([train], tmp_path / "x.index", by_hash=True)
    path = sorted((train / "n02123045").iterdir())[0]
    status, data = path.stat(), bytearray(path.read_bytes())
    data[:2] = b"XX"
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert states(build([train], tmp_path / "x.index")) == {"unchanged": 13}
    assert states(build([train], tmp_path / "x.index", by_hash=True)) == {"scanned": 1, "unchanged": 12}
    assert tables(tmp_path / "x.index") == anew([train], tmp_path)
    assert len(facts(tmp_path / "x.index", "problem = 'not_an_image'")) == 1


def test_times_that_change_over_the_same_bytes_are_seen_through_by_hash(train: Path, tmp_path: Path) -> None:
    build([train], tmp_path / "x.index", by_hash=True)
    for path in (train / "n02123045").iterdir():
        os.utime(path, (1, 1))
    assert states(build([train], tmp_path / "x.index", by_hash=True)) == {"unchanged": 13}
    # The new times are remembered.
    assert states(build([train], tmp_path / "x.index")) == {"unchanged": 13}
    for path in (train / "n02123045").iterdir():
        os.utime(path, (2, 2))
    assert states(build([train], tmp_path / "x.index")) == {"scanned": 1, "unchanged": 12}


@pytest.mark.parametrize("by_hash", short_list([False, True], False))
def test_facts_are_added_by_a_later_build_and_never_forgotten(by_hash: bool, train: Path, tmp_path: Path) -> None:
    build([train], tmp_path / "x.index", probe=False, by_hash=by_hash)
    assert widths(tmp_path / "x.index") == [(130, 0)]
    again = build([train], tmp_path / "x.index", probe=False, by_hash=by_hash)
    assert states(again) == {"unchanged": 13}
    assert states(build([train], tmp_path / "x.index", by_hash=by_hash)) == {"scanned": 13}
    assert widths(tmp_path / "x.index") == [(130, 130)]
    assert tables(tmp_path / "x.index") == anew([train], tmp_path)
    assert states(build([train], tmp_path / "x.index", probe=False, by_hash=by_hash)) == {"unchanged": 13}
    assert widths(tmp_path / "x.index") == [(130, 130)]
    assert states(build([train], tmp_path / "x.index", by_hash=by_hash)) == {"unchanged": 13}


def test_without_probing_no_image_is_read_and_its_place_is_known(sample: Path, train: Path, tmp_path: Path) -> None:
    with counted() as counts:
        build([train], tmp_path / "x.index", probe=False)
    assert not any(name.endswith(".JPEG") for name in counts)
    build([sample / "ILSVRC2012_img_val.tar"], tmp_path / "x.index", probe=False)
    index = imagenet_tools.open_index(tmp_path / "x.index")
    assert index.sql("SELECT count(*), sum(length) FROM images").fetchall() == [
        (182, sum(path.stat().st_size for path in train.glob("*/*")) + _payload(sample / "ILSVRC2012_img_val.tar"))
    ]


def _payload(path: Path) -> int:
    with tarfile.open(path) as archive:
        return sum(member.size for member in archive)


def test_a_class_that_goes_and_one_that_comes_leave_the_bytes_of_a_build_from_nothing(
    train: Path, extracted: Extracted, tmp_path: Path
) -> None:
    shutil.rmtree(train / "n04355933")
    build([train], tmp_path / "x.index")
    shutil.rmtree(train / "n02123045")
    shutil.copytree(extracted.train / "n04355933", train / "n04355933")
    report = build([train], tmp_path / "x.index")
    assert states(report) == {"scanned": 1, "unchanged": 11, "removed": 1}
    assert tables(tmp_path / "x.index") == anew([train], tmp_path)


def test_fresh_replaces_an_index_of_another_schema(sample: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.index"
    build([sample / "ILSVRC2012_img_val.tar"], path)
    expected = tables(path)
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"schema": 0}, indent=1))
    with pytest.raises(NoIndexError, match="--fresh"):
        build([sample / "ILSVRC2012_img_val.tar"], path)
    build([sample / "ILSVRC2012_img_val.tar"], path, fresh=True)
    assert tables(path) == expected


# ---- moved sources


@pytest.fixture
def moved(sample: Path, extracted: Extracted, tmp_path: Path) -> Iterator[Path]:
    """An index of a tar and a folder below old/, which have moved to new/."""
    (tmp_path / "old").mkdir()
    shutil.copy(sample / "ILSVRC2012_img_val.tar", tmp_path / "old")
    shutil.copytree(extracted.train, tmp_path / "old" / "train")
    build([tmp_path / "old" / "train", tmp_path / "old" / "ILSVRC2012_img_val.tar"], tmp_path / "x.index")
    (tmp_path / "old").rename(tmp_path / "new")
    return tmp_path / "x.index"


def all_read(index: Index, extracted: Extracted) -> bool:
    found = read_all(index)
    assert len(found) == 182
    return all(data == extracted.data[image_id] for image_id, data in found.items())


@pytest.mark.parametrize("tar", short_list(["", "ILSVRC2012_img_val.tar"], ""), ids=["its folder", "itself"])
def test_relocate_writes_where_sources_are_and_nothing_else(
    tar: str, moved: Path, extracted: Extracted, tmp_path: Path
) -> None:
    before = json.loads((moved / "manifest.json").read_text())
    new = tmp_path / "new"
    roots = {"train": new / "train", "ILSVRC2012_img_val.tar": new / tar if tar else new}
    assert imagenet_tools.relocate(roots, moved) == {"train": new / "train", "ILSVRC2012_img_val.tar": new}
    assert json.loads((moved / "manifest.json").read_text()) == before
    assert all_read(imagenet_tools.open_index(moved), extracted)
    # What was indexed there is known here.
    report = build([new / "train", new / "ILSVRC2012_img_val.tar"], moved)
    assert states(report) == {"unchanged": 14}
    assert not moved.with_name("x.index.partial").exists()


def test_a_source_of_linked_class_folders_is_relocated(extracted: Extracted, tmp_path: Path) -> None:
    (tmp_path / "old" / "train").mkdir(parents=True)
    for folder in sorted(extracted.train.iterdir())[:2]:
        (tmp_path / "old" / "train" / folder.name).symlink_to(folder)
    (tmp_path / "old" / "train" / "up").symlink_to(tmp_path / "old")  # a loop
    build([tmp_path / "old" / "train"], tmp_path / "x.index")
    (tmp_path / "old").rename(tmp_path / "new")
    imagenet_tools.relocate({"train": tmp_path / "new" / "train"}, tmp_path / "x.index")
    images = read_all(imagenet_tools.open_index(tmp_path / "x.index"))
    assert images
    assert all(data == extracted.data[image_id] for image_id, data in images.items())


def test_relocate_refuses_what_is_not_it(moved: Path, sample: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "ILSVRC2012_img_val.tar").write_bytes(b"too short")
    for root, said in ((tmp_path / "other", "found 9 bytes"), (tmp_path / "nowhere", "does not exist")):
        with pytest.raises(SourceError, match=said):
            imagenet_tools.relocate({"ILSVRC2012_img_val.tar": root}, moved)
    with pytest.raises(SourceError, match="is not called"):
        imagenet_tools.relocate({"ILSVRC2012_img_val.tar": sample / "ILSVRC2012_img_train.tar"}, moved)
    with pytest.raises(UsageError, match=r"No source is called elsewhere; the index has .*train"):
        imagenet_tools.relocate({"elsewhere": tmp_path}, moved)
    with pytest.raises(NoIndexError, match="No index at"):
        imagenet_tools.relocate({"train": tmp_path}, tmp_path / "no.index")
    assert not (tmp_path / "no.index.partial").exists()


@pytest.mark.parametrize("tar", short_list(["", "ILSVRC2012_img_val.tar"], ""), ids=["its folder", "itself"])
def test_roots_are_followed_for_one_call(
    tar: str, moved: Path, extracted: Extracted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = tmp_path / "new"
    roots = {"train": new / "train", "ILSVRC2012_img_val.tar": new / tar if tar else new}
    assert all_read(imagenet_tools.open_index(moved, roots=roots), extracted)
    monkeypatch.setenv("IMAGENET_ROOTS", ":".join(f"{name}={root}" for name, root in roots.items()))
    assert all_read(imagenet_tools.open_index(moved), extracted)
    monkeypatch.delenv("IMAGENET_ROOTS")
    with pytest.raises(SourceError, match="--root"):
        imagenet_tools.open_index(moved).image("ILSVRC2012_val_00000020").read()


def test_a_build_follows_roots_and_refuses_to_index_twice_what_has_moved(moved: Path, tmp_path: Path) -> None:
    paths = [tmp_path / "new" / "train", tmp_path / "new" / "ILSVRC2012_img_val.tar"]
    before = tables(moved)
    with pytest.raises(SourceError, match=r"relocate train="):
        build(paths, moved)
    report = build(paths, moved, roots={"train": paths[0], "ILSVRC2012_img_val.tar": paths[1]})
    assert states(report) == {"unchanged": 14}
    assert tables(moved) == before
    assert states(build(paths, moved)) == {"unchanged": 14}
    with pytest.raises(UsageError, match="No source is called elsewhere"):
        build(paths, moved, roots={"elsewhere": tmp_path})


# ---- where an index goes


def test_what_is_no_index_is_not_built_over_and_nothing_is_read_for_it(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("a")
    for target in ("mine", "file"):
        with counted() as counts, pytest.raises(ExistsError, match="expected an index or nothing there"):
            build([sample / name for name in OFFICIAL], tmp_path / target)
        assert not any(str(sample) in name for name in counts)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine"]


def test_a_source_that_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError):
        build([tmp_path / "empty"], tmp_path / "x.index")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_an_index_and_its_files_are_no_sources(index: Index, tmp_path: Path) -> None:
    shutil.copytree(index.path, tmp_path / "a.index")
    file = next((tmp_path / "a.index" / "images").iterdir())
    for path in (tmp_path / "a.index", tmp_path / "a.index" / "images", file):
        with pytest.raises(SourceError, match="an index that build-index made, and no source"):
            build([path], tmp_path / "x.index")


def test_an_index_inside_its_source_is_not_a_part_of_it(train: Path, tmp_path: Path) -> None:
    build([tmp_path], tmp_path / "imagenet.index")
    before = tables(tmp_path / "imagenet.index")
    report = build([tmp_path], tmp_path / "imagenet.index")
    assert (states(report), report.sources[0].ignored) == ({"unchanged": 13}, ())
    assert tables(tmp_path / "imagenet.index") == before


def test_two_sources_of_one_name_are_two(sample: Path, extracted: Extracted, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(sample / "ILSVRC2012_img_val.tar", tmp_path / folder)
    paths = [tmp_path / folder / "ILSVRC2012_img_val.tar" for folder in ("a", "b")]
    report = build([*paths, paths[0]], tmp_path / "x.index")
    assert [source.name for source in report.sources] == ["ILSVRC2012_img_val.tar", "ILSVRC2012_img_val.tar-2"]
    assert (report.rows["images"], report.rows["copies"]) == (52, 52)
    again = build([paths[1]], tmp_path / "x.index")
    assert ([source.name for source in again.sources], states(again)) == (
        ["ILSVRC2012_img_val.tar-2"],
        {"unchanged": 1},
    )
