"""Plan an export: count its images, boxes, classes and bytes, and refuse what the target cannot hold.

    Plan      an export to one target before anything is written; planning reads the index alone
    Result    the same export as it was written

Both are immutable. A pass over the sources that writes several targets has one Plan or Result for each: the first one
holds the others in `also`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from imagenet_tools.catalogue.export_classes import Class, order_classes
from imagenet_tools.errors import ExportError, QueryError, UsageError
from imagenet_tools.exports import boxes
from imagenet_tools.store.connection import engine_errors

if TYPE_CHECKING:
    from imagenet_tools.exports.check import CheckedExport
    from imagenet_tools.exports.options import Options
    from imagenet_tools.exports.writer import Writer, Writes
    from imagenet_tools.selection.selection import Selection
    from imagenet_tools.store.store import Store

_MAX_NAMED = 5  # images or classes that a message names
_MAX_STEM_BYTES = 250  # file systems take 255 bytes for a name; .JPEG is five of them
_NAMES_AT_ONCE = 1_000_000  # image names in memory when two of them collide

# SQL: the file name of an image without its suffix.
STEM_SQL = "replace(image_id, '/', '_')"


class Tally(NamedTuple):
    """Images and boxes of one class in one split, and the bytes of the images."""

    images: int
    boxes: int
    bytes: int


Tallies = Mapping[str, Mapping[str, Tally]]  # by split and wnid


@dataclass(frozen=True)
class Counts:
    """Counts of one target, planned or written.

    Attributes:
        tallies: Images, boxes and bytes by split and wnid; only splits and classes with images.
        left_out: Images of the index that are not in the export, by the step of the selection that removed them.
        hazards: Sentences for the user: what may go wrong, or went wrong.
    """

    tallies: Tallies
    left_out: Mapping[str, int]
    hazards: tuple[str, ...]

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
        for name, by_wnid in self.tallies.items():
            if split in (None, name):
                yield from by_wnid.values()


def _summary(counts: Counts, target: str) -> str:
    classes = {wnid for by_wnid in counts.tallies.values() for wnid in by_wnid}
    splits = "".join(f", {split} {counts.images(split):,}" for split in counts.splits)
    return f"{target}: images {counts.images():,}, classes {len(classes):,}{splits}"


@dataclass(frozen=True, repr=False)
class Plan(Counts):
    """An export to one target before it is written.

    Attributes:
        target: A module of imagenet_tools.formats.
        selection: The selection, with the conditions that the target's loader sets.
        classes: In the order of their index.
        boxes_left_out: Boxes that are left out of images that are in the export, by reason: see exports.boxes.REASONS.
        also: The plans of the other targets of the same pass.
    """

    target: str
    index: Store
    selection: Selection
    options: Options
    classes: tuple[Class, ...]
    boxes_left_out: Mapping[str, int]
    also: tuple[Plan, ...] = ()

    def __repr__(self) -> str:
        return "\n".join(f"Plan({_summary(plan, plan.target)})" for plan in self.together)

    @property
    def writer(self) -> Writer:
        """Return the module that writes the target."""
        return _writer(self.target)

    @property
    def writes(self) -> Writes:
        """Return what the target holds, and what its loader expects."""
        return self.writer.WRITES

    @property
    def together(self) -> tuple[Plan, ...]:
        """Return the plans of all targets of the same pass, this one first."""
        return (replace(self, also=()), *self.also)

    @property
    def index_of(self) -> dict[str, int]:
        """Return the index of each class by its wnid."""
        return {row.wnid: row.index for row in self.classes}

    def written(self, **facts: Any) -> Result:
        """Return the Result of this plan; `facts` are its other fields."""
        return Result(plan=self, **facts)

    def check(self) -> tuple[CheckedExport, ...]:
        """Raise ExportError: nothing was written yet. Use Result.check()."""
        message = "This is a plan; expected an export that was made: imagenet_tools.export() gives one."
        raise ExportError(message)


@dataclass(frozen=True, repr=False)
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
        also: The results of the other targets of the same pass.
    """

    plan: Plan
    path: Path
    undecodable: Mapping[str, str]
    repaired: Mapping[str, Sequence[str]]
    cut: Sequence[str]
    files: Mapping[str, Mapping[str, object]]
    also: tuple[Result, ...] = ()

    def __repr__(self) -> str:
        return "\n".join(f"Result({_summary(result, result.target)}, {str(result.path)!r})" for result in self.together)

    @property
    def target(self) -> str:
        """Return the target."""
        return self.plan.target

    @property
    def classes(self) -> tuple[Class, ...]:
        """Return the classes in the order of their index."""
        return self.plan.classes

    @property
    def boxes_left_out(self) -> Mapping[str, int]:
        """Return the number of boxes left out of images that are in the export, by reason."""
        return self.plan.boxes_left_out

    @property
    def together(self) -> tuple[Result, ...]:
        """Return the results of all targets of the same pass, this one first."""
        return (replace(self, also=()), *self.also)

    def check(self, *, read_data: bool = False, with_loader: bool = False) -> tuple[CheckedExport, ...]:
        """Check the files of every target of the pass: see exports.check.check_export."""
        from imagenet_tools.exports.check import check_export

        return tuple(
            check_export(result.path, index=self.plan.index, read_data=read_data, with_loader=with_loader)
            for result in self.together
        )


