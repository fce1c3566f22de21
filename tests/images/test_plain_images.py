"""A tar or a folder scanned in batches gives the same rows, problems and order as a scan of each image by itself."""

import gzip
import io
import os
import random
import subprocess
import tarfile
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagenet_tools import api, system
from imagenet_tools.build.find import find_sources, units_of
from imagenet_tools.images import batch, image_rows
from imagenet_tools.images.batch import jpeg_batch, tar_batch
from imagenet_tools.images.folder_scan import scan_folder
from imagenet_tools.images.jpeg import ImageFacts
from imagenet_tools.images.probe import probe
from imagenet_tools.images.tar_scan import scan_tar
from imagenet_tools.storage.blob import read_buffer
from imagenet_tools.units import Unit
from tests.benchmarks.photographs import stock
from tests.conftest import Extracted
from tests.forms import kaggle, whole
from tests.images.test_jpeg import (
    SCAN,
    SOI,
    by_pillow,
    drawn_jpegs,
    entry,
    exif_of,
    frame,
    png,
    segment,
)
from tests.parameters import short_list

WNID = "n02084071"
XMP = segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0tiff:Orientation="3"')
Rows = dict[str, list[dict[str, Any]]]
quick = settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))


def one_by_one(patch: pytest.MonkeyPatch) -> None:
    """Scan each member and each file by itself."""
    patch.setattr(tar_batch, "read_members", lambda *args: None)
    patch.setattr(batch, "_add_files", lambda *args: False)


def together(patch: pytest.MonkeyPatch, made: Counter[str]) -> None:
    """Scan as much as possible in batches, and count the rows that are."""
    patch.setattr(batch, "_MIN_RUN", 1)
    patch.setattr(jpeg_batch, "_MIN_TOGETHER", 1)
    add_batch = image_rows.ImageRows.add_batch

    def counted(self: image_rows.ImageRows, some: Any, probed: Mapping[int, ImageFacts]) -> None:
        made.update(rows=some.num_rows, probed=len(probed))
        add_batch(self, some, probed)

    patch.setattr(image_rows.ImageRows, "add_batch", counted)


def scanned(units: list[Unit]) -> Rows:
    """All rows, by table and in order."""
    tables: Rows = {}
    for unit in units:
        for table, some in api._readers()[unit.form].scan(unit):
            some.validate(full=True)
            tables.setdefault(table, []).extend(some.to_pylist())
    return tables


def both_ways(units: list[Unit]) -> tuple[Rows, Counter[str]]:
    """The rows, if they are the same both ways; how many were made together."""
    made: Counter[str] = Counter()
    with pytest.MonkeyPatch.context() as patch:
        one_by_one(patch)
        expected = scanned(units)
    with pytest.MonkeyPatch.context() as patch:
        together(patch, made)
        found = scanned(units)
    with pytest.MonkeyPatch.context() as patch:
        together(patch, Counter())
        patch.setattr(batch, "_SLOW_SECONDS", -1.0)  # files are read by threads
        assert scanned(units) == expected
    assert found == expected
    assert scanned(units) == expected  # as it is without being told
    return found, made


def units(path: Path, **changes: Any) -> list[Unit]:
    readers = api._readers()
    sources = find_sources([path], readers, dataset=None, known=[])
    return [unit._replace(**changes) for source in sources for unit in units_of(source, readers)]


def tar_unit(path: Path, **changes: Any) -> Unit:
    whole_ = Unit("image_tars", "source", str(path.parent), path.name, "fall11", wnid=WNID)
    return whole_._replace(**changes)


def write_tar(path: Path, files: Mapping[str, bytes], form: int = tarfile.USTAR_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as archive:
        for name, data in files.items():
            whole.add(archive, name, data)
    return path


def write_folder(path: Path, files: Mapping[str, bytes]) -> Path:
    path.mkdir(parents=True)
    for name, data in files.items():
        (path / name).write_bytes(data)
    return path


def named(images: list[bytes]) -> dict[str, bytes]:
    return {f"{WNID}_{7 * n}.JPEG": data for n, data in enumerate(images)}


def in_folder(path: Path) -> Unit:
    return Unit("image_folder", "source", str(path.parent), path.name, "fall11", wnid=WNID)


# ---- requests to a disk


def test_the_first_bytes_of_many_files_are_asked_for_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "train" / WNID, named([image.data for image in stock()[:300]]))
    advice: Counter[tuple[int, int, int]] = Counter()
    monkeypatch.setattr(system, "advise", lambda fd, *range_and_advice: advice.update([range_and_advice]))
    assert len(scanned([in_folder(folder)])["images"]) == 300
    assert advice == {(0, image_rows.HEAD, system.WILLNEED): 300}


