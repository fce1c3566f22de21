"""Read the boxes that a detector predicts, and place them beside the true boxes; the content tells the form.

devkit           lines of ILSVRC's detection task: image_index class score xmin ymin xmax ymax. The index is the place
                 of the image in ImageSets/DET/val.txt, from 1; the class is an ILSVRC_DET_ID; pixels are inclusive
coco             COCO's results: [{"image_id": 1, "category_id": 18, "bbox": [x, y, width, height], "score": 0.9}]
ultralytics      the folder of save_txt with save_conf, a file an image: class xc yc width height score, fractions
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from imagenet_tools.annotations import bbox
from imagenet_tools.catalogue import lists
from imagenet_tools.catalogue.given_lists import published
from imagenet_tools.errors import UsageError
from imagenet_tools.evaluation.file_forms import columns_of
from imagenet_tools.evaluation.files import stem_of
from imagenet_tools.text import count_of, some_of
from imagenet_tools.wordnet.wnid import is_wnid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from imagenet_tools.evaluation.files import Array, Texts
    from imagenet_tools.evaluation.metrics import Bools, Floats, Ints

# The beginning of a file and of a folder, which tells its form.
_HEAD_BYTES = 1 << 16
_HEAD_LINES = 100
_MIN_BOXES_SHARE = 0.6
_DET_LIST = "ilsvrc-det200"
_NUMBERS = re.compile(r"\s*[-+]?\d+(\s+[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?)+\s*", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class TrueBoxes:
    """The true boxes of images, as exports/true_boxes.py reads them; a box names its image by its place in `images`."""

    name: str
    images: Texts = field(repr=False)  # (n,): stems
    sizes: Floats = field(repr=False)  # (n, 2): width and height of the raster as stored; nan if unknown
    orientations: Ints = field(repr=False)  # (n,): EXIF; 1 if there is none
    splits: Texts = field(repr=False)  # (n,): None if unknown
    is_partial: Bools = field(repr=False)  # (n,): only objects of the image's own class are boxed, or none
    image_places: Ints = field(repr=False)  # (m,): the place of the image of each box
    classes: Texts = field(repr=False)  # (m,): wnids, or names of categories without one
    edges: Floats = field(repr=False)  # (m, 4): xmin, ymin, xmax, ymax in pixels
    areas: Floats = field(repr=False)  # (m,): as COCO's file states them, else width * height
    crowds: Bools = field(repr=False)  # (m,): boxes of groups
    class_of: Mapping[int, str] = field(default_factory=dict, repr=False)  # by COCO's category id; empty if unknown
    indexes: Mapping[int, str] = field(default_factory=dict, repr=False)  # by class index from 0; empty if unknown
    image_of: Mapping[object, int] = field(default_factory=dict, repr=False)  # places by COCO's image id
    lists_images: bool = True  # `images` has those without boxes too
    notes: tuple[str, ...] = ()

    def take(self, kept: Bools, *notes: str) -> TrueBoxes:
        """Return the boxes of some images: (n,), bool."""
        places = np.cumsum(kept) - 1
        boxes = kept[self.image_places]
        of_images = ("images", "sizes", "orientations", "splits", "is_partial")
        columns = {name: getattr(self, name)[kept] for name in of_images}
        columns |= {name: getattr(self, name)[boxes] for name in ("classes", "edges", "areas", "crowds")}
        return replace(
            self,
            **columns,
            image_places=places[self.image_places[boxes]],
            image_of={key: int(places[place]) for key, place in self.image_of.items() if kept[place]},
            notes=self.notes + tuple(filter(None, notes)),
        )

    def with_images(self, stems: Sequence[str]) -> TrueBoxes:
        """Return the same boxes with more images, which have none."""
        more = sorted(set(stems) - set(self.images.tolist()))
        n = len(more)
        return replace(
            self,
            images=np.append(self.images, np.array(more, object)),
            sizes=np.append(self.sizes, np.full((n, 2), np.nan), axis=0),
            orientations=np.append(self.orientations, np.ones(n, np.int64)),
            splits=np.append(self.splits, np.full(n, None, object)),
            is_partial=np.append(self.is_partial, np.zeros(n, np.bool_)),
            lists_images=True,
        )


@dataclass(frozen=True, eq=False)
class Detections:
    """The detections of one model as its file has them."""

    name: str
    form: str  # devkit, coco or ultralytics
    images: Array = field(repr=False)  # (n,): numbers, or stems
    numbers: Ints = field(repr=False)  # (n,): of the classes
    scores: Floats = field(repr=False)  # (n,)
    boxes: Floats = field(repr=False)  # (n, 4): xmin, ymin, xmax, ymax: pixels; of ultralytics fractions as shown


@dataclass(frozen=True, eq=False)
class PlacedDetections:
    """Detections of images and classes of the truth, the best first; of equal scores the first image comes first."""

    image_places: Ints = field(repr=False)  # (n,): the place of the image
    classes: Texts = field(repr=False)  # (n,)
    scores: Floats = field(repr=False)
    edges: Floats = field(repr=False)  # (n, 4): in pixels of the raster as stored
    true: TrueBoxes  # of the images that are evaluated
    blacklist: frozenset[tuple[int, str]] = frozenset()  # (place of an image, class) that do not count for ILSVRC


def read(path: Path, name: str) -> Detections | None:
    """Return the detections of a file or folder; None if it is none of the forms at the head of this module."""
    detections = _ultralytics(path, name) if path.is_dir() else _read_file(path, name)
    if detections is not None:
        wrong = ~np.isfinite(np.column_stack([detections.scores, detections.boxes])).all(axis=1)
        if wrong.any():
            row = int(wrong.argmax())
            values = f"score {detections.scores[row]} and box {detections.boxes[row].tolist()}"
            raise UsageError(f"{path}: detection {row + 1:,} has {values}; expected finite numbers.")
    return detections


def _read_file(path: Path, name: str) -> Detections | None:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.lstrip()[:1] == b"[":
        return _coco(path, name) if b'"category_id"' in head and b'"bbox"' in head else None
    lines = head.decode(errors="replace").splitlines()[:_HEAD_LINES]
    complete = lines[:-1] if len(head) == _HEAD_BYTES else lines
    rows = [line.split() for line in complete if line.strip()]
    if not rows or any(len(row) != 7 for row in rows) or not all(map(_NUMBERS.fullmatch, map(" ".join, rows))):
        return None
    values = np.array(rows, np.float64)
    is_whole = (values[:, :2] == np.floor(values[:, :2])).all()
    # A quarter of the rows of seven classes. In the devkit's own sample, a few per cent of the boxes have no area.
    share_of_boxes = (values[:, 3:5] <= values[:, 5:]).all(axis=1).mean()
    return _devkit(path, name) if is_whole and share_of_boxes > _MIN_BOXES_SHARE else None


def _devkit(path: Path, name: str) -> Detections:
    try:
        values = np.loadtxt(io.StringIO(path.read_text()), np.float64, ndmin=2)
    except ValueError as error:
        problem = f"it cannot be read: {error}"
        raise UsageError(f"{path}: {problem}. Expected image_index class score xmin ymin xmax ymax a line.") from error
    images, numbers = (values[:, n].astype(np.int64) for n in (0, 1))
    return Detections(name, "devkit", images, numbers, values[:, 2], values[:, 3:])


def _coco(path: Path, name: str) -> Detections:
    try:
        records: list[dict[str, Any]] = json.loads(path.read_bytes())
        images = np.array([record["image_id"] for record in records], object)
        numbers = np.array([record["category_id"] for record in records], np.int64)
        scores = np.array([record["score"] for record in records], np.float64)
        x, y, w, h = np.array([record["bbox"] for record in records], np.float64).T
    except (ValueError, KeyError, TypeError) as error:
        problem = f"it cannot be read as COCO's results: {error}"
        expected = "Expected a list of objects with image_id, category_id, bbox and score"
        raise UsageError(f"{path}: {problem}. {expected}.") from error
    edges = np.stack(bbox.from_coco(x, y, w, h, width=1, height=1), axis=1)
    return Detections(name, "coco", images, numbers, scores, edges)


def _ultralytics(path: Path, name: str) -> Detections | None:
    files = sorted(file for file in path.iterdir() if file.suffix == ".txt")
    texts = ((file.stem, file.read_text(errors="replace")) for file in files)
    lines = ((stem, line.split()) for stem, text in texts for line in text.splitlines() if line.strip())
    first = list(islice(lines, _HEAD_LINES))  # a folder of another form is read no further
    if not first or not all(len(cells) in (5, 6) and _NUMBERS.fullmatch(" ".join(cells)) for _, cells in first):
        return None
    rows = [*first, *lines]
    is_right = (len(cells) == 6 and _NUMBERS.fullmatch(" ".join(cells)) for _, cells in rows)
    wrong = next((row for row, right in zip(rows, is_right, strict=True) if not right), None)
    if wrong is not None:
        problem = f"{wrong[0]}.txt has the line {' '.join(wrong[1])[:100]!r}"
        raise UsageError(f"{path}: {problem}; expected class xc yc width height score. Predict with save_conf=True.")
    values = np.array([cells for _, cells in rows], np.float64)
    edges = np.stack(bbox.from_yolo(*values[:, 1:5].T), axis=1)
    images = np.array([stem for stem, _ in rows], object)
    return Detections(name, "ultralytics", images, values[:, 0].astype(np.int64), values[:, 5], edges)


# ---- what the numbers mean


def read_list(path: Path) -> dict[int, str]:
    """Read the images of ImageSets/DET/val.txt by their index: lines of `ILSVRC2012_val_00000001 1`, or names alone."""
    columns = list(columns_of(path).values())
    names = next((values for values in columns if values.dtype == object and values.ndim == 1), None)
    if names is None:
        raise UsageError(f"{path}: found no names of images. Expected lines such as ILSVRC2012_val_00000001 1.")
    numbers = next((values for values in columns if values.dtype.kind in "iu"), np.arange(1, len(names) + 1))
    return dict(zip(numbers.tolist(), map(stem_of, names.tolist()), strict=True))


def read_pairs(path: Path) -> list[tuple[int, str]]:
    """Read the pairs of image index and class of the devkit's ILSVRC2015_det_validation_blacklist.txt."""
    rows = [line.split() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    wrong = next((row for row in rows if len(row) != 2 or not row[0].isdecimal() or not is_wnid(row[1])), None)
    if wrong is not None or not rows:
        found = "no line" if wrong is None else repr(" ".join(wrong)[:100])
        raise UsageError(f"{path}: found {found}; expected an image index and a wnid a line, such as 46 n00007846.")
    return [(int(number), wnid) for number, wnid in rows]


def placed(
    detections: Detections,
    true: TrueBoxes,
    *,
    listed: Mapping[int, str] | None = None,
    blacklist: Sequence[tuple[int, str]] = (),
    space: str | None = None,
) -> PlacedDetections:
    """Return detections by the images and classes of the truth, with the truth of the images that are evaluated.

    Those are the images that a list of rows names, else those of the splits that the detections are of.

    Args:
        detections: The detections.
        true: The true boxes.
        listed: The images by their index, of --rows.
        blacklist: Pairs of an image's index and a class.
        space: The published list that numbers the classes.
    """
    if listed is not None and not true.lists_images:
        true = true.with_images(list(listed.values()))
    place_of = _image_places(detections, true, listed)
    stems = {image: stem_of(image) if isinstance(image, str) else image for image in set(detections.images.tolist())}
    places_of = {image: place_of.get(image, place_of.get(stem, -1)) for image, stem in stems.items()}
    image_places = np.array([places_of[image] for image in detections.images.tolist()], np.int64)
    if not (image_places >= 0).any():
        expected = f"Expected images such as {some_of(true.images[:2].tolist())}"
        if detections.form == "coco" and not true.image_of:
            expected += ". If image_id is a number, name the file of COCO's instances that has it: --boxes FILE"
        raise UsageError(f"{detections.name}: found no detection of an image of {true.name}. {expected}.")
    kept, notes = _evaluated(true, image_places, listed)
    places = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1)  # -1 stays -1
    classes, pixels = _classes(detections, true, space), _pixels(detections, true, image_places)
    image_places = places[image_places]
    if (image_places < 0).any():
        notes.append(
            f"{count_of(int((image_places < 0).sum()), 'detection')} of images that are not evaluated: left out"
        )
    if n_unknown := sum(cls is None for cls in classes.tolist()):
        notes.append(f"{count_of(n_unknown, 'detection')} with a number that names no class: left out")
    order = np.lexsort([image_places, -detections.scores])
    order = order[image_places[order] >= 0]
    pairs = {(int(places[place_of.get(number, -1)]), wnid) for number, wnid in blacklist}
    true = true.take(kept, *notes)
    if not len(true.image_places):
        raise UsageError(f"{true.name}: found no boxes of the images of {detections.name}. Expected some.")
    left_out = frozenset(pair for pair in pairs if pair[0] >= 0)
    return PlacedDetections(
        image_places[order], classes[order], detections.scores[order], pixels[order], true, left_out
    )


