"""A lock: exactly which images a selection chose, their classes and splits, to select again from any form of them.

dogs.lock.toml          to commit
    format = 2
    kind = "lock"
    name = "dogs"
    version = "0.1.0"                       of this software
    n_images = 350
    sha256 = "..."                          of images, classes and counts, as below
    ids = "dogs.lock.parquet"
    classes = ["n02085620 chihuahua.n.03", ...]     in order: the number of a class is its place
    folders = ["n02085620", ...]            the name of each class in paths, and for people
    display = ["Chihuahua", ...]
    [recipe] ...                            the words that chose the images; in an export with [recipe.export.TARGET]
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
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from imagenet_tools import __version__
from imagenet_tools.arguments import fits
from imagenet_tools.catalogue.export_classes import Class, order_classes
from imagenet_tools.errors import SourceError, UnknownSynsetError, UsageError
from imagenet_tools.selection import recipe
from imagenet_tools.storage.files import whole, write_whole
from imagenet_tools.text import are, count_of, images_of

if TYPE_CHECKING:
    import pyarrow as pa

    from imagenet_tools.selection.selection import Selection

_FORMAT = 2
_COLUMNS = ("dataset", "image_id", "wnid", "split", "official_wnid")
_ROW_GROUP_ROWS = 131_072
_SORTED_IMAGES = 500_000  # images that are sorted at once, about
_SAMPLE_IMAGES = 1_000  # images of each stretch that are sampled to find its bounds
_NAMED_IMAGES = 5  # images that an error names
_KEY = "dataset || '/' || image_id"


class Lock(NamedTuple):
    """The content of a lock."""

    name: str
    version: str
    sha256: str  # of images, classes and counts
    counts: dict[str, dict[str, int]]  # images by split and class
    named: tuple[Class, ...]  # the classes in order, with their names
    recipe: dict[str, Any]
    ids: Path | None = None  # the Parquet file of the ids; None: they were not written

    def __repr__(self) -> str:
        n_images = {split: sum(counted.values()) for split, counted in self.counts.items()}
        return f"Lock: {self.name}; {images_of(n_images, len(self.named))}; {self.sha256[:12]}..."

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the wnids of the classes, in order."""
        return tuple(entry.wnid for entry in self.named)

    @property
    def n_images(self) -> int:
        """Return the number of images in all splits."""
        return sum(n for counted in self.counts.values() for n in counted.values())


# ---- Write


def make(selection: Selection, path: str | Path | None = None, *, name: str = "") -> Lock:
    """Lock a selection; if `path`, NAME.lock.toml, is given, write the lock and its ids.

    Raises:
        ExistsError: One of the files exists.
        UsageError: The path has another suffix.
    """
    if path is None:
        return write_ids(selection, None, name=name)
    toml = Path(path)
    if toml.suffix != ".toml":
        raise UsageError(f"{path}: expected a name such as dogs.lock.toml. The ids are in a .parquet beside it.")
    ids = toml.with_suffix(".parquet")
    name = name or toml.name.removesuffix(".toml").removesuffix(".lock")
    with whole(ids) as out:
        lock = write_ids(selection, out, name=name)._replace(ids=ids)
        write_whole(toml, text(lock).encode())
    return lock


def write_ids(
    selection: Selection,
    out: BinaryIO | None,
    *,
    name: str = "",
    without: Collection[str] = (),
    classes: Sequence[Class] = (),
) -> Lock:
    """Write the ids of a lock, and return the lock, without the path of the ids.

    Args:
        selection: The images.
        out: The file of the ids; None: they are not written.
        name: The name of the lock.
        without: Chosen images that are not locked, as dataset/image_id.
        classes: The classes of an export, which may have other names.
    """
    exported = {entry.wnid: entry for entry in classes or order_classes(selection.wnids())}
    named = tuple(replace(exported[wnid], index=n) for n, wnid in enumerate(selection.wnids()))
    sha256, counts = _digest(_sorted_images(selection, without), named, out)
    return Lock(name, __version__, sha256, counts, named, recipe.tables(selection))


def text(lock: Lock) -> str:
    """Return a lock as the text of its TOML file."""
    import tomli_w

    content = {
        "format": _FORMAT,
        "kind": "lock",
        "name": lock.name,
        "version": lock.version,
        "n_images": lock.n_images,
        "sha256": lock.sha256,
        "ids": lock.ids.name if lock.ids else "",
        "classes": [f"{entry.wnid} {entry.name}" for entry in lock.named],
        "folders": [entry.folder for entry in lock.named],
        "display": [entry.display for entry in lock.named],
        "recipe": lock.recipe,
        # The last key: a file that is cut short has other counts than its checksum.
        "counts": lock.counts,
    }
    return tomli_w.dumps(content, indent=2)


