"""Plan an export: count its images, boxes, classes and bytes.

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

from imagenet_tools.catalogue.export_classes import Class, order_classes
from imagenet_tools.errors import ExportError
from imagenet_tools.exports import boxes, plan_checks
from imagenet_tools.selection.steps import REASONS
from imagenet_tools.storage.buckets import refuse_url, url_of
from imagenet_tools.text import html_of, images_of

if TYPE_CHECKING:
    from imagenet_tools.exports.check import CheckedExport
    from imagenet_tools.exports.options import Options
    from imagenet_tools.exports.writer import Writer, Writes
    from imagenet_tools.selection.selection import Selection
    from imagenet_tools.store.store import Store

SPLIT_HEAD = ("split", "images", "boxes", "classes")


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
    plan_checks.check_words({target: _writer(target).WRITES for target in targets}, options)
    plans: list[Plan] = []
    for target in targets:
        plans.append(_make_plan(target, selection, options, plans))
    first, *others = (replace(plan, hazards=(*plan.hazards, *plan_checks.shard_hazards(plan, plans))) for plan in plans)
    return replace(first, also=tuple(others))


@functools.cache
def _writer(target: str) -> Writer:
    return cast("Writer", importlib.import_module(f"imagenet_tools.formats.{target}"))


def _make_plan(target: str, selection: Selection, options: Options, others: Sequence[Plan]) -> Plan:
    """Count what an export will hold; `others` are plans of the same pass.

    Raises:
        ExportError: Nothing is chosen, or the target cannot hold it.
    """
    writer = _writer(target)
    writes = writer.WRITES
    chosen = _with_demands(writes, selection, options)
    # An equal selection keeps the answers to its queries, which take 60 ms.
    chosen = next((plan.selection for plan in others if plan.selection == chosen), chosen)
    sources = _count_by_source(chosen, options.bytes_sql(writes))
    while writes.detection and (usable := _lacking_box(chosen, options)):
        # All boxes of some images are of classes that are not in the export: they are not background either. Without
        # them, further classes may have no image.
        chosen = chosen.demand("bad_boxes", f"images.n_boxes = 0 OR {usable}")
        sources = _count_by_source(chosen, options.bytes_sql(writes))
    wnids = chosen.wnids()
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
    plan_checks.check_names_of_lock(target, chosen, options, classes)
    boxes_kept, boxes_left_out = boxes.counted(chosen, options) if writes.boxes else ({}, {})
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
    plan_checks.check(plan)
    return replace(
        plan,
        hazards=(*chosen.notes(), *plan_checks.hazards(plan), *writer.hazards(plan), *plan_checks.box_hazards(plan)),
    )


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


def _lacking_box(chosen: Selection, options: Options) -> str:
    """Return SQL that is true for images with a box of the export, if other images with boxes are chosen; else ""."""
    if not boxes.has_other_classes(chosen):
        return ""
    usable = boxes.usable(options, boxes.class_of(chosen))
    unusable = f"left_out IS NULL AND images.n_boxes > 0 AND NOT ({usable})"
    return usable if chosen.run(f"SELECT 1 FROM made AS images WHERE {unusable} LIMIT 1").fetchall() else ""


def _count_by_source(chosen: Selection, bytes_sql: str) -> tuple[SourceCounts, ...]:
    """Return all counts that a plan needs; one query, because each takes a pass over the images of the index."""
    rows = chosen._counts_by_source(
        f"""sum({bytes_sql})::BIGINT, count(*) FILTER ("offset" = 0 AND compression IS NULL),
            count(*) FILTER ("offset" IS NULL), count(*) FILTER (n_boxes = 0), max(strlen(image_id)), min(file)"""
    )
    return tuple(map(SourceCounts._make, rows))


def _tallies(sources: Sequence[SourceCounts], boxes_kept: Mapping[tuple[str, str], int]) -> dict[str, dict[str, Tally]]:
    tallies: dict[str, dict[str, Tally]] = {}
    for (split, wnid), group in itertools.groupby(sources, key=lambda counts: counts[:2]):
        counts = list(group)
        images, n_bytes = sum(row.images for row in counts), sum(row.bytes for row in counts)
        tallies.setdefault(split, {})[wnid] = Tally(images, boxes_kept.get((split, wnid), 0), n_bytes)
    return tallies
