"""The ILSVRC development kit: the labels of the validation images, in ILSVRC ids, as a folder or an archive.

    ILSVRC2012_devkit_t12/                          or .tar.gz, or the .tar that some browsers make of it
        readme.txt  COPYING  evaluation/
        data/
            ILSVRC2012_validation_ground_truth.txt  50,000 lines, an id from 1 to 1,000 each, no final newline
            meta.mat                                the wnid of each id: 1,000 classes, and 860 synsets above
    ILSVRC/devkit/data/                             of a later year
            ILSVRC2015_clsloc_validation_ground_truth.txt   the same lines
            map_clsloc.txt                          n02119789 1 kit_fox
    ILSVRC2012_validation_ground_truth.txt          or the list alone

Line n is the label of ILSVRC2012_val_<n>, n in eight digits. The wnid of an id is a bundled fact; a kit's own meta.mat
or map_clsloc.txt is compared with it. The kits of 2010 and 2011 list other images and other classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from imagenet_tools.annotations.annotation_rows import AnnotationRows
from imagenet_tools.catalogue import labels
from imagenet_tools.containers import tar
from imagenet_tools.containers.mat5 import read_structs
from imagenet_tools.errors import FormatError
from imagenet_tools.formats._shared.contract import Tables, one_unit
from imagenet_tools.images.image_rows import is_image_name
from imagenet_tools.text import count_of
from imagenet_tools.units import Detection, FileRange, Labelling, Reads, Unit, files_beside, unit_file

READS = Reads(
    holds=("labels",),
    beside=frozenset({"meta.mat", "map_clsloc.txt", "readme.txt", "COPYING"}),
    problems={"devkit_map_unread": "the kit's own list of ids cannot be read; the bundled one is used, unchecked"},
)

_TRUTH = re.compile(r"ILSVRC201[2-9](?:_clsloc)?_validation_ground_truth\.txt")
# The list's first ids: no other list of ids has the labels of these five images.
_FIRST_IDS = [b"490", b"361", b"171", b"822", b"297"]
_MAPS = ("map_clsloc.txt", "meta.mat", "meta_clsloc.mat")

_LABEL_SET = "devkit"
_N_IMAGES = 50_000
_N_CLASSES = 1_000

# Places of a kit's lists below a folder.
_PLACES = ("", "data", "devkit/data", "*devkit*", "*devkit*/data", "ILSVRC/devkit/data", "ILSVRC20??/devkit/data")

# Each list of a kit has less than a megabyte, and the first is within the first few megabytes of the archive.
_LIST_BYTES = 16 << 20
_LOOKED_AT_BYTES = 64 << 20


def detect(path: Path) -> list[Detection]:
    """Return the ground truth at a path: one detection for each list or archive."""
    if path.is_dir():
        lists = {file for place in _PLACES for file in path.glob(f"{place}/ILSVRC*.txt".lstrip("/"))}
        return [_detection(file) for file in sorted(lists) if _TRUTH.fullmatch(file.name) and file.is_file()]
    if tar.is_archive(path):
        name = _truth_in(path)
        return [_detection(path, f" in {name}")] if name else []
    return [_detection(path)] if path.is_file() and (_TRUTH.fullmatch(path.name) or _has_first_ids(path)) else []


def _detection(path: Path, where: str = "") -> Detection:
    maps = [name for name in _MAPS if (path.parent / name).is_file()] if not where else []
    checked = f", checked against {' and '.join(maps)}" if maps else ""
    evidence = f"ILSVRC ids of the validation images{where}{checked}"
    numbers = Labelling("a number a line", "ilsvrc2012", "ilsvrc_id", 1)
    return Detection("devkit", path, "ilsvrc2012", ("labels",), evidence, ("val",), labels=numbers)


def _has_first_ids(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).split()[: len(_FIRST_IDS)] == _FIRST_IDS


def _truth_in(path: Path) -> str | None:
    """Return the name of the list in an archive, if it is among the first members."""
    passed = 0
    try:
        for member in tar.members(path):
            name = PurePosixPath(member.name).name
            passed += member.size
            if member.kind == "file" and _TRUTH.fullmatch(name):
                return member.name
            if passed > _LOOKED_AT_BYTES or is_image_name(name):  # no kit has images
                break
    except FormatError as error:
        # A kit cut before its list gives no label. If the list itself is cut, the scan reports it.
        return error.member if _TRUTH.fullmatch(PurePosixPath(error.member).name) else None
    return None


units = one_unit


def files(unit: Unit) -> Iterator[FileRange]:
    """Yield the list and the maps beside it, or the archive."""
    yield from unit_file(unit)
    if not tar.is_archive(unit.path):
        yield from files_beside(unit, _MAPS)


def scan(unit: Unit) -> Tables:
    """Yield the 50,000 labels. FormatError: the list is another one, or the kit's ids are of other classes."""
    rows = AnnotationRows(unit)
    if tar.is_archive(unit.path):
        contents = _from_archive(unit, rows)
    else:
        paths = (unit.path, *(unit.path.parent / name for name in _MAPS))
        contents = {path.name: path.read_bytes() for path in paths if path.is_file()}
    truths = {name: _ids(name, data) for name, data in contents.items() if name not in _MAPS}
    if not truths:
        message = f"{unit.file}: no whole ILSVRC2012_validation_ground_truth.txt in this devkit: fetch it again"
        raise FormatError(message, code="devkit_incomplete")
    (first, ids), *others = truths.items()
    for name, other in others:
        if other != ids:
            n = next(n for n, pair in enumerate(zip(ids, other, strict=True), 1) if pair[0] != pair[1])
            message = f"{unit.file}: {first} and {name} differ at line {n}: leave one of them out"
            raise FormatError(message, code="devkit_contradiction")
    for name in contents.keys() & set(_MAPS):
        _check_map(unit, rows, name, contents[name])
    wnids = labels.ilsvrc2012_ids()
    for n, ilsvrc_id in enumerate(ids, 1):
        rows.label(f"ILSVRC2012_val_{n:08d}", _LABEL_SET, wnids[ilsvrc_id - 1])
    yield from rows.batches()


