"""A selection of images: a query that nothing has run yet, made of the words of words.py in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from imagenet_tools.errors import QueryError, UsageError
from imagenet_tools.selection.dataset import open_split
from imagenet_tools.selection.draws import OFFICIAL, Split, parse_amount, parse_split, thresholds

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from imagenet_tools.containers.payload import Place

_Asked = TypeVar("_Asked")

_BATCH = 131_072  # rows of a record batch, at most


class Queryable(Protocol):
    """What a selection asks: an open index."""

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own to the index's tables."""

    def synset(self, text: str) -> str:
        """The wnid that a text names in this index."""

    @property
    def image_place(self) -> Callable[..., Place]:
        """A function that says where an image lies here, by source, file, offset, length, member ... of images."""


# Why an image is not in a selection, by the step that left it out; in the order of the steps.
REASONS = {
    "dataset": "of another data set",
    "from": "of another official split",
    "unlabelled": "has no class",
    "under": "not below the synsets asked for",
    "without": "below a synset that was taken out",
    "classes": "not of the listed classes",
    "where": "the condition does not hold",
    "problem": "its bytes are damaged, as the column problem says",
    "unreadable": "no image can be read from its bytes",
    "boxed": "has no boxes",
    "unboxed": "has no boxes, and a detector must not learn it as background",
    "bad_boxes": "none of its boxes can be used",
    "small": "smaller than the loader takes",
    "split": "in none of the splits",
    "per_class": "over the number a class",
    "limit": "over the number in all",
}


