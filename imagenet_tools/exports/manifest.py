"""Write the files that describe an export, and check the lock against them.

classes.json    the classes in order, and the images and boxes of each split
recipe.toml     the words of the selection, and under [export.TARGET] the options
lock.toml       the lock of the images that were written, with the same recipe: see selection.lock
lock.ids        the ids of these images: a Parquet file, by another suffix
manifest.json   what the export depends on, its counts, what is left out, and a digest of every file
README.md, croissant.json       with --card: see exports.description

They are at the root of an export. No target has data of the suffixes .toml or .ids, and data in JSON is in a folder of
its own, or opened by its name: a pattern for the data, such as `**/*.parquet`, finds none of them.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenet_tools import __version__
from imagenet_tools.build import own_exports
from imagenet_tools.catalogue.export_classes import classes_json
from imagenet_tools.errors import FormatError, ImagenetToolsError
from imagenet_tools.exports import description
from imagenet_tools.exports.description import TERMS
from imagenet_tools.exports.estimate import describe
from imagenet_tools.images.image_rows import is_image_name
from imagenet_tools.selection import lock, recipe
from imagenet_tools.store.layout import read_manifest
from imagenet_tools.text import are, count_of

if TYPE_CHECKING:
    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.options import Options
    from imagenet_tools.exports.plan import Plan, Result
    from imagenet_tools.exports.writer import ImageFile
    from imagenet_tools.selection.lock import Lock
    from imagenet_tools.store.store import Store

# By these two files a build recognises an export among its sources.
CLASSES = own_exports.CLASSES
MANIFEST = own_exports.MANIFEST
RECIPE = "recipe.toml"
LOCK = "lock.toml"
IDS = "lock.ids"

_MAX_NAMED = 5  # images that a hazard names


# ---- one digest of many files


_DIGEST_BITS = 256

# The values of "of" in manifest.json: what the digest of image files covers. The bytes of label files are small and
# always covered, those of images only with --hash. Exports of the first format have NAMES_ALONE.
ALL_BYTES = "path, size, sha256"
LABEL_BYTES = "path, size, and sha256 where the name is not that of an image"
NAMES_ALONE = "path, size"


def digest_kind(options: Options) -> str:
    """Return what the digest of image files covers: ALL_BYTES or LABEL_BYTES."""
    return ALL_BYTES if options.hash else LABEL_BYTES


def has_bytes(kind: str, path: str) -> bool:
    """Return True if a digest of this kind covers the bytes of a file."""
    return kind == ALL_BYTES or (kind == LABEL_BYTES and not is_image_name(path))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Digest:
    """The sum modulo 2**256 of the SHA-256 of one line a file: `path<TAB>size[<TAB>sha256]`.

    A sum does not depend on the order, so workers and folder walks may add files in any order. A worker adds the files
    of a piece, and the driver the digests of all pieces.
    """

    def __init__(self) -> None:
        self.files = 0
        self.bytes = 0
        self._sum = 0

    def add(self, files: Iterable[ImageFile]) -> None:
        """Add files."""
        for path, size, sha256 in files:
            line = f"{path}\t{size}\t{sha256}" if sha256 else f"{path}\t{size}"
            line_digest = hashlib.sha256(line.encode(errors="surrogateescape")).digest()
            self._sum += int.from_bytes(line_digest, "big")
            self.files += 1
            self.bytes += size

    def add_digest(self, files: int, n_bytes: int, total: str) -> None:
        """Add the files of another digest, from its totals()."""
        self.files += files
        self.bytes += n_bytes
        self._sum += int(total, 16)

    def totals(self) -> tuple[int, int, str]:
        """Return the files, their bytes and hexdigest(), as values of JSON."""
        return self.files, self.bytes, self.hexdigest()

    def hexdigest(self) -> str:
        """Return 64 hexadecimal digits."""
        return f"{self._sum % (1 << _DIGEST_BITS):064x}"


# ---- what an export depends on


def state_of(plan: Plan) -> dict[str, object]:
    """Return what an export to one target depends on, as plain values: the same state gives the same bytes."""
    from importlib.metadata import version  # 10 ms, with the modules of email

    return {
        "target": plan.target,
        "recipe": {"selection": plan.selection.words(), "options": plan.options.words()},
        "classes": [row.display for row in plan.classes],
        "index": index_digest(plan.index),
        "software": {"imagenet-tools": __version__}
        | ({"pillow": version("pillow")} if plan.options.changes or plan.writes.remade_bytes else {}),
    }


def index_digest(index: Store) -> str:
    """Return the SHA-256 of the digests of an index's tables. `sources` is left out: it has paths of this machine."""
    tables = read_manifest(index.folder).tables
    digests = {name: [entry.sha256 for entry in files] for name, files in sorted(tables.items()) if name != "sources"}
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