def make_plans(targets: Sequence[str], selection: Selection, options: Options) -> Plan:
    """Return the plan of the first target; its `also` has those of the other targets of the same pass."""
    if options.meta_bin and "image_folder" not in targets:
        message = f"--meta-bin: it belongs to image_folder; found --to {','.join(targets)}."
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
        if _count_images(chosen, f"images.n_boxes > 0 AND NOT ({usable})"):
            # All boxes of these images are of classes that were not chosen: they are not background either.
            chosen = chosen.demand("bad_boxes", f"images.n_boxes = 0 OR {usable}")
    classes = order_classes(
        wnids,
        names=options.names or ("lemma" if writes.detection else "wnid"),
        by_folder=writes.by_folder,
    )
    _check_names_of_lock(target, chosen, options, classes)
    boxes_kept, boxes_left_out = boxes.counted(chosen, options) if writes.boxes else ({}, {})
    plan = Plan(
        tallies=_tallies(chosen, options, boxes_kept),
        left_out=chosen.left_out(),
        hazards=(),
        target=target,
        index=selection.index,
        selection=chosen,
        options=options,
        classes=tuple(classes),
        boxes_left_out=boxes_left_out,
    )
    if not plan.tallies:
        steps = ", ".join(f"{n:,} {step}" for step, n in plan.left_out.items()) or "the index is empty"
        message = f"Nothing is chosen: of the images of {plan.index.path}, {steps}. Loosen the selection."
        raise ExportError(message)
    _check_fields(plan)
    _check_no_change(plan)
    _check_boxes(plan)
    check_stems(chosen, within="split, wnid" if writes.by_folder else "split" if writes.files_per_image else "true")
    _check_name_lengths(plan)
    return replace(plan, hazards=(*chosen.notes(), *_hazards(plan), *writer.hazards(plan)))


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


def _tallies(
    chosen: Selection, options: Options, boxes_kept: Mapping[tuple[str, str], int]
) -> dict[str, dict[str, Tally]]:
    rows = chosen.run(
        f"""SELECT split, wnid, count(*), sum({options.bytes_sql()})::BIGINT
            FROM made WHERE left_out IS NULL GROUP BY ALL ORDER BY ALL"""
    ).fetchall()
    tallies: dict[str, dict[str, Tally]] = {}
    for split, wnid, images, n_bytes in rows:
        tallies.setdefault(split, {})[wnid] = Tally(images, boxes_kept.get((split, wnid), 0), n_bytes)
    return tallies


def _count_images(chosen: Selection, condition: str) -> int:
    row = chosen.run(f"SELECT count(*) FROM made AS images WHERE left_out IS NULL AND {condition}").fetchone()
    return int(row[0]) if row else 0


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
                f"{row.display!r} (folder {row.folder}). Give --names the file that the lock was made with, or lock "
                "anew."
            )
            raise ExportError(message)


