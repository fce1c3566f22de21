"""What an export will hold, before anything is written: images, boxes, classes, bytes, and what is left out and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from imagenet_tools.class_lists.export_classes import Class, order_classes
from imagenet_tools.errors import ExportError, UsageError
from imagenet_tools.selection.words import EXPORT

if TYPE_CHECKING:
    from imagenet_tools.exports.exporter import Job
    from imagenet_tools.files import How
    from imagenet_tools.index.opened import Index
    from imagenet_tools.selection.selection import Selection

# A box that can be drawn at all; "drop" also leaves out those that reach out of their image.
_USABLE = {"clip": "nxmin IS NOT NULL", "drop": "nxmin IS NOT NULL AND NOT list_contains(flags, 'outside')"}
_USABLE["error"] = _USABLE["clip"]

_NAMED = 5  # how many images or classes a message names


class Writer(Protocol):
    """What a module of imagenet_tools.formats offers if it writes."""

    KEEPS: tuple[str, ...]  # the columns of images (and boxes) that a reader of the format gets back
    BY_FOLDER: bool  # its loader numbers the classes by the sorted names of their folders
    DETECTION: bool  # it holds boxes, and an image without them would be taken for background
    TURNED: bool  # its loader applies the EXIF orientation, and so the boxes must
    DEMANDS: tuple[tuple[str, str], ...]  # (reason, SQL condition) that its loader makes on an image

    def hazards(self, plan: Plan) -> Iterator[str]:
        """What may go wrong with this export in its loader. ExportError: what must."""

    def write(self, job: Job) -> None:
        """Write the export below job.out."""


@dataclass(frozen=True)
class Options:
    """The options of an export; see words.EXPORT."""

    link: How = "auto"
    names: str = ""
    unboxed: str = "skip"
    bad_boxes: str = "clip"

    def __post_init__(self) -> None:
        for word in EXPORT:
            value, choices = getattr(self, word.keyword), word.kind.split("|")
            if len(choices) > 1 and value not in choices:
                message = f"{word.flag} {value}: expected one of {', '.join(choices)}."
                raise UsageError(message)


class Tally(NamedTuple):
    """Images and boxes of one class in one split, and the bytes of the images."""

    images: int
    boxes: int
    bytes: int


@dataclass(frozen=True)
class Plan:
    """An export as it will be. Reading the index is all that making one does."""

    target: str
    writer: Writer
    index: Index
    selection: Selection  # with the demands of the target
    options: Options
    classes: list[Class]
    tallies: dict[str, dict[str, Tally]]  # by split and wnid
    left_out: dict[str, int]  # images of the index that are not in the export, by step
    boxes_left_out: dict[str, int]  # boxes of images in the export that are not, by reason
    hazards: list[str] = field(default_factory=list)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have images, in order."""
        return tuple(self.tallies)

    def images(self, split: str | None = None) -> int:
        """Images of a split, or in all."""
        return sum(
            one.images for name, found in self.tallies.items() for one in found.values() if split in (None, name)
        )

    def boxes(self) -> int:
        """Boxes in all."""
        return sum(one.boxes for found in self.tallies.values() for one in found.values())

    def bytes(self) -> int:
        """Bytes of the images in all."""
        return sum(one.bytes for found in self.tallies.values() for one in found.values())

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """{split: {wnid: {"images": n, "boxes": n}}}."""
        return {
            split: {wnid: {"images": one.images, "boxes": one.boxes} for wnid, one in found.items()}
            for split, found in self.tallies.items()
        }

    def usable_boxes(self) -> str:
        """The boxes of the export, as a query: dataset, image_id, and a list of (wnid, nxmin, nymin, nxmax, nymax)."""
        return f"""SELECT dataset, image_id, list_sort(list(DISTINCT
                       (wnid, nxmin, nymin, nxmax, nymax))) AS found FROM boxes
                   WHERE {_USABLE[self.options.bad_boxes]} AND wnid IN (SELECT unnest($_classes))
                   GROUP BY dataset, image_id"""