def test_units_in_threads_stay_below_the_usual_limit_of_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path / "train" / WNID, named([image.data for image in stock()[:256]]))
    expected = scanned([in_folder(folder)])
    monkeypatch.setattr(batch, "_add_files", count_open := CountOpen(batch._add_files))
    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(scanned, [[in_folder(folder)]] * 16)) == [expected] * 16
    assert count_open.most <= 2


class CountOpen:
    """Counts the batches of files that are open at once."""

    def __init__(self, add_files: Callable[..., bool]):
        self._add_files, self._lock = add_files, threading.Lock()
        self._open = self.most = 0

    def __call__(self, *arguments: Any) -> bool:
        """Add the files of a batch."""
        with self._lock:
            self._open += 1
            self.most = max(self.most, self._open)
        try:
            return self._add_files(*arguments)
        finally:
            with self._lock:
                self._open -= 1


# ---- every form


FORMS: dict[str, Callable[[Path, Extracted, Path], Path]] = {
    "the sample": lambda home, extracted, sample: sample,
    "class folders": lambda home, extracted, sample: extracted.train,
    "flat folder": lambda home, extracted, sample: extracted.val,
    "class tars": lambda home, extracted, sample: extracted.class_tars,
    "fall 2011": lambda home, extracted, sample: whole.fall11_whole(
        home / "fall11_whole.tar",
        whole.images(extracted.data.values()),
        wrapped=["n00004475_7"],
        gzipped=["n00007846"],
    ),
    "21K-P": lambda home, extracted, sample: whole.imagenet21k_resized(home, whole.images(extracted.data.values())),
    "21K-P in a tar": lambda home, extracted, sample: whole.pack(
        home / "imagenet21k_resized.tar", whole.imagenet21k_resized(home, whole.images(extracted.data.values()))
    ),
    "kaggle": lambda home, extracted, sample: kaggle.write(home, extracted.data, sample),
    "kaggle in a tar": lambda home, extracted, sample: write_tar(
        home / "kaggle.tar",
        {name: data for name, data in kaggle.files_of(extracted.data, sample).items() if isinstance(data, bytes)},
    ),
}


@pytest.mark.parametrize("probed", short_list([True, False], True), ids=["probed", "unprobed"])
@pytest.mark.parametrize("form", FORMS)
def test_a_form_has_the_same_rows_both_ways(
    form: str, probed: bool, extracted: Extracted, sample: Path, tmp_path: Path
) -> None:
    found, made = both_ways(units(FORMS[form](tmp_path, extracted, sample), probed=probed))
    assert len(found["images"]) >= 20
    # Only images that are called by their class and number are made into rows together; files only if they are probed.
    tars, folders = {"the sample", "class tars", "fall 2011"}, {"class folders", "21K-P", "kaggle"}
    assert (made["rows"] > 0) == (form in tars or (probed and form in folders))


@pytest.mark.parametrize("form", short_list(["v7", "oldgnu", "gnu", "ustar", "pax"], "gnu", "pax"))
def test_what_gnu_tar_writes_has_the_same_rows_both_ways(form: str, tmp_path: Path) -> None:
    files = named([one.data for one in stock()[:60]]) | {"x" * 120 + ".JPEG": stock()[0].data, "note.txt": b"stray"}
    folder = write_folder(tmp_path / WNID, files)
    os.link(folder / f"{WNID}_7.JPEG", folder / f"{WNID}_7777.JPEG")
    (folder / f"{WNID}_8888.JPEG").symlink_to(f"{WNID}_7.JPEG")
    (folder / "a folder").mkdir()
    path = tmp_path / f"{WNID}.tar"
    names = sorted(path.name for path in folder.iterdir() if form not in {"v7", "ustar"} or len(path.name) < 99)
    subprocess.run(["tar", f"--format={form}", "-cf", str(path), "-C", str(folder), *names], check=True)
    found, made = both_ways([tar_unit(path)])
    assert len(found["images"]) >= 61  # the hard link too
    # Those before the link are read together; it names another member, and so is none of theirs.
    assert made["rows"] == (0 if form == "pax" else 57)