def _image_places(detections: Detections, true: TrueBoxes, listed: Mapping[int, str] | None) -> Mapping[object, int]:
    """Return the place of each image by what the detections call it."""
    by_stem: dict[object, int] = {stem: place for place, stem in enumerate(true.images.tolist())}
    if detections.form == "ultralytics":
        return by_stem
    if detections.form == "coco" and listed is None:
        # Ultralytics writes the number of a stem that is one, and the stem else.
        numbered: dict[object, int] = {
            int(str(stem)): place for stem, place in by_stem.items() if str(stem).isdecimal()
        }
        return {**by_stem, **numbered, **true.image_of}
    if listed is None:
        listed = dict(enumerate(sorted(map(str, true.images.tolist())), 1))
        last = int(detections.images.max())
        if last > len(listed):
            raise UsageError(
                f"{detections.name}: found the image index {last:,}, and {true.name} has "
                f"{count_of(len(listed), 'image')}. Name the list that numbers the images: "
                "--rows ILSVRC/ImageSets/DET/val.txt."
            )
    return {number: by_stem[stem] for number, stem in listed.items() if stem in by_stem}


def _evaluated(true: TrueBoxes, image_places: Ints, listed: Mapping[int, str] | None) -> tuple[Bools, list[str]]:
    """Return which images of the truth are evaluated, and notes on those that are not."""
    notes = []
    if listed is not None:
        chosen: Bools = np.isin(true.images.astype(str), list(listed.values()))
        if (missing := len(listed) - int(chosen.sum())) > 0:
            notes.append(f"{count_of(missing, 'image')} of the list that {true.name} does not have: not evaluated")
    else:
        splits = set(true.splits[image_places[image_places >= 0]].tolist())
        chosen = np.array([split in splits for split in true.splits.tolist()], np.bool_)
    unboxed = chosen & true.is_partial & (np.bincount(true.image_places, minlength=len(true.images)) == 0)
    if unboxed.any():
        notes.append(f"{count_of(int(unboxed.sum()), 'image')} without boxes: not evaluated")
    return chosen & ~unboxed, notes


