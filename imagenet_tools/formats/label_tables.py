"""Labels of ILSVRC2012's validation images by others: ReaL, multilabel, ImageNet-X, ReImageNet, "Flaws of ImageNet".

    real.json                   [[], [970, 795], ...]: the classes of image 1, 2 ... 50,000
    human_accuracy_v3.0.0.json  {"initial_annots": {"ILSVRC2012_val_00000036.JPEG": {"correct": [wnid], "wrong": [wnid],
                                "unclear": [wnid]}}, "problematic_images": {name: ...}, "imagenet_m": [name]}
    imagenet_x_*.jsonl          {"file_name": "ILSVRC2012_val_00004487.JPEG", "class": 762, "pose": 1, "shape": 0, ...}
    reannotation.jsonl          {"image_name": ..., "file_path": "n01440764/ILSVRC2012_val_00000293.JPEG",
                                "original_class": [0], "reannotated_labels": [0, 391], "bboxes": [...]}; the boxes are
                                not read, because no source says how their coordinates are meant
    multilabel.csv and others   id,category,original_label,proposed_labels,... : proposed_labels is "415, 813" or empty

Numbers are places among ILSVRC2012's sorted wnids, from 0. A label set is called after the file:

    real                        the labels of ReaL; an image without any has no row, see the image list real-empty
    multilabel_correct          so judged in "Evaluating Machine Accuracy on ImageNet"; also _wrong and _unclear
    multilabel_problematic      the class of each image on this list of the same file; also _imagenet_m
    imagenet_x_pose             the class of each image that has the factor; imagenet_x_top_pose from a top_factor file
    reimagenet                  reannotated_labels of ReImageNet; -1, not sure, is none
    reimagenet_none             the class of each image that has no such label
    flaws_multilabel            proposed_labels of multilabel.csv, and likewise of other files; also _unclear and _wrong
    flaws_multilabel_none       the class of each image for which the file proposes none; also _undecided, _problematic

Most of these files may not be redistributed, so that only ReaL's labels are part of this package. Sources: real.json of
google-research/reassessed-imagenet, imagenet2012_multilabel of tensorflow-datasets 4.9.10 (the keys of the JSON), the
package imagenet-x 0.0.7, and klarajanouskova/ImageNet on GitHub at 04fb51b. ReImageNet: its card on Hugging Face and
public code that reads it; the file itself is given out on request, and was not at hand.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from imagenet_tools.annotations.annotation_rows import AnnotationRows
from imagenet_tools.catalogue import labels
from imagenet_tools.catalogue.labels import IMAGENET_X_FACTORS
from imagenet_tools.errors import FormatError
from imagenet_tools.formats._shared.contract import gathers, one_unit
from imagenet_tools.text import count_of
from imagenet_tools.units import Detection, Labelling, Reads, Unit, unit_file
from imagenet_tools.wordnet.wnid import is_wnid, path_facts

READS = Reads(
    holds=("labels",),
    problems={
        "label_bad_row": "an entry that is not an image of ILSVRC2012 with classes; the others are kept",
        "label_other_set": "entries of images that are not ILSVRC2012's, such as ImageNet-V2's; they are not read",
        "label_unread": "the file is cut, or is not the JSON that its publisher writes",
    },
)

_HEAD_BYTES = 1 << 16
_REAL_BYTES = 4 << 20  # ReaL's file has 388 kB
_N_IMAGES = 50_000
_JUDGEMENTS = ("correct", "wrong", "unclear")
_MULTI = "_multi_labels"
_REIMAGENET = ("file_path", "reannotated_labels")
_NOT_SURE = -1
_WITHOUT_LABEL = {"Z": "none", "X": "undecided"}  # by the column category


class LabelEntry(NamedTuple):
    """The labels that a file gives an image in a label set: numbers, wnids, or None for the image's own class."""

    image: str
    label_set: str
    classes: Iterable[object] | None


class _TableKind(NamedTuple):
    title: str
    entries: Callable[[Path], Iterator[LabelEntry | str]]  # a text is an entry that cannot be read


def detect(path: Path) -> list[Detection]:
    """Return the file, by its first bytes."""
    kind = _kind_of(path) if path.suffix in (".json", ".jsonl", ".csv") and path.is_file() else None
    if kind is None:
        return []
    labelling = Labelling("the file's own names and numbers", "ilsvrc2012", "wnid", 0)
    return [Detection("label_tables", path, "ilsvrc2012", ("labels",), kind.title, (), "", labelling)]


def _kind_of(path: Path) -> _TableKind | None:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        if re.match(rb"\s*\[\s*\[[\d,\s]*\]\s*,\s*\[", head):
            n_lists = (head + file.read(_REAL_BYTES)).count(b"[") - 1
            return _TableKind("ReaL's labels of 50,000 validation images", _real) if n_lists == _N_IMAGES else None
    first = head.partition(b"\n")[0].decode("utf-8-sig", "backslashreplace").strip()
    if path.suffix == ".json" and (b'"initial_annots"' in head or path.name.startswith("human_accuracy")):
        return _TableKind("multilabel annotations of validation images (human_accuracy)", _multilabel)
    if first.startswith("{") and all(f'"{key}"' in first for key in ("file_name", "class", *IMAGENET_X_FACTORS)):
        return _TableKind("factors of images by ImageNet-X", _imagenet_x)
    if first.startswith("{") and all(f'"{key}"' in first for key in _REIMAGENET):
        return _TableKind("labels of validation images by ReImageNet", _reimagenet)
    if {"original_label", "proposed_labels"} < set(columns := first.split(",")) and columns[0] == "id":
        return _TableKind("corrected labels of validation images, as in 'Flaws of ImageNet'", _flaws)
    return None


