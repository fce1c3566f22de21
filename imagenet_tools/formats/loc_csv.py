"""Kaggle's tables of boxes, LOC_train_solution.csv and LOC_val_solution.csv.

    ImageId,PredictionString
    ILSVRC2012_val_00008726,n02119789 255 142 454 329 n02119789 44 21 322 295
    n02017213_4263,n02017213 355 155 430 273

A box is wnid xmin ymin xmax ymax, in pixels, 0-based; a space follows the last box. Unlike the box XML, the table does
not say the size of the image that the pixels refer to. The class of its boxes is an image's label. The sample
submission has the same header, and is not taken for a table of boxes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from imagenet_tools.annotations.annotation import Object, class_of, read_number
from imagenet_tools.annotations.annotation_rows import AnnotationRows
from imagenet_tools.annotations.image_sets import counted
from imagenet_tools.catalogue import labels
from imagenet_tools.formats._shared.contract import gathers, one_unit
from imagenet_tools.text import count_of, lacking
from imagenet_tools.units import Detection, Labelling, Reads, Unit, unit_file
from imagenet_tools.wordnet.wnid import is_wnid, keeps_imagenet_name, official_split

READS = Reads(
    holds=("boxes", "labels"),
    beside=frozenset({"LOC_synset_mapping.txt", "LOC_sample_submission.csv"}),
    problems={
        "csv_bad_row": "a row that does not begin with an ImageNet name and a comma",
        "csv_bad_box": "not a wnid and four numbers; the row's other boxes are kept",
        "csv_unknown_class": "a box of a class that is none of the 1,000; the row's other boxes are kept",
        "csv_no_box": "an image without a box, and so without a label",
        "csv_two_classes": "boxes of several classes in one image; they are kept, and the image gets no label",
    },
)

_HEADER = ("ImageId", "PredictionString")
_LABEL_SET = "loc_csv"
_VALIDATION_ROWS = 50_000
_LOOKED_AT_BYTES = 1 << 16
_LOOKED_AT_LINES = 16


def detect(path: Path) -> list[Detection]:
    """Return the table, if the file's header and one of its first rows are those of a table of boxes."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        if _HEADER[0].encode() not in file.read(16):
            return []
        file.seek(0)
        lines = file.read(_LOOKED_AT_BYTES).decode("utf-8-sig", "backslashreplace").splitlines()
    if tuple(cell.strip('"') for cell in _cells(lines[0])) != _HEADER:
        return []
    rows = map(_cells, lines[1:_LOOKED_AT_LINES])
    image_id = next((name for name, text in rows if keeps_imagenet_name(name) and _split_boxes(text)[0]), None)
    if image_id is None:
        return []
    split = (official_split(image_id) or ("", "train"))[1]
    if split == "test":
        return []  # the boxes of test are not published: the table is a submission, or the sample of one
    n = counted(path) - 1
    missing = lacking(n, _VALIDATION_ROWS, "rows") if split == "val" else ""
    evidence = f"{count_of(n, 'row')} of Kaggle's table of boxes, the first of {image_id}"
    by = Labelling("the class of the boxes", "ilsvrc2012")
    return [Detection("loc_csv", path, "ilsvrc2012", ("boxes", "labels"), evidence, (split,), missing, by)]


units = one_unit
files = unit_file


@gathers(AnnotationRows)
def scan(unit: Unit, rows: AnnotationRows) -> Iterator[None]:
    """Add the boxes and the labels of the table, and the problems of its rows."""
    classes = frozenset(labels.ilsvrc2012_sorted())
    # Invalid UTF-8 becomes text that is no wnid and no number, and so a problem of its row only.
    with unit.path.open(encoding="utf-8-sig", errors="backslashreplace") as file:
        for n, line in enumerate(file, 1):
            if n > 1 and line.strip():
                _add_row(rows, unit.file, f"line {n}", line, classes)
                yield


def _cells(line: str) -> tuple[str, str]:
    """Return the two cells of a line. Nothing in them needs quotes, but a tool that rewrites the table may add them."""
    image_id, _, text = line.partition(",")
    return image_id.strip(' "\r\n'), text.strip(' "\r\n')


def _split_boxes(text: str) -> tuple[list[tuple[str, list[float]]], list[str]]:
    """Return the boxes (wnid, [xmin, ymin, xmax, ymax]) of a cell, and the stretches of text that are no box.

    The text is cut before each wnid, so a missing or extra number spoils one box and not those after it.
    """
    tokens = text.split()
    boxes: list[tuple[str, list[float]]] = []
    bad: list[str] = []
    cuts = sorted({0, len(tokens)} | {place for place, token in enumerate(tokens) if is_wnid(token)})
    for start, end in itertools.pairwise(cuts):
        name, *rest = tokens[start:end]
        numbers = [number for token in rest if (number := read_number(token)) is not None]
        if is_wnid(name) and len(numbers) == len(rest) == 4:
            boxes.append((name, numbers))
        else:
            bad.append(" ".join(tokens[start:end]))
    return boxes, bad


def _add_row(rows: AnnotationRows, file: str, place: str, line: str, classes: frozenset[str]) -> None:
    image_id, text = _cells(line)
    if not keeps_imagenet_name(image_id) or "," not in line:
        reason = f"{line[:100]!r}; expected a row such as ILSVRC2012_val_00000001,n01751748 111 108 441 193"
        rows.problem("csv_bad_row", file, reason, place)
        return
    boxes, bad = _split_boxes(text)
    for part in bad:
        rows.problem("csv_bad_box", file, f"{part[:100]!r}; expected a wnid and four numbers", place, image_id)
    wnids: set[str] = set()
    for name, (xmin, ymin, xmax, ymax) in boxes:
        if name not in classes:
            reason = f"{name} is none of the 1,000 classes of ILSVRC2012"
            rows.problem("csv_unknown_class", file, reason, place, image_id)
            continue
        wnid, flags = class_of(name, image_id, None)
        rows.box(image_id, wnid, file, Object(name, None, None, None, xmin, ymin, xmax, ymax, flags))
        wnids.add(name)
    if len(wnids) == 1:
        rows.label(image_id, _LABEL_SET, wnids.pop())
    elif wnids:
        reason = f"boxes of {', '.join(sorted(wnids))}; expected one class an image"
        rows.problem("csv_two_classes", file, reason, place, image_id)
    elif not text:
        rows.problem("csv_no_box", file, "no box; expected at least one", place, image_id)
