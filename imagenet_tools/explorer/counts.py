"""Counts of an index by synset, for any filters, and the levels of the hierarchy.

There is one pass over the images for each new filter, and none after it.

Arrays have a value for each row of imagenet_tools.wordnet.wordnet: (82,115,).
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import numpy as np

from imagenet_tools.display.style import GROUPS
from imagenet_tools.explorer.filters import MEASURES, NONE, Filters
from imagenet_tools.wordnet import graph, hierarchy, wordnet

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from imagenet_tools.store.store import Store

    Counts = npt.NDArray[np.int64]

SUMS = {
    "images": "count(*)",
    "boxes": "sum(n_boxes)",
    "bytes": "sum(length)",
    "pixels": "sum(width::BIGINT * height)",
}
BOX_AREA_BINS = 20
BOX_AREA_STEP = 100 / BOX_AREA_BINS  # percent
_BOX_AREA = f"least(floor({BOX_AREA_BINS} * (nxmax - nxmin) * (nymax - nymin)), {BOX_AREA_BINS - 1})"
_KEPT_FILTERS = 32
_FACETS = ("dataset", "split", "problem")

_Value = TypeVar("_Value")


class Bins(NamedTuple):
    """A histogram for each class: the parallel arrays of its row, bin and count."""

    rows: Counts
    bins: Counts
    counts: Counts

    def of(self, mask: npt.NDArray[np.bool_], n_bins: int) -> list[int]:
        """Return the histogram of the classes of a mask."""
        chosen = mask[self.rows]
        counted = np.bincount(self.bins[chosen], weights=self.counts[chosen], minlength=n_bins)
        return [int(n) for n in counted[:n_bins]]


class Memo(Generic[_Value]):
    """Results of a function by its argument, the most recent ones; threads wait for a result that another makes."""

    def __init__(self, make: Callable[..., _Value], n: int) -> None:
        self._make, self._n = make, n
        self._lock = threading.Lock()
        self._results: OrderedDict[tuple[object, ...], Future[_Value]] = OrderedDict()

    def has(self, *key: object) -> bool:
        """Return True if the result for an argument is there."""
        with self._lock:
            result = self._results.get(key)
        return result is not None and result.done()

    def __call__(self, *key: object) -> _Value:
        """Return the result for an argument."""
        with self._lock:
            result, is_new = self._results.get(key), key not in self._results
            if result is None:
                result = self._results[key] = Future()
            self._results.move_to_end(key)
            while len(self._results) > self._n:
                self._results.popitem(last=False)
        if is_new:
            try:
                result.set_result(self._make(*key))
            except BaseException as error:  # noqa: BLE001 - those who wait get it too
                with self._lock:
                    self._results.pop(key, None)
                result.set_exception(error)
        return result.result()


class Cube(NamedTuple):
    """Sums by class, data set, split and problem: parallel arrays; numbers of facets are places in their choices."""

    rows: Counts
    facets: dict[str, Counts]
    sums: dict[str, Counts]  # by the keys of SUMS


class IndexCounts:
    """The counts of one index. Threads may share it."""

    def __init__(self, index: Store) -> None:
        self.index = index
        self._cube = Memo(self._make_cube, _KEPT_FILTERS)
        self._counts = Memo(self._count, 4 * _KEPT_FILTERS)
        # The histogram of a key of MEASURES, or of box_area, for each class, by filters and name.
        self.histogram = Memo(self._bins, _KEPT_FILTERS * (len(MEASURES) + 1))

    def direct(self, filters: Filters, by: str = "images") -> Counts:
        """Return what is counted of the images of each synset itself; `by` is a key of SUMS."""
        return self._counts(filters, by)[0]

    def inclusive(self, filters: Filters, by: str = "images") -> Counts:
        """Return what is counted of the images at or below each synset, each image once."""
        return self._counts(filters, by)[1]

    def is_ready(self, filters: Filters) -> bool:
        """Return True if nothing has to be counted for a page with these filters: at the start, it takes seconds."""
        names = (*MEASURES, "box_area")
        return self._cube.has(filters.labels, filters.ranges) and all(
            self.histogram.has(filters, name) for name in names
        )

    def prepare(self) -> None:
        """Count what a page without filters needs, so that no page waits for it."""
        for by in SUMS:
            self.inclusive(Filters(), by)
        for name in (*MEASURES, "box_area"):
            self.histogram(Filters(), name)

    def _count(self, filters: Filters, by: str) -> tuple[Counts, Counts]:
        if filters == Filters() and by == "images":
            direct = self.index.counts()  # the build has counted them
        else:
            cube = self._cube(filters.labels, filters.ranges)
            chosen = np.ones(len(cube.rows), np.bool_)
            for name in _FACETS:
                if value := getattr(filters, name):
                    numbers, place = cube.facets[name], self._place(name, value)
                    chosen &= numbers >= 0 if value == "any" else numbers == place
            direct = wordnet.sums_of(cube.rows[chosen], cube.sums[by][chosen])
        return direct, hierarchy.inclusive(direct)

    def _place(self, facet: str, value: str | None) -> int:
        """Return the number of a value of a facet in a cube; -1 for null."""
        return -1 if value in (None, NONE) else self.choices[facet].index(str(value))

    def _make_cube(self, labels: str, ranges: tuple[tuple[str, float | None, float | None], ...]) -> Cube:
        where, values = Filters(labels=labels, ranges=ranges).sql()
        sums = ", ".join(f"coalesce({sql}, 0)::BIGINT" for sql in SUMS.values())
        query = f"""SELECT wnid, {", ".join(_FACETS)}, {sums} FROM images
                    WHERE wnid IS NOT NULL AND {where} GROUP BY ALL"""
        counted = self.index.cursor().execute(query, values).fetchall()
        rows = [(row, *others) for wnid, *others in counted if (row := wordnet.find_row(wnid)) is not None]
        columns = list(zip(*rows, strict=True)) or [()] * (1 + len(_FACETS) + len(SUMS))
        facets = {
            name: np.array([self._place(name, value) for value in column], np.int64)
            for name, column in zip(_FACETS, columns[1:], strict=False)
        }
        arrays = [np.array(column, np.int64) for column in columns[1 + len(_FACETS) :]]
        return Cube(np.array(columns[0], np.int64), facets, dict(zip(SUMS, arrays, strict=True)))

    def _bins(self, filters: Filters, name: str) -> Bins:
        where, values = filters.sql()
        if name == "box_area":
            source = "boxes"
            if filters != Filters():
                source += f" SEMI JOIN (SELECT dataset, image_id FROM images WHERE {where}) USING (dataset, image_id)"
            query = f"SELECT wnid, {_BOX_AREA}::INT AS bin, count(*) FROM {source} WHERE nxmin IS NOT NULL GROUP BY ALL"
        else:
            measure = MEASURES[name]
            number = f"least(floor({measure.sql} / {measure.step} + 1e-9), {measure.n_bins - 1})::INT"
            query = f"SELECT wnid, {number} AS bin, count(*) FROM images WHERE {where} GROUP BY ALL"
        counted = self.index.cursor().execute(f"FROM ({query}) WHERE wnid IS NOT NULL AND bin IS NOT NULL", values)
        columns = list(zip(*counted.fetchall(), strict=True)) or [(), (), ()]
        known = [row if row is not None else -1 for row in map(wordnet.find_row, columns[0])]
        rows, bins, counts = (np.array(column, np.int64) for column in (known, *columns[1:]))
        return Bins(rows[rows >= 0], bins[rows >= 0], counts[rows >= 0])

    @functools.cached_property
    def choices(self) -> dict[str, list[str]]:
        """The values that each facet may have, with `none` where the column has nulls."""
        choices: dict[str, list[str]] = {}
        for name, query in _CHOICES.items():
            values = [row[0] for row in self.index.cursor().execute(query).fetchall()]
            choices[name] = sorted(value for value in values if value is not None)
            if None in values:
                choices[name].append(NONE)
        choices["problem"] = ["any", NONE, *(code for code in choices["problem"] if code != NONE)]
        return choices

    def facets(self, filters: Filters, mask: npt.NDArray[np.bool_]) -> dict[str, list[tuple[str, int]]]:
        """Return the number of images for each value of each facet, below the synsets of a mask.

        The other filters hold. A facet of one value tells nothing, and is left out.
        """
        counted: dict[str, list[tuple[str, int]]] = {}
        for name, values in self.choices.items():
            options = [value for value in values if name != "problem" or value != NONE]
            if len(options) < 2:
                continue
            totals = [(value, int(self.direct(filters.with_text(name, value))[mask].sum())) for value in options]
            counted[name] = [(value, n) for value, n in totals if n or getattr(filters, name) == value]
        return {name: rows for name, rows in counted.items() if len(rows) > 1 or getattr(filters, name)}


_CHOICES = {
    "dataset": "SELECT DISTINCT dataset FROM images",
    "split": "SELECT DISTINCT split FROM images",
    "problem": "SELECT DISTINCT problem FROM images",
    "labels": "SELECT DISTINCT label_set FROM labels",
}


# ---- a level of the hierarchy: the synsets at one depth, and those above it that have images of their own


class Level(NamedTuple):
    """The groups that synsets fall into at one depth; a synset below several of them is in each.

    Attributes:
        depth: Edges on the shortest path from entity.n.01.
        members: Row of each synset that is in a group, sorted.
        groups: Row of its group, parallel to `members`.
        colours: The colour of each group, by row; a key of style.LIGHT.
    """

    depth: int
    members: Counts
    groups: Counts
    colours: dict[int, str]

    def of(self, row: int) -> list[int]:
        """Return the groups of a synset."""
        first, last = np.searchsorted(self.members, [row, row + 1])
        return [int(group) for group in self.groups[first:last]]

    def colour(self, row: int) -> str:
        """Return the colour of the first group of a synset; "" without one."""
        return next((self.colours[group] for group in self.of(row)), "")

    def totals(self, direct: Counts, mask: npt.NDArray[np.bool_]) -> list[tuple[int, int, int]]:
        """Return (group, count, classes) of the classes of a mask, the greatest count first."""
        counted = mask & (direct > 0)
        chosen = counted[self.members]
        groups, members = self.groups[chosen], self.members[chosen]
        totals, classes = wordnet.sums_of(groups, direct[members]), wordnet.sums_of(groups, 1)
        rows = np.flatnonzero(classes)
        order = rows[np.argsort(-totals[rows], kind="stable")]
        return [(int(row), int(totals[row]), int(classes[row])) for row in order]


class Levels:
    """The levels of the classes of an index."""

    def __init__(self, direct: Counts, inclusive: Counts) -> None:
        self._direct, self._inclusive = direct, inclusive
        depths = hierarchy.min_depths()
        classes = np.flatnonzero(direct)
        self.least = int(depths[np.flatnonzero(inclusive == inclusive.max(initial=0))].max(initial=0))
        self.most = int(depths[classes].max(initial=0))
        self.at = functools.cache(self._at)

    def _at(self, depth: int) -> Level:
        depths = hierarchy.min_depths()
        counted = np.flatnonzero(self._inclusive > 0)
        members, above, _ = graph.pairs(hierarchy.edges_up(), counted.astype(np.int32))
        # Depth is that of the shortest path, so a synset at this depth may be above another one: hunting dog is as
        # deep as mammal, because dog is also a domestic animal. The upper one is the group.
        at_depth = (depths == depth) & (self._inclusive > 0)
        at_depth[members[at_depth[members] & at_depth[above] & (members != above)]] = False
        is_group = at_depth | ((depths < depth) & (self._direct > 0))
        # A class above the level is a group of its own images alone: what is below it has groups of its own.
        kept = is_group[above] & (at_depth[above] | (members == above))
        members, above = members[kept].astype(np.int64), above[kept].astype(np.int64)
        order = np.lexsort((-self._inclusive[above], members))
        groups = sorted(set(above.tolist()), key=lambda row: (-int(self._inclusive[row]), row))
        colours = {row: GROUPS[n % len(GROUPS)] for n, row in enumerate(groups)}
        return Level(depth, members[order], above[order], colours)


def label(row: int) -> str:
    """Return the first lemma of a synset."""
    return wordnet.label_of(wordnet.wnid_at(row))