@dataclass(frozen=True)
class Selection:
    """Images chosen by data set, official split, class, condition, new split and amount. Lazy: rows come when asked.

    Every method gives a new selection. In the rows, `split` is the split that the selection puts the image in, and
    `official_split` the one it has in its data set; rows are ordered by split, wnid and image_id.
    """

    index: Queryable
    datasets: tuple[str, ...] = ()
    official: tuple[str, ...] = ()  # empty: all of them, or train alone for a new split
    below: tuple[str, ...] = ()  # wnids, any of them
    taken_out: tuple[str, ...] = ()  # wnids
    listed: tuple[str, ...] | None = None  # wnids, in the order of the list
    conditions: tuple[str, ...] = ()
    parameters: Mapping[str, object] = field(default_factory=dict)
    has_boxes: bool = False
    division: Split = OFFICIAL
    amounts: Mapping[str, int] = field(default_factory=dict)  # images a class by split; "" for every split
    total: int | None = None
    seed: int = 0
    # Conditions of an export target, as (reason, SQL condition): eligible images are counted after them.
    demands: tuple[tuple[str, str], ...] = ()

    # ---- the words

    def of(self, *names: str) -> Selection:
        """Only images of these data sets."""
        return replace(self, datasets=(*self.datasets, *names))

    def from_(self, *splits: str) -> Selection:
        """Only images of these official splits."""
        return replace(self, official=(*self.official, *splits))

    def under(self, *synsets: str, without: Iterable[str] = ()) -> Selection:
        """Only classes that are one of these synsets or lie below one; and not `without` and what lies below that."""
        below = tuple(self.index.synset(text) for text in synsets)
        return replace(self, below=(*self.below, *below)).without(*without)

    def without(self, *synsets: str) -> Selection:
        """Not these synsets, and nothing below them."""
        return replace(self, taken_out=(*self.taken_out, *(self.index.synset(text) for text in synsets)))

    def classes(self, listed: Iterable[str]) -> Selection:
        """Only these classes, given as synsets; an empty class keeps its place in the order."""
        wnids = tuple(self.index.synset(text) for text in listed)
        if len(set(wnids)) < len(wnids):
            twice = sorted({wnid for wnid in wnids if wnids.count(wnid) > 1})
            message = f"The list of classes names {', '.join(twice)} more than once. Expected each class once."
            raise UsageError(message)
        return replace(self, listed=wnids)

    def where(self, condition: str, **parameters: object) -> Selection:
        """Only images for which a SQL condition on the columns of images holds; `$name` stands for a parameter."""
        return replace(self, conditions=(*self.conditions, condition), parameters={**self.parameters, **parameters})

    def boxed(self) -> Selection:
        """Only images that have boxes."""
        return replace(self, has_boxes=True)

    def split(self, fractions: str | Mapping[str, float] | Split, *, seed: int | None = None) -> Selection:
        """Split anew, by shares or by a count a class; draws on the official train alone unless from_ says more."""
        return replace(self, division=parse_split(fractions), seed=self.seed if seed is None else seed)

    def sample(self, per_class: int | str | Mapping[str, int], *, seed: int | None = None) -> Selection:
        """At most so many images of each class, in every split or by split, by lowest draw."""
        return replace(self, amounts=parse_amount(per_class), seed=self.seed if seed is None else seed)

    def limit(self, n: int) -> Selection:
        """At most n images in all, by lowest draw."""
        if n < 1:
            message = f"--limit {n}: expected a whole number above 0."
            raise UsageError(message)
        return replace(self, total=n)

    def demand(self, reason: str, condition: str) -> Selection:
        """Only images for which a condition of an export target holds; `reason` is one of REASONS."""
        return replace(self, demands=(*self.demands, (reason, condition)))

    # ---- the query

    def _steps(self) -> list[tuple[str, str]]:
        """(step, the condition that an image must meet), in order."""
        steps: list[tuple[str, str]] = []
        if self.datasets:
            steps.append(("dataset", "dataset IN (SELECT unnest($_datasets))"))
        official = self.official or (() if self.division.by == "official" else ("train",))
        if official:
            # An image without an official split is nobody's validation image.
            known = "split IN (SELECT unnest($_official))"
            steps.append(("from", known if self.official else f"(split IS NULL OR {known})"))
        steps.append(("unlabelled", "wnid IS NOT NULL"))
        below = "wnid IN (SELECT descendant FROM closure WHERE ancestor IN (SELECT unnest({})))"
        if self.below:
            steps.append(("under", below.format("$_below")))
        if self.taken_out:
            steps.append(("without", f"NOT {below.format('$_taken_out')}"))
        if self.listed is not None:
            steps.append(("classes", "wnid IN (SELECT unnest($_listed))"))
        steps.extend(("where", f"({condition}\n)") for condition in self.conditions)
        if self.has_boxes:
            steps.append(("boxed", "n_boxes > 0"))
        return [*steps, *self.demands]

    def _query(self) -> str:
        """Every image of the index, with the split it falls in and, where it is left out, the step that did it."""
        tests = "".join(
            f"\n    WHEN NOT coalesce({condition}, false) THEN '{step}'" for step, condition in self._steps()
        )
        draws = f"draw(hash32, {int(self.seed)})"
        # Ties of the 32-bit hash are broken by name, so that the order is total.
        order = "drawn, photo, dataset, image_id"
        most = "CASE target " + " ".join(f"WHEN '{name}' THEN {n}" for name, n in self.amounts.items() if name)
        anywhere = self.amounts.get("", None)
        most += f" ELSE {anywhere if anywhere is not None else 'NULL'} END" if len(most) > len("CASE target ") else ""
        if len(self.amounts) == 1 and anywhere is not None:
            most = str(anywhere)
        over = f"rank > {most}" if self.amounts else "false"
        limited = f"place > {self.total}" if self.total is not None else "false"
        return f"""
WITH tested AS (
    SELECT *, CASE {tests}
    END AS step FROM images),
divided AS (
    SELECT *, {draws} AS drawn, {self._target(draws)} AS target FROM tested WHERE step IS NULL),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY target, wnid ORDER BY {order}) AS rank FROM divided),
counted AS (
    SELECT *, CASE WHEN target IS NULL THEN 'split' WHEN coalesce({over}, false) THEN 'per_class' END AS late
    FROM ranked),
placed AS (
    SELECT *, row_number() OVER (PARTITION BY late IS NULL ORDER BY {order}) AS place FROM counted),
made AS (
    SELECT * EXCLUDE (step, drawn, target, rank, late, place, split), split AS official_split, target AS split,
           CASE WHEN late IS NOT NULL THEN late WHEN {limited} THEN 'limit' END AS left_out FROM placed
    UNION ALL BY NAME
    SELECT * EXCLUDE (step, split), split AS official_split, step AS left_out FROM tested WHERE step IS NOT NULL)
"""

    def _target(self, draws: str) -> str:
        if self.division.by == "official":
            return "coalesce(split, 'train')"
        if self.division.by == "fraction":
            bounds = " ".join(f"WHEN {draws} < {bound} THEN '{name}'" for name, bound in thresholds(self.division))
            return f"CASE {bounds} END"
        rank = f"row_number() OVER (PARTITION BY wnid ORDER BY {draws}, photo, dataset, image_id)"
        total, tests = 0, ""
        for name, n in self.division.amounts:
            total += int(n)
            tests += f" WHEN {rank} <= {total} THEN '{name}'"
        return f"CASE {tests} ELSE '{self.division.rest}' END"

    def run(self, query: str, values: Mapping[str, object] | None = None) -> duckdb.DuckDBPyConnection:
        """Run a query over `made`: the images of the index with split, official_split and left_out (null: chosen)."""
        cursor = self.index.cursor()
        self._ask(cursor.execute, query, values)
        return cursor

    def _ask(
        self, ask: Callable[[str, Mapping[str, object]], _Asked], query: str, values: Mapping[str, object] | None = None
    ) -> _Asked:
        import duckdb

        known = {
            "_datasets": list(self.datasets),
            "_official": list(self.official or ("train",)),
            "_below": list(self.below),
            "_taken_out": list(self.taken_out),
            "_listed": list(self.listed or ()),
            **self.parameters,
            **(values or {}),
        }
        text = self._query() + query
        used = {name: value for name, value in known.items() if f"${name}" in text}
        try:
            if len(duckdb.extract_statements(text)) != 1:
                message = f"--where {' AND '.join(self.conditions)}: expected one condition, found a ';'."
                raise QueryError(message)
            return ask(text, used)
        except duckdb.Error as error:
            if not self.conditions:
                raise
            said = " ".join(
                str(error).partition("\n\n")[0].split("\n")
            )  # the columns that are near are its second line
            message = f"--where {' AND '.join(self.conditions)}: {said}"
            raise QueryError(message) from error

    # ---- answers

    def counts(self) -> dict[str, dict[str, int]]:
        """Images by split and class: {split: {wnid: n}}, both in order."""
        rows = self.run(
            "SELECT split, wnid, count(*) FROM made WHERE left_out IS NULL GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        found: dict[str, dict[str, int]] = {}
        for split, wnid, n in rows:
            found.setdefault(split, {})[wnid] = n
        return found

    def left_out(self) -> dict[str, int]:
        """How many images of the index are left out, by the step that did it, in the order of the steps."""
        rows = dict(self.run("SELECT left_out, count(*) FROM made WHERE left_out IS NOT NULL GROUP BY ALL").fetchall())
        return {reason: rows[reason] for reason in REASONS if reason in rows}

    def wnids(self) -> tuple[str, ...]:
        """The classes, in order: those of the list if one was given, else those with images, by wnid."""
        if self.listed is not None:
            return self.listed
        rows = self.run("SELECT DISTINCT wnid FROM made WHERE left_out IS NULL ORDER BY 1").fetchall()
        return tuple(wnid for (wnid,) in rows)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows of the chosen images as Arrow record batches, ordered by split, wnid and image_id."""
        order = "split, wnid, dataset, image_id"
        return self.read(f"SELECT * EXCLUDE left_out FROM made WHERE left_out IS NULL ORDER BY {order}")

    def read(self, query: str, values: Mapping[str, object] | None = None) -> Iterator[pa.RecordBatch]:
        """What `run` runs, as Arrow record batches."""
        cursor = self.index.cursor()
        rows = self._ask(lambda text, used: cursor.sql(text, params=dict(used)), query, values)
        # Its name in DuckDB 2, and its name before.
        yield from (getattr(rows, "to_arrow_reader", None) or rows.fetch_record_batch)(_BATCH)

    dataset = open_split  # a split as a data set to train on, without exporting

    def words(self) -> dict[str, object]:
        """The words that make this selection, as a recipe holds them: only those that were said."""
        said: dict[str, object] = {
            "dataset": list(self.datasets),
            "from": list(self.official),
            "under": list(self.below),
            "without": list(self.taken_out),
            "classes": list(self.listed) if self.listed is not None else None,
            "where": list(self.conditions),
            "parameters": dict(self.parameters),
            "boxed": self.has_boxes,
            "split": str(self.division) if self.division != OFFICIAL else None,
            "per_class": self.amounts.get("", dict(self.amounts)),
            "limit": self.total,
        }
        return {key: value for key, value in said.items() if value} | {"seed": self.seed}