def _sorted_images(selection: Selection, without: Collection[str]) -> Iterator[pa.RecordBatch]:
    """Yield the chosen images in the order of the lines, some at a time: sorting all would take memory for each."""
    others = f" AND {_KEY} NOT IN (SELECT unnest($_without::VARCHAR[]))" if without else ""
    # The order of dataset/image_id, because no name of a data set has a '/' in it.
    datasets = selection.run("SELECT DISTINCT dataset FROM images ORDER BY dataset || '/'").fetchall()
    for (dataset,) in datasets:
        for first, end in pairwise(["", *_bounds(selection, dataset), None]):
            before = "AND image_id < $_end" if end is not None else ""
            yield from selection.read(
                f"""SELECT {", ".join(_COLUMNS)} FROM made WHERE left_out IS NULL AND dataset = $_set
                    AND image_id >= $_first {before}{others} ORDER BY image_id""",
                {"_set": dataset, "_first": first, "_end": end, "_without": sorted(without)},
            )


def _bounds(selection: Selection, dataset: str) -> list[str]:
    """Return the ids that cut the chosen images of a data set into stretches of about _SORTED_IMAGES."""
    n_images = sum(sum(counted.values()) for counted in selection.counts().values())
    if n_images <= _SORTED_IMAGES:
        return []
    share = (_SAMPLE_IMAGES << 32) // _SORTED_IMAGES  # of the 2^32 values of hash32
    sample = selection.run(
        """SELECT image_id FROM made
           WHERE left_out IS NULL AND dataset = $_set AND hash32 < $_share ORDER BY image_id""",
        {"_set": dataset, "_share": share},
    ).fetchall()
    return [image_id for (image_id,) in sample[_SAMPLE_IMAGES::_SAMPLE_IMAGES]]


# ---- The checksum


