"""What holds for every reader: each module of imagenet_tools.formats with `scan` is found, and tried on its sample.

A reader without a sample in tests/forms/readers.py fails. What scan() opens and lists is told by Python's own audit.
"""

import ast
import importlib
import io
import multiprocessing
import os
import pkgutil
import shutil
from collections import ChainMap, Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import imagenet_tools
from imagenet_tools import api
from imagenet_tools.build.find import find_sources, units_of
from imagenet_tools.build.unit_work import Task, work
from imagenet_tools.catalogue import labels
from imagenet_tools.errors import ImagenetToolsError
from imagenet_tools.store.sources import UnitRecord
from imagenet_tools.units import Unit
from tests.forms import few_shot, imagenet_v2, vid
from tests.forms.readers import OTHER_SAMPLES, PIXELS, SAMPLES, images, many
from tests.parameters import short_list
from tests.test_headers import counted

READERS = api._readers()
SHARED = ("annotations", "containers", "images")
Rows = dict[Unit, list[tuple[str, dict[str, Any]]]]

# Readers of files that say at their end, or as a whole alone, what is in them: cut, they keep nothing.
WHOLE_OR_NOTHING = {"coco", "devkit", "downsampled", "hf_parquet", "mini_imagenet_cache", "zip"}


# Forms that lie as others do: a test of all readers is long for them, but for what detects them.
ALIKE = (
    "hf_imagefolder",
    "ilsvrc_vid",
    "image_tar_gz",
    "imagenet21k_p",
    "imagenet_c",
    "imagenet_v2",
    "kaggle_tree",
    "listed_folders",
    "mini_imagenet",
    "mini_imagenet_cache",
    "noisy_labels",
    "stanford_dogs",
    "zip",
)


@pytest.fixture(params=short_list([*READERS, *OTHER_SAMPLES], *(name for name in READERS if name not in ALIKE)))
def sample_name(request: pytest.FixtureRequest) -> str:
    """The name of a reader, or of another sample of one."""
    name: str = request.param
    if name not in SAMPLES:
        pytest.fail(f"{name} has no sample: add one to tests/forms/readers.py")
    return name


@pytest.fixture
def form(sample_name: str) -> str:
    """The name of the reader of a sample."""
    return OTHER_SAMPLES.get(sample_name, sample_name)


@pytest.fixture
def path(sample_name: str, sample: Path, tmp_path: Path) -> Path:
    """The sample of a reader, in a folder that holds nothing else."""
    (tmp_path / "home").mkdir()
    return SAMPLES[sample_name](tmp_path / "home", sample)


def units_in(path: Path) -> list[Unit]:
    [source] = find_sources([path], READERS, dataset=None, known=[])
    return list(units_of(source, READERS))


def scanned(unit: Unit) -> list[tuple[str, dict[str, Any]]]:
    """The rows of a unit; of seek points, without the library's bytes."""
    reader = READERS[unit.form]
    return [(table, row) for table, batch in reader.scan(unit) for row in batch.to_pylist()]


def scanned_or_none(unit: Unit) -> list[tuple[str, dict[str, Any]]] | None:
    with suppress(ImagenetToolsError):
        return scanned(unit)
    return None


def rows_in(path: Path) -> Rows:
    return {unit: scanned(unit) for unit in units_in(path)}


def kept(rows: Rows) -> Counter[tuple[str, ...]]:
    """What is indexed: images, boxes and labels by what they are."""
    names = ("image_id", "wnid", "xmin", "ymin", "label_set")
    return Counter(
        (table, *(str(row.get(name)) for name in names))
        for found in rows.values()
        for table, row in found
        if table in ("images", "boxes", "labels")
    )


def codes(rows: Rows) -> set[str]:
    return {row["code"] for found in rows.values() for table, row in found if table == "problems"}


# ---- what it is


@pytest.mark.parametrize("sample_name", [*READERS, *OTHER_SAMPLES])
def test_a_sample_is_detected_by_its_reader_and_by_no_other(form: str, path: Path) -> None:
    found = {name: reader.detect(path) for name, reader in READERS.items()}
    assert {name for name, detections in found.items() if detections} == {form}
    assert {one.form for one in found[form]} == {form}
    assert {kind for one in found[form] for kind in one.holds} <= set(READERS[form].READS.holds)


