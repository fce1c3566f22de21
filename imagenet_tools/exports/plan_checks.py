"""Refuse what an export cannot hold, before anything is written, and tell what may go wrong with the rest.

check_words()          options that belong to other targets
check_names_of_lock()  classes that a lock calls by other names
check()                a plan: nothing chosen, options and images that its target does not take, equal file names
hazards()              sentences for the user, of what the target's loader would not tell
shard_hazards()        shards that another target of the pass makes smaller
box_hazards()          the sentence of every target with boxes
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from imagenet_tools.errors import ExportError, QueryError, UsageError
from imagenet_tools.exports import boxes
from imagenet_tools.selection.steps import REASONS
from imagenet_tools.storage.buckets import url_of
from imagenet_tools.store.connection import engine_errors
from imagenet_tools.text import are, count_of

if TYPE_CHECKING:
    from imagenet_tools.catalogue.export_classes import Class
    from imagenet_tools.exports.options import Options
    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.exports.writer import Writes
    from imagenet_tools.selection.selection import Selection

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


def check_words(targets: Mapping[str, Writes], options: Options) -> None:
    """Raise UsageError if an option belongs to none of the targets."""
    if options.meta_bin and "image_folder" not in targets:
        message = f"--meta-bin: it belongs to image_folder; found --to {','.join(targets)}."
        raise UsageError(message)
    if options.side is not None and not any(writes.sides for writes in targets.values()):
        message = f"--side: it belongs to downsampled; found --to {','.join(targets)}."
        raise UsageError(message)
    for is_asked, flag, kind in (
        (options.nested, f"--layout {options.layout}", "nested"),
        (options.empty_classes == "drop", "--empty-classes drop", "by_folder"),
    ):
        if is_asked and not any(getattr(writes, kind) for writes in targets.values()):
            message = f"{flag}: it applies to class folders, which --to {','.join(targets)} does not write."
            raise UsageError(message)


def check_names_of_lock(target: str, chosen: Selection, options: Options, classes: Sequence[Class]) -> None:
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


def check(plan: Plan) -> None:
    """Raise ExportError or UsageError if a plan holds nothing, or what its target does not take."""
    if not plan.sources:
        raise ExportError(f"Nothing is chosen: {_nothing_chosen(plan)}")
    _check_options(plan)
    _check_images(plan)
    folder = "split, wnid" if plan.writes.by_folder else "split" if plan.writes.files_per_image else "true"
    check_stems(plan.selection, within=folder)


def _nothing_chosen(plan: Plan) -> str:
    steps = ", ".join(f"{n:,} by {step} ({REASONS[step]})" for step, n in plan.left_out.items())
    left_out = f"left out of the images of {url_of(plan.index.path)} are {steps}" if steps else "the index is empty"
    demanded = {*plan.left_out} & {reason for reason, _ in plan.writes.demands}
    advice = f"Loosen the selection{f', or choose another target than {plan.target}' if demanded else ''}."
    if "unlabelled" in plan.left_out:
        advice += f" {_MANY_CLASSES}"
    return f"{left_out}. {advice}"


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
        refuse_images(
            plan,
            "SELECT image_id FROM made WHERE left_out IS NULL AND n_boxes = 0 ORDER BY ALL",
            "have no boxes",
            "--unboxed skip leaves them out; --boxed chooses those with boxes.",
        )
    if writes.detection and options.bad_boxes == "error":
        refuse_images(
            plan,
            """SELECT DISTINCT image_id FROM boxes JOIN made USING (dataset, image_id)
               WHERE left_out IN ('bad_boxes') OR (left_out IS NULL
               AND (nxmin IS NULL OR list_contains(flags, 'outside'))) ORDER BY ALL""",
            "with boxes that reach out of the image or have no area",
            "--bad-boxes clip or drop leaves out what cannot be used, and counts it.",
        )
    if writes.files_per_image and max(counts.longest_id for counts in plan.sources) > _MAX_STEM_BYTES:
        refuse_images(
            plan,
            f"SELECT image_id FROM made WHERE left_out IS NULL AND strlen(image_id) > {_MAX_STEM_BYTES} ORDER BY 1",
            f"would be files of longer names than the {_MAX_STEM_BYTES} bytes that a file system takes before a suffix",
            f'Leave such images out: --where "strlen(image_id) <= {_MAX_STEM_BYTES}".',
        )


def refuse_images(plan: Plan, query: str, problem: str, advice: str) -> None:
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


def hazards(plan: Plan) -> Iterator[str]:
    """Yield the hazards that do not depend on the target's loader. ExportError: a split is called lock."""
    if "lock" in plan.splits:
        message = "A split is called lock, as the file of an export's own lock is. Give it another name in --split."
        raise ExportError(message)
    yield from _class_hazards(plan)
    n = sum(counts.without_boxes for counts in plan.sources)
    if plan.writes.detection and plan.options.unboxed == "background" and n:
        yield f"{count_of(n, 'image')} without boxes {are(n)} written as background, though objects may be there"
    yield from _idle_options(plan)
    yield from _order_hazards(plan)


def shard_hazards(plan: Plan, plans: Sequence[Plan]) -> Iterator[str]:
    """Yield that the shards are smaller than those of an export to this target alone: all of a pass have the same."""
    sizes = {each.target: each.writes.shard_bytes for each in plans if each.writes.shard_bytes is not None}
    if plan.target not in sizes or plan.options.shard_size is not None:
        return
    other = min(sizes, key=sizes.__getitem__)
    if sizes[other] < sizes[plan.target] and max(map(plan.bytes, plan.splits)) > sizes[other]:
        yield (
            f"{plan.target} is cut into the shards of {other}, of {count_of(sizes[other], 'byte')} of images, because "
            "the targets of one pass have the same. Exported alone, its shards are larger (of zip: one for each split, "
            "with a map)"
        )


def box_hazards(plan: Plan) -> Iterator[str]:
    """Yield that boxes are partial: most loaders of detection take what is not boxed for background."""
    if plan.writes.detection or plan.boxes():
        yield "boxes are partial: in each image, only objects of its own class are boxed"


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


def _idle_options(plan: Plan) -> Iterator[str]:
    given = plan.options.words()
    if "shard_size" in given and plan.writes.shard_bytes is None:
        yield f"--shard-size changes nothing: {plan.target} has no shards"
    if "quality" in given and not plan.options.changes:
        yield "--quality changes nothing: without --resize and --repair, images keep their bytes"


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