# ---- write


def write_manifest(job: Job) -> Result:
    """Write recipe, lock, classes.json and manifest.json of a target of which all shards are written."""
    plan = job.plan
    events, shard_files, digest = _read_records(job)
    undecodable = {image: error for image, error, *_ in sorted(events["left_out"])}
    repaired = {rule: sorted(image for image, by in events["repaired"] if by == rule) for rule in plan.options.repair}
    # A target that lists images reads none: in this pass, another one read them.
    cut = (
        sorted(image for (image,) in events["cut"]) if plan.writes.holds_bytes and not plan.writes.remade_bytes else []
    )
    endless = [image.partition("/")[2] for (image,) in events["endless"]] if plan.writes.files_per_image else []
    result = plan.written(
        tallies=job.tallies,
        left_out={**plan.left_out, **({"undecodable": len(undecodable)} if undecodable else {})},
        hazards=(*plan.hazards, *_hazards(list(undecodable), endless, cut)),
        path=job.out,
        undecodable=undecodable,
        repaired=repaired,
        cut=cut,
        files={},
    )
    job.write(CLASSES, _classes(plan, result))
    locked = _write_lock(job, result)
    if plan.options.card:
        description.write(job, {name: sha256_of(job.out / name) for name in (CLASSES, IDS)})
    files = {**shard_files, **{name: _file_entry(job.out / name) for name in job.wrote}}
    content = {
        "format": 2,
        **state_of(plan),
        **describe(plan, result),
        "cut": result.cut,
        "undecodable": result.undecodable,
        "repaired": result.repaired,
        "sha256_of_lock": locked.sha256,
        "sources": _sources(plan),
        "files": files,
        "image_files": {
            "files": digest.files,
            "bytes": digest.bytes,
            "of": digest_kind(plan.options),
            "sum_of_sha256_of_lines": digest.hexdigest(),
        },
        "terms": TERMS,
    }
    job.write(MANIFEST, (json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n").encode())
    return replace(result, files=files)


def _read_records(job: Job) -> tuple[dict[str, list[list[str]]], dict[str, dict[str, object]], Digest]:
    """Read the records of all pieces, as far as they are about this target: see exports.run.

    Returns:
        Lists of ["dataset/image_id", ...] by kind of event, the files with many images as Result.files has them, and
        the digest of the others.
    """
    events: dict[str, list[list[str]]] = {"left_out": [], "repaired": [], "endless": [], "cut": []}
    files: dict[str, dict[str, object]] = {}
    digest = Digest()
    for shard in job.shards:
        record = job.record(shard)
        output = record["targets"][job.plan.target]
        digest.add_digest(*output["digest"])
        for path, size, sha256 in output["files"]:
            files[path] = {"bytes": size, **({"sha256": sha256} if sha256 else {})}
        events["left_out"] += output["left_out"]
        for kind in ("repaired", "endless", "cut"):
            events[kind] += [row for targets, *row in record[kind] if targets >> job.target & 1]
    return events, files, digest


def _hazards(undecodable: Sequence[str], endless: Sequence[str], cut: Sequence[str]) -> Iterator[str]:
    """Yield what went wrong with images, by their names."""
    if undecodable:
        n = len(undecodable)
        yield f"{count_of(n, 'image')} could not be decoded, and {are(n)} not in the export: manifest.json says why"
    if endless:
        yield (
            f"{count_of(len(endless), 'image')} without FF D9 at the end: copied, not linked ({_first(endless)}). "
            "Ultralytics rewrites such files, or drops those that are cut short. --repair eoi ends such files"
        )
    if cut:
        yield (
            f"{count_of(len(cut), 'image')} {are(len(cut))} cut inside the picture ({_first(cut)}), and not changed: "
            "Pillow stops there with an error, and so does each loader that uses it. manifest.json has the names, and "
            "--exclude FILE leaves out the images of a list"
        )


def _first(ids: Iterable[str]) -> str:
    """Return the first few ids, in order."""
    ids = sorted(ids)
    return ", ".join(ids[:_MAX_NAMED]) + (" ..." if len(ids) > _MAX_NAMED else "")


def _classes(plan: Plan, result: Result) -> bytes:
    members: dict[str, list[str]] = {}
    for wnid, class_wnid in plan.selection.classes_of().items():
        members.setdefault(class_wnid, []).append(wnid)
    if plan.writes.by_folder:
        order = "folder"
    else:
        words = recipe.tables(plan.selection).get("classes", {})  # of a lock: the words that made it
        order = str(words.get("order") or ("listed" if {"classes", "superclasses"} & set(words) else "wnid"))
    return classes_json(plan.classes, result.counts(), order, members)


def _write_lock(job: Job, result: Result) -> Lock:
    """Write the recipe and the lock; images that could not be decoded are not in the lock."""
    import tomli_w

    plan = job.plan
    name = plan.target  # not the name of the folder, which is arbitrary
    options = {"export": {plan.target: plan.options.words()}}
    content = {"format": recipe.FORMAT, "name": name, **recipe.tables(plan.selection), **options}
    job.write(RECIPE, tomli_w.dumps(content, indent=2).encode())
    with job.writing(IDS) as out:
        locked = lock.write_ids(plan.selection, out, name=name, without=result.undecodable, classes=plan.classes)
    locked = locked._replace(ids=Path(IDS), recipe={**locked.recipe, **options})
    job.write(LOCK, lock.text(locked).encode())
    return locked


def _file_entry(path: Path) -> dict[str, object]:
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _sources(plan: Plan) -> list[dict[str, object]]:
    images: Counter[str] = Counter()
    for counts in plan.sources:
        images[counts.source] += counts.images
    return [
        {"source": source.name, "dataset": source.dataset, "forms": source.forms, "images": images[source.name]}
        for source in plan.index.sources
        if source.name in images
    ]


# ---- check


def folders_if_dropped(root: Path) -> list[str]:
    """Return the folders of the classes in order if an export was made with --empty-classes drop, else none.

    A class without images has no folder then, so the folders do not tell the order. FormatError: the manifest or
    classes.json cannot be read.
    """
    try:
        options = json.loads((root / MANIFEST).read_text(encoding="utf-8"))["recipe"]["options"]
        listed = json.loads((root / CLASSES).read_text(encoding="utf-8"))["classes"]
        is_dropped = options.get("empty_classes") == "drop"
        return [row["folder"].rpartition("/")[2] for row in listed] if is_dropped else []
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{root / MANIFEST}: found no options of an export ({error}); expected them. Export again."
        raise FormatError(message, code="manifest_unread") from error


def lock_problems(root: Path, classes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield how recipe and lock of an export differ from each other and from the classes in classes.json."""
    counts: dict[str, dict[str, int]] = {}
    for row in sorted(classes, key=lambda row: str(row["wnid"])):
        for split, n in row["splits"].items():
            if n["images"]:
                counts.setdefault(split, {})[row["wnid"]] = n["images"]
    try:
        locked, table = lock.read(root / LOCK), recipe.load(root / RECIPE)
        recipe.parse(table, root / RECIPE)
        by_folder = json.loads((root / CLASSES).read_text(encoding="utf-8"))["order"] == "folder"
        names = [(row["wnid"], row["name"], row["folder"], row["display"]) for row in classes]
    except (ImagenetToolsError, ValueError, LookupError, TypeError, AttributeError) as error:
        yield f"{RECIPE} and {LOCK} cannot be read: {error}"
        return
    if locked.counts != counts:
        yield f"{LOCK} pins {count_of(locked.n_images, 'image')} of other splits or classes than classes.json counts"
    locked_classes = sorted(locked.named, key=lambda row: row.folder.rpartition("/")[2]) if by_folder else locked.named
    if names != [(row.wnid, row.name, row.folder, row.display) for row in locked_classes]:
        yield f"{LOCK} has other classes than classes.json, in another order, or by other names"
    if {key: value for key, value in table.items() if key not in ("format", "name")} != locked.recipe:
        yield f"{RECIPE} is not the recipe that {LOCK} holds"
