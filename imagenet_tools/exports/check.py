"""Check an export: its files against its manifest, what is read back against both, and images against the index.

E301  manifest.json or classes.json is missing or invalid
E302  a file that the manifest names is missing, or of another size
E303  the bytes of a file are not those in the manifest
E304  image or label files are missing, extra, or of another size, or label bytes differ
E305  images, splits, classes or boxes differ from the counts in classes.json
E306  the bytes of an image differ from those in the index
E307  an image is not in the index
E308  the framework's own loader finds other classes, images or boxes
E309  the recipe or the lock is missing, unreadable, or of another export
E310  an image cannot be decoded in full (--read-data)
E311  images have other classes or splits than in the lock of the export
E312  a source of the index is missing or has changed, so its images were not compared
W301  no image was compared: no index was named, or the export holds no images
W302  the framework's loader is not installed, or the format has none
W303  the export was made from another generation of the index
W304  the manifest has an older version: the bytes of label files were not compared
"""

from __future__ import annotations

import hashlib
import importlib
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from zipfile import BadZipFile

from imagenet_tools.catalogue.sums import Finding, all_ok, grouped
from imagenet_tools.containers.payload import reading_order
from imagenet_tools.errors import ImagenetToolsError
from imagenet_tools.exports import manifest
from imagenet_tools.exports.manifest import (
    ALL_BYTES,
    CLASSES,
    IDS,
    LABEL_BYTES,
    MANIFEST,
    NAMES_ALONE,
    Digest,
    sha256_of,
)
from imagenet_tools.exports.options import make_options
from imagenet_tools.exports.pictures import Picture
from imagenet_tools.exports.rows import changes, places
from imagenet_tools.exports.writer import NO_CLASS, ImageFile
from imagenet_tools.images.probe import PILLOW_ERRORS, Pixels
from imagenet_tools.storage.blob import Descriptors
from imagenet_tools.storage.buckets import url_of
from imagenet_tools.text import count_of

if TYPE_CHECKING:
    from imagenet_tools.exports.writer import Loaded, ReadBack, Writer
    from imagenet_tools.store.store import Store

_MAX_NAMED = 3  # images that a finding names
_SAMPLE_IMAGES = 200  # that are compared with the index, unless all are
_COMPARED_AT_ONCE = 1024  # images

_Classes = list[dict[str, Any]]  # the "classes" of classes.json
_ClassCounts = dict[str, Counter[int]]  # images by split and class index; -1: the format has no class of them


class CheckedExport(NamedTuple):
    """An export that was checked; `findings` is empty if it is as it was written."""

    path: Path
    target: str
    images: int  # that were read back
    compared: int  # of these, with the index
    loader: str  # the framework's loader that read it; "" for none
    findings: tuple[Finding, ...]
    decoded: int = 0  # of the images, in full
    changed: bool = False  # the options of the export change images, so they were compared with changed ones

    @property
    def ok(self) -> bool:
        """Return True if no finding is an error."""
        return all_ok(self.findings)

    @property
    def summary(self) -> str:
        """Return what was checked, in words."""
        loader = f", read by {self.loader}" if self.loader else ""
        originals = "the index's, resized or repaired again," if self.changed else "the index's"
        compared = f", {self.compared:,} {originals} to the byte" if self.compared else ""
        decoded = f", {self.decoded:,} decoded in full" if self.decoded else ""
        return f"as written: {count_of(self.images, 'image')} as {self.target}{compared}{decoded}{loader}"


def exports_at(path: Path) -> Iterator[Path]:
    """Yield the export at a path, or those of the targets of one pass, each in a folder of its own."""
    if (path / CLASSES).is_file() or (path / MANIFEST).is_file():
        yield path
    elif path.is_dir():
        yield from (folder for folder in sorted(path.iterdir()) if (folder / CLASSES).is_file())


