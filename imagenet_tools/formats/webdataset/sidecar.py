"""The JSON of a sample: which image it is, its class in several label spaces, what is above it, its size and boxes.

Every sample has the same keys with values of the same types, whatever its image: loaders take the types of all from
the first few.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from functools import cached_property
from json.encoder import encode_basestring as _text
from typing import TYPE_CHECKING, Any

from imagenet_tools.annotations import bbox
from imagenet_tools.catalogue import lists
from imagenet_tools.errors import ExportError
from imagenet_tools.formats.hf_parquet import card
from imagenet_tools.wordnet import hierarchy, wordnet

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.exports.writer import Row

_TEXT, _NUMBER = card.value("string"), card.value("int64")
_TEXTS, _NUMBERS = card.sequence(_TEXT), card.sequence(_NUMBER)
_BOXES = card.sequence(card.sequence(card.value("float64")))

_OF_IMAGE = {
    "dataset": _TEXT,
    "image_id": _TEXT,
    "photo": _TEXT,
    "filename": _TEXT,  # as ImageNet's folders have it
    "official_split": _TEXT,  # "" where there is none
    "width": _NUMBER,  # pixels of the raster as stored
    "height": _NUMBER,
    "mode": _TEXT,
    "encoding": _TEXT,
    "orientation": _NUMBER,  # EXIF's, 1 where there is none
    "resized": card.value("bool"),
    "boxes": _BOXES,  # xmin, ymin, xmax, ymax in pixels of the raster as stored
    "boxes_normalised": _BOXES,  # the same, 0 to 1
    "box_labels": _NUMBERS,
}
_OF_CLASS = {
    "label": _NUMBER,  # the class index, as in .cls
    "class_wnid": _TEXT,
    "wnid": _TEXT,  # of the image's own synset: another one where classes are joined
    "name": _TEXT,
    "lemmas": _TEXTS,
    "parents": _TEXTS,
    "ancestors": _TEXTS,
}


def refuse_fields(plan: Plan) -> None:
    """ExportError where a field would hide a key of the JSON."""
    for key, column in plan.options.fields:
        if key in {*_OF_IMAGE, *_OF_CLASS, *lists.SPACES}:
            message = f"--field {key}={column}: {key} is a key of every sample's JSON. Choose another one."
            raise ExportError(message)


class About:
    """Makes the JSON of samples; `numbered` counts those that have a number, by label space."""

    def __init__(self, plan: Plan):
        self._plan = plan
        self._resized = "false" if plan.options.resize is None else "true"
        self._of_class: dict[tuple[str, str], tuple[str, list[str]]] = {}
        self._counts: Counter[tuple[str, str]] = Counter()

    @cached_property
    def _spaces(self) -> list[str]:
        """The label spaces in which a class of the export has a number."""
        own = self._plan.selection.classes_of()
        there = {space for wnid in own for space in lists.numbers_of(wnid)}
        return [space for space in lists.SPACES if space in there]

    @property
    def numbered(self) -> dict[str, int]:
        """How many samples have a number, by label space, where any has."""
        found: Counter[str] = Counter()
        for classes, n in self._counts.items():
            found.update(dict.fromkeys(self._of_class[classes][1], n))
        return dict(found)

    def of(self, row: Row) -> bytes:
        """The JSON of a sample."""
        classes = row.wnid, row.official_wnid
        known = self._of_class.get(classes)
        if known is None:
            known = self._of_class[classes] = self._class(row)
        self._counts[classes] += 1
        # Put together by hand: at a million samples, to make a dict of it and have that encoded takes three times as
        # long. Strings are escaped by the encoder's own function; None, and no other number, is not as JSON has it.
        text = (
            f'{{"dataset":{_text(row.dataset)},"image_id":{_text(row.image_id)},"photo":{_text(row.photo)}'
            f',"filename":{_text(f"{row.official_wnid}/{row.name}")},"official_split":{_text(row.official_split or "")}'
            f',"width":{row.width},"height":{row.height},"mode":{_text(row.mode)},"encoding":{_text(row.encoding)}'
            f',"orientation":{row.orientation or 1},"resized":{self._resized}'
            f",{_boxes(row) if row.boxes else _NO_BOXES}{_more(row.fields)},{known[0]}"
        )
        return text.encode(errors="surrogateescape")

    def _class(self, row: Row) -> tuple[str, list[str]]:
        """What is the same for all samples of a class, as the end of an object; the label spaces that have it."""
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
        return _IN_JSON(content)[1:], [space for space in self._spaces if space in numbers]

    def features(self, job: Job) -> Mapping[str, Any]:
        """The types of its keys."""
        fields = {
            key: card.feature_of(_as_json(job.pieces.field_type(key)), f"--field {key}={column}")
            for key, column in self._plan.options.fields
        }
        return {**_OF_IMAGE, **fields, **_OF_CLASS, **dict.fromkeys(self._spaces, _NUMBER)}


def _as_json(kind: pa.DataType) -> pa.DataType:
    """The type of what JSON has of a column's values: times and decimals are texts in it, bytes base64."""
    import pyarrow as pa

    if pa.types.is_list(kind):
        return pa.list_(_as_json(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _as_json(field.type)) for field in kind])
    known = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating)
    return kind if any(is_one(kind) for is_one in known) else pa.string()


def _other(value: object) -> str:
    """What JSON has of a value that it has no type of."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _boxes(row: Row) -> str:
    edges = [(box.left, box.top, box.right, box.bottom) for box in row.boxes]
    own = {
        "boxes": [[round(float(x), 3) for x in bbox.to_pixels(*box, row.width, row.height)] for box in edges],
        "boxes_normalised": [[round(x, 8) for x in box] for box in edges],
        "box_labels": [box.class_index for box in row.boxes],
    }
    return _IN_JSON(own)[1:-1]


def _more(fields: Mapping[str, object]) -> str:
    return f",{_IN_JSON(fields)[1:-1]}" if fields else ""


_NO_BOXES = '"boxes":[],"boxes_normalised":[],"box_labels":[]'

# Made once: a million samples ask for it.
_IN_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_other).encode
