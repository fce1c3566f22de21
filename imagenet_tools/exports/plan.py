"""Plan an export: count its images, boxes, classes and bytes, and refuse what the target cannot hold.

    Plan      an export to one target before anything is written; planning reads the index alone
    Result    the same export as it was written

Both are immutable. A pass over the sources that writes several targets has one Plan or Result for each: the first one
holds the others in `also`.
"""

from __future__ import annotations

import functools
import importlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

import numpy as np

from imagenet_tools.catalogue.export_classes import Class, order_classes
from imagenet_tools.errors import ExportError, QueryError, UsageError
from imagenet_tools.exports import boxes
from imagenet_tools.selection.steps import REASONS
from imagenet_tools.storage.buckets import refuse_url, url_of
from imagenet_tools.store.connection import engine_errors
from imagenet_tools.text import are, count_of, html_of, images_of

if TYPE_CHECKING:
    from imagenet_tools.exports.check import CheckedExport
    from imagenet_tools.exports.options import Options
    from imagenet_tools.exports.writer import Writer, Writes
    from imagenet_tools.selection.selection import Selection
    from imagenet_tools.store.store import Store

SPLIT_HEAD = ("split", "images", "boxes", "classes")

_MAX_NAMED = 5  # images or classes that a message names
_MAX_STEM_BYTES = 250  # file systems take 255 bytes for a name; .JPEG is five of them
_NAMES_AT_ONCE = 1_000_000  # image names in memory when two of them collide

_MANY_CLASSES = (
    "An export needs one class for each image. Images with objects of many, as in COCO, LVIS and DET, have none. "
    'Choose them by a query: imagenet-tools query "SELECT DISTINCT dataset, image_id FROM boxes '
    "WHERE is_a(wnid, 'dog.n.01')\"."
)

# SQL: the file name of an image without its suffix.
STEM_SQL = "replace(image_id, '/', '_')"


class Tally(NamedTuple):
    """Images and boxes of one class in one split, and the bytes of the images."""

    images: int
    boxes: int
    bytes: int


class SourceCounts(NamedTuple):
    """The chosen images of one source in one split and class."""

    split: str
    wnid: str
    source: str
    images: int
    bytes: int  # as they will be in the export
    files: int  # images that are files of their own
    without_offset: int  # images in Parquet pages or gzip streams
    without_boxes: int
    longest_id: int  # bytes of the longest image_id
    first_file: str


