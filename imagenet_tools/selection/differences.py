"""Compare two indexes, locks, recipes or lists of classes: by image, by class, or by the bytes of images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from imagenet_tools.catalogue import given_lists, terms
from imagenet_tools.errors import UsageError
from imagenet_tools.selection import lock, recipe
from imagenet_tools.store.connection import quoted
from imagenet_tools.store.layout import MANIFEST, read_manifest
from imagenet_tools.wordnet import wordnet

if TYPE_CHECKING:
    import duckdb

    from imagenet_tools.selection.lock import Lock

WAYS = ("id", "wnid", "bytes")


class Difference(NamedTuple):
    """A difference: its kind, the thing that differs, and its values in a and b."""

    what: str  # only_a, only_b, wnid, split, n, length, bytes, value or place
    key: str  # an image as dataset/image_id, a wnid, or a key of a recipe
    a: object
    b: object


class Differences(NamedTuple):
    """The differences of two things."""

    kinds: tuple[str, str]  # index, lock, recipe or classes
    by: str
    counts: dict[str, int]  # by the kind of difference; empty if there is none
    some: tuple[Difference, ...]  # the first of each kind, in order


def differences(a: str, b: str, *, by: str | None = None, limit: int = 20) -> Differences:
    """Return the differences of b from a.

    Args:
        a: A folder of an index, a lock, a recipe, a published list, a file of classes, or a,b,c.
        b: Another entry.
        by: "id" (images by data set and id: presence, class and split), "wnid" (classes, and the images of each) or
            "bytes" (the bytes of images, read from both indexes). Default: id for images, wnid for classes.
        limit: The number of differences of each kind in `some`.

    Raises:
        UsageError: The two cannot be compared in this way.
    """
    kinds = _kind(a), _kind(b)
    if by is not None and by not in WAYS:
        raise UsageError(f"--by {by}: expected one of {', '.join(WAYS)}.")
    if "recipe" in kinds:
        if kinds != ("recipe", "recipe") or by is not None:
            raise UsageError(f"Found {' and '.join(kinds)}; a recipe is compared with another recipe, without --by.")
        return _collect(kinds, "key", _compare_recipes(Path(a), Path(b)), limit)
    by = by or ("wnid" if "classes" in kinds else "id")
    if "classes" in kinds:
        if by != "wnid":
            raise UsageError(f"--by {by}: a list of classes has no images; expected --by wnid.")
        return _collect(kinds, by, _compare_lists(_wnids(a, kinds[0]), _wnids(b, kinds[1])), limit)
    if by == "bytes" and kinds != ("index", "index"):
        raise UsageError(f"--by bytes: found {' and '.join(kinds)}; expected two indexes, whose images can be read.")
    return _collect(kinds, by, _compare_images(a, b, kinds, by), limit)


def _collect(kinds: tuple[str, str], by: str, rows: Iterable[Difference], limit: int) -> Differences:
    counts: dict[str, int] = {}
    some: list[Difference] = []
    for row in rows:
        counts[row.what] = counts.get(row.what, 0) + 1
        if counts[row.what] <= limit:
            some.append(row)
    return Differences(kinds, by, counts, tuple(some))


def _kind(text: str) -> str:
    path = Path(text)
    if path.is_dir():
        if not (path / MANIFEST).is_file():
            raise UsageError(f"{text}: no {MANIFEST} in it. Expected an index, a lock, a recipe or a class list.")
        return "index"
    if path.suffix == ".toml" and path.is_file():
        return "lock" if lock.is_lock(path) else "recipe"
    return "classes"


# ---- Recipes and lists


def _compare_recipes(path_a: Path, path_b: Path) -> Iterator[Difference]:
    a, b = (_flat(recipe.read(path).words) for path in (path_a, path_b))
    for key in sorted({*a, *b}):
        if a.get(key) != b.get(key):
            yield Difference("value", key, a.get(key), b.get(key))


def _flat(words: Mapping[str, Any]) -> dict[str, Any]:
    """Return the words with `key.name` for each name in a table."""
    flat: dict[str, Any] = {}
    for key, value in words.items():
        flat |= {f"{key}.{name}": part for name, part in value.items()} if isinstance(value, dict) else {key: value}
    return flat


def _wnids(text: str, kind: str) -> list[str]:
    if kind == "classes":
        return given_lists.read_list(text, lambda name: terms.resolve(name).wnid)
    if kind == "lock":
        return list(lock.read(text).classes)
    import duckdb

    with duckdb.connect() as sql:
        query = f"SELECT DISTINCT wnid FROM {_images_sql(text, kind)} WHERE wnid IS NOT NULL ORDER BY 1"
        return [wnid for (wnid,) in sql.execute(query).fetchall()]


def _compare_lists(a: list[str], b: list[str]) -> Iterator[Difference]:
    places_a, places_b = ({wnid: n for n, wnid in enumerate(wnids)} for wnids in (a, b))
    yield from (Difference("only_a", wnid, _synset_name(wnid), None) for wnid in a if wnid not in places_b)
    yield from (Difference("only_b", wnid, None, _synset_name(wnid)) for wnid in b if wnid not in places_a)
    for place, wnid in enumerate(a):
        if places_b.get(wnid, place) != place:
            yield Difference("place", wnid, place, places_b[wnid])


def _compare_classes(a: Lock, b: Lock) -> Iterator[Difference]:
    """Yield the classes of two locks with other numbers or names."""
    others = {entry.wnid: entry for entry in b.named}
    for entry in a.named:
        other = others.get(entry.wnid, entry)
        key = f"{entry.wnid} {entry.name}"
        if entry.index != other.index:
            yield Difference("place", key, entry.index, other.index)
        if (entry.folder, entry.display) != (other.folder, other.display):
            yield Difference("value", key, [entry.folder, entry.display], [other.folder, other.display])


def _synset_name(wnid: str | None) -> str:
    return wordnet.synset(wnid).name if wnid and wordnet.find_row(wnid) is not None else ""


# ---- Images


def _images_sql(text: str, kind: str) -> str:
    """Return SQL for the images of an index or a lock, with dataset, image_id, wnid, split and length."""
    if kind == "lock":
        ids = lock.read(text).ids
        return f"(SELECT dataset, image_id, wnid, split, NULL AS length FROM read_parquet({quoted(str(ids))}))"
    paths = read_manifest(Path(text)).paths(Path(text).absolute(), "images")
    if not paths:
        raise UsageError(f"{text}: the index has no images.")
    files = ", ".join(quoted(str(path)) for path in paths)
    rows = f"read_parquet([{files}], hive_partitioning = false)"
    return f"(SELECT dataset, image_id, wnid, split, length FROM {rows})"


def _compare_images(a: str, b: str, kinds: tuple[str, str], by: str) -> Iterator[Difference]:
    import duckdb

    with duckdb.connect(config={"temp_directory": ""}) as sql:
        for name, text, kind in zip("ab", (a, b), kinds, strict=True):
            sql.execute(f"CREATE VIEW {name} AS FROM {_images_sql(text, kind)}")
        if by == "id":
            yield from _by_id(sql)
        elif by == "wnid":
            yield from _by_wnid(sql)
        else:
            yield from _by_bytes(sql, a, b)
    if kinds == ("lock", "lock"):
        yield from _compare_classes(lock.read(a), lock.read(b))


def _rows(sql: duckdb.DuckDBPyConnection, query: str) -> Iterator[tuple[Any, ...]]:
    cursor = sql.execute(query)
    while rows := cursor.fetchmany(10_000):
        yield from rows


def _by_id(sql: duckdb.DuckDBPyConnection) -> Iterator[Difference]:
    query = """SELECT coalesce(a.dataset, b.dataset) || '/' || coalesce(a.image_id, b.image_id) AS key,
                      b.image_id IS NULL, a.image_id IS NULL, a.wnid, b.wnid, a.split, b.split
               FROM a FULL JOIN b ON a.dataset = b.dataset AND a.image_id = b.image_id
               WHERE a.image_id IS NULL OR b.image_id IS NULL
                  OR a.wnid IS DISTINCT FROM b.wnid OR a.split IS DISTINCT FROM b.split
               ORDER BY key"""
    for key, only_a, only_b, wnid_a, wnid_b, split_a, split_b in _rows(sql, query):
        if only_a or only_b:
            yield Difference("only_a" if only_a else "only_b", key, wnid_a, wnid_b)
            continue
        if wnid_a != wnid_b:
            yield Difference("wnid", key, wnid_a, wnid_b)
        if split_a != split_b:
            yield Difference("split", key, split_a, split_b)


def _by_wnid(sql: duckdb.DuckDBPyConnection) -> Iterator[Difference]:
    query = """SELECT wnid, x.n, y.n FROM (SELECT wnid, count(*) AS n FROM a GROUP BY wnid) AS x
               FULL JOIN (SELECT wnid, count(*) AS n FROM b GROUP BY wnid) AS y USING (wnid)
               WHERE x.n IS DISTINCT FROM y.n ORDER BY wnid"""
    for wnid, n_a, n_b in _rows(sql, query):
        what = "only_a" if n_b is None else "only_b" if n_a is None else "n"
        yield Difference(what, f"{wnid} {_synset_name(wnid)}", n_a, n_b)


def _by_bytes(sql: duckdb.DuckDBPyConnection, a: str, b: str) -> Iterator[Difference]:
    """Yield the images of both indexes whose bytes differ; images are read only if their lengths are equal."""
    from imagenet_tools.store.store import Store

    store_a, store_b = Store.open(a), Store.open(b)
    query = """SELECT dataset, image_id, a.length, b.length FROM a JOIN b USING (dataset, image_id)
               ORDER BY dataset, a.wnid, image_id"""
    for dataset, image_id, length_a, length_b in _rows(sql, query):
        key = f"{dataset}/{image_id}"
        if length_a != length_b:
            yield Difference("length", key, length_a, length_b)
        elif store_a.image(image_id, dataset=dataset).read() != store_b.image(image_id, dataset=dataset).read():
            yield Difference("bytes", key, length_a, length_b)