def _classes(detections: Detections, true: TrueBoxes, space: str | None) -> Texts:
    """Return the class of each detection: (n,); None for a number without a class."""
    if space is not None:
        listed = published(space)
        if listed is None or listed.categories:
            raise UsageError(f"--labels {space}: expected a published list of wnids, such as {_DET_LIST}.")
        class_of: Mapping[int, str] = dict(enumerate(listed.wnids, listed.base))
    elif detections.form == "devkit":
        listed = lists.get(_DET_LIST)
        class_of = dict(enumerate(listed.wnids, listed.base))
    else:
        class_of = true.class_of if detections.form == "coco" else true.indexes
    if not class_of:
        raise UsageError(
            f"{detections.name}: it numbers its classes, and {true.name} does not. Name the list that numbers them "
            "with --labels, or take the boxes of the export that the detector was trained on."
        )
    return np.array([class_of.get(number) for number in detections.numbers.tolist()], object)


def _pixels(detections: Detections, true: TrueBoxes, image_places: Ints) -> Floats:
    """Return the edges of detections in pixels of the stored raster; those of no image are of any."""
    if detections.form != "ultralytics":
        return detections.boxes
    width, height = true.sizes[image_places].T
    if np.isnan(width[image_places >= 0]).any():
        raise UsageError(f"{true.name}: it does not state the sizes of images, of which the boxes are fractions.")
    left, top, right, bottom = detections.boxes.T
    stored = bbox.turn_back(left, top, right, bottom, true.orientations[image_places])
    return np.stack(bbox.to_pixels(*stored, width, height), axis=1)
