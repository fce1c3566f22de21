"""What an export will hold, before anything is written: images, boxes, classes, bytes, and what is left out and why."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from imagenet_tools.catalogue.export_classes import Class, order_classes
from imagenet_tools.errors import ExportError, QueryError, UsageError
from imagenet_tools.exports import boxes
from imagenet_tools.exports.names import check_stems
from imagenet_tools.store.connection import engine_errors

if TYPE_CHECKING:
    from imagenet_tools.exports.check import CheckedExport
    from imagenet_tools.exports.options import Options
    from imagenet_tools.exports.writer import Writer, Writes
    from imagenet_tools.selection.selection import Selection
    from imagenet_tools.store.store import Store

_NAMED = 5  # how many images or classes a message names
_STEM_BYTES = 250  # of the 255 that file systems take for a name; .JPEG is five


class Tally(NamedTuple):
    """Images and boxes of one class in one split, and the bytes of the images."""

    images: int
    boxes: int
    bytes: int


@dataclass(frozen=True)
class Plan:
    """An export to one target as it will be, or as it was made. Reading the index is all that making one does."""

    target: str
    index: Store
    selection: Selection  # with the demands of the target
    options: Options
    classes: list[Class]
    tallies: dict[str, dict[str, Tally]]  # by split and wnid
    left_out: dict[str, int]  # images of the index that are not in the export, by step
    boxes_left_out: dict[str, int]  # boxes of images in the export that are not, by reason
    hazards: list[str] = field(default_factory=list)
    also: tuple[Plan, ...] = ()  # the other targets of the same pass
    dest: Path | None = None  # where it was made

    @property
    def writer(self) -> Writer:
        """The module that writes the target."""
        return _writer(self.target)

    @property
    def together(self) -> tuple[Plan, ...]:
        """The plans of all targets of the same pass, this one first."""
        return (replace(self, also=()), *self.also)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have images, in order."""
        return tuple(self.tallies)

    @property
    def index_of(self) -> dict[str, int]:
        """The index of each class by its wnid."""
        return {one.wnid: one.index for one in self.classes}

    def check(self, *, read_data: bool = False, with_loader: bool = False) -> tuple[CheckedExport, ...]:
        """Check what was made of it, target by target: see exports.check. ExportError: nothing was made yet."""
        from imagenet_tools.exports.check import check_export

        if self.dest is None:
            message = "This is a plan; expected an export that was made: imagenet_tools.export() gives one."
            raise ExportError(message)
        return tuple(
            check_export(one.dest, index=self.index, read_data=read_data, with_loader=with_loader)
            for one in self.together
            if one.dest is not None
        )

    def images(self, split: str | None = None) -> int:
        """Images of a split, or in all."""
        return sum(
            one.images for name, found in self.tallies.items() for one in found.values() if split in (None, name)
        )

    def boxes(self) -> int:
        """Boxes in all."""
        return sum(one.boxes for found in self.tallies.values() for one in found.values())

    def bytes(self, split: str | None = None) -> int:
        """Bytes of the images of a split, or in all; about how many where they are resized."""
        return sum(one.bytes for name, found in self.tallies.items() for one in found.values() if split in (None, name))

    @property
    def writes(self) -> Writes:
        """What the target holds, and what its loader expects."""
        return self.writer.WRITES

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """{split: {wnid: {"images": n, "boxes": n}}}."""
        return {
            split: {wnid: {"images": one.images, "boxes": one.boxes} for wnid, one in found.items()}
            for split, found in self.tallies.items()
        }


def make_plans(targets: Sequence[str], selection: Selection, options: Options) -> Plan:
    """The plan of an export to these targets in one pass: that of the first, which has the others in `also`."""
    if options.meta_bin and "image_folder" not in targets:
        message = f"--meta-bin: it belongs to image_folder; found --to {','.join(targets)}."
        raise UsageError(message)
    made = [make_plan(target, _writer(target), selection.index, selection, options) for target in targets]
    return replace(made[0], also=tuple(made[1:]))


@functools.cache
def _writer(target: str) -> Writer:
    return cast("Writer", importlib.import_module(f"imagenet_tools.formats.{target}"))


