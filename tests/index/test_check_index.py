"""check of an index: its files, its tables, its sources and its images; and what check gives where nothing is there."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import imagenet_tools
from imagenet_tools.cli import run
from imagenet_tools.errors import NoIndexError, SourceError, UsageError
from imagenet_tools.index import Index
from imagenet_tools.store.check import CheckedIndex
from tests.conftest import Extracted

CUT = "n02088364_19183"  # the image of the sample whose last bytes are missing


class Made:
    """An index of a tar, class folders and a folder of box XML, that may be changed."""

    def __init__(self, root: Path, sample: Path, extracted: Extracted):
        self.tar = Path(shutil.copy(sample / "ILSVRC2012_img_val.tar", root))
        self.tree = shutil.copytree(extracted.train, root / "train")
        self.image = sorted(self.tree.glob("*/*.JPEG"))[0]
        self.path = root / "x.index"
        imagenet_tools.build_index([self.tar, self.tree], self.path, dataset="ilsvrc2012", workers=1)

    def check(self, **options: Any) -> CheckedIndex:
        (found,) = imagenet_tools.check(self.path, **options)
        assert isinstance(found, CheckedIndex)
        return found

    def codes(self, **options: Any) -> list[str]:
        return [one.code for one in self.check(**options).findings]


@pytest.fixture(scope="module")
def whole(sample: Path, extracted: Extracted, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Nothing of it may be changed."""
    return Made(tmp_path_factory.mktemp("whole"), sample, extracted)


@pytest.fixture
def made(whole: Made, tmp_path: Path) -> Iterator[Made]:
    """The same, as it was, when the test ends."""
    kept = {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in [whole.tar, whole.image, *whole.path.rglob("*")]
        if path.is_file()
    }
    yield whole
    for path, (data, time) in kept.items():
        path.write_bytes(data)
        os.utime(path, ns=(time, time))


