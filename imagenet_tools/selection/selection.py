"""A selection of images: words in, and a lazy query that gives counts, rows, data sets, recipes and locks."""

from __future__ import annotations

import functools
import importlib
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from imagenet_tools.arguments import checked_methods
from imagenet_tools.errors import ImagenetToolsError, UsageError
from imagenet_tools.selection import classes, cuts, query, steps
from imagenet_tools.selection.choice import plain
from imagenet_tools.selection.dataset import dataset as split_to_train_on
from imagenet_tools.selection.query import Prepared, Request, Sql
from imagenet_tools.selection.splits import Split
from imagenet_tools.selection.steps import Step
from imagenet_tools.selection.words import Choice, read_words
from imagenet_tools.store.connection import LOCK
from imagenet_tools.store.store import IMAGE_COLUMNS
from imagenet_tools.text import html_of, images_of
from imagenet_tools.wordnet import wordnet

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import PIL.Image
    import pyarrow as pa

    from imagenet_tools.arguments import Frame
    from imagenet_tools.display.charts import Chart
    from imagenet_tools.selection.choice import ClassSelection
    from imagenet_tools.selection.lock import Lock
    from imagenet_tools.store.store import Image, Store

_Result = TypeVar("_Result")

# Most rows of a record batch. Also the images that are sorted at once, unless one class has more.
_BATCH = 131_072
_IMAGES_AT_ONCE = 131_072  # of an iteration, sorted in memory by one query
# Images of an index for which the rows of `made` are kept in memory, 300 bytes each. An export has nine queries over
# them: planning one over the tables of the index takes 15 ms, over a table in memory 2 ms.
_KEPT_IMAGES = 50_000
_SHOWN_CHARACTERS = 60  # of the value of a word, in the repr


def _short(value: object) -> str:
    """Return the value of a word, as a recipe holds it, in a few characters: synsets by name alone."""
    if isinstance(value, dict):
        value = [f"{name}={part}" for name, part in value.items()]
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return textwrap.shorten(re.sub(r"\bn\d{8} (?=\S+\.n\.\d)", "", text), _SHOWN_CHARACTERS, placeholder=" ...")


