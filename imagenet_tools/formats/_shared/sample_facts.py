"""The JSON of a sample: the image, its class in several label spaces, the synsets above it, its size and boxes.

Every sample has the same keys with values of the same types, whatever its image: loaders infer the types of all samples
from the first few.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cached_property
from json.encoder import encode_basestring as _text
from typing import TYPE_CHECKING, Any

from imagenet_tools.annotations import bbox
from imagenet_tools.catalogue import lists
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.writer import ReadBack, Row
from imagenet_tools.formats._shared import card
from imagenet_tools.wordnet import hierarchy, wordnet

if TYPE_CHECKING:
    import pyarrow as pa

_TEXT = card.value("string")
_NUMBER = card.value("int64")
_BOXES = card.sequence(card.sequence(card.value("float64")))

_IMAGE_KEYS = {
    "dataset": _TEXT,
    "image_id": _TEXT,
    "photo": _TEXT,
    "filename": _TEXT,  # as in ImageNet's folders
    "official_split": _TEXT,  # "" if there is none
    "width": _NUMBER,  # pixels of the raster as stored
    "height": _NUMBER,
    "mode": _TEXT,
    "encoding": _TEXT,
    "orientation": _NUMBER,  # EXIF's, 1 if there is none
    "resized": card.value("bool"),
    "boxes": _BOXES,  # xmin, ymin, xmax, ymax in pixels of the raster as stored
    "boxes_normalised": _BOXES,  # the same, 0 to 1
    "box_labels": card.sequence(_NUMBER),
}
_CLASS_KEYS = {
    "label": _NUMBER,  # the class index, as in .cls
    "class_wnid": _TEXT,
    "wnid": _TEXT,  # of the image's own synset, which differs from class_wnid if classes are joined
    "name": _TEXT,
    "lemmas": card.sequence(_TEXT),
    "parents": card.sequence(_TEXT),
    "ancestors": card.sequence(_TEXT),
}


KEYS = frozenset({*_IMAGE_KEYS, *_CLASS_KEYS, *lists.SPACES})


class SampleFacts:
    """Makes the JSON of samples."""

    def __init__(self, plan: Plan):
        self._plan = plan
        self._resized = "false" if plan.options.resize is None else "true"
        self._class_parts: dict[tuple[str, str], tuple[str, list[str]]] = {}
        self._counts: Counter[tuple[str, str]] = Counter()

    @cached_property
    def _spaces(self) -> list[str]:
        """The label spaces in which a class of the export has a number."""
        used = {space for wnid in self._plan.selection.classes_of() for space in lists.numbers_of(wnid)}
        return [space for space in lists.SPACES if space in used]

    @property
    def numbered(self) -> dict[str, int]:
        """The number of samples that have a number in a label space, by space, without zeros."""
        totals: Counter[str] = Counter()
        for classes, n in self._counts.items():
            totals.update(dict.fromkeys(self._class_parts[classes][1], n))
        return dict(totals)

    def of(self, row: Row) -> bytes:
        """Return the JSON of a sample."""
        classes = row.wnid, row.official_wnid
        if classes not in self._class_parts:
            self._class_parts[classes] = self._class_part(row)
        self._counts[classes] += 1
        # Joined by hand: for a million samples, building a dict and encoding it takes three times as long. Strings are
        # escaped by the encoder's own function. Numbers and booleans are already spelled as in JSON.
        text = (
            f'{{"dataset":{_text(row.dataset)},"image_id":{_text(row.image_id)},"photo":{_text(row.photo)}'
            f',"filename":{_text(f"{row.official_wnid}/{row.name}")},"official_split":{_text(row.official_split or "")}'
            f',"width":{row.width},"height":{row.height},"mode":{_text(row.mode)},"encoding":{_text(row.encoding)}'
            f',"orientation":{row.orientation or 1},"resized":{self._resized}'
            f",{_boxes(row) if row.boxes else _NO_BOXES}"
            f"{f',{_to_json(row.fields)[1:-1]}' if row.fields else ''},{self._class_parts[classes][0]}"
        )
        return text.encode(errors="surrogateescape")

    def _class_part(self, row: Row) -> tuple[str, list[str]]:
        """Return the end of the JSON object, equal for all samples of a class, and the label spaces of the class."""
        wnid = row.official_wnid
        synset, numbers = wordnet.synset(wnid), lists.numbers_of(wnid)
        content = {
            "label": row.class_index,
            "class_wnid": row.wnid,
            "wnid": wnid,
            "name": synset.name,
            "lemmas": list(synset.lemmas),
            "parents": list(hierarchy.hypernyms(wnid)),
            "ancestors": list(hierarchy.ancestors(wnid, itself=False)),
            **{space: numbers.get(space, -1) for space in self._spaces},
        }
        return _to_json(content)[1:], [space for space in self._spaces if space in numbers]

    def features(self, job: Job) -> Mapping[str, Any]:
        """Return the types of the keys."""
        fields = card.fields(job, _json_type)
        return {**_IMAGE_KEYS, **fields, **_CLASS_KEYS, **dict.fromkeys(self._spaces, _NUMBER)}


def read_back(facts: Mapping[str, Any], split: str, label: int, read: Callable[[], bytes]) -> ReadBack:
    """Return the image that the JSON of a sample describes, with its boxes; `label` is the class index beside it."""
    boxes = zip(facts["box_labels"], facts["boxes_normalised"], strict=True)
    stem = facts["image_id"].replace("/", "_")
    return ReadBack(stem, split, label, tuple((index, *edges) for index, edges in boxes), read)


def _json_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of a column's values in JSON, where times and decimals are texts, and bytes are base64."""
    import pyarrow as pa

    if pa.types.is_list(kind):
        return pa.list_(_json_type(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _json_type(field.type)) for field in kind])
    kept = pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return kind if kept else pa.string()


def _other_to_json(value: object) -> str:
    """Return a value that JSON has no type for as a text."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _boxes(row: Row) -> str:
    edges = [(box.left, box.top, box.right, box.bottom) for box in row.boxes]
    content = {
        "boxes": [[round(float(x), 3) for x in bbox.to_pixels(*box, row.width, row.height)] for box in edges],
        "boxes_normalised": [[round(x, 8) for x in box] for box in edges],
        "box_labels": [box.class_index for box in row.boxes],
    }
    return _to_json(content)[1:-1]


_NO_BOXES = '"boxes":[],"boxes_normalised":[],"box_labels":[]'

# Created once: it is called for each of a million samples.
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_other_to_json).encode
