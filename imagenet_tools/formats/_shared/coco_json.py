"""COCO's and LVIS's JSON: their lists, read one record after the other, and the categories that exports write.

Memory does not grow with the file. A category of an export has

    id              1 to N in the order of classes.json; with --names listed the numbers of the published list
    name, wnid, synset
    supercategory   the name of the class's first hypernym in WordNet; hypernyms: all of them
    image_count, instance_count, frequency      of train; r, c or f as LVIS counts

With --names listed, the file has every category of the list, also one that is no synset, whose wnid is null: loaders
number categories by the order of their ids, and would otherwise number those behind it one too low.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from imagenet_tools.errors import FormatError
from imagenet_tools.wordnet import wordnet

if TYPE_CHECKING:
    import numpy.typing as npt

    from imagenet_tools.catalogue.export_classes import Class
    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.plan import Plan, Tally

Record = dict[str, Any]

_CHUNK_CHARACTERS = 1 << 20
_MAX_RECORD_CHARACTERS = 64 << 20
_TAIL_BYTES = 2 << 20  # COCO's categories are last in the file; LVIS's 1,203 take 0.3 MB
_decode = json.JSONDecoder().raw_decode
as_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def records(path: Path, key: str) -> Iterator[Record]:
    """Yield the records of a list at the top level of a JSON file; none if there is no such list.

    Lists before it are parsed and passed over.

    Raises:
        FormatError: The file is no JSON object, or breaks off. The records before the break are yielded.

    Example:
        for image in records(Path("instances_val2017.json"), "images"):
            print(image["file_name"])
    """
    with path.open(encoding="utf-8", errors="backslashreplace") as file:
        text = _JsonScanner(path, file)
        text.take("{")
        while text.peek() != "}":
            name = text.value()
            text.take(":")
            if text.peek() != "[":
                text.value()
            else:
                for record in text.elements():
                    if name == key and isinstance(record, dict):
                        yield record
                if name == key:
                    return
            if text.peek() == ",":
                text.take(",")


def categories(path: Path) -> list[Record]:
    """Return the categories of a file, which are read first: from its end if they are the last list."""
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
        tail = file.read()
    _, found, rest = tail.rpartition(b'"categories"')
    if found:
        try:
            values, _ = _decode(rest.decode(errors="backslashreplace").lstrip(" \t\r\n:"))
            return [record for record in values if isinstance(record, dict)]
        except (ValueError, TypeError):
            pass  # they begin before the tail, or are no list: read from the start
    return list(records(path, "categories"))


class _JsonScanner:
    """Reads values from the text of a file, a chunk at a time."""

    def __init__(self, path: Path, file: TextIO):
        self._path, self._file = path, file
        self._text, self._at = "", 0
        self._ended = False

    def peek(self) -> str:
        """Return the next character that is no white space; it is not taken."""
        while True:
            while self._at < len(self._text):
                if not self._text[self._at].isspace():
                    return self._text[self._at]
                self._at += 1
            self._more(_CHUNK_CHARACTERS)

    def take(self, expected: str) -> None:
        """Pass over a character."""
        if (found := self.peek()) != expected:
            raise self._error(f"found {found!r}, expected {expected!r}")
        self._at += 1

    def value(self) -> Any:
        """Return the next value."""
        self.peek()
        characters = _CHUNK_CHARACTERS
        while True:
            try:
                value, end = _decode(self._text, self._at)
                # A number that the text cuts, as 0. or 1e, is read up to there.
                following = self._text[end : end + 1]
                if self._ended or (following and following not in "+-.0123456789Ee"):
                    self._at = end
                    return value
            except (ValueError, RecursionError) as error:
                if self._ended or len(self._text) - self._at > _MAX_RECORD_CHARACTERS:
                    raise self._error(f"a record cannot be read ({error})") from error
            self._more(characters)
            characters *= 2

    def elements(self) -> Iterator[Any]:
        """Yield the values of a list."""
        self.take("[")
        while self.peek() != "]":
            yield self.value()
            if self.peek() == ",":
                self.take(",")
        self.take("]")

    def _more(self, characters: int) -> None:
        if self._ended:
            raise self._error("the file ends before its JSON object does")
        new = self._file.read(characters)
        self._ended = not new
        self._text, self._at = self._text[self._at :] + new, 0

    def _error(self, reason: str) -> FormatError:
        return FormatError(
            f"{self._path}: {reason}. Expected one JSON object with lists of records, as COCO's.", code="json_damaged"
        )


def category_ids(plan: Plan) -> npt.NDArray[np.int64]:
    """Return the id of the category of each class, by class index: (classes,)."""
    superclasses = plan.selection.named_superclasses()
    listed = superclasses.categories() if superclasses and plan.options.names == "listed" else {}
    numbers = [listed[cls.wnid].number if listed else None for cls in plan.classes]
    ids = [cls.index + 1 if number is None else number for cls, number in zip(plan.classes, numbers, strict=True)]
    return np.array(ids, np.int64)


def category_records(job: Job) -> list[dict[str, object]]:
    """Return the categories in the order of their ids."""
    plan = job.plan
    tallies = job.tallies.get("train", {})
    ids = category_ids(plan).tolist()
    records = [_record(cls, number, tallies.get(cls.wnid)) for cls, number in zip(plan.classes, ids, strict=True)]
    superclasses = plan.selection.named_superclasses()
    if plan.options.names == "listed" and superclasses:
        records += [
            {"id": category.number, "name": category.name, "supercategory": "", "wnid": None}
            for category in superclasses.without_synset()
            if category.number is not None
        ]
    return sorted(records, key=lambda record: int(str(record["id"])))


def _record(cls: Class, number: int, tally: Tally | None) -> dict[str, object]:
    """Return a category, with LVIS's measure: rare up to 10 images of train, common up to 100, else frequent."""
    images, boxes = (tally.images, tally.boxes) if tally else (0, 0)
    synset = wordnet.synset(cls.wnid)
    above = [wordnet.synset(parent) for parent in (*synset.hypernyms, *synset.instance_hypernyms)]
    return {
        "id": number,
        "name": cls.display,
        "supercategory": above[0].name if above else synset.name,
        "wnid": cls.wnid,
        "synset": synset.name,
        "hypernyms": [{"wnid": parent.wnid, "name": parent.name} for parent in above],
        "image_count": images,
        "instance_count": boxes,
        "frequency": "r" if images <= 10 else "c" if images <= 100 else "f",
    }