@checked_methods
@dataclass(frozen=True, repr=False)
class Selection:
    """Images chosen by data set, official split, class, condition, new split and amount.

    Get one from `index.select(...)` or `index.images`. Each method that chooses returns a new selection. A selection
    is lazy: it queries the index when it is asked for counts or rows, and its memory does not grow with the images.

    In its rows, `split` and `wnid` are the split and the class that the selection gives an image; `official_split`
    and `official_wnid` are those of its data set. Rows are ordered by split, wnid, data set and image_id.

    A selection is a table of its images: `len(dogs)`, `dogs[0]`, `dogs[:10]`, and `for image in dogs` give images;
    `dogs.df()`, `dogs.pl()` and `dogs.arrow()` give all rows.

    Example:
        >>> index = imt.open_index("imagenet.index")
        >>> dogs = index.images.under("dog.n.01").split("train=0.9,val=0.1").sample(5)
        >>> len(dogs), dogs[0]
        (31, Image: ilsvrc2012/n02085620_22158; n02085620 chihuahua.n.03)
    """

    index: Store
    choice: Choice = field(default_factory=Choice)
    # Conditions of an export target, as (reason, SQL condition). Amounts are counted after them.
    demands: tuple[tuple[str, str], ...] = ()
    near: Path = field(default_factory=Path.cwd, compare=False)  # paths of files are relative to this folder
    pinned: Lock | None = None  # the images, classes and splits are those of this lock; words cannot change them

    def __repr__(self) -> str:
        """Return the words and the counts in one line. The first call counts the images."""
        words = self.choice.values() if self.pinned is None else {"lock": self.pinned.name}
        shown = [
            f"{'split' if key == 'by' else key} {_short(value)}"
            for key, value in words.items()
            if (key, value) != ("seed", 0)
        ]
        try:
            counts = self.counts()
        except ImagenetToolsError as error:
            return f"Selection: {', '.join(shown) or 'all'}; {error}"
        n_images = {split: sum(counted.values()) for split, counted in counts.items()}
        n_classes = len({wnid for counted in counts.values() for wnid in counted})
        return f"Selection: {', '.join(shown) or 'all'}; {images_of(n_images, n_classes)}"

    def _repr_html_(self) -> str:
        """Return the words, the steps with their counts and a small contact sheet, for notebooks."""
        from imagenet_tools.display import page

        try:
            text = html_of(repr(self), (steps.STEP_HEAD, [step.cells() for step in self.steps()]), notes=self.notes())
            return text + page.picture(self.show(), repr(self)) if len(self) else text
        except ImagenetToolsError:
            return html_of(repr(self))  # which has the error

    # ---- Choose

    def of(self, *names: str) -> Selection:
        """Return only images of these data sets.

        Example:
            index.images.of("ilsvrc2012")
        """
        return self._add(dataset=names)

    def from_(self, *splits: str) -> Selection:
        """Return only images of these official splits.

        Example:
            index.images.from_("train", "val")
        """
        return self._add(from_=splits)

    def under(self, *synsets: str, also: Iterable[str] = (), without: Iterable[str] = ()) -> Selection:
        """Return only classes at or below one of the synsets and each of `also`, but none of `without`.

        Example:
            index.images.under("canine", also=["domestic_animal"], without=["toy_dog"])
        """
        return self._add(under=synsets, also_under=also).without(*without)

    def without(self, *synsets: str) -> Selection:
        """Return only classes that are neither these synsets nor below them.

        Example:
            index.images.under("dog").without("toy_dog")
        """
        return self._add(without=synsets)

    def classes(self, listed: str | Iterable[str]) -> Selection:
        """Return only the classes of a list: a published name, a file, a,b,c, or synsets.

        A class of the list without images keeps its place in the numbering.

        Example:
            index.images.classes("imagenet100-cmc")
        """
        return self.with_words(classes=listed)

    def class_where(self, condition: str) -> Selection:
        """Return only classes for which a SQL condition on the columns of the table synsets holds.

        Example:
            index.images.class_where("n_boxes > 100")
        """
        return self._add(class_where=[condition])

    def nested(self, how: Literal["keep", "leaves", "merge", "error"]) -> Selection:
        """Choose what happens to classes above other chosen classes: "keep", "leaves", "merge" or "error".

        Example:
            index.images.under("dog").nested("leaves")
        """
        return self.with_words(nested=how)

    def superclasses(self, given: str | Iterable[str]) -> Selection:
        """Join classes to superclasses: a file of `classes cut`, a published list, a,b,c, or synsets.

        Example:
            index.images.superclasses(["dog.n.01", "cat.n.01"])
        """
        return self.with_words(superclasses=given)

    def images(self, *lists: str) -> Selection:
        """Return only images that are on one of these lists: published names, or files of ids.

        Example:
            index.images.images("simclr-1pct")
        """
        return self._add(images=lists)

    def where(self, condition: str, **parameters: object) -> Selection:
        """Return only images for which a SQL condition on the columns of the table images holds.

        Args:
            condition: A condition; `$name` is the parameter of this name.
            parameters: Values by name.

        Raises:
            UsageError: An earlier condition has another value of this name.
            QueryError: It is not one SQL condition over the tables.

        Example:
            index.images.where("least(width, height) >= $side", side=128)
        """
        known, parameters = self.choice.parameter, {name: plain(value) for name, value in parameters.items()}
        if other := [name for name in parameters if name in known and known[name] != parameters[name]]:
            raise UsageError(
                f"${other[0]} is {known[other[0]]!r} in a condition before, and {parameters[other[0]]!r} here. "
                "Expected another name for another value."
            )
        return self._replace(where=(*self.choice.where, condition), parameter={**known, **parameters})

    def join(self, **tables: str | Path | Frame) -> Selection:
        """Add tables for conditions, by name, joined on (dataset, image_id) or photo.

        A table is a csv, json or Parquet file, or a table of pandas, polars or Arrow.

        Example:
            index.images.join(preds="scores.csv").where("preds.score > 0.5")
        """
        return self.with_words(with_={**self.choice.with_, **tables})

    def exclude(self, *lists: str) -> Selection:
        """Return only images that are on none of these lists: published names, files of ids, defects or blacklist.

        Example:
            index.images.exclude("blacklist", "defects")
        """
        return self._add(exclude=lists)

    def boxed(self) -> Selection:
        """Return only images that have boxes.

        Example:
            index.images.boxed()
        """
        return self.with_words(boxed=True)

    def sized(self, least: int | None = None, most: int | None = None) -> Selection:
        """Return only classes with at least `least` and at most `most` images left.

        Example:
            index.images.sized(least=500)
        """
        return self._replace(min_images=least, max_images=most)

    def split(
        self, how: str | Mapping[str, float] | Split, *, groups: str | Path | None = None, seed: int | None = None
    ) -> Selection:
        """Make a new split. Images are drawn from the official train split, unless `from_` names others.

        Args:
            how: "train=0.9,val=0.1", "val=50/class", "folds=5", "classes:train=64,val=16", or fractions by name.
            groups: A table of images and their group; a group falls into one split.
            seed: The number that draws depend on.

        Example:
            index.images.split("train=0.9,val=0.1", seed=3)
        """
        return self.with_words(split=how, groups=groups, seed=seed)

    def sample(self, per_class: int | str | Mapping[str, int], *, seed: int | None = None) -> Selection:
        """Return at most this many images a class, in every split or by split; those with the lowest draws.

        Example:
            index.images.sample({"train": 300, "val": 50})
        """
        return self.with_words(per_class=per_class, seed=seed)

    def limit(self, n: int) -> Selection:
        """Return at most n images in all; those with the lowest draws.

        Example:
            index.images.limit(10_000)
        """
        return self.with_words(limit=n)

    def order(self, how: Literal["wnid", "listed", "ilsvrc-id"]) -> Selection:
        """Number the classes by "wnid", as "listed", or by "ilsvrc-id".

        Example:
            index.images.classes("ilsvrc2012").order("ilsvrc-id")
        """
        return self.with_words(order=how)

    def demand(self, reason: str, condition: str) -> Selection:
        """Return only images for which a condition of an export target holds.

        Args:
            reason: A key of steps.REASONS, under which the other images are counted.
            condition: SQL over the columns of images.

        Example:
            index.images.demand("unboxed", "images.n_boxes > 0")
        """
        return replace(self, demands=(*self.demands, (reason, condition)))

    def with_words(self, **words: object) -> Selection:
        """Return the selection with other values of some words, as `Index.select` takes them; None changes nothing.

        Raises:
            TypeError: A keyword is no word.
            UsageError: A value is not understood.
            QueryError: A condition is not one SQL condition over the tables.

        Example:
            index.images.with_words(under="dog", limit=100)
        """
        return self._replace(**read_words(words, self.index.synset, self.near))

    def _add(self, **words: Iterable[str]) -> Selection:
        """Return the selection with more values of some words."""
        values = read_words(words, self.index.synset, self.near)
        return self._replace(**{name: getattr(self.choice, name) + value for name, value in values.items()})

    def _replace(self, **values: Any) -> Selection:
        if self.pinned is not None:
            raise UsageError(f"The lock {self.pinned.name} pins its images. Choose in its recipe, and lock that.")
        choice = replace(self.choice, **values)
        for condition in choice.where:
            if condition not in self.choice.where:
                self.index.condition("--where", condition, choice.with_)
        for condition in choice.class_where:
            if condition not in self.choice.class_where:
                self.index.condition("--class-where", condition)
        return replace(self, choice=choice)

    # ---- Answers

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of images by split and class, {split: {wnid: n}}, both sorted.

        Example:
            sum(index.select(under="dog").counts()["train"].values())
        """
        counts: dict[str, dict[str, int]] = {}
        for step, split, wnid, n in self._counted:
            if step is None:
                counts.setdefault(str(split), {})[str(wnid)] = n
        return counts

    def named_superclasses(self) -> ClassSelection | None:
        """Return the value of the word superclasses, also of a locked selection; None if it was not given.

        Example:
            index.images.superclasses("coco80").named_superclasses().source
        """
        if self.pinned is None:
            return self.choice.superclasses
        from imagenet_tools.selection import recipe

        asked = self.pinned.recipe.get("classes", {}).get("superclasses")
        if asked is None:
            return None
        words = recipe.parse({"classes": {"superclasses": asked}}, Path(self.pinned.name)).words
        value: ClassSelection | None = read_words(words, self.index.synset, self.near).get("superclasses")
        return value

    def _counts_by_source(self, aggregates: str) -> list[tuple[Any, ...]]:
        """Return (split, class, source, images, aggregates ...) of the chosen images, sorted.

        Its pass over the images also counts what counts(), wnids() and left_out() return.

        Args:
            aggregates: SQL over the columns of `made`.
        """
        rows = self.run(
            f"SELECT left_out, split, wnid, source, count(*), {aggregates} FROM made GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        counted = Counter[tuple[Any, ...]]()
        for row in rows:
            counted[row[:3]] += row[4]
        self.__dict__["_counted"] = [(*key, n) for key, n in counted.items()]
        return [row[1:] for row in rows if row[0] is None]

    def counts_by_row(self) -> npt.NDArray[np.int64]:
        """Return the number of chosen images of each class, by row of wordnet.wordnet: (82115,).

        Example:
            index.select(under="dog").counts_by_row().sum()
        """
        pairs = [pair for counted in self.counts().values() for pair in counted.items()]
        return wordnet.sums_of(wordnet.rows_of(wnid for wnid, _ in pairs), [n for _, n in pairs])

    def left_out(self) -> dict[str, int]:
        """Return how many images of the index are left out, by the step that does it, in the order of the steps.

        Example:
            index.select(from_="train").left_out()    # {"from": 50000}
        """
        return {step.name: step.left_out for step in self.steps()[1:] if step.left_out}

    def steps(self) -> list[Step]:
        """Return the steps in order, with the images that each left out and left. The first is the whole index.

        Example:
            index.select(under="dog").steps()[-1].left
        """
        rows: Counter[str | None] = Counter()
        for step, _, _, n in self._counted:
            rows[step] += n
        return steps.counted(self.choice, self.demands, rows)

    def wnids(self) -> tuple[str, ...]:
        """Return the classes in the order of their numbers: those of the list of classes, else those with images.

        Example:
            index.select(classes="imagenet100-cmc").wnids()[0]
        """
        if self.pinned is not None:
            return self.pinned.classes
        chosen = {wnid for counted in self.counts().values() for wnid in counted}
        return classes.in_order(self.choice, self._prepared[0], chosen)

    def classes_of(self) -> Mapping[str, str]:
        """Return the class that each wnid of images becomes, by wnid; conditions on images are not applied.

        Example:
            index.select(superclasses="dog,cat").classes_of()["n02085620"]    # "n02084071"
        """
        prepared = self._prepared[0]
        return {wnid: class_wnid for wnid, class_wnid in prepared.class_of.items() if class_wnid not in prepared.late}

    def notes(self) -> tuple[str, ...]:
        """Return sentences on what the user should know, such as ids of a list that are not in the index.

        Example:
            print(*index.select(exclude="blacklist").notes(), sep="\\n")
        """
        if self.pinned is not None:
            return ()
        conditions = (*self.choice.where, *self.choice.class_where)
        senses = dict.fromkeys(note for text in conditions for note in self.index.senses_taken(f"SELECT ({text}\n)"))
        named = {name for text in conditions for name in re.findall(r"\$(\w+)", text)}
        unused = (name for name in self.choice.parameter if name not in named)
        without_use = (f"--parameter {name} changes nothing: no condition has ${name}" for name in unused)
        return (*senses, *without_use, *self._lists[1], *self._joined[1], *self._prepared[1])

    def words(self) -> dict[str, object]:
        """Return the words that make this selection, as a recipe holds them, without those at their defaults.

        Example:
            index.select(under="dog").words()    # {"under": ["n02084071 dog.n.01"], "seed": 0}
        """
        if self.pinned is not None:
            return {"lock": self.pinned.sha256, "recipe": self.pinned.recipe}
        return self.choice.values()

    def save(self, path: str | Path, *, name: str = "") -> Path:
        """Write the words as a recipe.

        Raises:
            ExistsError: Something is at `path`.

        Example:
            index.select(under="dog").save("dogs.toml")
        """
        from imagenet_tools.selection import recipe

        return recipe.save(self, path, name=name)

    def lock(self, path: str | Path | None = None, *, name: str = "") -> Lock:
        """Return the images as they are chosen now, with their checksum; write them if `path` is given.

        Raises:
            ExistsError: Something is at `path`, or at the .parquet beside it.

        Example:
            index.select(under="dog").lock("dogs.lock.toml")
        """
        from imagenet_tools.selection import lock

        return lock.make(self, path, name=name)

    dataset = split_to_train_on

    # ---- Pictures

    def show(self, n: int = 12) -> PIL.Image.Image:
        """Return a contact sheet: at most n images, a row a class, upright and with their boxes.

        Classes and images are those with the lowest draws: another `seed` draws others. A notebook shows the
        picture; .save("x.png") writes it.

        Args:
            n: The number of images, at least 1. At least four images of a class are shown, if it has as many.

        Raises:
            UsageError: The selection has no images.

        Example:
            index.select(under="dog").show(12)
        """
        from imagenet_tools.display.pictures import contact_sheet
        from imagenet_tools.selection.show import sheet_rows

        return contact_sheet(sheet_rows(self, n))

    def plot(self, kind: str, *, by: str = "images") -> Chart:
        """Return a chart. A notebook shows it; .save("x.svg") or .save("x.png") writes it.

        Args:
            kind: tree (a treemap of the classes), classes (images a class), sizes (the shorter side), aspect (width
                over height as shown), boxes (the share of its image that a box covers), splits or problems.
            by: The area of a class in the tree: images, boxes, or the sum of a number column of images.

        Raises:
            UsageError: No such kind, or `by` is no number column or another kind has it.

        Example:
            index.select(under="dog").plot("tree").save("dogs.svg")
        """
        from imagenet_tools.selection import plots

        return plots.plot(self, kind, by=by)

    # ---- Rows

    def __len__(self) -> int:
        """Return the number of chosen images."""
        return sum(n for counted in self.counts().values() for n in counted.values())

    def __iter__(self) -> Iterator[Image]:
        """Yield the chosen images, ordered by split, wnid, data set and image_id; wnid is the selection's class."""
        for start in range(0, len(self), _IMAGES_AT_ONCE):
            yield from self._images(start, start + _IMAGES_AT_ONCE)

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> list[Image]: ...
    def __getitem__(self, index: int | slice) -> Image | list[Image]:
        """Return the image at a place of the order, or the images of a slice.

        Raises:
            IndexError: There is no such image.
        """
        places = range(len(self))[index]
        if isinstance(places, int):
            return next(self._images(places, places + 1))
        if not places:
            return []
        first = min(places[0], places[-1])
        images = list(self._images(first, max(places[0], places[-1]) + 1))
        return [images[place - first] for place in places]

    def _images(self, start: int, stop: int) -> Iterator[Image]:
        place = 0
        for split, counted in self.counts().items():
            wnids: list[str] = []
            first = place
            for wnid, n in counted.items():
                if place + n <= start:
                    first = place + n
                elif place < stop:
                    wnids.append(wnid)
                place += n
            if wnids:
                skipped = max(start - first, 0)
                n_rows = min(stop, place) - first - skipped
                for row in self.sorted_rows(IMAGE_COLUMNS, split, wnids, f"LIMIT {n_rows} OFFSET {skipped}"):
                    yield self.index.image_of(*row)

    def arrow(self) -> pa.Table:
        """Return the rows of the chosen images as an Arrow table, in the order of the selection.

        Example:
            index.select(under="dog").arrow().num_rows
        """
        import pyarrow as pa

        batches = list(self.batches())
        if not batches:  # a row of nulls has the columns
            no_row = self.read("SELECT made.* EXCLUDE left_out FROM (SELECT 1) LEFT JOIN made ON false")
            batches = [batch.slice(0, 0) for batch in no_row]
        return pa.Table.from_batches(batches)

    def df(self) -> pd.DataFrame:
        """Return the rows of the chosen images as a DataFrame of pandas, in the order of the selection.

        Example:
            index.select(under="dog").df().groupby("wnid").width.mean()
        """
        frame: pd.DataFrame = self.arrow().to_pandas()
        return frame

    def pl(self) -> Any:
        """Return the rows of the chosen images as a DataFrame of polars, which must be installed.

        Example:
            index.select(under="dog").pl()
        """
        return importlib.import_module("polars").from_arrow(self.arrow())

    def sorted_rows(
        self, columns: str, split: str, wnids: Sequence[str], suffix: str = ""
    ) -> Iterator[tuple[Any, ...]]:
        """Yield columns of the chosen images of some classes of a split, ordered by wnid, data set and image_id.

        Args:
            columns: SQL over the columns of `made`.
            split: A split of the selection.
            wnids: Classes of the selection.
            suffix: Is added to the query, such as a LIMIT.

        Example:
            list(index.select(under="dog").sorted_rows("image_id", "train", ["n02085620"]))
        """
        official = [wnid for wnid, class_wnid in self.classes_of().items() if class_wnid in set(wnids)]
        query_text = f"""SELECT {columns} FROM made WHERE left_out IS NULL AND split = $_split
                         AND wnid IN (SELECT unnest($_wnids::VARCHAR[])) ORDER BY wnid, dataset, image_id {suffix}"""
        cursor = self._execute(self._sql(query_text, {"_split": split, "_wnids": list(wnids)}, only=official))
        while rows := cursor.fetchmany(_BATCH):
            yield from rows

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the chosen images as Arrow record batches, ordered by split, wnid, data set and image_id.

        Example:
            next(index.select(under="dog").batches()).to_pandas()
        """
        rows = "SELECT * EXCLUDE left_out FROM made WHERE left_out IS NULL AND split = $_split"
        for split, counted in self.counts().items():
            for wnids in classes.batches(self.classes_of(), counted, _BATCH):
                sql = self._sql(f"{rows} ORDER BY wnid, dataset, image_id", {"_split": split}, only=wnids)
                yield from self._record_batches(sql)

    def run(self, query_text: str, values: Mapping[str, object] | None = None) -> duckdb.DuckDBPyConnection:
        """Run a query over `made`: all images of the index, with split, official_split and left_out (null: chosen).

        `made` also has the columns of images, with the selection's class as wnid, and official_wnid.

        Example:
            index.select(under="dog").run("SELECT file FROM made WHERE left_out IS NULL LIMIT 1").fetchall()
        """
        return self._execute(self._sql(query_text, values))

    def read(self, query_text: str, values: Mapping[str, object] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the result of a query over `made` as Arrow record batches. See run.

        Example:
            next(index.select(under="dog").read("SELECT width, height FROM made WHERE left_out IS NULL"))
        """
        return self._record_batches(self._sql(query_text, values))

    def chosen(self, columns: str, suffix: str = "") -> Sql:
        """Return SQL for columns of the chosen images, to use in a query of a selection that differs in demands alone.

        Args:
            columns: SQL over the columns of `made`, here named images, and of joined tables.
            suffix: Is added to the names of the values, so that several such texts fit into one query.

        Example:
            sql = index.select(under="dog").chosen("images.width")
        """
        sql = self._sql(f" SELECT {columns} FROM made AS images {self._joined[0]} WHERE left_out IS NULL")
        text = re.sub(r"\$(\w+)", lambda name: name[0] + suffix if name[1] in sql.values else name[0], sql.text)
        return Sql(text, {f"{name}{suffix}": value for name, value in sql.values.items()})

    # ---- The query

    def __getstate__(self) -> dict[str, object]:
        """Return the fields without cached results, which hold open cursors."""
        return {name: getattr(self, name) for name in ("index", "choice", "demands", "near", "pinned")}

    @functools.cached_property
    def _tables(self) -> dict[str, Path | pa.Table]:
        return query.user_tables(self.choice, self.pinned)

    @functools.cached_property
    def _joined(self) -> tuple[str, list[str]]:
        return query.joins(self.index, self.choice, self.index.cursor(self._tables))

    @property
    def _request(self) -> Request:
        return Request(self.choice, self.demands, self._joined[0])

    @functools.cached_property
    def _lists(self) -> tuple[dict[str, list[str]], list[str]]:
        return steps.lists(self.choice, lambda text, values: self.index.cursor().execute(text, values).fetchall())

    @functools.cached_property
    def _prepared(self) -> tuple[Prepared, tuple[str, ...]]:
        if self.pinned is not None:
            pairs = self._rows(f"SELECT DISTINCT official_wnid, wnid FROM {LOCK} ORDER BY ALL", {})
            # A listed class without images may have boxes in those of other classes.
            listed = "classes" in (words := self.pinned.recipe.get("classes", {})) and "superclasses" not in words
            own = {wnid: wnid for wnid in self.pinned.classes} if listed else {}
            return Prepared(own | {str(official): str(wnid) for official, wnid in pairs}), ()
        return cuts.find(self._request, self._rows)

    @functools.cached_property
    def _counted(self) -> list[tuple[str | None, str | None, str | None, int]]:
        """Images by (step that left them out, split, class), sorted; from one pass over the images."""
        return self.run("SELECT left_out, split, wnid, count(*) FROM made GROUP BY ALL ORDER BY ALL").fetchall()

    @functools.cached_property
    def _kept(self) -> str | None:
        """The table in memory of the rows of `made`; None for an index of many images, or a lock."""
        if self.pinned is not None or self.index.n_images > _KEPT_IMAGES:
            return None
        begin = query.whole(self._request, self._prepared[0])
        cursor = self.index.cursor(self._tables)
        sql = Sql(f"{begin.text}FROM made", begin.values)
        return self._ask(lambda text, values: self.index.keep(self, cursor, text, values), sql)

    def _rows(self, text: str, values: Mapping[str, object]) -> list[Any]:
        return self._execute(Sql(text, dict(values))).fetchall()

    def _execute(self, sql: Sql) -> duckdb.DuckDBPyConnection:
        cursor = self.index.cursor(self._tables)
        self._ask(cursor.execute, sql)
        return cursor

    def _record_batches(self, sql: Sql) -> Iterator[pa.RecordBatch]:
        cursor = self.index.cursor(self._tables)
        yield from self._ask(lambda text, values: cursor.sql(text, params=values), sql).arrow(_BATCH)

    def _ask(self, ask: Callable[[str, dict[str, object]], _Result], sql: Sql) -> _Result:
        values = {**self._lists[0], **self.choice.parameter, **sql.values}
        return query.ask(ask, Sql(sql.text, values), self.choice)

    def _sql(
        self, query_text: str, values: Mapping[str, object] | None = None, *, only: Sequence[str] | None = None
    ) -> Sql:
        """Return a query over `made`; `only` restricts it to images of these official wnids."""
        if self.pinned is not None:
            begin = query.pinned(self.demands, only)
        elif self._kept is not None:
            begin = query.of_table(self._request, self._prepared[0], self._kept, only)
        else:
            begin = query.whole(self._request, self._prepared[0], only)
        return Sql(begin.text + query_text, {**begin.values, **(values or {})})