def make_plan(target: str, writer: Writer, index: Store, selection: Selection, options: Options) -> Plan:
    """Count what an export will hold. ExportError: nothing is chosen, or what is must not be exported so."""
    chosen = _demanded(writer, selection, options)
    wnids = chosen.wnids()
    of_ours = boxes.usable(options, chosen.classes_of()) if writer.WRITES.detection else ""
    if of_ours and _some(chosen, f"images.n_boxes > 0 AND NOT ({of_ours})"):
        # Its boxes are of classes that are not chosen: it is no background either.
        chosen = chosen.demand("bad_boxes", f"images.n_boxes = 0 OR {of_ours}")
    classes = order_classes(
        wnids,
        names=options.names or ("lemma" if writer.WRITES.detection else "wnid"),
        by_folder=writer.WRITES.by_folder,
    )
    _check_names(target, chosen, options, classes)
    kept, lost = boxes.counted(chosen, options) if writer.WRITES.boxes else ({}, {})
    tallies = _tallies(chosen, options, kept)
    left_out = chosen.left_out()
    if not tallies:
        where = ", ".join(f"{n:,} {reason}" for reason, n in left_out.items()) or "the index is empty"
        message = f"Nothing is chosen: of the images of {index.path}, {where}. Loosen the selection."
        raise ExportError(message)
    _check_fields(chosen, options, writer)
    _check_untouched(target, options, writer)
    _check_boxes(chosen, options, writer)
    check_stems(
        chosen,
        within="split, wnid" if writer.WRITES.by_folder else "split" if writer.WRITES.files_per_image else "true",
    )
    if writer.WRITES.files_per_image:
        _check_lengths(chosen)
    plan = Plan(target, index, chosen, options, classes, tallies, left_out, lost)
    plan.hazards.extend([*chosen.notes(), *_common_hazards(plan), *writer.hazards(plan)])
    return plan


def _check_names(target: str, chosen: Selection, options: Options, classes: Sequence[Class]) -> None:
    """ExportError where classes of a lock would get other names than the lock has, and with them other numbers.

    Folders are those of the lock in an export as the lock was made by; display names everywhere but where a file names
    the classes.
    """
    locked = chosen.pinned
    if locked is None:
        return
    exports = locked.recipe.get("export", {})
    names = options.words().get("names")
    same = target in exports and exports[target].get("names") == names
    if not same and {names, *(one.get("names") for one in exports.values())} - {None, "wnid", "lemma"}:
        return
    of_lock = {one.wnid: one for one in locked.named}
    for one in classes:
        was = of_lock[one.wnid]
        if one.display != was.display or (same and one.folder != was.folder):
            message = (
                f"The lock {locked.name} calls {one.wnid} {was.display!r} (folder {was.folder}); here it would be "
                f"{one.display!r} (folder {one.folder}). Give --names the file that the lock was made with, or lock "
                "anew."
            )
            raise ExportError(message)


def _tallies(chosen: Selection, options: Options, kept: Mapping[tuple[str, str], int]) -> dict[str, dict[str, Tally]]:
    rows = chosen.run(
        f"""SELECT split, wnid, count(*), sum({options.bytes_sql()})::BIGINT
            FROM made WHERE left_out IS NULL GROUP BY ALL ORDER BY ALL"""
    ).fetchall()
    tallies: dict[str, dict[str, Tally]] = {}
    for split, wnid, images, n_bytes in rows:
        tallies.setdefault(split, {})[wnid] = Tally(images, kept.get((split, wnid), 0), n_bytes)
    return tallies


def _demanded(writer: Writer, selection: Selection, options: Options) -> Selection:
    """The selection with what the target asks of an image, so that amounts count what will really be there."""
    chosen = selection.demand("unreadable", "images.width IS NOT NULL")
    for reason, condition in writer.WRITES.demands:
        chosen = chosen.demand(reason, condition)
    if not writer.WRITES.detection:
        return chosen
    if options.unboxed == "skip":
        chosen = chosen.demand("unboxed", "images.n_boxes > 0")
    # An image whose boxes cannot be used does hold an object: it is background under no option.
    usable = boxes.usable(options)
    return chosen.demand("bad_boxes", usable if options.unboxed == "skip" else f"images.n_boxes = 0 OR {usable}")


def _some(chosen: Selection, condition: str) -> int:
    row = chosen.run(f"SELECT count(*) FROM made AS images WHERE left_out IS NULL AND {condition}").fetchone()
    return int(row[0]) if row else 0


def _check_boxes(chosen: Selection, options: Options, writer: Writer) -> None:
    if not writer.WRITES.detection:
        return
    if options.unboxed == "error":
        _refuse(
            chosen.run("SELECT image_id FROM made WHERE left_out IS NULL AND n_boxes = 0 ORDER BY ALL").fetchall(),
            "have no boxes",
            "--unboxed skip leaves them out; --boxed chooses those with boxes.",
        )
    if options.bad_boxes == "error":
        _refuse(
            chosen.run(
                """SELECT DISTINCT image_id FROM boxes JOIN made USING (dataset, image_id)
                   WHERE left_out IN ('bad_boxes') OR (left_out IS NULL
                   AND (nxmin IS NULL OR list_contains(flags, 'outside'))) ORDER BY ALL"""
            ).fetchall(),
            "have boxes that reach out of the image or have no area",
            "--bad-boxes clip or drop leaves out what cannot be used, and counts it.",
        )