def check_export(
    root: Path, *, index: Store | None = None, read_data: bool = False, with_loader: bool = False
) -> CheckedExport:
    """Check one export.

    Args:
        root: Its folder.
        index: An index to compare a sample of the images with.
        read_data: Decode every image in full, and compare every image with the index.
        with_loader: Let the framework's own loader read it.
    """
    try:
        stated = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        classes = json.loads((root / CLASSES).read_text(encoding="utf-8"))["classes"]
        target = str(stated["target"])
        module = cast("Writer", importlib.import_module(f"imagenet_tools.formats.{target}"))
        _check_keys(stated, classes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RecursionError) as error:
        finding = Finding("E301", f"{root}: {MANIFEST} and {CLASSES} cannot be read as an export's: {error}")
        return CheckedExport(root, "", 0, 0, "", (finding,))
    findings = [*_check_named_files(root, stated["files"]), *_check_image_files(root, stated)]
    findings += [Finding("E309", text) for text in _lock_problems(root, stated["files"], classes)]
    if index is not None and manifest.index_digest(index) != stated["index"]:
        findings.append(
            Finding("W303", f"{url_of(index.path)} is another generation of the index than it was made from")
        )
    originals = None
    holds_originals = module.WRITES.holds_bytes and not module.WRITES.remade_bytes
    if index is not None and holds_originals:
        originals = _Originals(index, stated, every=read_data)
    else:
        advice = "name one with -i" if holds_originals else f"{target} holds none as it was"
        findings.append(Finding("W301", f"no image was compared with an index; {advice}"))
    images, decoded, more = _read_back(module, root, classes, originals, read_data=read_data)
    findings += more
    compared = 0
    if originals is not None:
        compared, more = originals.finish()
        findings += more
    loader = ""
    if with_loader:
        loader, more = _load(module, root, classes)
        findings += more
    changed = originals is not None and originals.changed
    return CheckedExport(root, target, images, compared, loader, tuple(findings), decoded, changed)


def _check_keys(stated: Mapping[str, Any], classes: _Classes) -> None:
    """Raise KeyError, TypeError or AttributeError if manifest.json or classes.json lacks what a check reads."""
    for row in classes:
        _ = row["index"], [(counts["images"], counts["boxes"]) for counts in row["splits"].values()]
    _ = dict(stated["files"]), stated["index"], dict(stated["recipe"]["options"])
    _ = [stated["image_files"][key] for key in ("of", "files", "bytes", "sum_of_sha256_of_lines")]
    _ = [row["dataset"] for row in stated["sources"]]


# ---- files


def _check_named_files(root: Path, files: Mapping[str, Mapping[str, object]]) -> Iterator[Finding]:
    for name, entry in files.items():
        path = root / name
        if not path.is_file() or path.stat().st_size != entry["bytes"]:
            there = count_of(path.stat().st_size, "byte") if path.is_file() else "nothing"
            yield Finding("E302", f"{name}: found {there}, expected {entry['bytes']:,} bytes")
        elif "sha256" in entry and sha256_of(path) != entry["sha256"]:
            yield Finding("E303", f"{name}: its SHA-256 is not the one in {MANIFEST}")


def _check_image_files(root: Path, stated: Mapping[str, Any]) -> Iterator[Finding]:
    """Compare the files that the manifest does not name, which hold one image each, with the one digest of them."""
    expected = stated["image_files"]
    kind = str(expected["of"])
    digest, labels_without_digest = Digest(), 0
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if name in stated["files"] or name == MANIFEST or not path.is_file():
            continue
        if kind == NAMES_ALONE and manifest.has_bytes(LABEL_BYTES, name):
            labels_without_digest += 1
        sha256 = sha256_of(path) if manifest.has_bytes(kind, name) else ""
        digest.add([ImageFile(name, path.stat().st_size, sha256)])
    if digest.hexdigest() != expected["sum_of_sha256_of_lines"]:
        different = {NAMES_ALONE: "names or sizes", ALL_BYTES: "names, sizes or bytes"}
        yield Finding(
            "E304",
            f"found {count_of(digest.files, 'file')} of images and labels with {digest.bytes:,} bytes, "
            f"expected {expected['files']:,} with {expected['bytes']:,}; their "
            f"{different.get(kind, 'names, sizes or label bytes')} are not those that were written",
        )
    elif labels_without_digest:
        message = (
            f"the bytes of {labels_without_digest:,} label files were not compared: {MANIFEST} has no digests of them"
        )
        yield Finding("W304", message)


def _lock_problems(root: Path, files: Mapping[str, object], classes: _Classes) -> Iterator[str]:
    missing = [name for name in (manifest.RECIPE, manifest.LOCK, IDS) if name not in files]
    if missing:
        yield f"{MANIFEST} names no {', '.join(missing)}"
    yield from manifest.lock_problems(root, classes)


# ---- what is read back


