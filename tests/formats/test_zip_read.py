"""Zips of stored images are read in place, byte for byte; a fault of a zip costs what it is a fault of, and no more."""

import shutil
import struct
import subprocess
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.catalogue import labels
from imagenet_tools.containers import zip_directory
from imagenet_tools.errors import SourceError
from imagenet_tools.formats import zip as zip_format
from imagenet_tools.images import tar_scan
from imagenet_tools.index import Index
from tests.conftest import Extracted
from tests.forms import small, whole, zips
from tests.parameters import short_list
from tests.read_back import read_all

Images = dict[str, dict[str, bytes]]

CODES = {*zip_format.READS.problems, *tar_scan.PROBLEMS}


@pytest.fixture
def images(extracted: Extracted) -> Images:
    return whole.images(extracted.data.values(), classes=small.CLASSES, each=3)


def build(path: Path, index: Path) -> tuple[Index, dict[str, int]]:
    report = imagenet_tools.build_index([path], index, workers=1)
    return imagenet_tools.open_index(index), report.problems


def reasons(index: Index) -> list[tuple[str, str, str]]:
    rows = index.sql("SELECT code, member, reason FROM problems ORDER BY member, code").fetchall()
    assert {code for code, _, _ in rows} <= CODES
    return rows


# ---- whole


def test_a_stored_zip_of_class_folders_is_read_in_place(images: Images, tmp_path: Path) -> None:
    path = zips.write(tmp_path / "any.zip", images)
    index, problems = build(path, tmp_path / "x.index")
    assert (read_all(index), problems) == (whole.flat(images), {})
    rows = index.sql("SELECT dataset, split, wnid, image_id, file FROM images ORDER BY image_id").fetchall()
    assert rows == [
        ("ilsvrc2012", "train", wnid, stem, "any.zip") for wnid in sorted(images) for stem in sorted(images[wnid])
    ]
    data = path.read_bytes()
    for stem, offset, length in index.sql('SELECT image_id, "offset", length FROM images').fetchall():
        assert data[offset : offset + length] == images[stem[:9]][stem]


def test_the_facts_of_images_are_those_of_the_same_images_in_folders(images: Images, tmp_path: Path) -> None:
    path = zips.write(tmp_path / "any.zip", images)
    facts = "SELECT image_id, width, height, mode, encoding, photo, hash32, split, wnid FROM images ORDER BY ALL"
    zipped, _ = build(path, tmp_path / "zipped.index")
    folders, _ = build(zips.write_folders(tmp_path, images), tmp_path / "folders.index")
    assert zipped.sql(facts).fetchall() == folders.sql(facts).fetchall()


@pytest.mark.skipif(shutil.which("zip") is None, reason="needs Info-ZIP's zip")
@pytest.mark.parametrize(
    "options", short_list([["-0"], ["-0", "-fz"], ["-0", "-X"], ["-0", "-D"]], ["-0", "-fz"]), ids=" ".join
)
def test_what_info_zip_stores_is_read_in_place(options: list[str], images: Images, tmp_path: Path) -> None:
    zips.write_folders(tmp_path, images)
    subprocess.run(["zip", "-qr", *options, "any.zip", "train"], cwd=tmp_path, check=True)
    index, problems = build(tmp_path / "any.zip", tmp_path / "x.index")
    assert (read_all(index), problems) == (whole.flat(images), {})


@pytest.mark.skipif(shutil.which("zip") is None, reason="needs Info-ZIP's zip")
def test_a_zip_written_to_a_pipe_has_its_sizes_behind_the_bytes_and_is_read(images: Images, tmp_path: Path) -> None:
    zips.write_folders(tmp_path, images)
    piped = subprocess.run(["zip", "-qr0", "-", "train"], cwd=tmp_path, check=True, stdout=subprocess.PIPE).stdout
    (tmp_path / "any.zip").write_bytes(piped)
    index, problems = build(tmp_path / "any.zip", tmp_path / "x.index")
    assert (read_all(index), problems) == (whole.flat(images), {})


def test_a_large_zip_says_its_places_in_eight_bytes(images: Images, tmp_path: Path) -> None:
    with (tmp_path / "any.zip").open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        for n, (stem, data) in enumerate(whole.flat(images).items()):
            if n == 1:
                with archive.open("padding.bin", "w", force_zip64=True) as hole:  # 4 GiB that take no room
                    file.seek(5 << 30, 1)
                    hole._file_size = hole._compress_size = 5 << 30  # type: ignore[attr-defined]
            archive.writestr(f"train/{stem[:9]}/{stem}.JPEG", data)
    assert (tmp_path / "any.zip").stat().st_size > 5 << 30
    index, _ = build(tmp_path / "any.zip", tmp_path / "x.index")
    assert read_all(index) == whole.flat(images)
    assert index.sql('SELECT max("offset") > 4294967296 FROM images').fetchall() == [(True,)]