def _real(path: Path) -> Iterator[LabelEntry | str]:
    for number, classes in enumerate(_json(path), 1):
        yield LabelEntry(f"ILSVRC2012_val_{number:08d}", "real", classes)


def _multilabel(path: Path) -> Iterator[LabelEntry | str]:
    content = _json(path)
    try:
        annotated, problematic = content["initial_annots"], content["problematic_images"]
        for name, judged in annotated.items():
            yield from (LabelEntry(name, f"multilabel_{word}", judged[word]) for word in _JUDGEMENTS if word in judged)
        yield from (LabelEntry(name, "multilabel_problematic", None) for name in problematic)
        yield from (LabelEntry(name, "multilabel_imagenet_m", None) for name in content.get("imagenet_m", ()))
    except (AttributeError, KeyError, TypeError) as error:
        found = f"{path.name}: found {type(error).__name__} {error}; expected initial_annots and problematic_images"
        raise FormatError(found, code="label_unread") from error


def _imagenet_x(path: Path) -> Iterator[LabelEntry | str]:
    prefix = "imagenet_x_top_" if "top_factor" in path.name else "imagenet_x_"
    with path.open(encoding="utf-8", errors="backslashreplace") as file:
        for line in file:
            try:
                row = json.loads(line)
                yield from (
                    LabelEntry(row["file_name"], prefix + factor, [row["class"]])
                    for factor in IMAGENET_X_FACTORS
                    if row[factor] == 1
                )
            except (ValueError, KeyError, TypeError, RecursionError):
                yield line


def _reimagenet(path: Path) -> Iterator[LabelEntry | str]:
    with path.open(encoding="utf-8", errors="backslashreplace") as file:
        for line in file:
            try:
                row = json.loads(line)
                image, labels = (row[key] for key in _REIMAGENET)
                classes = [label for label in labels if label != _NOT_SURE]
                yield LabelEntry(image, "reimagenet" if classes else "reimagenet_none", classes or None)
            except (ValueError, KeyError, TypeError, RecursionError):
                yield line


def _flaws(path: Path) -> Iterator[LabelEntry | str]:
    name = "flaws_" + path.stem
    with path.open(encoding="utf-8-sig", errors="backslashreplace", newline="") as file:
        for row in csv.DictReader(file):
            sets = {name: row["proposed_labels"]}
            sets |= {f"{name}_{key.removesuffix(_MULTI)}": row[key] for key in row if str(key).endswith(_MULTI)}
            if None in row or None in sets.values():
                yield ",".join(map(str, row.values()))
                continue
            for label_set, text in sets.items():
                yield LabelEntry(row["id"], label_set, text.replace(",", " ").split())
            if row.get("category") in _WITHOUT_LABEL:
                yield LabelEntry(row["id"], f"{name}_{_WITHOUT_LABEL[row['category']]}", None)
            if row.get("is_problematic") == "True":
                yield LabelEntry(row["id"], f"{name}_problematic", None)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        message = f"{path.name}: {error}; expected the whole JSON: fetch it again"
        raise FormatError(message, code="label_unread") from error


units = one_unit
files = unit_file


@gathers(AnnotationRows)
def scan(unit: Unit, rows: AnnotationRows) -> Iterator[None]:
    """Add the labels of each entry; a problem for each that cannot be read, and one for those of other data sets."""
    kind = _kind_of(unit.path)
    if kind is None:
        message = f"{unit.file}: found no table of labels; expected the one that was found here before. Build again."
        raise FormatError(message, code="label_unread")
    n_others, other = 0, ""
    for entry in kind.entries(unit.path):
        if isinstance(entry, str):
            rows.problem("label_bad_row", unit.file, f"{entry.strip()[:100]!r}; expected an image and its classes")
            continue
        stem = path_facts(PurePosixPath(entry.image).name).stem
        image_class = labels.validation_wnid(stem) or (stem[:9] if is_wnid(stem[:9]) else None)
        if image_class is None:
            n_others, other = n_others + 1, other or entry.image
            continue
        classes = [image_class] if entry.classes is None else [_wnid(label) for label in entry.classes]
        for wnid in dict.fromkeys(classes):
            if wnid is None:
                reason = f"{list(entry.classes or ())!r:.100}; expected wnids, or numbers from 0 to 999"
                rows.problem("label_bad_row", unit.file, reason, None, stem)
            else:
                rows.label(stem, entry.label_set, wnid)
        yield
    if n_others:
        reason = f"{count_of(n_others, 'label')}, {other!r} first; expected images of ILSVRC2012"
        rows.problem("label_other_set", unit.file, reason)


def _wnid(named: object) -> str | None:
    """Return the class that a number or a wnid means; None for anything else."""
    text = str(named)
    if text.isdecimal() and int(text[:9]) < len(labels.ilsvrc2012_sorted()):
        return labels.ilsvrc2012_sorted()[int(text[:9])]
    return text if is_wnid(text) else None