def _check_fields(plan: Plan) -> None:
    if not plan.options.fields:
        return
    if not plan.writes.fields:
        message = f"--field {plan.options.field[0]}: {plan.target} has no room for fields."
        raise UsageError(message)
    expected_errors: tuple[type[Exception], ...] = (QueryError, *engine_errors())
    for key, column in plan.options.fields:
        query = plan.selection.chosen(boxes.quoted(column))
        try:
            plan.selection.run(f"SELECT * FROM ({query.text}) LIMIT 0", query.values)
        except expected_errors as error:
            reason = str(error).partition("\n\n")[0].replace("\n", " ")
            message = (
                f"--field {key}={column}: {reason} Expected a column of images, or TABLE.COLUMN with --with TABLE=FILE."
            )
            raise UsageError(message) from error


def _check_no_change(plan: Plan) -> None:
    if plan.options.changes and not plan.writes.holds_bytes:
        flag = "--repair" if plan.options.resize is None else "--resize"
        message = (
            f"{flag}: {plan.target} says where images lie, and changes none. Export to image_folder, and list that."
        )
        raise UsageError(message)


def _check_boxes(plan: Plan) -> None:
    if not plan.writes.detection:
        return
    if plan.options.unboxed == "error":
        _refuse_images(
            plan,
            "SELECT image_id FROM made WHERE left_out IS NULL AND n_boxes = 0 ORDER BY ALL",
            "have no boxes",
            "--unboxed skip leaves them out; --boxed chooses those with boxes.",
        )
    if plan.options.bad_boxes == "error":
        _refuse_images(
            plan,
            """SELECT DISTINCT image_id FROM boxes JOIN made USING (dataset, image_id)
               WHERE left_out IN ('bad_boxes') OR (left_out IS NULL
               AND (nxmin IS NULL OR list_contains(flags, 'outside'))) ORDER BY ALL""",
            "have boxes that reach out of the image or have no area",
            "--bad-boxes clip or drop leaves out what cannot be used, and counts it.",
        )


def _check_name_lengths(plan: Plan) -> None:
    if plan.writes.files_per_image:
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
        message = f"{len(rows):,} images {problem}, {ids} {'first' if len(rows) > _MAX_NAMED else 'they are'}. {advice}"
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
    if (
        plan.writes.detection
        and plan.options.unboxed == "background"
        and (n := _count_images(plan.selection, "images.n_boxes = 0"))
    ):
        yield f"{n:,} images without boxes are written as background, though objects may be in them"
    yield from _order_hazards(plan)


def _class_hazards(plan: Plan) -> Iterator[str]:
    wnids = [row.wnid for row in plan.classes]
    for split, by_wnid in plan.tallies.items():
        empty = [wnid for wnid in wnids if wnid not in by_wnid]
        if empty:
            yield (
                f"{len(empty):,} of {len(wnids):,} classes have no image in {split} ({', '.join(empty[:_MAX_NAMED])}"
                f"{' ...' if len(empty) > _MAX_NAMED else ''}); they keep their index"
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
        yield f"{len(short):,} classes have fewer images than --per-class asks, and keep all ({example})"


def _order_hazards(plan: Plan) -> Iterator[str]:
    shuffle, writes = plan.options.shuffle, plan.writes
    if shuffle != "none" and not writes.ordered:
        yield f"--shuffle changes nothing: {plan.target} has no order of images"
    elif shuffle == "full" and writes.holds_bytes:
        yield (
            f"--shuffle full reads {plan.images():,} images in random order: fast from memory or a solid-state disk; "
            "from one that turns, about 10 ms an image. --shuffle block reads in one pass"
        )
    elif shuffle == "none" and writes.ordered and writes.shard_bytes is not None:
        shard_bytes = plan.options.shard_size or writes.shard_bytes
        for split, by_wnid in plan.tallies.items():
            shards = -(-plan.bytes(split) // shard_bytes)
            if shards > 1 and len(by_wnid) > 1:
                name = split.replace("'", "''")
                packed = _count_images(plan.selection, f"images.\"offset\" IS NULL AND images.split = '{name}'")
                order = "as they lie in their sources" if packed else "class after class"
                yield (
                    f"the images of {split} stand {order} in {shards:,} shards, of {len(by_wnid):,} classes: a loader "
                    "that shuffles within a buffer sees few classes at a time. For training, --shuffle block mixes "
                    "them in one pass over the sources"
                )