@pytest.mark.parametrize(
    "options", short_list([{}, {"shard_size": "8KB"}], {"shard_size": "8KB"}), ids=["a zip a split", "several zips"]
)
def test_the_projects_own_export_is_read_back_equal(index: Index, tmp_path: Path, options: dict[str, str]) -> None:
    plan = imagenet_tools.export(index.select(under="dog"), tmp_path / "dogs", to="zip", workers=1, **options)  # type: ignore[arg-type]
    own, problems = build(tmp_path / "dogs", tmp_path / "x.index")
    told = {
        one.path.name.split("-")[0].split(".")[0]: one.splits for one in imagenet_tools.detect(tmp_path / "dogs").found
    }
    assert told == {"train": ("train",), "val": ("val",)}
    columns = "dataset, image_id, photo, wnid, split, width, height, length, orientation, encoding, mode"
    found = own.sql(f"SELECT {columns} FROM images ORDER BY ALL").fetchall()
    assert len(found) == plan.images() > 0
    assert set(found) <= set(index.sql(f"SELECT {columns} FROM images").fetchall())
    assert "stray_file" not in problems
    for dataset, image_id, *_ in found:
        assert own.image(image_id, dataset=dataset).read() == index.image(image_id, dataset=dataset).read()


def test_official_validation_images_in_a_training_folder_stay_validation_images(
    extracted: Extracted, tmp_path: Path
) -> None:
    stem = "ILSVRC2012_val_00000020"
    wnid = labels.validation_wnid(stem)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(f"train/{wnid}/{stem}.JPEG", extracted.data[stem])
    index, _ = build(tmp_path / "a.zip", tmp_path / "x.index")
    assert index.sql("SELECT image_id, split FROM images").fetchall() == [(stem, "val")]


# ---- compressed


def test_a_compressed_zip_is_named_and_refused_with_unzip(images: Images, tmp_path: Path) -> None:
    path = zips.write(tmp_path / "any.zip", images, method=zipfile.ZIP_DEFLATED)
    found = imagenet_tools.detect(path)
    assert [(one.form, one.holds) for one in found.found] == [("zip", ())]
    assert found.units == (0,)
    with pytest.raises(SourceError, match=r"compressed \(method 8\).*`unzip .*any\.zip -d .*any`"):
        build(path, tmp_path / "x.index")


def test_a_compressed_image_among_stored_ones_is_a_problem_and_costs_no_other(images: Images, tmp_path: Path) -> None:
    stems = whole.flat(images)
    with zipfile.ZipFile(tmp_path / "any.zip", "w") as archive:
        for n, (stem, data) in enumerate(stems.items()):
            method = zipfile.ZIP_DEFLATED if n == 2 else zipfile.ZIP_STORED
            archive.writestr(f"train/{stem[:9]}/{stem}.JPEG", data, method)
    left_out = list(stems)[2]
    index, _ = build(tmp_path / "any.zip", tmp_path / "x.index")
    assert read_all(index) == {stem: data for stem, data in stems.items() if stem != left_out}
    [(code, member, reason)] = reasons(index)
    assert (code, member) == ("zip_member", f"train/{left_out[:9]}/{left_out}.JPEG")
    assert "compressed (method 8)" in reason and "unzip" in reason
    assert "1 cannot be read" in imagenet_tools.detect(tmp_path / "any.zip").found[0].evidence


# ---- hostile and broken


def _entry(path: Path, n: int) -> int:
    """Where the nth entry of the directory begins, found by its mark."""
    data, at = path.read_bytes(), 0
    for _ in range(n + 1):
        at = data.index(b"PK\1\2", at) + 4
    return at - 4


def _patch(path: Path, at: int, value: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[at : at + len(value)] = value
    path.write_bytes(data)


def _overlap(path: Path, infos: list[zipfile.ZipInfo]) -> None:
    """The second member's bytes begin inside the first's."""
    header = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 33, 0, 50, 50, len(infos[1].filename), 0)
    place = infos[1].header_offset - 200
    _patch(path, place, header + infos[1].filename.encode())
    _patch(path, _entry(path, 1) + 42, place.to_bytes(4, "little"))
    _patch(path, _entry(path, 1) + 20, struct.pack("<2I", 50, 50))


def _too_large(path: Path, infos: list[zipfile.ZipInfo]) -> None:
    _patch(path, _entry(path, 1) + 20, struct.pack("<2I", 0x7FFFFFFF, 0x7FFFFFFF))
    _patch(path, infos[1].header_offset + 18, struct.pack("<2I", 0x7FFFFFFF, 0x7FFFFFFF))


def _other_size(path: Path, infos: list[zipfile.ZipInfo]) -> None:
    _patch(path, _entry(path, 1) + 20, struct.pack("<2I", 40, 40))


def _other_name(path: Path, infos: list[zipfile.ZipInfo]) -> None:
    _patch(path, infos[1].header_offset + 30, b"T")


def _encrypted(path: Path, infos: list[zipfile.ZipInfo]) -> None:
    _patch(path, _entry(path, 1) + 8, b"\1\0")


def _no_header(path: Path, infos: list[zipfile.ZipInfo]) -> None:
    _patch(path, infos[1].header_offset, b"XX\3\4")


def _climbs(path: Path, infos: list[zipfile.ZipInfo]) -> None:
    name = b"../" + infos[1].filename.encode()[3:]
    _patch(path, _entry(path, 1) + 46, name)
    _patch(path, infos[1].header_offset + 30, name)


