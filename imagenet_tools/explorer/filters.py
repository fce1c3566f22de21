"""The filters of a view: which images it counts and shows, as parameters of an address and as SQL."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from imagenet_tools.annotations.bbox import TRANSPOSED
from imagenet_tools.errors import UsageError

NONE = "none"  # the value of a parameter for images whose column is null

# Number columns that a histogram shows: SQL, the width of a bin, and the most bins. The last bin holds all above it.
_TURNED = f"orientation IN {TRANSPOSED}"
_SHOWN_RATIO = f"CASE WHEN {_TURNED} THEN height / width ELSE width / height END"


class ShownNumber(NamedTuple):
    """A number of an image that a histogram shows and a range filters."""

    sql: str
    step: float
    n_bins: int
    title: str
    unit: str


MEASURES = {
    "side": ShownNumber("least(width, height)", 32, 40, "Shorter side", "px"),
    "aspect": ShownNumber(f"({_SHOWN_RATIO})", 0.1, 40, "Width over height, as shown", ""),
    "boxes": ShownNumber("n_boxes", 1, 20, "Boxes of an image", ""),
}

# The orders of images that a page offers, by the value of the parameter `sort`.
ORDERS = {
    "side": "smallest first",
    "-side": "largest first",
    "aspect": "tallest first",
    "-aspect": "widest first",
    "-boxes": "most boxes first",
}

_RANGE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)?-(\d{1,9}(?:\.\d{1,3})?)?", re.ASCII)


class Filters(NamedTuple):
    """Conditions on images; empty ones hold for every image. A range is low <= value < high."""

    dataset: str = ""
    split: str = ""
    problem: str = ""  # a code, "any", or "none"
    labels: str = ""  # a label set: images that it labels
    ranges: tuple[tuple[str, float | None, float | None], ...] = ()

    def parameters(self) -> dict[str, str]:
        """Return the filters as parameters of an address."""
        texts = {name: value for name, value in zip(_TEXTS, self[:4], strict=True) if value}
        for name, low, high in self.ranges:
            texts[name] = f"{'' if low is None else f'{low:g}'}-{'' if high is None else f'{high:g}'}"
        return texts

    def with_text(self, name: str, value: str) -> Filters:
        """Return the filters with another value of dataset, split, problem or labels."""
        texts = dict(zip(_TEXTS, self[:4], strict=True)) | {name: value}
        return Filters(**texts, ranges=self.ranges)

    def sql(self) -> tuple[str, dict[str, object]]:
        """Return a condition on the table images, and the values of its parameters."""
        conditions, values = ["true"], dict[str, object]()
        for column in ("dataset", "split"):
            if value := getattr(self, column):
                conditions.append(f"images.{column} IS NULL" if value == NONE else f"images.{column} = $_{column}")
                if value != NONE:
                    values[f"_{column}"] = value
        if self.problem:
            known = {"any": "problem IS NOT NULL", NONE: "problem IS NULL"}
            conditions.append(known.get(self.problem, "problem = $_problem"))
            if self.problem not in known:
                values["_problem"] = self.problem
        if self.labels:
            labelled = "SELECT dataset, image_id FROM labels WHERE label_set = $_labels"
            conditions.append(f"(dataset, image_id) IN ({labelled})")
            values["_labels"] = self.labels
        for name, low, high in self.ranges:
            # The ends come from the bins of a histogram: a small tolerance keeps 0.3 in the bin that begins at 0.3.
            if low is not None:
                conditions.append(f"{MEASURES[name].sql} >= {low - 1e-9!r}")
            if high is not None:
                conditions.append(f"{MEASURES[name].sql} < {high - 1e-9!r}")
        return " AND ".join(conditions), values


_TEXTS = Filters._fields[:4]
PARAMETERS = (*_TEXTS, *MEASURES)


def read(parameters: Mapping[str, str], choices: Mapping[str, Sequence[str]]) -> Filters:
    """Return the filters that the parameters of an address name.

    Args:
        parameters: Values by name; other names are ignored.
        choices: The values that dataset, split, problem and labels may have.

    Raises:
        UsageError: A value is none of the choices, or no range.
    """
    texts: dict[str, str] = {}
    for name in _TEXTS:
        value = parameters.get(name, "")
        if value and value not in choices[name]:
            raise UsageError(f"{name}={value}: expected one of {', '.join(choices[name]) or 'nothing'}.")
        texts[name] = value
    ranges = []
    for name in MEASURES:
        if text := parameters.get(name, ""):
            match = _RANGE.fullmatch(text)
            if match is None or text == "-":
                raise UsageError(f"{name}={text}: expected a range, such as 64-128, 64- or -128.")
            low, high = (None if end is None else float(end) for end in match.groups())
            ranges.append((name, low, high))
    return Filters(**texts, ranges=tuple(ranges))


def read_order(text: str) -> str:
    """Return the SQL that a value of the parameter `sort` orders images by; an empty one has none.

    Raises:
        UsageError: The value is no key of MEASURES, and none with - before it.

    Example:
        >>> read_order("-boxes")
        'n_boxes DESC NULLS LAST'
    """
    if not text:
        return ""
    name = text.removeprefix("-")
    if name not in MEASURES:
        expected = ", ".join(MEASURES)
        raise UsageError(f"sort={text}: expected one of {expected}, with - before it for the largest first.")
    return f"{MEASURES[name].sql} {'DESC' if text != name else 'ASC'} NULLS LAST"
