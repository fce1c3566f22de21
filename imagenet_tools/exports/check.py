"""Checking an export: its files against its manifest, what is read back against both, images against the index.

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
from imagenet_tools.exports import kept
from imagenet_tools.exports.kept import ALL_BYTES, LABEL_BYTES, NAMES_ALONE, Digest, has_bytes
from imagenet_tools.exports.manifest import CLASSES, MANIFEST
from imagenet_tools.exports.options import StoredFacts, make_options
from imagenet_tools.exports.pictures import Picture, PictureSource
from imagenet_tools.exports.writer import ImageFile
from imagenet_tools.images.probe import PILLOW_ERRORS, Pixels
from imagenet_tools.storage.blob import Descriptors

if TYPE_CHECKING:
    from imagenet_tools.exports.writer import Loaded, ReadBack, Writer
    from imagenet_tools.store.store import Store


# ---- The images of an export beside those of the index: the same bytes, or what the export's options make of them.


_AT_ONCE = 1024  # images that are looked up at a time


class Originals:
    """Takes images that were read back, and compares a sample of them, or every one, with the index."""

    def __init__(self, index: Store, manifest: Mapping[str, Any], *, every: bool, sample: int):
        said = dict(manifest["recipe"]["options"])
        said.pop("names", None)  # the file of names may be gone; it says nothing of bytes
        self._index, self._options = index, make_options(said)
        self._datasets = [one["dataset"] for one in manifest["sources"]]
        # A share of the stems by hash, about as many as a sample has: the same ones each time.
        self._below = (1 << 32) if every else (sample << 32) // max(int(manifest["images"]), 1)
        self._waiting: dict[str, str] = {}  # SHA-256 by stem
        self.compared = 0
        self.others: list[str] = []  # stems of images with other bytes
        self.unknown: list[str] = []
        self.failed: list[str] = []  # why images of the index could not be read

    def take(self, found: ReadBack) -> None:
        """Take an image, to be compared if it is of the sample."""
        hashed = int.from_bytes(hashlib.sha256(found.stem.encode()).digest()[:4], "big")
        if hashed >= self._below or found.read is None:
            return
        self._waiting[found.stem] = hashlib.sha256(found.read()).hexdigest()
        if len(self._waiting) >= _AT_ONCE:
            self.finish()

    def finish(self) -> None:
        """Compare those that wait."""
        if not self._waiting:
            return
        width, height = self._options.size_sql()
        rows = self._index.cursor().execute(
            f"""SELECT replace(image_id, '/', '_') AS stem, source, file, "offset", length, member, position,
                       compression, width, height, mode, encoding, orientation, {width} AS out_width,
                       {height} AS out_height
                FROM images WHERE stem IN (SELECT unnest($stems::VARCHAR[]))
                AND dataset IN (SELECT unnest($datasets::VARCHAR[])) AND width IS NOT NULL""",
            {"stems": list(self._waiting), "datasets": self._datasets},
        )
        names = [name for name, *_ in rows.description]
        known = [dict(zip(names, row, strict=True)) for row in rows.fetchall()]
        where = ("source", "file", "offset", "length", "member", "position", "compression", "encoding")
        placed = [(self._index.image_place(*(one[name] for name in where)), one) for one in known]
        found: dict[str, set[str]] = {}
        with Descriptors(stamps=self._index.stamps) as files:
            for place, one in sorted(placed, key=lambda pair: reading_order(pair[0])):
                facts = StoredFacts(*(one[name] for name in StoredFacts._fields))
                change, _ = self._options.change(facts, (one["out_width"], one["out_height"]))
                source = PictureSource(place, change, "eoi" in self._options.repair)
                have = found.setdefault(one["stem"], set())
                try:
                    have.add(hashlib.sha256(Picture(source, files).data()).hexdigest())
                except (ImagenetToolsError, OSError) as error:
                    self.failed.append(f"{one['stem']}: {error}")
                    self._waiting.pop(one["stem"], None)
        for stem, digest in self._waiting.items():
            if stem not in found:
                self.unknown.append(stem)
            elif digest not in found[stem]:
                self.others.append(stem)
        self.compared += len(self._waiting)
        self._waiting = {}


# ----


_NAMED = 3  # how many images or files a finding names
_SAMPLE = 200  # images that are compared with the index, if not all

Counts = dict[str, Counter[int]]  # by split and class index


class CheckedExport(NamedTuple):
    """An export that was checked: as it was written where nothing was found."""

    path: Path
    target: str
    images: int  # read back
    compared: int  # of them with the index, to the byte
    loader: str  # the framework's loader that read it; "" where none did
    findings: tuple[Finding, ...]
    decoded: int = 0  # of the images, in full

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return all_ok(self.findings)

    @property
    def summary(self) -> str:
        """What was checked, in words."""
        by = f", read by {self.loader}" if self.loader else ""
        same = f", {self.compared:,} the index's to the byte" if self.compared else ""
        whole = f", {self.decoded:,} decoded in full" if self.decoded else ""
        return f"as written: {self.images:,} images as {self.target}{same}{whole}{by}"


def is_export(path: Path) -> bool:
    """Whether an export, or several of one pass, lie at a path."""
    return bool(list(exports_at(path)))


def exports_at(path: Path) -> Iterator[Path]:
    """The export at a path, or those of the targets of one pass, each in a folder of its own."""
    if (path / CLASSES).is_file() or (path / MANIFEST).is_file():
        yield path
    elif path.is_dir():
        yield from (one for one in sorted(path.iterdir()) if (one / CLASSES).is_file())


def check_export(
    root: Path, *, index: Store | None = None, read_data: bool = False, with_loader: bool = False
) -> CheckedExport:
    """Check one export; with an index a sample of its images against it.

    With `read_data` every image is decoded in full, and with an index compared with it.
    """
    try:
        manifest = _json(root / MANIFEST)
        classes = _json(root / CLASSES)["classes"]
        for one in classes:
            _ = one["index"], [(counts["images"], counts["boxes"]) for counts in one["splits"].values()]
        target = str(manifest["target"])
        module = cast("Writer", importlib.import_module(f"imagenet_tools.formats.{target}"))
        named = {**manifest["files"], MANIFEST: None}
        _ = [manifest["image_files"][key] for key in ("of", "files", "bytes", "sum_of_sha256_of_lines")]
        _ = manifest["index"], dict(manifest["recipe"]["options"]), [one["dataset"] for one in manifest["sources"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RecursionError) as error:
        finding = Finding("E301", f"{root}: {MANIFEST} and {CLASSES} cannot be read as an export's: {error}")
        return CheckedExport(root, "", 0, 0, "", (finding,))
    findings = [*_files(root, manifest["files"]), *_image_files(root, manifest["image_files"], named)]
    findings += [Finding("E309", text) for text in _kept(root, manifest["files"], classes)]
    findings += _generation(manifest, index)
    holds_bytes = module.WRITES.holds_bytes
    originals = Originals(index, manifest, every=read_data, sample=_SAMPLE) if index and holds_bytes else None
    if originals is None:
        why = "name one with -i" if holds_bytes else f"{target} holds none"
        findings.append(Finding("W301", f"no image was compared with an index; {why}"))
    read = _read_back(module, root, classes, originals, read_data=read_data)
    findings += read.findings
    if originals is not None:
        originals.finish()
        for code, stems, what in (
            ("E306", originals.others, "not the bytes that the index has"),
            ("E307", originals.unknown, "not among the images of the index"),
        ):
            if stems:
                findings.append(Finding(code, f"{_named(stems)} {what}"))
        findings += grouped("E312", originals.failed)
    loader = ""
    if with_loader:
        loader, more = _loaded(module, root, classes)
        findings += more
    compared = originals.compared if originals else 0
    return CheckedExport(root, target, read.images, compared, loader, tuple(findings), read.decoded)


class _ReadBack(NamedTuple):
    images: int
    decoded: int  # of them, in full
    findings: list[Finding]


def _read_back(
    module: Writer, root: Path, classes: list[dict[str, Any]], originals: Originals | None, *, read_data: bool
) -> _ReadBack:
    """Read all images of an export again: count them, and compare and decode their bytes."""
    images: Counts = {}
    boxes: Counter[str] = Counter()
    labels, pixels = _Labels(), Pixels()
    findings: list[Finding] = []
    try:
        for found in module.read_back(root):
            images.setdefault(found.split, Counter())[-1 if found.class_index is None else found.class_index] += 1
            boxes[found.split] += len(found.boxes or ())
            labels.add(found.stem, found.split, found.class_index)
            if read_data and found.read is not None:
                data = found.read()
                found = found._replace(read=partial(bytes, data))  # noqa: PLW2901 (read once)
                pixels.add(found.stem, data)
            if originals is not None:
                originals.take(found)
        if module.WRITES.names_images:
            findings += _counted(images, boxes if module.WRITES.boxes else None, classes, "what is read back")
        if module.WRITES.holds_bytes and not findings and (root / kept.IDS).is_file():
            findings += labels.compared(root, classes)
    except (ImagenetToolsError, *PILLOW_ERRORS, BadZipFile, zlib.error) as error:
        findings.append(Finding("E305", f"it cannot be read back: {error}"))
    findings += grouped("E310", pixels.finish())
    return _ReadBack(sum(found.total() for found in images.values()), pixels.decoded, findings)


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _files(root: Path, named: Mapping[str, Mapping[str, object]]) -> Iterator[Finding]:
    for name, said in named.items():
        path = root / name
        if not path.is_file() or path.stat().st_size != said["bytes"]:
            found = f"{path.stat().st_size:,} bytes" if path.is_file() else "nothing"
            yield Finding("E302", f"{name}: found {found}, expected {said['bytes']:,} bytes")
            continue
        with path.open("rb") as file:
            if "sha256" in said and hashlib.file_digest(file, "sha256").hexdigest() != said["sha256"]:
                yield Finding("E303", f"{name}: its SHA-256 is not the one in {MANIFEST}")


def _kept(root: Path, named: Mapping[str, object], classes: list[dict[str, Any]]) -> Iterator[str]:
    missing = [name for name in (kept.RECIPE, kept.LOCK, kept.IDS) if name not in named]
    if missing:
        yield f"{MANIFEST} names no {', '.join(missing)}"
    yield from kept.wrong(root, classes)


def _image_files(root: Path, said: Mapping[str, object], named: Mapping[str, object]) -> Iterator[Finding]:
    """Every file that is not named is one of an image, and in the one digest over them."""
    digest = Digest()
    of, labels = str(said["of"]), 0
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if name in named or not path.is_file():
            continue
        sha256 = ""
        labels += of == NAMES_ALONE and has_bytes(LABEL_BYTES, name)
        if has_bytes(of, name):
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        digest.add([ImageFile(name, path.stat().st_size, sha256)])
    if digest.hexdigest() != said["sum_of_sha256_of_lines"]:
        what = {NAMES_ALONE: "names or sizes", ALL_BYTES: "names, sizes or bytes"}.get(
            of, "names, sizes or label bytes"
        )
        yield Finding(
            "E304",
            f"found {digest.files:,} files of images and labels with {digest.bytes:,} bytes, expected "
            f"{said['files']:,} with {said['bytes']:,}; their {what} are not those that were written",
        )
    elif labels:
        yield Finding(
            "W304", f"the bytes of {labels:,} label files were not compared: {MANIFEST} has no digests of them"
        )


class _Labels:
    """The images of an export with split and class, as a digest: of what is read back, and of the lock."""

    def __init__(self) -> None:
        self._read, self._classed = Digest(), True

    def add(self, stem: str, split: str, class_index: int | None) -> None:
        """Take an image that was read back."""
        self._classed &= class_index is not None
        self._read.add([ImageFile(f"{split}/{stem}", -1 if class_index is None else class_index)])

    def compared(self, root: Path, classes: list[dict[str, Any]]) -> Iterator[Finding]:
        """Yield a finding if the lock of the export has other images, splits or classes."""
        import pyarrow.parquet as pq

        index_of = {one["wnid"]: one["index"] if self._classed else -1 for one in classes}
        expected = Digest()
        with pq.ParquetFile(root / kept.IDS) as file:
            for batch in file.iter_batches(columns=["image_id", "wnid", "split"]):
                rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
                expected.add(
                    ImageFile(f"{split}/{image_id.replace('/', '_')}", index_of.get(wnid, -2))
                    for image_id, wnid, split in rows
                )
        if expected.hexdigest() != self._read.hexdigest():
            yield Finding("E311", f"what is read back has images in other classes or splits than {kept.IDS} says")


def _generation(manifest: Mapping[str, Any], index: Store | None) -> Iterator[Finding]:
    from imagenet_tools.exports.partial import index_digest

    if index is not None and index_digest(index) != manifest["index"]:
        yield Finding("W303", f"{index.path} is another generation of the index than it was made from")


def _counted(
    images: Counts, boxes: Mapping[str, int] | None, classes: list[dict[str, Any]], what: str
) -> Iterator[Finding]:
    """What was counted against what classes.json says; class -1 is that of images without one."""
    splits = {split for one in classes for split in one["splits"]} | set(images)
    for split in sorted(splits):
        said = {one["index"]: one["splits"].get(split, {"images": 0, "boxes": 0}) for one in classes}
        expected = Counter({index: counts["images"] for index, counts in said.items() if counts["images"]})
        found = images.get(split, Counter())
        if -1 in found:
            if found.total() != expected.total():
                yield Finding("E305", f"{what} has {found.total():,} images in {split}, expected {expected.total():,}")
        elif found != expected:
            wrong = sorted(index for index in {*found, *expected} if found[index] != expected[index])
            first = wrong[0]
            yield Finding(
                "E305",
                f"{what} has other images in {split} than {CLASSES} counts, in {len(wrong):,} classes: of class "
                f"{first} it has {found[first]:,}, expected {expected[first]:,}",
            )
        n = sum(counts["boxes"] for counts in said.values())
        if boxes is not None and boxes.get(split, 0) != n:
            yield Finding("E305", f"{what} has {boxes.get(split, 0):,} boxes in {split}, expected {n:,}")


def _loaded(module: Writer, root: Path, classes: list[dict[str, Any]]) -> tuple[str, list[Finding]]:
    load = getattr(module, "load", None)
    if load is None:
        return "", [Finding("W302", "the format names no loader of a framework")]
    try:
        found: Loaded = load(root)
    except ImportError as error:
        return "", [Finding("W302", f"the loader is not installed here: {error}")]
    findings = []
    expected = tuple(str(one[found.called]) for one in classes)
    if found.classes is not None and found.classes != expected:
        pairs = zip(found.classes, expected, strict=False)
        wrong = next((f"; class {n} is another" for n, (ours, theirs) in enumerate(pairs) if ours != theirs), "")
        sizes = f"{found.loader} has {len(found.classes):,} classes, expected {len(expected):,}"
        findings.append(Finding("E308", sizes + wrong))
    counted = {split: Counter(dict(one)) for split, one in found.images.items()}
    findings += [Finding("E308", one.message) for one in _counted(counted, found.boxes, classes, found.loader)]
    return found.loader, findings


def _named(ids: list[str]) -> str:
    more = f" and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else ""
    return f"{', '.join(ids[:_NAMED])}{more}: {'this is' if len(ids) == 1 else 'these are'}"