def test_odd_members_among_plain_ones_keep_their_place(tmp_path: Path) -> None:
    images = [one.data for one in stock()[:200]]
    files = named(images) | {
        f"{WNID}_1.JPEG": gzip.compress(images[0]),
        f"{WNID}_2.JPEG": b"",
        f"{WNID}_3.JPEG": b"<html>404 Not Found</html>",
        f"{WNID}_4.JPEG": png() + b"\0\0\0\0IDAT\0\0\0\0",
        f"{WNID}_5.JPEG": images[0][:100],
        f"{WNID}_6.jpg": images[1],
        "n00007846_8.JPEG": images[2],
        "n00007846_x.JPEG": images[2],
        f"{WNID}_.JPEG": images[2],
        f"{WNID}_9_{WNID}.JPEG": images[2],
        f"{WNID}_{10**30}.JPEG": images[2],
        "ILSVRC2012_val_00000001.JPEG": images[3],
        "ILSVRC2013_test_00000001.JPEG": images[3],
        ".hidden.JPEG": images[4],
        "readme.txt": b"hello",
        "dir/n02084071_11.JPEG": images[5],
        f"{WNID}_12.JPEG": SOI + segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0tiff:Orientation="3"') + frame() + SCAN,
        f"{WNID}_13.JPEG": SOI + segment(0xE2, bytes(30_000)) + frame(7, 5) + SCAN,
        f"{WNID}_14.JPEG": SOI + frame(65_000, 60_000) + SCAN,
        f"{WNID}_15.JPEG": SOI + frame(bits=12) + SCAN,
    }
    order = list(files)
    random.Random(1).shuffle(order)
    files = {name: files[name] for name in order}
    found, made = both_ways([tar_unit(write_tar(tmp_path / f"{WNID}.tar", files, tarfile.GNU_FORMAT))])
    assert [row["offset"] for row in found["images"]] == sorted(row["offset"] for row in found["images"])
    assert {row["problem"] for row in found["images"]} >= {
        None, "empty", "not_an_image", "cut_short", "too_many_pixels", "unsupported"
    }  # fmt: skip
    assert {row["code"] for row in found["problems"]} >= {"class_differs", "label_contradiction", "stray_file"}
    assert made["rows"] > 200
    assert made["probed"] > 5
    flat = {name: data for name, data in files.items() if "/" not in name}
    folder = write_folder(
        tmp_path / "folder" / WNID, flat | {"\udcff.JPEG": images[0], f"{WNID}_0\udcff.JPEG": images[0]}
    )
    (folder / f"{WNID}_16.JPEG").symlink_to("nowhere")
    (folder / f"{WNID}_17.JPEG").symlink_to(f"{WNID}_0.JPEG")
    os.mkfifo(folder / f"{WNID}_18.JPEG")
    (folder / f"{WNID}_19.JPEG").mkdir()
    found, _ = both_ways([in_folder(folder)])
    assert {row["code"] for row in found["problems"]} >= {"name_not_utf8", "unreadable_file", "stray_file", "empty"}
    assert len(found["images"]) > 200
    (folder / f"{WNID}_1.JPEG").unlink()  # the compressed one: files beside it are read one by one
    _, made = both_ways([in_folder(folder)])
    assert made["rows"] > 200
    assert made["probed"] > 5


@pytest.mark.parametrize("probed", [True, False])
@pytest.mark.parametrize("dataset", short_list(["ilsvrc2012", "tiny-imagenet-200", "imagenet-c"], "ilsvrc2012"))
def test_data_sets_name_photos_and_splits_alike_both_ways(dataset: str, probed: bool, tmp_path: Path) -> None:
    path = write_tar(tmp_path / f"{WNID}.tar", named([one.data for one in stock()[:50]]))
    folder = write_folder(tmp_path / WNID, named([one.data for one in stock()[:50]]))
    for split in (None, "train", "val"):
        for wnid in (WNID, None, "n00007846"):
            for unit in (tar_unit(path), in_folder(folder)):
                both_ways([unit._replace(dataset=dataset, split=split, wnid=wnid, probed=probed)])


# ---- headers of tars


@pytest.fixture(scope="module")
def archive() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in named([one.data for one in stock()[:40]]).items():
            whole.add(archive, name, data[:700])
    return out.getvalue()


