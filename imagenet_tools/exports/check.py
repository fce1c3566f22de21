"""Check an export: its files against its manifest, what is read back against both, and images against the index.

E301  manifest.json or classes.json is missing, or not what an export has
E302  a file that the manifest names is missing, or of another size
E303  a file has other bytes than the manifest says
E304  the files of images and labels are not those that were written: some are missing, too many, or of another size,
      or labels have other bytes
E305  what is read back are other images, splits, classes or boxes than classes.json counts
E306  an image is not the one in the index, to the byte
E307  an image of the export is not in the index
E308  the framework's own loader finds other classes, images or boxes
E309  recipe or lock is missing, cannot be read, or is not that of what is there
E310  the pixels of an image cannot be decoded in full (--read-data)
E311  what is read back has images in other classes or splits than the lock says
E312  a source of the index is gone or has changed, so that images could not be compared with it
W301  no index was given, or none is there, or the export holds no images: none was compared
W302  the framework's loader is not installed, or the format names none
W303  the export was made from another generation of the index
W304  the manifest is of an earlier version and holds no digests of label files: their bytes were not compared
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
from imagenet_tools.exports.manifest import ALL_BYTES, CLASSES, IDS, LABEL_BYTES, MANIFEST, NAMES_ALONE, Digest
from imagenet_tools.exports.options import StoredFacts, make_options
from imagenet_tools.exports.pictures import Picture, PictureSource
from imagenet_tools.exports.writer import ImageFile
from imagenet_tools.images.probe import PILLOW_ERRORS, Pixels
from imagenet_tools.storage.blob import Descriptors

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

    @property
    def ok(self) -> bool:
        """Return True if no finding is an error."""
        return all_ok(self.findings)

    @property
    def summary(self) -> str:
        """Return what was checked, in words."""
        loader = f", read by {self.loader}" if self.loader else ""
        compared = f", {self.compared:,} the index's to the byte" if self.compared else ""
        decoded = f", {self.decoded:,} decoded in full" if self.decoded else ""
        return f"as written: {self.images:,} images as {self.target}{compared}{decoded}{loader}"


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
        stated = _read_json(root / MANIFEST)
        classes = _read_json(root / CLASSES)["classes"]
        target = str(stated["target"])
        module = cast("Writer", importlib.import_module(f"imagenet_tools.formats.{target}"))
        _check_keys(stated, classes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RecursionError) as error:
        finding = Finding("E301", f"{root}: {MANIFEST} and {CLASSES} cannot be read as an export's: {error}")
        return CheckedExport(root, "", 0, 0, "", (finding,))
    findings = [*_check_named_files(root, stated["files"]), *_check_image_files(root, stated)]
    findings += [Finding("E309", text) for text in _lock_problems(root, stated["files"], classes)]
    if index is not None and manifest.index_digest(index) != stated["index"]:
        findings.append(Finding("W303", f"{index.path} is another generation of the index than it was made from"))
    originals = None
    if index is not None and module.WRITES.holds_bytes:
        originals = _Originals(index, stated, every=read_data)
    else:
        advice = "name one with -i" if module.WRITES.holds_bytes else f"{target} holds none"
        findings.append(Finding("W301", f"no image was compared with an index; {advice}"))
    read = _read_back(module, root, classes, originals, read_data=read_data)
    findings += read.findings
    compared = 0
    if originals is not None:
        compared, more = originals.finish()
        findings += more
    loader = ""
    if with_loader:
        loader, more = _load(module, root, classes)
        findings += more
    return CheckedExport(root, target, read.images, compared, loader, tuple(findings), read.decoded)


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


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
            there = f"{path.stat().st_size:,} bytes" if path.is_file() else "nothing"
            yield Finding("E302", f"{name}: found {there}, expected {entry['bytes']:,} bytes")
        elif "sha256" in entry and _sha256(path) != entry["sha256"]:
            yield Finding("E303", f"{name}: its SHA-256 is not the one in {MANIFEST}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
        sha256 = _sha256(path) if manifest.has_bytes(kind, name) else ""
        digest.add([ImageFile(name, path.stat().st_size, sha256)])
    if digest.hexdigest() != expected["sum_of_sha256_of_lines"]:
        different = {NAMES_ALONE: "names or sizes", ALL_BYTES: "names, sizes or bytes"}
        yield Finding(
            "E304",
            f"found {digest.files:,} files of images and labels with {digest.bytes:,} bytes, expected "
            f"{expected['files']:,} with {expected['bytes']:,}; their "
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


class _ReadImages(NamedTuple):
    images: int
    decoded: int  # of the images, in full
    findings: list[Finding]


def _read_back(
    module: Writer, root: Path, classes: _Classes, originals: _Originals | None, *, read_data: bool
) -> _ReadImages:
    """Read all images of an export: count them, compare them with the lock and the index, and decode them."""
    images: _ClassCounts = {}
    boxes: Counter[str] = Counter()
    labels, pixels = _Labels(), Pixels()
    findings: list[Finding] = []
    try:
        for image in module.read_back(root):
            images.setdefault(image.split, Counter())[-1 if image.class_index is None else image.class_index] += 1
            boxes[image.split] += len(image.boxes or ())
            labels.add(image)
            if read_data and image.read is not None:
                data = image.read()
                image = image._replace(read=partial(bytes, data))  # noqa: PLW2901 (read once)
                pixels.add(image.stem, data)
            if originals is not None:
                originals.add(image)
        if module.WRITES.names_images:
            findings += _compare_counts(images, boxes if module.WRITES.boxes else None, classes, "what is read back")
        if module.WRITES.holds_bytes and not findings and (root / IDS).is_file():
            findings += labels.compare(root, classes)
    except (ImagenetToolsError, *PILLOW_ERRORS, BadZipFile, zlib.error) as error:
        findings.append(Finding("E305", f"it cannot be read back: {error}"))
    findings += grouped("E310", pixels.finish())
    return _ReadImages(sum(counts.total() for counts in images.values()), pixels.decoded, findings)


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
                message = f"{reader} has {counted.total():,} images in {split}, expected {expected.total():,}"
                yield Finding("E305", message)
        elif counted != expected:
            different = sorted(index for index in {*counted, *expected} if counted[index] != expected[index])
            first = different[0]
            yield Finding(
                "E305",
                f"{reader} has other images in {split} than {CLASSES} counts, in {len(different):,} classes: of class "
                f"{first} it has {counted[first]:,}, expected {expected[first]:,}",
            )
        n_boxes = sum(counts["boxes"] for counts in stated.values())
        if boxes is not None and boxes.get(split, 0) != n_boxes:
            yield Finding("E305", f"{reader} has {boxes.get(split, 0):,} boxes in {split}, expected {n_boxes:,}")


class _Labels:
    """Compares split and class of the images that are read back with those in the lock, by one digest of each."""

    def __init__(self) -> None:
        self._read = Digest()
        self._has_classes = True

    def add(self, image: ReadBack) -> None:
        """Add an image that was read back."""
        self._has_classes &= image.class_index is not None
        self._read.add(
            [ImageFile(f"{image.split}/{image.stem}", -1 if image.class_index is None else image.class_index)]
        )

    def compare(self, root: Path, classes: _Classes) -> Iterator[Finding]:
        """Yield a finding if the lock of the export has other images, splits or classes."""
        import pyarrow.parquet as pq

        index_of = {row["wnid"]: row["index"] if self._has_classes else -1 for row in classes}
        expected = Digest()
        with pq.ParquetFile(root / IDS) as file:
            for batch in file.iter_batches(columns=["image_id", "wnid", "split"]):
                rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
                expected.add(
                    ImageFile(f"{split}/{image_id.replace('/', '_')}", index_of.get(wnid, -2))
                    for image_id, wnid, split in rows
                )
        if expected.hexdigest() != self._read.hexdigest():
            yield Finding("E311", f"what is read back has images in other classes or splits than {IDS} says")


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
        sizes = f"{loaded.loader} has {len(loaded.classes):,} classes, expected {len(expected):,}"
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
                these = "this is" if len(stems) == 1 else "these are"
                findings.append(Finding(code, f"{', '.join(stems[:_MAX_NAMED])}{more}: {these} {problem}"))
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
        cursor = self._index.cursor().execute(
            f"""SELECT replace(image_id, '/', '_') AS stem, source, file, "offset", length, member, position,
                       compression, width, height, mode, encoding, orientation, {width} AS out_width,
                       {height} AS out_height
                FROM images WHERE stem IN (SELECT unnest($stems::VARCHAR[]))
                AND dataset IN (SELECT unnest($datasets::VARCHAR[])) AND width IS NOT NULL""",
            {"stems": list(self._waiting), "datasets": self._datasets},
        )
        names = [name for name, *_ in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        place_columns = ("source", "file", "offset", "length", "member", "position", "compression", "encoding")
        placed = [(self._index.image_place(*(row[name] for name in place_columns)), row) for row in rows]
        digests: dict[str, set[str]] = {}
        with Descriptors(stamps=self._index.stamps) as files:
            for place, row in sorted(placed, key=lambda pair: reading_order(pair[0])):
                facts = StoredFacts(*(row[name] for name in StoredFacts._fields))
                change, _ = self._options.change(facts, (row["out_width"], row["out_height"]))
                source = PictureSource(place, change, "eoi" in self._options.repair)
                of_stem = digests.setdefault(row["stem"], set())
                try:
                    of_stem.add(hashlib.sha256(Picture(source, files).data()).hexdigest())
                except (ImagenetToolsError, OSError) as error:
                    self._errors.append(f"{row['stem']}: {error}")
                    self._waiting.pop(row["stem"], None)
        return digests