def make_plan(target: str, writer: Writer, index: Index, selection: Selection, options: Options) -> Plan:
    """Count what an export will hold. ExportError: nothing is chosen, or what is must not be exported so."""
    chosen = _demanded(writer, selection, options)
    wnids = chosen.wnids()
    classes = order_classes(
        wnids, names=options.names or ("lemma" if writer.DETECTION else "wnid"), by_folder=writer.BY_FOLDER
    )
    draft = Plan(target, writer, index, chosen, options, classes, {}, {}, {})
    boxes = draft.usable_boxes() if writer.DETECTION else "SELECT NULL AS dataset, NULL AS image_id, [] AS found"
    rows = chosen.run(
        f"""SELECT split, wnid, count(*), sum(coalesce(len(found), 0))::BIGINT, sum(length)::BIGINT
            FROM made LEFT JOIN ({boxes}) USING (dataset, image_id)
            WHERE left_out IS NULL GROUP BY ALL ORDER BY ALL""",
        {"_classes": list(wnids)},
    ).fetchall()
    tallies: dict[str, dict[str, Tally]] = {}
    for split, wnid, *numbers in rows:
        tallies.setdefault(split, {})[wnid] = Tally(*numbers)
    left_out = chosen.left_out()
    if not tallies:
        where = ", ".join(f"{n:,} {reason}" for reason, n in left_out.items()) or "the index is empty"
        message = f"Nothing is chosen: of the images of {index.path}, {where}. Loosen the selection."
        raise ExportError(message)
    _check_boxes(chosen, options, writer)
    lost = _boxes_left_out(chosen, options, wnids) if writer.DETECTION else {}
    plan = Plan(target, writer, index, chosen, options, classes, tallies, left_out, lost)
    plan.hazards.extend([*_common_hazards(plan), *writer.hazards(plan)])
    return plan


def _demanded(writer: Writer, selection: Selection, options: Options) -> Selection:
    """The selection with what the target asks of an image, so that amounts count what will really be there."""
    chosen = selection.demand("unreadable", "width IS NOT NULL")
    for reason, condition in writer.DEMANDS:
        chosen = chosen.demand(reason, condition)
    if not writer.DETECTION:
        return chosen
    usable = f"(dataset, image_id) IN (SELECT (dataset, image_id) FROM boxes WHERE {_USABLE[options.bad_boxes]})"
    if options.unboxed == "skip":
        chosen = chosen.demand("unboxed", "n_boxes > 0")
    # An image whose boxes cannot be used does hold an object: it is background under no option.
    return chosen.demand("bad_boxes", usable if options.unboxed == "skip" else f"n_boxes = 0 OR {usable}")


def _check_boxes(chosen: Selection, options: Options, writer: Writer) -> None:
    if not writer.DETECTION:
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


def _refuse(rows: Sequence[tuple[str]], what: str, advice: str) -> None:
    if rows:
        named = ", ".join(image_id for (image_id,) in rows[:_NAMED])
        message = f"{len(rows):,} images {what}, {named} {'first' if len(rows) > _NAMED else 'they are'}. {advice}"
        raise ExportError(message)


def _boxes_left_out(chosen: Selection, options: Options, wnids: Sequence[str]) -> dict[str, int]:
    usable = _USABLE[options.bad_boxes]
    rows = chosen.run(
        f"""SELECT CASE WHEN nxmin IS NULL THEN 'no_area' WHEN NOT ({usable}) THEN 'outside'
                        WHEN wnid IS NULL OR wnid NOT IN (SELECT unnest($_classes)) THEN 'other_class'
                        ELSE 'same_twice' END AS reason,
                   CASE WHEN reason = 'same_twice'
                        THEN count(*) - count(DISTINCT (dataset, image_id, boxes.wnid, nxmin, nymin, nxmax, nymax))
                        ELSE count(*) END AS n
            FROM boxes JOIN (SELECT dataset, image_id FROM made WHERE left_out IS NULL) USING (dataset, image_id)
            GROUP BY reason HAVING n > 0 ORDER BY reason""",
        {"_classes": list(wnids)},
    ).fetchall()
    return dict(rows)


def _common_hazards(plan: Plan) -> Iterator[str]:
    wnids = [one.wnid for one in plan.classes]
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
        if one.images < plan.selection.amounts.get(split, plan.selection.amounts.get("", 0))
    }
    if short:
        (split, wnid), n = next(iter(short.items()))
        example = f"{wnid} has {n} in {split}"
        yield f"{len(short):,} classes have fewer images than --per-class asks, and keep all ({example})"
    if plan.writer.DETECTION and plan.options.unboxed == "background":
        unboxed = (
            plan.images()
            and plan.selection.run("SELECT count(*) FROM made WHERE left_out IS NULL AND n_boxes = 0").fetchone()
        )
        if unboxed and unboxed[0]:
            yield f"{unboxed[0]:,} images without boxes are written as background, though objects may be in them"


def describe(plan: Plan) -> Mapping[str, object]:
    """A plan as plain values, for --json and for manifest.json."""
    return {
        "target": plan.target,
        "images": plan.images(),
        "images_by_split": {split: plan.images(split) for split in plan.splits},
        "boxes": plan.boxes(),
        "classes": len(plan.classes),
        "bytes": plan.bytes(),
        "left_out": plan.left_out,
        "boxes_left_out": plan.boxes_left_out,
        "hazards": plan.hazards,
    }