@quick
@given(data=st.data())
def test_damaged_and_cut_tars_have_the_same_rows_and_problems_both_ways(
    data: st.DataObject, archive: bytes, tmp_path: Path
) -> None:
    damaged = bytearray(archive)
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        places = [member.offset for member in members]
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.sampled_from(places))
        at = data.draw(st.one_of(st.integers(0, 511), st.sampled_from([0, 99, 124, 125, 134, 135, 154, 155, 156, 345])))
        text = data.draw(st.one_of(st.binary(min_size=1, max_size=3), st.sampled_from(
            [b"L", b"x", b"g", b"1", b"5", b"S", b"\0", b"\x80", b"-", b"_", b" ", b"+", b"8", b"0x", b"00000001750 "]
        )))  # fmt: skip
        damaged[place + at : place + at + len(text)] = text
        if data.draw(st.booleans()):
            block = bytes(damaged[place : place + 512])
            total = sum(block[:148]) + sum(block[156:]) + 8 * 32
            damaged[place + 148 : place + 156] = data.draw(st.sampled_from([b"%06o\0 ", b"%07o\0", b" %06o\0"])) % total
    cut = data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))
    path = tmp_path / "damaged.tar"
    path.write_bytes(bytes(damaged[:cut]))
    both_ways([tar_unit(path), tar_unit(path, probed=False), tar_unit(path, offset=512, length=9_000)])


# ---- headers of JPEGs


def told_together(images: list[bytes], held: int) -> list[ImageFacts | None]:
    """The facts of images whose headers are read together; None for those that are left to `probe`."""
    with read_buffer() as buffer:
        start, at = [], 8
        for data in images:
            buffer.raw[at : at + min(held, len(data))] = data[:held]
            start.append(at)
            at += min(held, len(data))
        lengths = np.array([len(data) for data in images])
        headers = jpeg_batch.read_headers(buffer, np.array(start), np.minimum(lengths, held), lengths)
        return [headers.facts(row) for row in range(len(images))]


def probed(data: bytes) -> ImageFacts:
    return probe(data[:4096], len(data), lambda offset, n: data[offset : offset + n])


ORDERS = st.sampled_from("<>")
SEGMENTS = st.one_of(
    st.builds(segment, st.sampled_from([0xE0, 0xDB, 0xC4, 0xFE, 0xED, 0xEE, 0xDD]), st.binary(max_size=80)),
    st.builds(frame, *[st.integers(0, 7000)] * 2, st.sampled_from([1, 2, 3, 4]), bits=st.sampled_from([8, 12])),
    st.builds(frame, marker=st.sampled_from([0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC8, 0xCC, 0xDE])),
    st.builds(
        lambda order, tags, count, cut: segment(0xE1, exif_of(order, b"".join(
            entry(order, kind, n, value, tag) for tag, kind, n, value in tags
        ), count)[:cut]),
        ORDERS,
        st.lists(st.tuples(
            st.sampled_from([0x0112, 0x0112, 0x010F, 0x0111]), st.sampled_from([3, 3, 3, 4, 9, 2, 200]),
            st.sampled_from([1, 1, 1, 0, 2, 9999]), st.binary(min_size=4, max_size=4),
        ), max_size=5),
        st.none() | st.integers(0, 70),
        st.just(None) | st.integers(0, 60),
    ),
    st.just(XMP),
    st.just(segment(0xE1, b"Exif\0\0" + exif_of(">", entry(">", 3, 1, b"\0\6")))),
    st.builds(segment, st.just(0xE1), st.binary(max_size=20)),
    st.builds(segment, st.just(0xE2), st.integers(0, 9000).map(bytes)),
    st.sampled_from([b"\xff", b"\xff\xff", b"\xff\xd0", b"\xff\0", b"junk", b"\xff\x01", b"\xff\xe0\0\0", SCAN, b""]),
)  # fmt: skip
HEADERS = st.builds(
    lambda parts, cut: (SOI + b"".join(parts) + SCAN)[:cut],
    st.lists(SEGMENTS, max_size=8),
    st.none() | st.integers(0, 400),
)


@quick
@given(
    images=st.lists(HEADERS | drawn_jpegs() | st.binary(max_size=40), min_size=1, max_size=24),
    held=st.sampled_from([0, 11, 12, 40, 512, 4096]),
)
def test_what_is_told_together_is_told_by_probe(images: list[bytes], held: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jpeg_batch, "_MIN_TOGETHER", 1)
        for data, found in zip(images, told_together(images, held), strict=True):
            assert found is None or found == probed(data)


@quick
@given(images=st.lists(drawn_jpegs(), min_size=1, max_size=8))
def test_drawn_jpegs_are_told_together_as_pillow_tells_them(images: list[bytes]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jpeg_batch, "_MIN_TOGETHER", 1)
        found = told_together(images, 4096)
    for data, one in zip(images, found, strict=True):
        if b"ns.adobe.com" not in data and data.find(b"\xff\xda") + 10 <= 4096:
            assert one is not None
        assert one is None or one[:5] == by_pillow(data)