@dataclass(frozen=True, kw_only=True, repr=False)
class Counts:
    """Counts of one target, planned or written.

    Attributes:
        target: A module of imagenet_tools.formats.
        tallies: Images, boxes and bytes by split and wnid; only splits and classes with images.
        left_out: Images of the index that are not in the export, by the step of the selection that removed them.
        hazards: Sentences for the user: what may go wrong, or went wrong.
        also: The same of the other targets of the same pass.
    """

    target: str
    tallies: Mapping[str, Mapping[str, Tally]]
    left_out: Mapping[str, int]
    hazards: tuple[str, ...]
    also: tuple[Self, ...] = ()

    def __repr__(self) -> str:
        return "\n".join(f"{type(self).__name__}: {counts._summary()}" for counts in self.together)

    def _summary(self) -> str:
        classes = {wnid for by_wnid in self.tallies.values() for wnid in by_wnid}
        return f"{self.target}; {images_of({split: self.images(split) for split in self.splits}, len(classes))}"

    def split_rows(self) -> list[tuple[object, ...]]:
        """Return a row a split, of a table with SPLIT_HEAD."""
        return [
            (split, self.images(split), sum(tally.boxes for tally in tallies.values()), len(tallies))
            for split, tallies in self.tallies.items()
        ]

    def _repr_html_(self) -> str:
        """Return the counts and the notes of all targets, for notebooks."""
        left_out = ("step", "images left out", "why")
        return "".join(
            html_of(
                f"{type(self).__name__}: {counts._summary()}",
                (SPLIT_HEAD, counts.split_rows()),
                (left_out, [(step, n, REASONS[step]) for step, n in counts.left_out.items()]),
                notes=counts.hazards,
            )
            for counts in self.together
        )

    @property
    def together(self) -> tuple[Self, ...]:
        """Return those of all targets of the same pass, this one first."""
        return (replace(self, also=()), *self.also)

    @property
    def splits(self) -> tuple[str, ...]:
        """Return the splits that have images, in order."""
        return tuple(self.tallies)

    def images(self, split: str | None = None) -> int:
        """Return the number of images of a split, or of all splits."""
        return sum(tally.images for tally in self._tallies(split))

    def boxes(self) -> int:
        """Return the number of boxes of all splits."""
        return sum(tally.boxes for tally in self._tallies())

    def bytes(self, split: str | None = None) -> int:
        """Return the bytes of the images of a split, or of all splits. Approximate if images are resized."""
        return sum(tally.bytes for tally in self._tallies(split))

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return {split: {wnid: {"images": n, "boxes": n}}}."""
        return {
            split: {wnid: {"images": tally.images, "boxes": tally.boxes} for wnid, tally in by_wnid.items()}
            for split, by_wnid in self.tallies.items()
        }

    def _tallies(self, split: str | None = None) -> Iterator[Tally]:
        for name in self.tallies if split is None else [split]:
            yield from self.tallies.get(name, {}).values()


@dataclass(frozen=True, kw_only=True, repr=False)
class Plan(Counts):
    """An export to one target before it is written.

    Attributes:
        selection: The selection, with the conditions that the target's loader sets.
        classes: In the order of their index.
        sources: The counts of the chosen images by split, class and source, in this order.
        boxes_left_out: Boxes that are left out of images that are in the export, by reason: see exports.boxes.REASONS.

    Example:
        >>> imt.plan_export(imt.open_index("imagenet.index").select(under="dog.n.01"), to="csv")
        Plan: csv; 70 images, 5 classes, train 50, val 20
    """

    index: Store
    selection: Selection
    options: Options
    classes: tuple[Class, ...]
    sources: tuple[SourceCounts, ...]
    boxes_left_out: Mapping[str, int]

    @property
    def writer(self) -> Writer:
        """Return the module that writes the target."""
        return _writer(self.target)

    @property
    def writes(self) -> Writes:
        """Return what the target holds, and what its loader expects."""
        return self.writer.WRITES

    @property
    def side(self) -> int:
        """Return the side of the images in pixels, if the target makes squares: that of --side, or its default."""
        return self.options.side or self.writes.sides[0]

    @property
    def index_of(self) -> dict[str, int]:
        """Return the index of each class by its wnid."""
        return {row.wnid: row.index for row in self.classes}

    def written(self, **facts: Any) -> Result:
        """Return the Result of this plan; `facts` are its other fields."""
        return Result(target=self.target, plan=self, **facts)

    def check(self) -> tuple[CheckedExport, ...]:
        """Raise ExportError: nothing was written yet. Use Result.check()."""
        message = "This is a plan; expected an export that was made: imagenet_tools.export() gives one."
        raise ExportError(message)


@dataclass(frozen=True, kw_only=True, repr=False)
class Result(Counts):
    """An export to one target as it was written; its counts are those of the images in it.

    Attributes:
        plan: The plan that was carried out.
        path: The folder of the target.
        undecodable: The error of each image that could not be decoded and is left out, by "dataset/image_id".
        repaired: The images that --repair changed ("dataset/image_id"), by rule.
        cut: The images ("dataset/image_id") at which Pillow stops with an error; they are exported as they are.
        files: {"bytes": n, "sha256": text} of each named file, by path below the folder, without manifest.json and the
            files that hold one image each. Shards have a "sha256" only with --hash.
    """

    plan: Plan
    path: Path
    undecodable: Mapping[str, str]
    repaired: Mapping[str, Sequence[str]]
    cut: Sequence[str]
    files: Mapping[str, Mapping[str, object]]

    def _summary(self) -> str:
        return f"{super()._summary()}; {url_of(self.path)}"

    @property
    def classes(self) -> tuple[Class, ...]:
        """Return the classes in the order of their index."""
        return self.plan.classes

    @property
    def boxes_left_out(self) -> Mapping[str, int]:
        """Return the number of boxes left out of images that are in the export, by reason."""
        return self.plan.boxes_left_out

    def check(self, *, read_data: bool = False, with_loader: bool = False) -> tuple[CheckedExport, ...]:
        """Check the files of every target of the pass: see exports.check.check_export."""
        from imagenet_tools.exports.check import check_export

        refuse_url(url_of(self.path), "what is checked")
        return tuple(
            check_export(result.path, index=self.plan.index, read_data=read_data, with_loader=with_loader)
            for result in self.together
        )


def make_plans(targets: Sequence[str], selection: Selection, options: Options) -> Plan:
    """Return the plan of the first target; its `also` has those of the other targets of the same pass."""
    if options.meta_bin and "image_folder" not in targets:
        message = f"--meta-bin: it belongs to image_folder; found --to {','.join(targets)}."
        raise UsageError(message)
    if options.side is not None and not any(_writer(target).WRITES.sides for target in targets):
        message = f"--side: it belongs to downsampled; found --to {','.join(targets)}."
        raise UsageError(message)
    for is_asked, flag, kind in (
        (options.nested, f"--layout {options.layout}", "nested"),
        (options.empty_classes == "drop", "--empty-classes drop", "by_folder"),
    ):
        if is_asked and not any(getattr(_writer(target).WRITES, kind) for target in targets):
            message = f"{flag}: it applies to class folders, which --to {','.join(targets)} does not write."
            raise UsageError(message)
    first, *others = (_make_plan(target, selection, options) for target in targets)
    return replace(first, also=tuple(others))


@functools.cache
def _writer(target: str) -> Writer:
    return cast("Writer", importlib.import_module(f"imagenet_tools.formats.{target}"))


def _make_plan(target: str, selection: Selection, options: Options) -> Plan:
    """Count what an export will hold. ExportError: nothing is chosen, or the target cannot hold it."""
    writer = _writer(target)
    writes = writer.WRITES
    chosen = _with_demands(writes, selection, options)
    wnids = chosen.wnids()
    if writes.detection:
        usable = boxes.usable(options, chosen.classes_of())
        unusable = f"left_out IS NULL AND images.n_boxes > 0 AND NOT ({usable})"
        if chosen.run(f"SELECT 1 FROM made AS images WHERE {unusable} LIMIT 1").fetchall():
            # All boxes of these images are of classes that were not chosen: they are not background either.
            chosen = chosen.demand("bad_boxes", f"images.n_boxes = 0 OR {usable}")
    superclasses = chosen.named_superclasses()
    classes = order_classes(
        wnids,
        names=options.names or ("lemma" if writes.detection else "wnid"),
        by_folder=writes.by_folder,
        listed=superclasses.categories() if superclasses and options.names == "listed" else None,
    )
    if writes.nested and options.nested:
        from imagenet_tools.exports.layout import nested, tree_of

        classes = nested(classes, tree_of(wnids, options.layout))
    _check_names_of_lock(target, chosen, options, classes)
    boxes_kept, boxes_left_out = boxes.counted(chosen, options) if writes.boxes else ({}, {})
    sources = _count_by_source(chosen, str(_remade_bytes(writes, options) or options.bytes_sql()))
    plan = Plan(
        target=target,
        tallies=_tallies(sources, boxes_kept),
        left_out=chosen.left_out(),
        hazards=(),
        index=selection.index,
        selection=chosen,
        options=options,
        classes=tuple(classes),
        sources=sources,
        boxes_left_out=boxes_left_out,
    )
    if not sources:
        steps = ", ".join(f"{n:,} by {step} ({REASONS[step]})" for step, n in plan.left_out.items())
        left_out = f"left out of the images of {url_of(plan.index.path)} are {steps}" if steps else "the index is empty"
        demanded = {*plan.left_out} & {reason for reason, _ in writes.demands}
        advice = f"Loosen the selection{f', or choose another target than {target}' if demanded else ''}."
        if "unlabelled" in plan.left_out:
            advice += f" {_MANY_CLASSES}"
        message = f"Nothing is chosen: {left_out}. {advice}"
        raise ExportError(message)
    _check_options(plan)
    _check_images(plan)
    check_stems(chosen, within="split, wnid" if writes.by_folder else "split" if writes.files_per_image else "true")
    return replace(plan, hazards=(*chosen.notes(), *_hazards(plan), *writer.hazards(plan)))


def _remade_bytes(writes: Writes, options: Options) -> int:
    """Return the bytes of each image of a target that makes new ones; 0 for another target."""
    if not writes.sides or options.side is None:
        return writes.remade_bytes
    return writes.remade_bytes * options.side**2 // writes.sides[0] ** 2


def _with_demands(writes: Writes, selection: Selection, options: Options) -> Selection:
    """Add the conditions of the target to the selection, so that amounts count only images that will be exported."""
    chosen = selection.demand("unreadable", "images.width IS NOT NULL")
    for reason, condition in writes.demands:
        chosen = chosen.demand(reason, condition)
    if not writes.detection:
        return chosen
    # An image with boxes, none of which can be used, does show an object: it is never background.
    unboxed = "" if options.unboxed == "skip" else "images.n_boxes = 0 OR "
    if options.unboxed == "skip":
        chosen = chosen.demand("unboxed", "images.n_boxes > 0")
    return chosen.demand("bad_boxes", unboxed + boxes.usable(options))


def _count_by_source(chosen: Selection, bytes_sql: str) -> tuple[SourceCounts, ...]:
    """Return all counts that a plan needs; one query, because each takes a pass over the images of the index."""
    rows = chosen.run(
        f"""SELECT split, wnid, source, count(*), sum({bytes_sql})::BIGINT,
                   count(*) FILTER ("offset" = 0 AND compression IS NULL), count(*) FILTER ("offset" IS NULL),
                   count(*) FILTER (n_boxes = 0), max(strlen(image_id)), min(file)
            FROM made WHERE left_out IS NULL GROUP BY ALL ORDER BY ALL"""
    ).fetchall()
    return tuple(map(SourceCounts._make, rows))


def _tallies(sources: Sequence[SourceCounts], boxes_kept: Mapping[tuple[str, str], int]) -> dict[str, dict[str, Tally]]:
    tallies: dict[str, dict[str, Tally]] = {}
    for (split, wnid), group in itertools.groupby(sources, key=lambda counts: counts[:2]):
        counts = list(group)
        images, n_bytes = sum(row.images for row in counts), sum(row.bytes for row in counts)
        tallies.setdefault(split, {})[wnid] = Tally(images, boxes_kept.get((split, wnid), 0), n_bytes)
    return tallies


# ---- checks


def _check_names_of_lock(target: str, chosen: Selection, options: Options, classes: Sequence[Class]) -> None:
    """Raise ExportError if classes of a lock would get other names, and with them other indices, than the lock has.

    An export with the options of the lock's own export keeps its folders. Every other export keeps the display names,
    unless a file names the classes.
    """
    lock = chosen.pinned
    if lock is None:
        return
    exports = lock.recipe.get("export", {})
    names = options.words().get("names")
    same_export = target in exports and exports[target].get("names") == names
    all_names = {names, *(export.get("names") for export in exports.values())}
    if not same_export and all_names - {None, "wnid", "lemma"}:
        return
    locked = {row.wnid: row for row in lock.named}
    for row in classes:
        before = locked[row.wnid]
        if row.display != before.display or (same_export and row.folder != before.folder):
            message = (
                f"The lock {lock.name} calls {row.wnid} {before.display!r} (folder {before.folder}); here it would be "
                f"{row.display!r} (folder {row.folder}). Give --names the file that the lock was made with, or make "
                "a new lock."
            )
            raise ExportError(message)


def _check_options(plan: Plan) -> None:
    """Raise UsageError if the target takes no fields or holds no images to change, or a field is no column."""
    options, writes = plan.options, plan.writes
    if options.fields and not writes.fields:
        message = f"--field {options.field[0]}: {plan.target} has no room for fields."
        raise UsageError(message)
    if options.changes and not writes.holds_bytes:
        flag = "--repair" if options.resize is None else "--resize"
        message = (
            f"{flag}: {plan.target} lists where images are, and changes none. Export to image_folder, and list that."
        )
        raise UsageError(message)
    if options.changes and writes.remade_bytes:
        message = f"--resize and --repair: {plan.target} makes new images by rules of its own. Leave the options out."
        raise UsageError(message)
    expected_errors: tuple[type[Exception], ...] = (QueryError, *engine_errors())
    if options.side is not None and writes.sides and options.side not in writes.sides:
        message = f"--side {options.side}: expected one of {', '.join(map(str, sorted(writes.sides)))}."
        raise UsageError(message)
    for key, column in options.fields:
        query = plan.selection.chosen(boxes.quoted(column))
        try:
            plan.selection.run(f"SELECT * FROM ({query.text}) LIMIT 0", query.values)
        except expected_errors as error:
            reason = str(error).partition("\n\n")[0].replace("\n", " ")
            message = (
                f"--field {key}={column}: {reason} Expected a column of images, or TABLE.COLUMN with --with TABLE=FILE."
            )
            raise UsageError(message) from error


def _check_images(plan: Plan) -> None:
    """Raise ExportError if the target, or an option, takes some of the images for an error."""
    writes, options = plan.writes, plan.options
    if writes.detection and options.unboxed == "error" and any(counts.without_boxes for counts in plan.sources):
        _refuse_images(
            plan,
            "SELECT image_id FROM made WHERE left_out IS NULL AND n_boxes = 0 ORDER BY ALL",
            "have no boxes",
            "--unboxed skip leaves them out; --boxed chooses those with boxes.",
        )
    if writes.detection and options.bad_boxes == "error":
        _refuse_images(
            plan,
            """SELECT DISTINCT image_id FROM boxes JOIN made USING (dataset, image_id)
               WHERE left_out IN ('bad_boxes') OR (left_out IS NULL
               AND (nxmin IS NULL OR list_contains(flags, 'outside'))) ORDER BY ALL""",
            "with boxes that reach out of the image or have no area",
            "--bad-boxes clip or drop leaves out what cannot be used, and counts it.",
        )
    if writes.files_per_image and max(counts.longest_id for counts in plan.sources) > _MAX_STEM_BYTES:
        _refuse_images(
            plan,
            f"SELECT image_id FROM made WHERE left_out IS NULL AND strlen(image_id) > {_MAX_STEM_BYTES} ORDER BY 1",
            f"would be files of longer names than the {_MAX_STEM_BYTES} bytes that a file system takes before a suffix",
            f'Leave such images out: --where "strlen(image_id) <= {_MAX_STEM_BYTES}".',
        )


def _refuse_images(plan: Plan, query: str, problem: str, advice: str) -> None:
    """Raise ExportError if a query over the selection finds images."""
    rows = plan.selection.run(query).fetchall()
    if rows:
        ids = ", ".join(image_id for (image_id,) in rows[:_MAX_NAMED])
        listed = f"{ids} first" if len(rows) > _MAX_NAMED else ids
        message = f"{count_of(len(rows), 'image')} {problem}: {listed}. {advice}"
        raise ExportError(message)


def check_stems(chosen: Selection, *, within: str) -> None:
    """Raise ExportError if two images would have the same file name in a folder.

    Names that differ only in case are equal, as they are on the file systems of macOS and Windows. Names are compared
    by a 64-bit hash, which takes 8 bytes an image. Only if two hashes are equal, the names are compared.

    Args:
        chosen: The selection.
        within: SQL over images: the columns that name the folder, such as "split, wnid".
    """
    hash_sql = f"hash({within}, lower({STEM_SQL}))"
    hashes = np.empty(sum(n for by_wnid in chosen.counts().values() for n in by_wnid.values()), np.uint64)
    n = 0
    for batch in chosen.read(f"SELECT {hash_sql} AS name_hash FROM made WHERE left_out IS NULL"):
        hashes[n : n + len(batch)] = np.from_dlpack(batch.column(0))
        n += len(batch)
    hashes.sort()
    if not (hashes[1:] == hashes[:-1]).any():
        return
    parts = len(hashes) // _NAMES_AT_ONCE + 1
    collisions = []
    for part in range(parts):
        collisions += chosen.run(
            f"""SELECT min({STEM_SQL}), list(dataset || '/' || image_id ORDER BY dataset, image_id)[:2] FROM made
                WHERE left_out IS NULL AND {hash_sql} % {parts} = {part}
                GROUP BY {within}, lower({STEM_SQL}) HAVING count(*) > 1 ORDER BY ALL LIMIT 1"""
        ).fetchall()
    if collisions:
        name, ids = min(collisions)
        message = f"{' and '.join(ids)} would both be {name}. Choose one data set: --dataset NAME."
        raise ExportError(message)


# ---- hazards


def _hazards(plan: Plan) -> Iterator[str]:
    """Yield the hazards that do not depend on the target's loader. ExportError: a split is called lock."""
    if "lock" in plan.splits:
        message = "A split is called lock, as the file of an export's own lock is. Give it another name in --split."
        raise ExportError(message)
    yield from _class_hazards(plan)
    n = sum(counts.without_boxes for counts in plan.sources)
    if plan.writes.detection and plan.options.unboxed == "background" and n:
        yield f"{count_of(n, 'image')} without boxes {are(n)} written as background, though objects may be there"
    yield from _order_hazards(plan)


