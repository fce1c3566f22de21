"""A lock: exactly which images a selection chose, their classes and splits, to be made again from any form of them.

dogs.lock.toml          to commit
    format = 1
    kind = "lock"
    name = "dogs"
    version = "0.1.0"                       of this software
    n_images = 350
    sha256 = "..."                          of the sorted lines `dataset/image_id<TAB>wnid<TAB>split`
    ids = "dogs.lock.parquet"
    classes = ["n02085620 chihuahua.n.03", ...]     in order
    [counts.train]                          images by split and class
    n02085620 = 300
    [recipe] ...                            the words that made it; in an export with [recipe.export.TARGET]
dogs.lock.parquet       beside it, in the order of the lines: dataset, image_id, wnid, split, official_wnid
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from imagenet_tools import __version__, wordnet
from imagenet_tools.errors import SourceError, UsageError
from imagenet_tools.files import whole, write_whole
from imagenet_tools.selection import recipe
from imagenet_tools.selection.ranges import ranges

if TYPE_CHECKING:
    import pyarrow as pa

    from imagenet_tools.selection.selection import Selection

_COLUMNS = ("dataset", "image_id", "wnid", "split", "official_wnid")
_ROW_GROUP = 131_072
_AT_ONCE = 500_000  # images that are put in order at once
_LINES = 16_384  # lines that are in memory at once
_KEY = "dataset || '/' || image_id"


class Lock(NamedTuple):
    """What is locked."""

    name: str
    version: str
    sha256: str  # of the sorted lines
    counts: dict[str, dict[str, int]]  # images by split and class
    classes: tuple[str, ...]  # wnids in order
    recipe: dict[str, Any]
    ids: Path | None = None  # the Parquet file of the ids; None: they were not written

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


def write_ids(selection: Selection, out: BinaryIO | None, *, name: str = "", without: Collection[str] = ()) -> Lock:
    """Write the ids of a lock, if `out` is there to take them; gives the lock, that does not yet know where they lie.

    `without` are images, as dataset/image_id, that are not locked though they were chosen.
    """
    sha256, counts = _digest(_rows(selection, without), out)
    return Lock(name, __version__, sha256, counts, selection.wnids(), recipe.tables(selection))


def text(lock: Lock) -> str:
    """The TOML file of a lock."""
    import tomli_w

    content = {
        "format": recipe.FORMAT,
        "kind": "lock",
        "name": lock.name,
        "version": lock.version,
        "n_images": lock.n_images,
        "sha256": lock.sha256,
        "ids": lock.ids.name if lock.ids else "",
        "classes": [f"{wnid} {wordnet.synset(wnid).name}" for wnid in lock.classes],
        "counts": lock.counts,
        "recipe": lock.recipe,
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


def _digest(batches: Iterator[pa.RecordBatch], out: BinaryIO | None) -> tuple[str, dict[str, dict[str, int]]]:
    """(SHA-256 of the lines, counts); the rows go to `out` as Parquet, cut the same however they come."""
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
    counts: dict[str, dict[str, int]] = {}
    for (split_of, class_of), n in sorted(counted.items()):
        counts.setdefault(split_of, {})[class_of] = n
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
    """Whether a TOML file says that it is a lock."""
    return recipe.load(path).get("kind") == "lock"


def read(path: str | Path) -> Lock:
    """Read a lock, and hold its ids against its sum. UsageError: it is no lock, or its ids are not those it names."""
    path = Path(path)
    table = recipe.load(path)
    expected = ("format", "kind", "name", "version", "n_images", "sha256", "ids", "classes", "counts", "recipe")
    missing = [key for key in expected if key not in table]
    if missing or table["kind"] != "lock" or table["format"] != recipe.FORMAT:
        found = f"no {missing[0]}" if missing else f"format {table['format']!r}, kind {table['kind']!r}"
        raise UsageError(f"{path}: found {found}; expected a lock of format {recipe.FORMAT}, as `subset --lock` makes.")
    ids = path.parent / str(table["ids"])
    classes = tuple(str(one).partition(" ")[0] for one in table["classes"])
    lock = Lock(str(table["name"]), str(table["version"]), str(table["sha256"]), table["counts"], classes,
                table["recipe"], ids)  # fmt: skip
    found_sum = _sum_of(ids, path)
    if found_sum != lock.sha256:
        raise UsageError(
            f"{ids}: its lines have the SHA-256 {found_sum[:12]}..., {path} names {lock.sha256[:12]}...: one of them "
            "was changed. Bring both back from where they were made."
        )
    return lock


def _sum_of(ids: Path, path: Path) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(ids) as file:
            return _digest(file.iter_batches(columns=list(_COLUMNS)), None)[0]
    except (OSError, pa.ArrowException, ValueError, LookupError, TypeError) as error:
        message = f"{ids}: it cannot be read ({error}). {path} keeps its ids there: bring it back."
        raise UsageError(message) from error


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