def _from_archive(unit: Unit, rows: AnnotationRows) -> dict[str, bytes]:
    """Return the kit's lists by name; a break after them becomes a problem."""
    contents: dict[str, bytes] = {}
    try:
        with tar.open_stream(unit.path) as file:
            for member, data, _ in tar.stream(file, cap=_LIST_BYTES, label=unit.file):
                name = PurePosixPath(member.name).name
                if data is not None and (name in _MAPS or _TRUTH.fullmatch(name)):
                    contents.setdefault(name, data)
    except FormatError as error:
        rows.problem(error.code, unit.file, str(error), error.member or None)
    return contents


def _ids(name: str, data: bytes) -> list[int]:
    lines = data.decode("ascii", "backslashreplace").rstrip().split("\n")
    for n, line in enumerate(lines, 1):
        if not (line.strip().isdecimal() and 1 <= int(line[:9]) <= _N_CLASSES):
            message = f"{name}, line {n}: {line[:40]!r}; expected an ILSVRC id, 1 to 1,000. Is this another list?"
            raise FormatError(message, code="devkit_bad_id")
    if len(lines) != _N_IMAGES:
        message = f"{name} ends at line {len(lines)}; expected 50,000 lines, one an image: fetch it again"
        raise FormatError(message, code="devkit_incomplete")
    return [int(line) for line in lines]


def _check_map(unit: Unit, rows: AnnotationRows, name: str, data: bytes) -> None:
    """Compare a kit's own list of ids with the bundled one. FormatError: they differ."""
    try:
        wnid_of = _wnids_in_text(data) if name.endswith(".txt") else _wnids_in_mat(data)
        if set(range(1, _N_CLASSES + 1)) - wnid_of.keys():
            message = f"{name} lists {count_of(len(wnid_of), 'id')}; expected all from 1 to 1,000"
            raise FormatError(message)
    except FormatError as error:
        reason = f"{error}; the bundled list of ids is used, unchecked"
        rows.problem("devkit_map_unread", unit.file, reason, name)
        return
    for ilsvrc_id, wnid in enumerate(labels.ilsvrc2012_ids(), 1):
        if wnid_of[ilsvrc_id] != wnid:
            message = (
                f"{unit.file}: {name} gives id {ilsvrc_id} to {wnid_of[ilsvrc_id]}; expected {wnid}. This is not the "
                "devkit of ILSVRC2012's 1,000 classes."
            )
            raise FormatError(message, code="devkit_contradiction")


def _wnids_in_text(data: bytes) -> dict[int, str]:
    pairs = [line.split()[:2] for line in data.decode("ascii", "backslashreplace").splitlines() if line.strip()]
    return {int(pair[1]): pair[0] for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _wnids_in_mat(data: bytes) -> dict[int, str]:
    wnid_of: dict[int, str] = {}
    for row in read_structs(data):
        ilsvrc_id = next((value for key, value in row.items() if key.endswith("_ID")), None)
        if isinstance(ilsvrc_id, float):
            wnid_of[int(ilsvrc_id)] = str(row.get("WNID"))
    return wnid_of
