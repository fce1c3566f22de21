"""A lock: exactly which images a selection chose, their classes and splits, to be made again from any form of them.

dogs.lock.toml          to commit
    format = 2
    kind = "lock"
    name = "dogs"
    version = "0.1.0"                       of this software
    n_images = 350
    sha256 = "..."                          of images, classes and counts, as below
    ids = "dogs.lock.parquet"
    classes = ["n02085620 chihuahua.n.03", ...]     in order: a class is numbered by its place
    folders = ["n02085620", ...]            what each class is called in paths, and for people
    display = ["Chihuahua", ...]
    [recipe] ...                            the words that made it; in an export with [recipe.export.TARGET]
    [counts.train]                          images by split and class
    n02085620 = 300
dogs.lock.parquet       beside it, in the order of the lines: dataset, image_id, wnid, split, official_wnid

The SHA-256 is of these lines, TAB between fields: `dataset/image_id wnid split` of each image, sorted; then
`class wnid name folder display` of each class, in order; then `count split wnid n`, sorted.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from imagenet_tools import __version__
from imagenet_tools.catalogue.export_classes import Class, order_classes
from imagenet_tools.errors import SourceError, UnknownSynsetError, UsageError
from imagenet_tools.selection import recipe
from imagenet_tools.selection.query import ranges
from imagenet_tools.storage.files import whole, write_whole

if TYPE_CHECKING:
    import pyarrow as pa

    from imagenet_tools.selection.selection import Selection

_FORMAT = 2
_COLUMNS = ("dataset", "image_id", "wnid", "split", "official_wnid")
_ROW_GROUP = 131_072
_AT_ONCE = 500_000  # images that are put in order at once
_LINES = 16_384  # lines that are in memory at once
_KEY = "dataset || '/' || image_id"


class Lock(NamedTuple):
    """What is locked."""

    name: str
    version: str
    sha256: str  # of images, classes and counts
    counts: dict[str, dict[str, int]]  # images by split and class
    named: tuple[Class, ...]  # the classes in order, with their names
    recipe: dict[str, Any]
    ids: Path | None = None  # the Parquet file of the ids; None: they were not written

    @property
    def classes(self) -> tuple[str, ...]:
        """The wnids of the classes, in order."""
        return tuple(one.wnid for one in self.named)

    @property
    def n_images(self) -> int:
        """Images in all."""
        return sum(n for counted in self.counts.values() for n in counted.values())


# ---- made


def make(selection: Selection, path: str | Path | None = None, *, name: str = "") -> Lock:
    """Lock a selection; with `path`, NAME.lock.toml, write it and its ids. ExistsError: one of the files exists."""
    if path is None:
        return write_ids(selection, None, name=name)
    toml = Path(path)
    ids = toml.with_suffix(".parquet")
    called = name or toml.name.removesuffix(".toml").removesuffix(".lock")
    with whole(ids) as out:
        made = write_ids(selection, out, name=called)._replace(ids=ids)
        write_whole(toml, text(made).encode())
    return made


def write_ids(
    selection: Selection,
    out: BinaryIO | None,
    *,
    name: str = "",
    without: Collection[str] = (),
    classes: Sequence[Class] = (),
) -> Lock:
    """Write the ids of a lock, if `out` is there to take them; gives the lock, that does not yet know where they lie.

    `without` are images, as dataset/image_id, that are not locked though they were chosen; `classes` are those of an
    export, which may call them by other names.
    """
    exported = {one.wnid: one for one in classes or order_classes(selection.wnids())}
    named = tuple(replace(exported[wnid], index=n) for n, wnid in enumerate(selection.wnids()))
    sha256, counts = _digest(_rows(selection, without), named, out)
    return Lock(name, __version__, sha256, counts, named, recipe.tables(selection))


def text(lock: Lock) -> str:
    """The TOML file of a lock."""
    import tomli_w

    content = {
        "format": _FORMAT,
        "kind": "lock",
        "name": lock.name,
        "version": lock.version,
        "n_images": lock.n_images,
        "sha256": lock.sha256,
        "ids": lock.ids.name if lock.ids else "",
        "classes": [f"{one.wnid} {one.name}" for one in lock.named],
        "folders": [one.folder for one in lock.named],
        "display": [one.display for one in lock.named],
        "recipe": lock.recipe,
        # The last of all: a file that is cut short has other counts than its sum.
        "counts": lock.counts,
    }
    return tomli_w.dumps(content, indent=2)


def _rows(selection: Selection, without: Collection[str]) -> Iterator[pa.RecordBatch]:
    """The chosen images in the order of the lines, some at a time."""
    columns = ", ".join(_COLUMNS)
    others = f" AND {_KEY} NOT IN (SELECT unnest($_without::VARCHAR[]))" if without else ""
    # The order of dataset/image_id: no name of a data set has a '/' in it.
    order = {"_set": "dataset || '/'", "_image": "image_id"}
    for stretch in ranges(selection, order, _AT_ONCE):
        yield from selection.read(
            f"""SELECT {columns} FROM made WHERE left_out IS NULL AND {stretch.text}{others}
                ORDER BY {", ".join(order.values())}""",
            {**stretch.values, "_without": sorted(without)},
        )


def _digest(
    batches: Iterator[pa.RecordBatch], classes: Sequence[Class], out: BinaryIO | None
) -> tuple[str, dict[str, dict[str, int]]]:
    """(SHA-256 of all lines, counts); the rows go to `out` as Parquet, cut the same however they come."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.string()) for name in _COLUMNS])
    writer = pq.ParquetWriter(out, schema, compression="zstd", store_schema=False) if out is not None else None
    digest, waiting, counted = hashlib.sha256(), pa.Table.from_batches([], schema), Counter[tuple[str, str]]()
    for batch in batches:
        for line in _lines(batch):
            digest.update(line)
        counted.update(_counts(batch))
        if writer is None:
            continue
        waiting = pa.concat_tables([waiting, pa.Table.from_batches([batch]).cast(schema)])
        while waiting.num_rows >= _ROW_GROUP:
            writer.write_table(waiting.slice(0, _ROW_GROUP).combine_chunks(), row_group_size=_ROW_GROUP)
            waiting = waiting.slice(_ROW_GROUP)
    if writer is not None:
        writer.write_table(waiting.combine_chunks(), row_group_size=_ROW_GROUP)
        writer.close()
    for one in classes:
        digest.update(f"class\t{one.wnid}\t{one.name}\t{one.folder}\t{one.display}\n".encode())
    counts: dict[str, dict[str, int]] = {}
    for (split_of, class_of), n in sorted(counted.items()):
        counts.setdefault(split_of, {})[class_of] = n
        digest.update(f"count\t{split_of}\t{class_of}\t{n}\n".encode())
    return digest.hexdigest(), counts


