"""The table that Hugging Face's imagefolder puts beside images, metadata.csv or .jsonl, and what it tells exactly.

file_name,label                     file_name is relative to the table; the other columns are anyone's
n01440764_10026.JPEG,0
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
from typing import TYPE_CHECKING

from imagenet_tools.catalogue import labels
from imagenet_tools.errors import FormatError
from imagenet_tools.wordnet.wnid import is_wnid, keeps_imagenet_name, told_by_path, wnid_of_stem
from imagenet_tools.wordnet.wordnet import find_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

TABLES = ("metadata.csv", "metadata.jsonl")
_SEEN = 1_000

# Columns that may hold the class of an image, as a wnid.
_CLASS_COLUMNS = ("wnid", "synset", "label", "class")

Row = dict[str, str]


def find_table(folder: Path) -> tuple[str, list[Row]]:
    """(the name of the table in a folder, its first rows) if names or a column in it tell classes; else ("", [])."""
    for name in TABLES:
        rows = first_rows(folder / name) if (folder / name).is_file() else []
        if class_column(rows) or any(told_class(row["file_name"]) for row in rows):
            return name, rows
    return "", []


def first_rows(path: Path) -> list[Row]:
    """Return the first rows of a table, as many as can be read: they tell its form. Who reads on reports a break."""
    rows: list[Row] = []
    with contextlib.suppress(FormatError):
        rows.extend(itertools.islice(read_rows(path), _SEEN))
    return rows


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a table, one at a time, every value as text and file_name always there.

    FormatError, with the code table_damaged, where it cannot be read on.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            given = csv.DictReader(file) if path.suffix == ".csv" else map(json.loads, filter(str.strip, file))
            for row in given:
                texts = {str(name): str(value) for name, value in row.items() if isinstance(value, str | int)}
                yield {"file_name": ""} | texts
    except (ValueError, AttributeError, csv.Error, RecursionError) as error:
        message = f"{path}: found a row that cannot be read ({error}); expected a table with a column file_name. "
        raise FormatError(message + "Mend it, or leave it out.", code="table_damaged") from error


def class_column(rows: Sequence[Row]) -> str:
    """The first column whose every value is a wnid of WordNet's; "" where there is none."""
    if not rows:
        return ""
    return next((name for name in _CLASS_COLUMNS if all(is_synset(row.get(name)) for row in rows)), "")


def told_class(file_name: str) -> str | None:
    """The class that a file's name tells, if the name is ImageNet's."""
    stem = told_by_path(file_name).stem
    wnid = wnid_of_stem(stem) or labels.validation_wnid(stem)
    return wnid if keeps_imagenet_name(stem) and is_synset(wnid) else None


def is_synset(text: str | None) -> bool:
    """Whether a text is the wnid of a synset that exists."""
    return text is not None and is_wnid(text) and find_row(text) is not None