def _class_hazards(plan: Plan) -> Iterator[str]:
    wnids = [row.wnid for row in plan.classes]
    dropped = plan.writes.by_folder and plan.options.empty_classes == "drop"
    for split, by_wnid in plan.tallies.items():
        empty = [wnid for wnid in wnids if wnid not in by_wnid]
        if empty:
            first = next((n for n, wnid in enumerate(wnids) if wnid in by_wnid and n > wnids.index(empty[0])), None)
            result = "they keep their index"
            if dropped:
                result = "they have no folder there"
            if dropped and first is not None and not plan.options.nested:
                result += (
                    f". A loader that numbers the folders it finds, as ImageFolder does, calls {wnids[first]} class "
                    f"{sum(wnid in by_wnid for wnid in wnids[:first])} in {split}, and classes.json calls it {first}"
                )
            yield (
                f"{len(empty):,} of {len(wnids):,} classes have no image in {split} ({', '.join(empty[:_MAX_NAMED])}"
                f"{' ...' if len(empty) > _MAX_NAMED else ''}); {result}"
            )
    per_class = plan.selection.choice.per_class
    short = [
        (split, wnid, tally.images)
        for split, by_wnid in plan.tallies.items()
        for wnid, tally in by_wnid.items()
        if tally.images < per_class.get(split, per_class.get("", 0))
    ]
    if short:
        split, wnid, n = short[0]
        example = f"{wnid} has {n} in {split}"
        yield f"{count_of(len(short), 'class')} with fewer images than --per-class asks, all kept ({example})"


def _order_hazards(plan: Plan) -> Iterator[str]:
    shuffle, writes = plan.options.shuffle, plan.writes
    if shuffle != "none" and not writes.ordered:
        yield f"--shuffle changes nothing: {plan.target} has no order of images"
    elif shuffle == "full" and writes.holds_bytes:
        yield (
            f"--shuffle full reads {count_of(plan.images(), 'image')} in random order: fast from memory or a "
            "solid-state disk; from one that turns, about 10 ms an image. --shuffle block reads in one pass"
        )
    elif shuffle == "none" and writes.ordered and writes.shard_bytes is not None:
        shard_bytes = plan.options.shard_size or writes.shard_bytes
        for split, by_wnid in plan.tallies.items():
            shards = -(-plan.bytes(split) // shard_bytes)
            if shards > 1 and len(by_wnid) > 1:
                packed = any(counts.without_offset for counts in plan.sources if counts.split == split)
                order = "in the order of their sources" if packed else "class after class"
                yield (
                    f"{shards:,} shards hold the images of {split} {order}, of {len(by_wnid):,} classes: a loader "
                    "that shuffles within a buffer sees few classes at a time. For training, --shuffle block mixes "
                    "them in one pass over the sources"
                )
