"""A selection of images: a query that nothing has run yet, made of the words of words.py in their order."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from imagenet_tools.arguments import checked_methods
from imagenet_tools.errors import UsageError
from imagenet_tools.selection import choice as said
from imagenet_tools.selection import classes, cuts, image_ids, query, steps
from imagenet_tools.selection.asking import asked, joins, own_tables
from imagenet_tools.selection.choice import Choice, joined
from imagenet_tools.selection.dataset import dataset as split_to_train_on
from imagenet_tools.selection.query import Prepared, Sql
from imagenet_tools.selection.splits import Split, parse_amount, parse_split
from imagenet_tools.selection.steps import Step
from imagenet_tools.store.connection import LOCK

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from imagenet_tools.selection.lock import Lock
    from imagenet_tools.store.store import Store

_Asked = TypeVar("_Asked")

_BATCH = 131_072  # rows of a record batch, at most; and images that are put in order at once, but for larger classes


@checked_methods
@dataclass(frozen=True)
class Selection:
    """Images chosen by data set, official split, class, condition, new split and amount. Lazy: rows come when asked.

    Every method gives a new selection. In the rows, `split` is the split that the selection puts the image in, and
    `official_split` the one it has in its data set; `wnid` its class here, and `official_wnid` its own. Rows are
    ordered by split, wnid, data set and image_id.
    """

    index: Store
    choice: Choice = field(default_factory=Choice)
    # Conditions of an export target, as (reason, SQL condition): eligible images are counted after them.
    demands: tuple[tuple[str, str], ...] = ()
    near: Path = field(default_factory=Path.cwd, compare=False)  # the folder that paths of files are relative to
    pinned: Lock | None = None  # the images, classes and splits are those of a lock, and no word changes them

    # ---- the words

    def of(self, *names: str) -> Selection:
        """Only images of these data sets."""
        return self._with(dataset=(*self.choice.dataset, *names))

    def from_(self, *splits: str) -> Selection:
        """Only images of these official splits."""
        return self._with(from_=(*self.choice.from_, *splits))

    def under(self, *synsets: str, also: Iterable[str] = (), without: Iterable[str] = ()) -> Selection:
        """Only classes that are one of these synsets or lie below one, and below each of `also`; and not `without`."""
        below = (*self.choice.under, *map(self.index.synset, synsets))
        both = (*self.choice.also_under, *map(self.index.synset, also))
        return self._with(under=below, also_under=both).without(*without)

    def without(self, *synsets: str) -> Selection:
        """Not these synsets, and nothing below them."""
        return self._with(without=(*self.choice.without, *map(self.index.synset, synsets)))

    def classes(self, listed: str | Iterable[str]) -> Selection:
        """Only these classes: a published list, a file, a,b,c or synsets; an empty class keeps its place."""
        return self._with(classes=said.listed(listed, self.index.synset, self.near))

    def class_where(self, condition: str) -> Selection:
        """Only classes for which a SQL condition on the columns of synsets holds."""
        self.index.condition("--class-where", condition)
        return self._with(class_where=(*self.choice.class_where, condition))

    def nested(self, how: str) -> Selection:
        """What becomes of classes above other chosen ones: keep, leaves, merge or error."""
        return self._with(nested=how)

    def superclasses(self, given: str | Iterable[str]) -> Selection:
        """Join classes to superclasses: a file of `classes cut`, a published list, a,b,c or synsets."""
        return self._with(superclasses=joined(given, self.index.synset, self.near))

    def images(self, *lists: str) -> Selection:
        """Only the images of these lists, any of them: published names or files of ids."""
        found = (image_ids.absolute("--images", text, self.near) for text in lists)
        return self._with(images=(*self.choice.images, *found))

    def where(self, condition: str, **parameters: object) -> Selection:
        """Only images for which a SQL condition on the columns of images holds; `$name` stands for a parameter."""
        self.index.condition("--where", condition, self.choice.with_)
        return self._with(where=(*self.choice.where, condition), parameter={**self.choice.parameter, **parameters})

    def join(self, **tables: str | Path) -> Selection:
        """Tables of one's own, for conditions: files by name, joined on (dataset, image_id) or photo."""
        found = {name: said.absolute(str(path), self.near) for name, path in tables.items()}
        return self._with(with_={**self.choice.with_, **found})

    def exclude(self, *lists: str) -> Selection:
        """Not the images of these lists: published names, files of ids, `defects`, `blacklist`."""
        found = (image_ids.absolute("--exclude", text, self.near) for text in lists)
        return self._with(exclude=(*self.choice.exclude, *found))

    def boxed(self) -> Selection:
        """Only images that have boxes."""
        return self._with(boxed=True)

    def sized(self, least: int | None = None, most: int | None = None) -> Selection:
        """Only classes with so many images left, or more, or fewer."""
        return self._with(min_images=least, max_images=most)

    def split(
        self, how: str | Mapping[str, float] | Split, *, groups: str | Path | None = None, seed: int | None = None
    ) -> Selection:
        """Split anew; draws on the official train alone unless from_ says more. `groups`, a table, ties images."""
        tied = self.choice.groups if groups is None else said.absolute(str(groups), self.near)
        return self._with(split=parse_split(how), groups=tied, seed=self.choice.seed if seed is None else seed)

    def sample(self, per_class: int | str | Mapping[str, int], *, seed: int | None = None) -> Selection:
        """At most so many images of each class, in every split or by split, by lowest draw."""
        return self._with(per_class=parse_amount(per_class), seed=self.choice.seed if seed is None else seed)

    def limit(self, n: int) -> Selection:
        """At most n images in all, by lowest draw."""
        return self._with(limit=n)

    def order(self, how: str) -> Selection:
        """How the classes are numbered: wnid, listed or ilsvrc-id."""
        return self._with(order=how)

    def demand(self, reason: str, condition: str) -> Selection:
        """Only images for which a condition of an export target holds; `reason` is one of REASONS."""
        return replace(self, demands=(*self.demands, (reason, condition)))

    def _with(self, **words: Any) -> Selection:
        if self.pinned is not None:
            raise UsageError(f"The lock {self.pinned.name} pins its images. Choose in its recipe, and lock that.")
        return replace(self, choice=replace(self.choice, **words))

    # ---- the query

    def __getstate__(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in ("index", "choice", "demands", "near", "pinned")}

    @functools.cached_property
    def _tables(self) -> dict[str, Path]:
        return own_tables(self.choice, self.pinned)

    @functools.cached_property
    def _joined(self) -> tuple[str, list[str]]:
        return joins(self.index, self.choice, self.index.cursor(self._tables))

    @property
    def _joins(self) -> str:
        return self._joined[0]

    @functools.cached_property
    def _lists(self) -> tuple[dict[str, list[str]], list[str]]:
        return steps.lists(self.choice, lambda text, values: self.index.cursor().execute(text, values).fetchall())

    @functools.cached_property
    def _found(self) -> tuple[Prepared, tuple[str, ...]]:
        if self.pinned is not None:
            pairs = self._rows(f"SELECT DISTINCT official_wnid, wnid FROM {LOCK} ORDER BY ALL", {})
            return Prepared({str(own): str(wnid) for own, wnid in pairs}, {}, {}, {}, {}, {}, None), ()
        return cuts.find(self.choice, self.demands, self._joins, self._rows)

    def _rows(self, text: str, values: Mapping[str, object]) -> list[tuple[object, ...]]:
        cursor = self.index.cursor(self._tables)
        rows: list[tuple[object, ...]] = self._ask(
            lambda *given: cursor.execute(*given).fetchall(), Sql(text, dict(values))
        )
        return rows

    def run(self, query_text: str, values: Mapping[str, object] | None = None) -> duckdb.DuckDBPyConnection:
        """Run a query over `made`: the images of the index with split, official_split and left_out (null: chosen).

        Beside them are the images' columns, with wnid as the selection's class, and official_wnid.
        """
        cursor = self.index.cursor(self._tables)
        self._ask(cursor.execute, self._sql(query_text, values))
        return cursor

    def _sql(
        self, query_text: str, values: Mapping[str, object] | None = None, *, only: Sequence[str] | None = None
    ) -> Sql:
        if self.pinned is not None:
            begin = query.pinned(self.demands, only=only is not None)
        else:
            begin = query.whole(self.choice, self.demands, self._joins, self._found[0], only=only is not None)
        more = {"_only": list(only)} if only is not None else {}
        return Sql(begin.text + query_text, {**begin.values, **(values or {}), **more})

    def _ask(self, ask: Callable[[str, Mapping[str, object]], _Asked], sql: Sql) -> _Asked:
        known = {**self._lists[0], **self.choice.parameter, **sql.values}
        return asked(ask, Sql(sql.text, known), self.choice)

    # ---- answers

    @functools.cached_property
    def _counted(self) -> list[tuple[str | None, str | None, str | None, int]]:
        """(step that left it out, split, class, images), in one pass over the images; in order."""
        rows: list[tuple[str | None, str | None, str | None, int]] = self.run(
            "SELECT left_out, split, wnid, count(*) FROM made GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        return rows

    def counts(self) -> dict[str, dict[str, int]]:
        """Images by split and class: {split: {wnid: n}}, both in order."""
        found: dict[str, dict[str, int]] = {}
        for step, split, wnid, n in self._counted:
            if step is None:
                found.setdefault(str(split), {})[str(wnid)] = n
        return found

    def left_out(self) -> dict[str, int]:
        """How many images of the index are left out, by the step that did it, in the order of the steps."""
        return {step.name: step.left_out for step in self.steps()[1:] if step.left_out}

    def steps(self) -> list[Step]:
        """The steps in order: how many images each left out, and how many it left. The first is the whole index."""
        rows: Counter[str | None] = Counter()
        for step, _, _, n in self._counted:
            rows[step] += n
        return steps.counted(self.choice, self.demands, rows)

    def wnids(self) -> tuple[str, ...]:
        """The classes, in order: those of the list if one was given, else those with images."""
        if self.pinned is not None:
            return self.pinned.classes
        found = self._found[0]
        of = classes.SelectedClasses(found.of, found.reasons, ())
        chosen = {wnid for counted in self.counts().values() for wnid in counted}
        return classes.in_order(self.choice, of, chosen, found.late)

    def classes_of(self) -> Mapping[str, str]:
        """The class that each wnid of the images becomes, by wnid; what else is asked of an image is not asked here."""
        late = self._found[0].late
        return {wnid: one for wnid, one in self._found[0].of.items() if one not in late}

    def notes(self) -> tuple[str, ...]:
        """What there is to say of the selection, in sentences, such as ids of a list that are not in the index."""
        if self.pinned is not None:
            return ()
        conditions = (*self.choice.where, *self.choice.class_where)
        taken = dict.fromkeys(one for text in conditions for one in self.index.senses_taken(f"SELECT ({text}\n)"))
        return (*taken, *self._lists[1], *self._joined[1], *self._found[1])

    def stream(
        self, query_text: str, values: Mapping[str, object] | None = None
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Run a query over `chosen`, the chosen images of `made`, some classes of a split at a time, in their order.

        A query that orders by wnid, dataset and image_id so gives all rows in order, in the memory of the largest
        class, or of 131,072 images where that is more.
        """
        for sql in self._chunks(query_text, values or {}):
            cursor = self.index.cursor(self._tables)
            self._ask(cursor.execute, sql)
            yield cursor

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows of the chosen images as Arrow record batches, ordered by split, wnid, data set and image_id."""
        for sql in self._chunks("SELECT * EXCLUDE left_out FROM chosen ORDER BY wnid, dataset, image_id", {}):
            yield from self._read(sql)

    def read(self, query_text: str, values: Mapping[str, object] | None = None) -> Iterator[pa.RecordBatch]:
        """What `run` runs, as Arrow record batches."""
        return self._read(self._sql(query_text, values))

    def _read(self, sql: Sql) -> Iterator[pa.RecordBatch]:
        cursor = self.index.cursor(self._tables)
        rows = self._ask(lambda text, used: cursor.sql(text, params=dict(used)), sql)
        yield from rows.arrow(_BATCH)

    def chosen(self, columns: str, suffix: str = "") -> Sql:
        """The chosen images and what is joined to them, for a query of a selection that differs in demands alone.

        The columns are those of `made`, there called images, and of tables of one's own; `suffix` tells the values
        apart where several such stand in one query.
        """
        found = self._sql(f" SELECT {columns} FROM made AS images {self._joins} WHERE left_out IS NULL")
        text = re.sub(r"\$(\w+)", lambda name: name[0] + suffix * (name[1] in found.values), found.text)
        return Sql(text, {f"{name}{suffix}": value for name, value in found.values.items()})

    def _chunks(self, query_text: str, values: Mapping[str, object]) -> Iterator[Sql]:
        begin = ", chosen AS (FROM made WHERE left_out IS NULL AND split = $_split) "
        for only, split in classes.in_chunks(self.classes_of(), self.counts(), _BATCH):
            yield self._sql(begin + query_text, {**values, "_split": split}, only=only)

    dataset = split_to_train_on

    def words(self) -> dict[str, object]:
        """The words that make this selection, as a recipe holds them: only those that were said."""
        if self.pinned is not None:
            return {"lock": self.pinned.sha256, "recipe": self.pinned.recipe}
        return self.choice.values()

    def save(self, path: str | Path, *, name: str = "") -> Path:
        """Write the words as a recipe; ExistsError where something is at `path`."""
        from imagenet_tools.selection import recipe

        return recipe.save(self, path, name=name)

    def lock(self, path: str | Path | None = None, *, name: str = "") -> Lock:
        """The images as they are chosen now, with their sum; with `path`, such as dogs.lock.toml, written there."""
        from imagenet_tools.selection import lock

        return lock.make(self, path, name=name)