@pytest.mark.parametrize(
    "sample_name", short_list([*READERS, *OTHER_SAMPLES], "coco", "devkit", "hf_parquet", "image_tars")
)
def test_the_same_rows_come_twice_from_two_processes_and_from_a_relative_path(
    path: Path, pool: ProcessPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_in(path)
    assert sum(kept(rows).values()) > 0
    assert rows_in(path) == rows
    assert list(pool.map(rows_in, [path, path])) == [rows, rows]
    monkeypatch.chdir(path.parent)
    assert rows_in(Path(path.name)) == rows
    monkeypatch.chdir(path if path.is_dir() else path.parent)
    assert rows_in(Path("." if path.is_dir() else path.name)) == rows


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """Two processes that share nothing with this one."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as processes:
        yield processes


def test_the_images_of_a_sample_are_read_back_byte_for_byte(form: str, path: Path, tmp_path: Path) -> None:
    if "images" not in READERS[form].READS.holds:
        pytest.skip(f"{form} reads no images")
    if form in PIXELS:
        pytest.skip(f"{form} reads pixels")
    built = imagenet_tools.build_index(path, tmp_path / "x.index", workers=1)
    index = imagenet_tools.open_index(built.index)
    drawn = many() if form == "ilsvrc_det" else images()
    rows = index.sql("SELECT image_id, wnid FROM images").fetchall()
    stems = {stem: stem for stem in drawn} | {imagenet_v2.name(data): stem for stem, data in drawn.items()}
    stems |= {f"gaussian_noise-1-{stem}": stem for stem in drawn}
    stems |= {f"{n:012d}": stem for n, stem in enumerate(drawn, 1)}
    stems |= dict(zip(vid.frame_ids(), drawn, strict=False))
    stems |= {few_shot.ravi_name(stem[:9], n % 6 + 1): stem for n, stem in enumerate(drawn) if stem.startswith("n")}
    known = [(image_id, stems[image_id], wnid) for image_id, wnid in rows if image_id in stems]
    assert len(known) >= 6
    for image_id, stem, wnid in known:
        assert index.image(image_id).read() == drawn[stem]
        assert wnid in (None, stem[:9] if stem.startswith("n") else labels.validation_wnid(stem))


def test_the_images_of_a_sample_of_arrays_are_read_back_pixel_for_pixel(form: str, path: Path, tmp_path: Path) -> None:
    if form not in PIXELS:
        pytest.skip(f"{form} reads no arrays")
    built = imagenet_tools.build_index(path, tmp_path / "x.index", workers=1)
    index = imagenet_tools.open_index(built.index)
    drawn = PIXELS[form]()
    rows = index.sql("SELECT image_id, wnid, width, height FROM images").fetchall()
    assert {image_id for image_id, *_ in rows} == set(drawn)
    for image_id, wnid, width, height in rows:
        pixels, truth = drawn[image_id]
        with Image.open(io.BytesIO(index.image(image_id).read())) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (width, height))
            assert np.array_equal(np.asarray(image), pixels)
        assert wnid == truth


# ---- what it depends on


def touched(unit: Unit, root: Path) -> tuple[set[Path], set[Path]]:
    """The files that scan() opens below a folder, and the folders that it lists there."""
    scanned(unit)  # what is read once a process, such as lists of classes, is read now
    with counted() as calls:
        scanned(unit)
    opened: set[Path] = set()
    listed: set[Path] = set()
    for call in calls:
        kind, _, name = call.partition(" ")
        # A file of a folder that is open is opened by its name alone.
        place = unit.path / name
        if place.is_relative_to(root) and place.exists():
            (opened if kind == "open" and place.is_file() else listed).add(place)
    return opened, listed


def named(unit: Unit) -> set[Path]:
    """What the reader says that a unit's rows depend on."""
    return {Path(os.path.normpath(unit.root + "/" + one.name)) for one in READERS[unit.form].files(unit)}


def test_all_that_scan_opens_and_lists_is_named(form: str, path: Path) -> None:
    root = path if path.is_dir() else path.parent
    for unit in units_in(path):
        opened, listed = touched(unit, root)
        assert opened
        assert opened <= named(unit)
        # A folder is named itself, or all files in it are.
        for folder in listed - named(unit):
            assert {child for child in folder.iterdir() if child.is_file()} <= named(unit)


def add_a_byte(file: Path) -> None:
    with file.open("ab") as out:
        out.write(b"\0")


def flip_a_byte(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x55
    with file.open("r+b") as out:  # in place: the same file
        out.write(data)


def later(file: Path) -> None:
    flip_a_byte(file)
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1_000_000_000))