def _read_back(
    module: Writer, root: Path, classes: _Classes, originals: _Originals | None, *, read_data: bool
) -> tuple[int, int, list[Finding]]:
    """Read all images of an export: count them, compare them with the lock and the index, and decode them.

    Returns:
        The images that were read, those that were decoded in full, and the findings.
    """
    images: _ClassCounts = {}
    boxes: Counter[str] = Counter()
    labels, pixels = Digest(), Pixels()
    findings: list[Finding] = []
    try:
        for image in module.read_back(root):
            index = -1 if image.class_index is None else image.class_index
            images.setdefault(image.split, Counter())[index] += 1
            boxes[image.split] += len(image.boxes or ())
            labels.add([ImageFile(f"{image.split}/{image.stem}", index)])
            if read_data and image.read is not None:
                data = image.read()
                image = image._replace(read=partial(bytes, data))  # noqa: PLW2901 (read once)
                pixels.add(image.stem, data)
            if originals is not None:
                originals.add(image)
        if module.WRITES.names_images:
            findings += _compare_counts(images, boxes if module.WRITES.boxes else None, classes, "what is read back")
        if module.WRITES.holds_bytes and not findings and (root / IDS).is_file():
            has_classes = not any(-1 in counts for counts in images.values())
            index_of = {row["wnid"]: row["index"] if has_classes else -1 for row in classes}
            if labels.hexdigest() != _labels_of_lock(root, index_of).hexdigest():
                message = f"what is read back has images in other classes or splits than {IDS} says"
                findings.append(Finding("E311", message))
    except (ImagenetToolsError, *PILLOW_ERRORS, BadZipFile, zlib.error) as error:
        findings.append(Finding("E305", f"it cannot be read back: {error}"))
    findings += grouped("E310", pixels.finish())
    return sum(counts.total() for counts in images.values()), pixels.decoded, findings


def _compare_counts(
    images: _ClassCounts, boxes: Mapping[str, int] | None, classes: _Classes, reader: str
) -> Iterator[Finding]:
    """Compare what a reader counted with classes.json."""
    splits = {split for row in classes for split in row["splits"]} | set(images)
    for split in sorted(splits):
        stated = {row["index"]: row["splits"].get(split, {"images": 0, "boxes": 0}) for row in classes}
        expected = Counter({index: counts["images"] for index, counts in stated.items() if counts["images"]})
        counted = images.get(split, Counter())
        if -1 in counted:
            if counted.total() != expected.total():
                message = f"{reader} has {count_of(counted.total(), 'image')} in {split}, expected {expected.total():,}"
                yield Finding("E305", message)
        elif counted != expected:
            different = sorted(index for index in {*counted, *expected} if counted[index] != expected[index])
            first = different[0]
            yield Finding(
                "E305",
                f"{reader} has other images in {split} than {CLASSES} counts, in {count_of(len(different), 'class')}: "
                f"of class {first} it has {counted[first]:,}, expected {expected[first]:,}",
            )
        n_boxes = sum(counts["boxes"] for counts in stated.values())
        if boxes is not None and boxes.get(split, 0) != n_boxes:
            yield Finding(
                "E305", f"{reader} has {count_of(boxes.get(split, 0), 'box')} in {split}, expected {n_boxes:,}"
            )


def _labels_of_lock(root: Path, index_of: Mapping[str, int]) -> Digest:
    """Return a digest of the split, the stem and the class index of each image in the lock of an export."""
    import pyarrow.parquet as pq

    digest = Digest()
    with pq.ParquetFile(root / IDS) as file:
        for batch in file.iter_batches(columns=["image_id", "wnid", "split"]):
            rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
            digest.add(
                ImageFile(f"{split}/{image_id.replace('/', '_')}", index_of.get(wnid, NO_CLASS))
                for image_id, wnid, split in rows
            )
    return digest