def _twice(path: Path, infos: list[zipfile.ZipInfo]) -> None:
    name = infos[0].filename.encode()
    _patch(path, _entry(path, 1) + 46, name)
    _patch(path, infos[1].header_offset + 30, name)


DAMAGES: dict[str, tuple[Callable[[Path, list[zipfile.ZipInfo]], None], str]] = {
    "overlapping": (_overlap, "within another member"),
    "larger than the file": (_too_large, "reach beyond the members"),
    "of another size in its header": (_other_size, "another size"),
    "of another name in its header": (_other_name, "another name"),
    "encrypted": (_encrypted, "encrypted"),
    "without a header": (_no_header, "expected its header"),
    "leading out": (_climbs, "leads out of the folder"),
    "of a name that was there": (_twice, "a second member of this name"),
}


@pytest.mark.parametrize("damage", short_list(DAMAGES, *[*DAMAGES][::3]))
def test_a_member_that_lies_is_a_problem_and_costs_itself_alone(damage: str, images: Images, tmp_path: Path) -> None:
    stems = {stem: images["n01440764"][stem] for stem in sorted(images["n01440764"])}
    path = tmp_path / "any.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for stem, data in stems.items():
            archive.writestr(f"train/n01440764/{stem}.JPEG", data)
        infos = archive.infolist()
    change, reason = DAMAGES[damage]
    change(path, infos)
    index, _ = build(path, tmp_path / "x.index")
    found = reasons(index)
    assert [code for code, _, _ in found] == ["zip_member"]
    assert reason in found[0][2]
    second = list(stems)[1]
    read = read_all(index)
    assert set(read) == set(stems) - {second}
    assert all(read[stem] == stems[stem] for stem in read if damage != "overlapping" or stem != next(iter(stems)))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def _split(path: Path) -> None:
    _patch(path, path.read_bytes().rindex(b"PK\5\6") + 4, b"\1\0")


def _moved(path: Path) -> None:
    at = path.read_bytes().rindex(b"PK\5\6")
    _patch(path, at + 16, b"\xff\xff\xff\0")


def _without_zip64(path: Path) -> None:
    at = path.read_bytes().rindex(b"PK\5\6")
    data = path.read_bytes()
    path.write_bytes(data[:at] + struct.pack("<4sIQI", b"PK\6\7", 0, 7, 1) + data[at:])


@pytest.mark.parametrize("change", [_cut, _split, _moved, _without_zip64], ids=lambda one: one.__name__)
def test_a_zip_without_a_whole_directory_is_refused_in_words(
    change: Callable[[Path], None], images: Images, tmp_path: Path
) -> None:
    path = zips.write(tmp_path / "any.zip", images)
    change(path)
    assert imagenet_tools.detect(path).unrecognised.startswith("a zip that is broken: found ")
    with pytest.raises(SourceError, match="a zip that is broken"):
        build(path, tmp_path / "x.index")


def test_a_directory_that_breaks_off_keeps_the_members_before(images: Images, tmp_path: Path) -> None:
    path = zips.write(tmp_path / "any.zip", images)
    _patch(path, _entry(path, 5), b"XX\1\2")
    index, problems = build(path, tmp_path / "x.index")
    assert problems["zip_damaged"] == 1
    read = read_all(index)
    assert 0 < len(read) < 9
    assert read.items() <= whole.flat(images).items()


def test_a_directory_of_fewer_members_than_its_end_states_is_said(images: Images, tmp_path: Path) -> None:
    path = zips.write(tmp_path / "any.zip", images)
    at = path.read_bytes().rindex(b"PK\5\6")
    _patch(path, at + 10, b"\x63\0")
    index, _ = build(path, tmp_path / "x.index")
    assert read_all(index) == whole.flat(images)
    assert [(code, "expected the 99" in reason) for code, _, reason in reasons(index)] == [("zip_damaged", True)]


@pytest.mark.long
def test_memory_does_not_grow_with_the_directory(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for n in range(40_000):
            archive.writestr(f"{n:0200}", b"")
    members = 0
    with path.open("rb") as file:
        tracemalloc.start()
        for _ in zip_directory.walk(file.fileno()):
            members += 1
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert members == 40_000
    assert peak < 5_000_000 < path.stat().st_size


def test_any_bytes_behind_a_zips_mark_are_a_zip_or_a_fault_of_ours(images: Images, tmp_path: Path) -> None:
    path = zips.write(tmp_path / "any.zip", images)
    data = path.read_bytes()
    directory = data.index(b"PK\1\2")
    for place in range(directory, len(data), 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        rows = [row for _, batch in _scanned(path) for row in batch]
        assert all(row["code"] in CODES for row in rows if "code" in row)


def _scanned(path: Path) -> list[tuple[str, list[dict[str, object]]]]:
    from imagenet_tools.units import Unit

    unit = Unit("zip", "any.zip", str(path.parent), path.name, "ilsvrc2012")
    return [(table, batch.to_pylist()) for table, batch in zip_format.scan(unit)]
