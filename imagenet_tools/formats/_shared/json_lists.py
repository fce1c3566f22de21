"""Read the lists of records in COCO's and LVIS's JSON one by one, in memory that does not grow with the file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from imagenet_tools.errors import FormatError

Record = dict[str, Any]

_CHUNK_CHARACTERS = 1 << 20
_MAX_RECORD_CHARACTERS = 64 << 20
_TAIL_BYTES = 2 << 20  # COCO's categories are last in the file; LVIS's 1,203 take 0.3 MB
_decode = json.JSONDecoder().raw_decode


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
