"""Read COCO's instances: detection of the files, images that they list, boxes and labels."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from imagenet_tools.annotations import bbox
from imagenet_tools.annotations.annotation import Object
from imagenet_tools.annotations.annotation_rows import AnnotationRows
from imagenet_tools.catalogue import lists
from imagenet_tools.errors import FormatError
from imagenet_tools.formats._shared.coco_json import Record, categories, records
from imagenet_tools.formats._shared.contract import Tables, gathers, names_in, unit_at
from imagenet_tools.images.detection import folder_names, identify_dataset
from imagenet_tools.images.folder_scan import folder_files, scan_folder
from imagenet_tools.images.image_rows import ImageRows, is_image_name
from imagenet_tools.images.jpeg import ImageFacts
from imagenet_tools.text import count_of, some_of
from imagenet_tools.units import Detection, FileRange, Labelling, Unit
from imagenet_tools.wordnet.wnid import is_wnid

_HEAD_BYTES = 1 << 16
_LOOKED_AT_IMAGES = 64
_SPLIT = re.compile(r"(train|val|test)")
_COCO_STEM = re.compile(r"(?:COCO_(train|val|test)2014_)?(\d{12})")
_SAME_PHOTOS = ("coco", "coco2014", "lvis")
_KEYS = (b'"images"', b'"annotations"', b'"categories"', b'"info"')


class _Class(NamedTuple):
    """The name and the synset of a category; wnid is None if WordNet has none."""

    name: str
    wnid: str | None


class _Image(NamedTuple):
    """An image that a file lists."""

    stem: str
    wnid: str | None
    folder: str  # that its coco_url names; "" if it has none


# ---- detection


def detect(path: Path) -> list[Detection]:
    """Return the files of instances that are a path, or in it, or in its folder annotations/, one detection each."""
    if path.is_file():
        return _detect_file(path) if path.suffix == ".json" else []
    places = [path, path / "annotations"]
    files = [place / name for place in places for name in names_in(place, _is_json)]
    return [detection for file in files for detection in _detect_file(file)]


def _is_json(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")


def _detect_file(file: Path) -> list[Detection]:
    with file.open("rb") as opened:
        head = opened.read(_HEAD_BYTES)
    if not head.lstrip().startswith(b"{") or not any(key in head for key in _KEYS):
        return []
    try:
        found = categories(file)
        classes, listed = _classes(found), lists.list_of_categories(found)
        first = list(islice(records(file, "images"), _LOOKED_AT_IMAGES))
        images = [image for record in first if (image := _image(record))]
        is_boxed = any("bbox" in record for record in islice(records(file, "annotations"), 1))
    except FormatError:
        return []
    # COCO's boxes of persons again, and lists of labels without boxes.
    others = any("keypoints" in record for record in found) or any("pos_category_ids" in record for record in first)
    if others or not images or not any(each.wnid for each in classes.values()):
        return []
    folders = _folders(file, _home(file, file.parent.parent))
    holds = (("images",) if folders else ()) + (("boxes", "labels") if is_boxed else ())
    dataset = _dataset(file, images, listed)
    match = _SPLIT.search(file.stem)
    evidence = f"COCO's instances of {len(classes):,} categories, the first image {images[0].stem}"
    known = f"; those of {listed}" if listed else ""
    missing = "" if folders else "the images: expected their folder beside the file"
    by = "the records of the images" if images[0].wnid else "the categories of the boxes"
    labels = Labelling(by, "wordnet")
    about = (evidence + known, (match[1],) if match else (), missing, labels)
    return [Detection("coco", file, dataset, holds, *about)] if holds else []


def _dataset(file: Path, images: Iterable[_Image], listed: str | None) -> str:
    stems = [_COCO_STEM.fullmatch(image.stem) for image in images]
    if listed and all(stems):
        name = listed.rstrip("0123456789")  # lists of categories are called after their data set and their number
        return f"{name}2014" if any(stem and stem[1] for stem in stems) else name
    wnids = {image.wnid for image in images if image.wnid}
    names = [f"{image.stem}.JPEG" for image in images]
    return identify_dataset(wnids, names, folder_names(_home(file, file.parent.parent).absolute())).dataset


def _home(file: Path, root: Path) -> Path:
    """Return the folder around the folders of images: above annotations/, but not above `root`."""
    above = file.parent.parent
    return above if file.parent.name == "annotations" and above.is_relative_to(root) else file.parent


def _folders(file: Path, home: Path) -> list[Path]:
    """Return the folders that may hold the images of a file: those called as its name ends, else all beside it."""
    places = [place for place in (home, home / "images") if place.is_dir()]
    ending = file.stem.rpartition("_")[2]
    named = [folder for place in places if (folder := place / ending).is_dir()]
    if named:
        return named
    below = [place / name for place in places for name in names_in(place, _SPLIT.match, folders=True)]
    return [folder for folder in (*below, *places) if names_in(folder, is_image_name)]


# ---- units


def units(detection: Detection, source: str, root: Path) -> Iterator[Unit]:
    """Yield one unit for the boxes and labels of a file, and one for each folder that may hold its images."""
    split = detection.splits[0] if detection.splits else None
    if "images" in detection.holds:
        member = detection.path.relative_to(root).as_posix()
        for folder in _folders(detection.path, _home(detection.path, root)):
            yield unit_at(detection, source, root, folder, split=split, member=member)
    if "boxes" in detection.holds:
        yield unit_at(detection, source, root, split=split)


def files(unit: Unit) -> Iterator[FileRange]:
    """Yield the file of boxes; for images, the file that lists them and all files in their folder."""
    if unit.member:
        yield FileRange(unit.member)
    yield from folder_files(unit, deep=False)


def scan(unit: Unit) -> Tables:
    """Yield the images of a folder that the file lists, or the boxes and labels of the file."""
    return _scan_images(unit) if unit.member else _scan_boxes(unit)


# ---- images


class _ListedRows(ImageRows):
    """Gathers the images that a file lists, with the id, class and photo that it gives them."""

    takes_plain_names = False

    def __init__(self, unit: Unit, listed: Mapping[str, _Image]):
        super().__init__(unit)
        self._listed = listed

    def add(self, stem: str, *, file: str, **values: Any) -> ImageFacts:
        image = self._listed[file.rpartition("/")[2]]
        # COCO's releases and LVIS number the same photos, so that no other set of theirs learns what this one tests.
        number = _COCO_STEM.fullmatch(image.stem)
        photo = f"ms-coco/{number[2]}" if number and self.unit.dataset in _SAME_PHOTOS else None
        return super().add(image.stem, file=file, **{**values, "wnid": image.wnid, "photo": photo})


def _scan_images(unit: Unit) -> Tables:
    file = Path(unit.root, unit.member)
    listed: dict[str, _Image] = {}
    stated: set[str] = set()  # names of the images that must be in this folder
    rows = _ListedRows(unit, listed)
    try:
        for record in records(file, "images"):
            if image := _image(record):
                names = _names(record)
                listed |= dict.fromkeys(names, image)
                if image.folder == unit.path.name or not image.folder:
                    stated.add(names[0])
    except FormatError as error:
        rows.problem(error.code, unit.member, str(error))
    present = set(names_in(unit.path, is_image_name))
    unlisted = present - listed.keys()
    if unlisted and file.stem.rpartition("_")[2] == unit.path.name:
        reason = f"{unit.file} holds {count_of(len(unlisted), 'image')} that the file does not list"
        rows.problem("not_listed", unit.member, reason)
    if absent := sorted(stated - present):
        reason = f"{count_of(len(absent), 'image')} of {unit.path.name} are not there: {some_of(absent, 3)}"
        rows.problem("listed_absent", unit.member, reason)
    yield from scan_folder(unit, rows, deep=False, beside=unlisted)


def _image(record: Record) -> _Image | None:
    """Return the image of a record; None if it names no file."""
    names = _names(record)
    if not names:
        return None
    url = record.get("coco_url")
    folder = PurePosixPath(url).parent.name if isinstance(url, str) else PurePosixPath(record["file_name"]).parent.name
    wnid = record.get("wnid")
    stem = names[0].rpartition(".")[0] or names[0]
    return _Image(stem, wnid if isinstance(wnid, str) and is_wnid(wnid) else None, folder)


def _names(record: Record) -> list[str]:
    """Return the names that the file of an image may have; the first one is its id. LVIS 0.5 has two."""
    texts = [record.get(key) for key in ("coco_url", "file_name")]
    return list(dict.fromkeys(PurePosixPath(text).name for text in texts if isinstance(text, str) and text))


# ---- boxes and labels


@gathers(AnnotationRows)
def _scan_boxes(unit: Unit, rows: AnnotationRows) -> Iterator[None]:
    """Add the boxes of all images, and the labels of images without a class."""
    classes = _classes(categories(unit.path))
    if not classes:
        raise FormatError(f"{unit.path}: found no categories, expected a list of them.", code="json_damaged")
    images: dict[object, tuple[_Image, int | None, int | None]] = {}
    for record in records(unit.path, "images"):
        if (image := _image(record)) is None:
            rows.problem("coco_bad_record", unit.file, f"an image without file_name: {str(record)[:100]}")
            continue
        images[record.get("id")] = (image, _size(record.get("width")), _size(record.get("height")))
        if image.wnid is None:
            for key in ("neg", "not_exhaustive"):
                for number in record.get(f"{key}_category_ids") or ():
                    if (each := classes.get(number)) and each.wnid:
                        label_set = "instances_negative" if key == "neg" else f"instances_{key}"
                        rows.label(image.stem, label_set, each.wnid)
        yield
    labelled: set[tuple[str, str]] = set()
    without: Counter[str] = Counter()
    for record in records(unit.path, "annotations"):
        known, each = images.get(record.get("image_id")), classes.get(record.get("category_id", -1))
        box = _box(record, each)
        if known is None or each is None or box is None:
            reason = f"an annotation without a listed image, category or bbox: {str(record)[:100]}"
            rows.problem("coco_bad_record", unit.file, reason)
            continue
        image, *size = known
        rows.box(image.stem, each.wnid, unit.file, box, size=(size[0], size[1]))
        if each.wnid is None:
            without[each.name] += 1
        elif image.wnid is None and (image.stem, each.wnid) not in labelled:
            labelled.add((image.stem, each.wnid))
            rows.label(image.stem, "instances", each.wnid)
        yield
    for name, n in sorted(without.items()):
        reason = f"the category {name!r} has no synset of WordNet 3.0: {count_of(n, 'box')} without a class"
        rows.problem("category_without_synset", unit.file, reason)


def _size(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _box(record: Record, each: _Class | None) -> Object | None:
    """Return the box of an annotation; None if its bbox is not four numbers."""
    values = record.get("bbox")
    if each is None or not isinstance(values, list) or len(values) != 4:
        return None
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        return None
    edges = bbox.from_coco(*map(float, values), width=1, height=1)  # pixels
    flags = ("crowd",) if record.get("iscrowd") else ()
    return Object(each.name, None, None, None, *edges, flags)


def _classes(found: Iterable[Record]) -> dict[int, _Class]:
    """Return the classes by category id."""
    rows = [record for record in found if isinstance(record.get("id"), int) and isinstance(record.get("name"), str)]
    names = {record["id"]: record["name"] for record in rows}
    return {number: _Class(names[number], wnid) for number, wnid in lists.wnids_of_categories(rows).items()}