def earlier(file: Path) -> None:
    flip_a_byte(file)
    os.utime(file, (0, 1))


def unseen(file: Path) -> None:
    status = file.stat()
    flip_a_byte(file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


CHANGES = [(later, False), (unseen, True)]  # --hash alone sees the same size and time
MORE_CHANGES = [(add_a_byte, False), (add_a_byte, True), (later, True), (earlier, False), (earlier, True)]


@pytest.mark.parametrize(
    ("change", "by_hash"),
    [
        *(pytest.param(*one, id=f"{one[0].__name__}-{one[1]}") for one in CHANGES),
        *(pytest.param(*one, id=f"{one[0].__name__}-{one[1]}", marks=pytest.mark.long) for one in MORE_CHANGES),
    ],
)
def test_a_file_that_changes_in_place_is_scanned_again(
    form: str, path: Path, change: Callable[[Path], None], by_hash: bool, tmp_path: Path
) -> None:
    root = path if path.is_dir() else path.parent
    units = units_in(path)
    before = worked(units, {}, by_hash, tmp_path)
    assert set(worked(units, before, by_hash, tmp_path)) == set()
    of_file: dict[Path, set[int]] = {}
    for unit in units:
        for file in touched(unit, root)[0]:
            of_file.setdefault(file, set()).add(unit.key)
    rows = {unit.key: scanned(unit) for unit in units}
    # One file of those that the same units read.
    for file, keys in {frozenset(keys): (file, keys) for file, keys in of_file.items()}.values():
        status, data = file.stat(), file.read_bytes()
        change(file)
        again = set(worked(units, before, by_hash, tmp_path))
        assert keys <= again or (by_hash and keys & again), file  # by hash, those whose range of the file it is
        assert {unit.key for unit in units if scanned_or_none(unit) != rows[unit.key]} <= again
        file.write_bytes(data)
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert set(worked(units, before, by_hash, tmp_path)) == set()


@pytest.mark.parametrize("by_hash", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_file_that_comes_into_a_folder_that_is_listed_is_seen(
    form: str, path: Path, by_hash: bool, tmp_path: Path
) -> None:
    root = path if path.is_dir() else path.parent
    units = units_in(path)
    before = worked(units, {}, by_hash, tmp_path)
    of_folder: dict[Path, set[int]] = {}
    for unit in units:
        for folder in touched(unit, root)[1]:
            of_folder.setdefault(folder, set()).add(unit.key)
    for folder, keys in of_folder.items():
        (folder / "n02085620_424242.JPEG").write_bytes(b"new")
        assert keys <= set(worked(units, before, by_hash, tmp_path)), folder
        (folder / "n02085620_424242.JPEG").unlink()


def worked(units: list[Unit], known: dict[int, UnitRecord], by_hash: bool, parts: Path) -> dict[int, UnitRecord]:
    """What a build remembers of the units that it scans."""
    found: dict[int, UnitRecord] = {}
    (parts / "parts").mkdir()
    for unit in units:
        fingerprint = digest = ""
        with suppress(ImagenetToolsError):  # an error ends the build, which then remembers nothing
            done = work(Task(unit, parts / "parts", known.get(unit.key), by_hash))
            if done.state == "unchanged":
                continue
            fingerprint, digest = done.record.fingerprint, done.record.digest
        found[unit.key] = UnitRecord(unit.key, unit.form, unit.file, unit.member, fingerprint, 0, 0, 0, 0, -1, digest)
    shutil.rmtree(parts / "parts")
    return found


# ---- what is wrong with it


def test_a_name_that_is_no_utf_8_is_said_or_indexed(form: str, path: Path) -> None:
    root = path if path.is_dir() else path.parent
    units = units_in(path)
    for folder in sorted({folder for unit in units for folder in touched(unit, root)[1]}):
        before = {unit: scanned(unit) for unit in units}
        suffixes = Counter(child.suffix for child in folder.iterdir() if child.is_file())
        suffix = suffixes.most_common(1)[0][0] if suffixes else ".JPEG"
        odd = Path(os.fsdecode(os.fsencode(folder) + b"/n02085620_\xff" + os.fsencode(suffix)))
        odd.write_bytes(b"x")
        after = {unit: scanned(unit) for unit in units}
        assert after != before, folder
        assert codes(after) <= set(sentences(form))
        odd.unlink()


def test_a_file_that_is_cut_keeps_what_lies_before_the_cut(form: str, path: Path) -> None:
    root = path if path.is_dir() else path.parent
    for unit in units_in(path):
        file = max(touched(unit, root)[0], key=lambda one: one.stat().st_size)
        data, whole = file.read_bytes(), {unit: scanned(unit)}
        start, size = unit.offset, unit.length if unit.length >= 0 else len(data) - unit.offset
        os.truncate(file, start + size * 7 // 10)
        try:
            cut = {unit: scanned(unit)}
        except ImagenetToolsError as error:
            assert str(unit.file) in str(error) or file.name in str(error)
            cut = {unit: []}
            assert form in WHOLE_OR_NOTHING or file != unit.path
        else:
            assert not kept(cut) - kept(whole)
            assert kept(cut) == kept(whole) or codes(cut)
            assert kept(cut) or len({row[1] for row in kept(whole)}) < 2 or form in WHOLE_OR_NOTHING
        assert codes(cut) <= set(sentences(form))
        file.write_bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty", marks=pytest.mark.long),
        pytest.param(b"<html>\n" * 200, id="page"),
        pytest.param(bytes(4096), id="zeros", marks=pytest.mark.long),
    ],
)
def test_a_file_that_becomes_another_is_a_problem_or_an_error(form: str, path: Path, data: bytes) -> None:
    root = path if path.is_dir() else path.parent
    for unit in units_in(path):
        file = max(touched(unit, root)[0], key=lambda one: one.stat().st_size)
        before, original = scanned(unit), file.read_bytes()
        file.write_bytes(data)
        try:
            after = {unit: scanned(unit)}
        except ImagenetToolsError as error:
            assert str(unit.file) in str(error) or file.name in str(error)
        else:
            assert after[unit] != before or not before
            assert codes(after) <= set(sentences(form))
        file.write_bytes(original)


# ---- codes of problems


def test_every_code_of_a_problem_has_a_sentence(form: str) -> None:
    problems = sentences(form)
    assert all(len(text.split()) > 2 for text in problems.values())
    assert codes_in(Path(str(READERS[form].__file__))) <= set(problems)


def test_every_code_that_readers_share_is_in_the_table_of_one_of_them() -> None:
    package = Path(imagenet_tools.__file__).parent
    said = {code for form in READERS for code in sentences(form)}
    shared = {code for room in SHARED for path in (package / room).glob("*.py") for code in codes_in(path)}
    # Raised where an image is read back or written, and not by scan().
    assert shared - {"gzip_broken", "undecodable", "mat_damaged"} <= said


def sentences(form: str) -> dict[str, str]:
    """The codes that a reader may write, its own and those of the shared modules, with their sentences."""
    rooms = [importlib.import_module(f"imagenet_tools.{room}") for room in SHARED]
    modules = [
        importlib.import_module(f"{room.__name__}.{module.name}")
        for room in rooms
        for module in pkgutil.iter_modules(room.__path__)
    ]
    return dict(ChainMap(READERS[form].READS.problems, *(getattr(module, "PROBLEMS", {}) for module in modules)))


def codes_in(module: Path) -> set[str]:
    """The codes that a module spells out where it adds a problem."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "problem":
            found |= texts(node.args[0])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "FormatError":
            in_rows = "formats" not in module.parts  # what a reader raises itself ends the build
            found |= {text for word in node.keywords if word.arg == "code" and in_rows for text in texts(word.value)}
    return found


def texts(node: ast.expr) -> set[str]:
    """The texts that an expression may be."""
    return {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}