def _load(module: Writer, root: Path, classes: _Classes) -> tuple[str, list[Finding]]:
    """Let the framework's loader read the export, and return the loader's name."""
    load = getattr(module, "load", None)
    if load is None:
        return "", [Finding("W302", "the format names no loader of a framework")]
    try:
        loaded: Loaded = load(root)
    except ImportError as error:
        return "", [Finding("W302", f"the loader is not installed here: {error}")]
    findings = []
    expected = tuple(str(row[loaded.called]) for row in classes)
    if loaded.classes is not None and loaded.classes != expected:
        pairs = zip(loaded.classes, expected, strict=False)
        first = next((f"; class {n} is another" for n, (ours, theirs) in enumerate(pairs) if ours != theirs), "")
        sizes = f"{loaded.loader} has {count_of(len(loaded.classes), 'class')}, expected {len(expected):,}"
        findings.append(Finding("E308", sizes + first))
    images = {split: Counter(dict(counts)) for split, counts in loaded.images.items()}
    for finding in _compare_counts(images, loaded.boxes, classes, loaded.loader):
        findings.append(Finding("E308", finding.message))
    return loaded.loader, findings


# ---- the images of the index


class _Originals:
    """Compares images that were read back with those of the index, changed by the options of the export.

    A sample is chosen by the hash of the stem, so that it is the same each time.
    """

    def __init__(self, index: Store, stated: Mapping[str, Any], *, every: bool):
        options = dict(stated["recipe"]["options"])
        options.pop("names", None)  # the file may be gone, and names change no byte
        self._index = index
        self._options = make_options(options)
        self.changed = self._options.changes
        self._datasets = [row["dataset"] for row in stated["sources"]]
        self._hash_limit = (1 << 32) if every else (_SAMPLE_IMAGES << 32) // max(int(stated["images"]), 1)
        self._waiting: dict[str, str] = {}  # SHA-256 by stem
        self._compared = 0
        self._different: list[str] = []  # stems
        self._unknown: list[str] = []  # stems
        self._errors: list[str] = []  # why images of the index could not be read

    def add(self, image: ReadBack) -> None:
        """Take an image, to be compared if it is in the sample."""
        stem_hash = int.from_bytes(hashlib.sha256(image.stem.encode()).digest()[:4], "big")
        if stem_hash >= self._hash_limit or image.read is None:
            return
        self._waiting[image.stem] = hashlib.sha256(image.read()).hexdigest()
        if len(self._waiting) >= _COMPARED_AT_ONCE:
            self._compare()

    def finish(self) -> tuple[int, list[Finding]]:
        """Return the number of images that were compared, and the findings."""
        if self._waiting:
            self._compare()
        findings = []
        for code, stems, problem in (
            ("E306", self._different, "not the bytes that the index has"),
            ("E307", self._unknown, "not among the images of the index"),
        ):
            if stems:
                more = f" and {len(stems) - _MAX_NAMED:,} more" if len(stems) > _MAX_NAMED else ""
                subject = "this is" if len(stems) == 1 else "these are"
                findings.append(Finding(code, f"{', '.join(stems[:_MAX_NAMED])}{more}: {subject} {problem}"))
        return self._compared, [*findings, *grouped("E312", self._errors)]

    def _compare(self) -> None:
        digests = self._digests_in_index()
        for stem, digest in self._waiting.items():
            if stem not in digests:
                self._unknown.append(stem)
            elif digest not in digests[stem]:
                self._different.append(stem)
        self._compared += len(self._waiting)
        self._waiting = {}

    def _digests_in_index(self) -> dict[str, set[str]]:
        """Return the SHA-256 of the waiting images as the index has them, by stem. Several images may have one stem."""
        width, height = self._options.size_sql()
        images = self._index.cursor().sql(
            f"""SELECT replace(image_id, '/', '_') AS stem, *, {width} AS out_width, {height} AS out_height
                FROM images WHERE stem IN (SELECT unnest($stems::VARCHAR[]))
                AND dataset IN (SELECT unnest($datasets::VARCHAR[])) AND width IS NOT NULL""",
            params={"stems": list(self._waiting), "datasets": self._datasets},
        )
        columns = images.to_arrow_table().to_pydict()
        rows = zip(columns["stem"], places(self._index, columns), changes(self._options, columns), strict=True)
        digests: dict[str, set[str]] = {}
        with Descriptors(stamps=self._index.stamps) as files:
            for stem, place, (change, _) in sorted(rows, key=lambda row: reading_order(row[1])):
                digests_of_stem = digests.setdefault(stem, set())
                try:
                    picture = Picture(place, files, change=change, add_end="eoi" in self._options.repair)
                    digests_of_stem.add(hashlib.sha256(picture.data()).hexdigest())
                except (ImagenetToolsError, OSError) as error:
                    self._errors.append(f"{stem}: {error}")
                    self._waiting.pop(stem, None)
        return digests