def _lines(batch: pa.RecordBatch) -> Iterator[memoryview]:
    """The lines of some images, one after the other, as they lie in memory: some thousand to a piece."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for start in range(0, len(batch), _LINES):
        dataset, image_id, wnid, split = (batch.column(name)[start : start + _LINES] for name in _COLUMNS[:4])
        parts = [dataset, "/", image_id, "\t", wnid, "\t", split, "\n", ""]
        texts = [_scalar(part) if isinstance(part, str) else part.cast(pa.string()) for part in parts]
        lines = pc.binary_join_element_wise(*texts, null_handling="replace", null_replacement="None")
        ends = np.frombuffer(lines.buffers()[1], np.int32)[lines.offset : lines.offset + len(lines) + 1]
        yield memoryview(lines.buffers()[2])[int(ends[0]) : int(ends[-1])]


def _scalar(text: str) -> pa.Scalar:
    """A text for Arrow; not pa.scalar, which imports pandas where it is installed."""
    import pyarrow as pa

    data = text.encode()
    ends = pa.py_buffer(np.array([0, len(data)], np.int32))
    return pa.Array.from_buffers(pa.string(), 1, [None, ends, pa.py_buffer(data)])[0]


def _counts(batch: pa.RecordBatch) -> dict[tuple[str, str], int]:
    """Images by split and class."""
    split, wnid = (batch.column(name).cast("string").dictionary_encode() for name in ("split", "wnid"))
    width = len(wnid.dictionary)
    both = np.from_dlpack(split.indices).astype(np.int64) * width + np.from_dlpack(wnid.indices)
    numbers = np.bincount(both, minlength=len(split.dictionary) * width)
    splits, wnids = split.dictionary.to_pylist(), wnid.dictionary.to_pylist()
    return {(splits[n // width], wnids[n % width]): int(numbers[n]) for n in np.flatnonzero(numbers).tolist()}


# ---- read


def is_lock(path: Path) -> bool:
    """Return True if a file is a lock by its name, or by a key that no recipe has, however damaged it is."""
    if recipe.is_lock_name(path):
        return True
    try:
        top = path.read_bytes().partition(b"\n[")[0]
    except OSError:
        return False
    return re.search(rb"^(kind|n_images|sha256|ids)\s*=", top, re.MULTILINE) is not None


def read(path: str | Path) -> Lock:
    """Read a lock, and compare its images, classes and counts with its sum.

    SourceError: it is no whole lock of this format, or something in it or in its ids was changed. UsageError: there is
    no such file.
    """
    path = Path(path)
    try:
        table = recipe.load(path)
    except UsageError as error:
        if isinstance(error.__cause__, OSError):
            raise
        raise _wrong(path, f"it is no whole TOML: {error.__cause__ or str(error).removeprefix(f'{path}: ')}") from error
    if table.get("kind") != "lock" or table.get("format") != _FORMAT:
        found = f"kind {table.get('kind')!r}, format {table.get('format')!r}"
        old = " Its sum does not protect the numbers and names of its classes." if table.get("format") == 1 else ""
        raise _wrong(path, f"found {found}.{old}")
    for key, (holds, expected) in _KEYS.items():
        if key not in table or not holds(table[key]):
            raise _wrong(path, f"{key} is {table[key]!r}" if key in table else f"found no {key}", f"{key}, {expected}")
    if unknown := sorted(set(table) - set(_KEYS)):
        raise _wrong(path, f"found the key {unknown[0]!r}", f"the keys {', '.join(_KEYS)} alone")
    pairs = [text.partition(" ") for text in table["classes"]]
    wnids = [wnid for wnid, _, _ in pairs]
    if len(set(wnids)) < len(wnids) or not len(wnids) == len(table["folders"]) == len(table["display"]):
        raise _wrong(path, f"found {len(wnids):,} classes", "each class once, with a folder and a display name")
    names = zip(pairs, table["folders"], table["display"], strict=True)
    named = tuple(Class(n, wnid, name, display, folder) for n, ((wnid, _, name), folder, display) in enumerate(names))
    try:
        order_classes(wnids)
        recipe.parse(table["recipe"], path)
    except (UsageError, UnknownSynsetError) as error:
        raise _wrong(path, str(error)) from error
    ids = path.parent / table["ids"]
    lock = Lock(table["name"], table["version"], table["sha256"], table["counts"], named, table["recipe"], ids)
    sha256, counts = _sum_of(ids, path, named)
    if (sha256, counts, lock.n_images) != (lock.sha256, lock.counts, table["n_images"]):
        raise _wrong(
            path,
            f"its images, classes and counts have the SHA-256 {sha256[:12]}..., it names {lock.sha256[:12]}...: this "
            f"file or {ids.name} was changed",
            "both as they were written",
        )
    return lock


def _wrong(path: Path, found: str, expected: str = f"a lock of format {_FORMAT}") -> SourceError:
    return SourceError(
        f"{path}: {found.removesuffix('.')}. Expected {expected}. Bring it and its .parquet back from where they were "
        "made, or remove both and lock again with `subset FILE.toml --lock`; an export is made again from its recipe."
    )


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_counts(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(split, dict) and all(type(n) is int for n in split.values()) for split in value.values()
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str)


# What each key of a lock holds: a test, and in words.
_KEYS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "format": (lambda value: type(value) is int, "a whole number"),
    "kind": (_is_text, '"lock"'),
    "name": (_is_text, "a text"),
    "version": (_is_text, "a text"),
    "n_images": (lambda value: type(value) is int, "a whole number"),
    "sha256": (_is_text, "a text"),
    "ids": (lambda value: _is_text(value) and Path(value).name == value, "the name of a file beside the lock"),
    "classes": (_is_texts, "a list of texts such as 'n02084071 dog.n.01'"),
    "folders": (_is_texts, "a list of texts"),
    "display": (_is_texts, "a list of texts"),
    "counts": (_is_counts, "whole numbers by split and class"),
    "recipe": (lambda value: isinstance(value, dict), "a table"),
}


def _sum_of(ids: Path, path: Path, classes: Sequence[Class]) -> tuple[str, dict[str, dict[str, int]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(ids) as file:
            found = {field.name: str(field.type) for field in file.schema_arrow}
            if {name: found.get(name) for name in _COLUMNS} != dict.fromkeys(_COLUMNS, "string"):
                raise _wrong(path, f"{ids.name} has the columns {found}", f"texts in {', '.join(_COLUMNS)}")
            return _digest(file.iter_batches(columns=list(_COLUMNS)), classes, None)
    except (OSError, pa.ArrowException) as error:
        raise _wrong(path, f"{ids.name}, where it keeps its ids, cannot be read: {error}") from error


def missing(selection: Selection) -> list[str]:
    """The images of a pinned selection that are not in its index, as dataset/image_id, sorted."""
    query = f"SELECT {_KEY} FROM _lock ANTI JOIN images USING (dataset, image_id) ORDER BY 1"
    return [key for (key,) in selection.run(query).fetchall()]


def relabelled(selection: Selection) -> list[tuple[str, str, str]]:
    """(image, class when it was locked, class here) of images of a pinned selection whose own class is another here."""
    query = """SELECT images.dataset || '/' || images.image_id AS key, _lock.official_wnid, images.wnid
                FROM _lock JOIN images USING (dataset, image_id)
                WHERE _lock.official_wnid IS DISTINCT FROM images.wnid ORDER BY ALL"""
    return [(str(key), str(was), str(here)) for key, was, here in selection.run(query).fetchall()]


def check_all_here(selection: Selection) -> None:
    """SourceError: images of a pinned selection are not in its index, or are of another class there."""
    gone, other = missing(selection), relabelled(selection)
    if gone or other:
        named = ", ".join([*gone[:5], *(f"{key} (was {was}, is {here})" for key, was, here in other[:5])])
        raise SourceError(
            f"{len(gone):,} images of the lock are not in the index, and {len(other):,} are of another class there: "
            f"{named}{' ...' if len(gone) > 5 or len(other) > 5 else ''}. `check LOCK` names all."
        )