def _digest(
    batches: Iterable[pa.RecordBatch], classes: Sequence[Class], out: BinaryIO | None
) -> tuple[str, dict[str, dict[str, int]]]:
    """Return the SHA-256 of all lines, and images by split and class; write the rows as Parquet to `out`.

    Row groups have the same rows whatever the size of the batches, so the file has the same bytes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.string()) for name in _COLUMNS])
    writer = pq.ParquetWriter(out, schema, compression="zstd", store_schema=False) if out is not None else None
    digest, waiting, counted = hashlib.sha256(), pa.Table.from_batches([], schema), Counter[tuple[str, str]]()
    for batch in batches:
        columns = [batch.column(name).to_pylist() for name in _COLUMNS[:4]]
        rows = zip(*columns, strict=True)
        lines = [f"{dataset}/{image_id}\t{wnid}\t{split}\n" for dataset, image_id, wnid, split in rows]
        digest.update("".join(lines).encode())
        counted.update(zip(map(str, columns[3]), map(str, columns[2]), strict=True))
        if writer is None:
            continue
        table = pa.Table.from_arrays([batch.column(name) for name in _COLUMNS], schema=schema)
        waiting = pa.concat_tables([waiting, table])
        while waiting.num_rows >= _ROW_GROUP_ROWS:
            writer.write_table(waiting.slice(0, _ROW_GROUP_ROWS).combine_chunks(), row_group_size=_ROW_GROUP_ROWS)
            waiting = waiting.slice(_ROW_GROUP_ROWS)
    if writer is not None:
        writer.write_table(waiting.combine_chunks(), row_group_size=_ROW_GROUP_ROWS)
        writer.close()
    for entry in classes:
        digest.update(f"class\t{entry.wnid}\t{entry.name}\t{entry.folder}\t{entry.display}\n".encode())
    counts: dict[str, dict[str, int]] = {}
    for (split_name, class_wnid), n in sorted(counted.items()):
        counts.setdefault(split_name, {})[class_wnid] = n
        digest.update(f"count\t{split_name}\t{class_wnid}\t{n}\n".encode())
    return digest.hexdigest(), counts


# ---- Read


def is_lock(path: Path) -> bool:
    """Return True if a file is a lock by its name, or by a key that no recipe has, even if it is damaged."""
    if recipe.is_lock_name(path):
        return True
    try:
        top = path.read_bytes().partition(b"\n[")[0]
    except OSError:
        return False
    return re.search(rb"^(kind|n_images|sha256|ids)\s*=", top, re.MULTILINE) is not None


def read(path: str | Path) -> Lock:
    """Read a lock, and compare its images, classes and counts with its checksum.

    Raises:
        SourceError: It is no complete lock of this format, or the lock or its ids were changed.
        UsageError: There is no such file.
    """
    path = Path(path)
    try:
        table = recipe.load(path)
    except UsageError as error:
        if isinstance(error.__cause__, OSError):
            raise
        raise _wrong(path, f"it is no whole TOML: {error.__cause__ or str(error).removeprefix(f'{path}: ')}") from error
    _check_keys(path, table)
    pairs = [text.partition(" ") for text in table["classes"]]
    wnids = [wnid for wnid, _, _ in pairs]
    if len(set(wnids)) < len(wnids) or not len(wnids) == len(table["folders"]) == len(table["display"]):
        raise _wrong(
            path, f"found {count_of(len(wnids), 'class')}", "each class once, with a folder and a display name"
        )
    names = zip(pairs, table["folders"], table["display"], strict=True)
    named = tuple(Class(n, wnid, name, display, folder) for n, ((wnid, _, name), folder, display) in enumerate(names))
    try:
        order_classes(wnids)
        recipe.parse(table["recipe"], path)
    except (UsageError, UnknownSynsetError) as error:
        raise _wrong(path, str(error)) from error
    ids = path.parent / table["ids"]
    lock = Lock(table["name"], table["version"], table["sha256"], table["counts"], named, table["recipe"], ids)
    sha256, counts = _digest_of_file(ids, path, named)
    if (sha256, counts, lock.n_images) != (lock.sha256, lock.counts, table["n_images"]):
        raise _wrong(
            path,
            f"its images, classes and counts have the SHA-256 {sha256[:12]}..., it names {lock.sha256[:12]}...: this "
            f"file or {ids.name} was changed",
            "both as they were written",
        )
    return lock


def _check_keys(path: Path, table: dict[str, Any]) -> None:
    if table.get("kind") != "lock" or table.get("format") != _FORMAT:
        old = " Its sum does not protect the numbers and names of its classes." if table.get("format") == 1 else ""
        raise _wrong(path, f"found kind {table.get('kind')!r}, format {table.get('format')!r}.{old}")
    for key, (kind, expected) in _KEYS.items():
        value: Any = table.get(key)
        if not fits(value, kind) or (key == "ids" and Path(value).name != value):
            raise _wrong(path, f"{key} is {value!r}" if key in table else f"found no {key}", f"{key}, {expected}")
    if unknown := sorted(set(table) - set(_KEYS)):
        raise _wrong(path, f"found the key {unknown[0]!r}", f"the keys {', '.join(_KEYS)} alone")


def _wrong(path: Path, problem: str, expected: str = f"a lock of format {_FORMAT}") -> SourceError:
    return SourceError(
        f"{path}: {problem.removesuffix('.')}. Expected {expected}. Copy it and its .parquet again from where they "
        "were written, or remove both and lock again with `subset FILE.toml --lock`; export again from the recipe."
    )


# The type of the value of each key, and the value in words.
_KEYS = {
    "format": ("int", "a whole number"),
    "kind": ("str", '"lock"'),
    "name": ("str", "a text"),
    "version": ("str", "a text"),
    "n_images": ("int", "a whole number"),
    "sha256": ("str", "a text"),
    "ids": ("str", "the name of a file beside the lock"),
    "classes": ("Sequence[str]", "a list of texts such as 'n02084071 dog.n.01'"),
    "folders": ("Sequence[str]", "a list of texts"),
    "display": ("Sequence[str]", "a list of texts"),
    "counts": ("Mapping[str, Mapping[str, int]]", "whole numbers by split and class"),
    "recipe": ("Mapping[str, object]", "a table"),
}


def _digest_of_file(ids: Path, path: Path, classes: Sequence[Class]) -> tuple[str, dict[str, dict[str, int]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(ids) as file:
            types = {field.name: str(field.type) for field in file.schema_arrow}
            if {name: types.get(name) for name in _COLUMNS} != dict.fromkeys(_COLUMNS, "string"):
                raise _wrong(path, f"{ids.name} has the columns {types}", f"texts in {', '.join(_COLUMNS)}")
            return _digest(file.iter_batches(columns=list(_COLUMNS)), classes, None)
    except (OSError, pa.ArrowException) as error:
        raise _wrong(path, f"{ids.name}, where it keeps its ids, cannot be read: {error}") from error


# ---- Compare with an index


def missing(selection: Selection) -> list[str]:
    """Return the images of a pinned selection that are not in its index, as dataset/image_id, sorted."""
    query = f"SELECT {_KEY} FROM _lock ANTI JOIN images USING (dataset, image_id) ORDER BY 1"
    return [key for (key,) in selection.run(query).fetchall()]


def relabelled(selection: Selection) -> list[tuple[str, str, str]]:
    """Return the images of a pinned selection with another official class in its index than when they were locked.

    Each is (dataset/image_id, class when it was locked, class in the index).
    """
    return selection.run(
        """SELECT images.dataset || '/' || images.image_id AS key, _lock.official_wnid, images.wnid
           FROM _lock JOIN images USING (dataset, image_id)
           WHERE _lock.official_wnid IS DISTINCT FROM images.wnid ORDER BY ALL"""
    ).fetchall()


def check_all_here(selection: Selection) -> None:
    """Raise SourceError if images of a pinned selection are not in its index, or have another class there."""
    gone, other = missing(selection), relabelled(selection)
    if gone or other:
        first = [*gone[:_NAMED_IMAGES], *(f"{key} (was {was}, is {now})" for key, was, now in other[:_NAMED_IMAGES])]
        more = " ..." if max(len(gone), len(other)) > _NAMED_IMAGES else ""
        raise SourceError(
            f"{count_of(len(gone), 'image')} of the lock {are(len(gone))} not in the index, and {len(other):,} "
            f"{are(len(other))} of another class there: {', '.join(first)}{more}. `check LOCK` names all."
        )