def _check_lengths(chosen: Selection) -> None:
    long = "SELECT image_id FROM made WHERE left_out IS NULL AND strlen(image_id) > $most ORDER BY 1"
    _refuse(
        chosen.run(long, {"most": _STEM_BYTES}).fetchall(),
        f"would be files of longer names than the {_STEM_BYTES} bytes that a file system takes before a suffix",
        f'Leave such images out: --where "strlen(image_id) <= {_STEM_BYTES}".',
    )


def _check_fields(chosen: Selection, options: Options, writer: Writer) -> None:
    if not options.fields:
        return
    if not writer.WRITES.fields:
        message = f"--field {options.field[0]}: {writer.__name__.rpartition('.')[2]} has no room for fields."  # type: ignore[attr-defined]
        raise UsageError(message)
    wrong: tuple[type[Exception], ...] = (QueryError, *engine_errors())
    for key, column in options.fields:
        found = chosen.chosen(boxes.quoted(column))
        try:
            chosen.run(f"SELECT * FROM ({found.text}) LIMIT 0", found.values)
        except wrong as error:
            said = str(error).partition("\n\n")[0].replace("\n", " ")
            message = (
                f"--field {key}={column}: {said} Expected a column of images, or TABLE.COLUMN with --with TABLE=FILE."
            )
            raise UsageError(message) from error


def _check_untouched(target: str, options: Options, writer: Writer) -> None:
    changed = "--resize" if options.resize is not None else "--repair" if options.repair else ""
    if changed and not writer.WRITES.holds_bytes:
        message = f"{changed}: {target} says where images lie, and changes none. Export to image_folder, and list that."
        raise UsageError(message)


def _refuse(rows: Sequence[tuple[str]], what: str, advice: str) -> None:
    if rows:
        named = ", ".join(image_id for (image_id,) in rows[:_NAMED])
        message = f"{len(rows):,} images {what}, {named} {'first' if len(rows) > _NAMED else 'they are'}. {advice}"
        raise ExportError(message)


def _common_hazards(plan: Plan) -> Iterator[str]:
    wnids = [one.wnid for one in plan.classes]
    options, writer = plan.options, plan.writer
    if "lock" in plan.splits:
        message = "A split is called lock, as the file of an export's own lock is. Give it another name in --split."
        raise ExportError(message)
    for split, found in plan.tallies.items():
        empty = [wnid for wnid in wnids if wnid not in found]
        if empty:
            yield (
                f"{len(empty):,} of {len(wnids):,} classes have no image in {split} ({', '.join(empty[:_NAMED])}"
                f"{' ...' if len(empty) > _NAMED else ''}); they keep their index"
            )
    short = {
        (split, wnid): one.images
        for split, found in plan.tallies.items()
        for wnid, one in found.items()
        if one.images < plan.selection.choice.per_class.get(split, plan.selection.choice.per_class.get("", 0))
    }
    if short:
        (split, wnid), n = next(iter(short.items()))
        example = f"{wnid} has {n} in {split}"
        yield f"{len(short):,} classes have fewer images than --per-class asks, and keep all ({example})"
    if (
        writer.WRITES.detection
        and options.unboxed == "background"
        and (n := _some(plan.selection, "images.n_boxes = 0"))
    ):
        yield f"{n:,} images without boxes are written as background, though objects may be in them"
    if options.shuffle != "none" and not writer.WRITES.ordered:
        yield f"--shuffle changes nothing: {plan.target} has no order of images"
    elif options.shuffle == "full" and writer.WRITES.holds_bytes:
        yield (
            f"--shuffle full reads {plan.images():,} images in random order: fast from memory or a solid-state disk; "
            "from one that turns, about 10 ms an image. --shuffle block reads in one pass"
        )
    elif options.shuffle == "none" and writer.WRITES.ordered and writer.WRITES.shard_bytes is not None:
        yield from _unmixed(plan, options.shard_size or writer.WRITES.shard_bytes)


def _unmixed(plan: Plan, shard_bytes: int) -> Iterator[str]:
    """The splits whose shards hold a few classes each: a loader that mixes what is near sees these alone."""
    for split, found in plan.tallies.items():
        shards = -(-plan.bytes(split) // shard_bytes)
        if shards > 1 and len(found) > 1:
            name = split.replace("'", "''")
            packed = _some(plan.selection, f"images.\"offset\" IS NULL AND images.split = '{name}'")
            order = "as they lie in their sources" if packed else "class after class"
            yield (
                f"the images of {split} stand {order} in {shards:,} shards, of {len(found):,} classes: a loader that "
                "shuffles within a buffer sees few classes at a time. For training, --shuffle block mixes them in one "
                "pass over the sources"
            )