@pytest.mark.parametrize(
    ("exif", "expected"),
    [
        (exif_of(">", entry(">", 3, 1, b"\0\6")), 6),
        (exif_of("<", entry("<", 4, 1, b"\0\0\0\0", tag=0x0111) + entry("<", 3, 1, b"\x08\0")), 8),
        (exif_of(">", entry(">", 3, 1, b"\0\0")), 0),
        (exif_of(">", entry(">", 3, 1, b"\x7f\xff")), 32_767),
        (exif_of(">", b""), None),
    ],
)
def test_exif_as_cameras_write_it_is_told_together(exif: bytes, expected: int | None) -> None:
    images = [SOI + segment(0xE0, b"JFIF\0") + segment(0xE1, exif) + frame() + SCAN] * 16
    assert told_together(images, 4096) == [ImageFacts(20, 10, "RGB", "jpeg", expected, None)] * 16


@pytest.mark.parametrize(
    "exif", [exif_of(">", entry(">", 3, 1, b"\xff\xff")), exif_of(">", entry(">", 9, 1, b"\0\0\0\1"))]
)
def test_exif_that_cameras_do_not_write_is_left_to_probe(exif: bytes) -> None:
    assert told_together([SOI + segment(0xE1, exif) + frame() + SCAN] * 16, 4096) == [None] * 16


def test_a_header_that_is_longer_than_what_is_held_is_left_to_probe() -> None:
    exif = segment(0xE1, exif_of(">", entry(">", 3, 1, b"\0\6")))
    long = SOI + exif + frame(3, 3) + segment(0xE2, bytes(6000)) + frame(5, 4) + segment(0xE2, bytes(9000))
    for end, expected in ((frame() + SCAN, (20, 10)), (SCAN, (5, 4))):
        images = [long + end] * 30
        assert told_together(images, 4096) == [None] * 30
        assert probed(images[0]) == ImageFacts(*expected, "RGB", "jpeg", 6, None)


def test_the_photographs_of_the_benchmarks_are_told_together() -> None:
    images = stock()[:800]
    found = told_together([one.data for one in images], 4096)
    assert sum(one is None for one in found) <= 16  # those of long headers
    for one, facts in zip(images, found, strict=True):
        assert facts is None or facts[:3] == (one.width, one.height, one.mode)
        assert facts is None or (facts.orientation == 6) == (one.shape == "exif_turned")


def test_real_images_are_read_together_as_pillow_reads_them(real: Path, tmp_path: Path) -> None:
    paths = [path for folder in ("ilsvrc2012_val", "class_samples") for path in sorted((real / folder).glob("*.JPEG"))]
    images = named([path.read_bytes() for path in paths])
    unit = tar_unit(write_tar(tmp_path / f"{WNID}.tar", images))
    found, made = both_ways([unit])
    folder = scanned([in_folder(write_folder(tmp_path / WNID, images))])
    assert made["rows"] == len(images)
    assert made["probed"] < 0.15 * made["rows"]  # long headers, and XMP
    columns = ("width", "height", "mode", "encoding", "orientation")
    expected = [by_pillow(data) for data in images.values()]
    assert [tuple(row[name] for name in columns) for row in found["images"]] == expected
    by_name = {row["image_id"]: tuple(row[name] for name in columns) for row in folder["images"]}
    assert [by_name[name.removesuffix(".JPEG")] for name in images] == expected
    assert "problems" not in found


def test_hostile_images_have_the_same_rows_both_ways(real: Path, tmp_path: Path) -> None:
    images = named([path.read_bytes() for path in sorted((real / "hostile").iterdir())])
    unit = tar_unit(write_tar(tmp_path / f"{WNID}.tar", images))
    _, made = both_ways([unit, in_folder(write_folder(tmp_path / WNID, images))])
    assert made["rows"] > 150


def test_readers_that_take_turns_do_not_read_into_each_others_bytes(tmp_path: Path) -> None:
    unit = tar_unit(write_tar(tmp_path / "one.tar", named([one.data for one in stock()[:100]])))
    other = in_folder(write_folder(tmp_path / WNID, named([one.data for one in stock()[100:200]])))
    expected = [scanned([unit]), scanned([other])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tar_batch, "MAX_MEMBERS", 10)
        patch.setattr(image_rows, "_BATCH_ROWS", 1)
        turns = [scan_tar(unit), scan_folder(other)]
        found: list[list[dict[str, Any]]] = [[], []]
        for _ in range(200):
            for n, turn in enumerate(turns):
                for _, batch in [one for one in [next(turn, None)] if one]:
                    found[n] += batch.to_pylist()
    assert found == [one["images"] for one in expected]