def test_an_index_as_it_was_built_is_right(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    found = made.check()
    assert (found.ok, found.findings, found.sources, found.images, found.decoded) == (True, (), 2, 182, 0)
    assert run(["check", str(made.path)]) == 0
    assert "an index as it was built" in capsys.readouterr().out
    assert run(["check", str(made.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["findings"] == []


def table(made: Made, name: str) -> Path:
    return sorted((made.path / name).glob("*.parquet"))[0]


@pytest.mark.parametrize("name", ["images", "synset_facts", "closure", "synset_terms"])
@pytest.mark.parametrize("change", ["flip", "cut", "remove"])
def test_a_damaged_file_of_an_index_is_found(made: Made, name: str, change: str) -> None:
    path = table(made, name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data if change == "flip" else data[:-9])
    if change == "remove":
        path.unlink()
    found = made.check()
    assert [one.code for one in found.findings] == ["E201"] and not found.ok
    assert str(path) in found.findings[0].message
    assert run(["check", str(made.path)]) == 1


def drop_column(path: Path) -> None:
    read = pq.read_table(path)
    pq.write_table(read.drop_columns([read.column_names[-2]]), path)


def drop_row(path: Path) -> None:
    read = pq.read_table(path)
    pq.write_table(read.slice(1), path)


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20] + b"x" * 20)


@pytest.mark.parametrize("change", [drop_column, drop_row, damage])
def test_the_table_of_sources_has_no_sum_and_is_checked_all_the_same(
    made: Made, change: Callable[[Path], None]
) -> None:
    change(table(made, "sources"))
    assert made.codes() == ["E202"]


def test_a_table_that_the_manifest_does_not_name_is_missed(made: Made) -> None:
    manifest = made.path / "manifest.json"
    content = json.loads(manifest.read_text())
    del content["tables"]["closure"]
    manifest.write_text(json.dumps(content))
    assert made.codes() == ["E202"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]"])
def test_an_index_whose_manifest_is_broken_is_still_an_index(
    made: Made, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = made.path / "manifest.json"
    manifest.write_bytes(content)
    with pytest.raises(NoIndexError, match=r"manifest.json cannot be read: .*Copy the index again"):
        imagenet_tools.check(made.path)
    assert run(["check", str(made.path)]) == 1
    assert str(manifest) in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["tar", "image"])
def test_a_source_that_is_gone_or_changed_is_found_and_named(made: Made, kind: str) -> None:
    path: Path = getattr(made, kind)
    data, time = path.read_bytes(), path.stat().st_mtime_ns
    newest = max(one.stat().st_mtime_ns for one in [made.tar, *made.tree.rglob("*.JPEG")])
    os.utime(path, ns=(time, newest + 1))
    found = made.check()
    assert [one.code for one in found.findings] == ["E204"]
    assert str(path) in found.findings[0].message and "build-index" in found.findings[0].message
    path.write_bytes(data + b"!")
    os.utime(path, ns=(time, time))
    assert made.codes() == ["E204"]
    path.unlink()
    assert made.codes() == ["E203"]


def test_many_that_are_gone_are_counted(made: Made) -> None:
    moved = made.tree.rename(made.tree.with_name("moved"))
    try:
        found = made.check().findings
    finally:
        moved.rename(made.tree)
    assert [one.code for one in found] == ["E203"] * 4
    assert found[-1].message == "the same of 127 more"


def test_every_image_is_decoded_and_those_that_are_cut_are_found(made: Made) -> None:
    found = made.check(read_data=True)
    assert [one.code for one in found.findings] == ["E205"]
    assert CUT in found.findings[0].message
    assert found.decoded == 181
    data, time = made.image.read_bytes(), made.image.stat().st_mtime_ns
    made.image.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    os.utime(made.image, ns=(time, time))
    named = [one.message for one in made.check(read_data=True).findings]
    assert len(named) == 2 and any(made.image.stem in one for one in named)


def test_a_tar_of_the_same_size_and_time_is_found_by_its_images(made: Made) -> None:
    data, time = made.tar.read_bytes(), made.tar.stat().st_mtime_ns
    made.tar.write_bytes(data[512:] + data[:512])
    os.utime(made.tar, ns=(time, time))
    assert made.codes() == []
    found = made.check(read_data=True).findings
    assert {one.code for one in found} == {"E205"} and "has changed since it was indexed" in found[0].message


# ---- what is returned, and where nothing is there


def test_the_result_says_what_was_checked(made: Made, sample: Path) -> None:
    result = imagenet_tools.check([made.path, sample / "ILSVRC2012_img_val.tar"])
    assert len(result) == len(list(result)) == len(list(result)) == 2
    assert not result.ok and result[0].ok and not result[1].ok
    assert [one.code for one in result.findings] == ["E101"]
    assert repr(result).splitlines()[0] == "<CheckResult: not ok>"
    assert f"{made.path}: an index as it was built" in repr(result)
    assert repr(imagenet_tools.check(made.path)).startswith("<CheckResult: ok>")


def test_a_lock_is_compared_with_the_index(made: Made, tmp_path: Path) -> None:
    index = imagenet_tools.open_index(made.path)
    index.select().lock(tmp_path / "x.lock.toml")
    (found,) = result = imagenet_tools.check(tmp_path / "x.lock.toml", index=index)
    assert result.ok and found.summary == "all 182 images are here"


def test_nothing_that_can_be_checked_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "notes.bin").write_bytes(b"no archive")
    assert not imagenet_tools.check(tmp_path / "notes.bin").ok
    assert run(["check", str(tmp_path / "notes.bin")]) == 3
    (tmp_path / "empty").mkdir()
    assert run(["check", str(tmp_path / "empty")]) == 1
    with pytest.raises(SourceError, match="is no index, export or lock"):
        imagenet_tools.check(tmp_path / "empty")
    with pytest.raises(UsageError, match="no path"):
        imagenet_tools.check([])


def test_an_export_of_nothing_is_no_success(made: Made, tmp_path: Path) -> None:
    arguments = ["-i", str(made.path), "export", str(tmp_path / "x"), "--to", "image_folder", "--where", "false"]
    assert run(arguments) == 1
    assert run([*arguments, "--dry-run"]) == 1
    assert not (tmp_path / "x").exists()


def test_shares_of_a_check_decode_all_images(index: Index) -> None:
    whole = imagenet_tools.check(index.path, read_data=True)[0]
    shares = [imagenet_tools.check(index.path, read_data=True, shard=f"{n}/3")[0] for n in range(3)]
    assert isinstance(whole, CheckedIndex)
    decoded = [share.decoded for share in shares if isinstance(share, CheckedIndex)]
    assert sum(decoded) == whole.decoded
    assert all(decoded)
    found = sorted(finding for share in shares for finding in share.findings)
    assert found == sorted(whole.findings)
    with pytest.raises(UsageError, match="expected an index and --read-data"):
        imagenet_tools.check(index.path, shard="0/3")
