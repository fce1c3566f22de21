"""What differs between two indexes, locks, recipes or lists of classes: by image, by class, or by the images' bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
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
    """Something that differs: what (only_a, only_b, wnid, split, n, length, bytes, value, place), of which, and how."""

    what: str
    key: str  # an image as dataset/image_id, a wnid, or a key of a recipe
    a: object
    b: object


class Differences(NamedTuple):
    """How two things differ."""

    kinds: tuple[str, str]  # index, lock, recipe or classes, of each
    by: str
    counts: dict[str, int]  # by what differs; empty: nothing does
    some: tuple[Difference, ...]  # the first of each, in order


def differences(a: str, b: str, *, by: str | None = None, limit: int = 20) -> Differences:
    """How b differs from a; each a folder of an index, a lock, a recipe, a published list, a file of classes, or a,b,c.

    `by` is id (images by data set and id: which are there, their class and split), wnid (classes and the images of
    each) or bytes (the images' bytes, read from both indexes); default id for images, wnid for classes. `limit` is how
    many of each kind of difference are named. UsageError: the two cannot be compared so.
    """
    kinds = _kind(a), _kind(b)
    if by is not None and by not in WAYS:
        raise UsageError(f"--by {by}: expected one of {', '.join(WAYS)}.")
    if "recipe" in kinds:
        if kinds != ("recipe", "recipe") or by is not None:
            raise UsageError(f"Found {' and '.join(kinds)}; a recipe is compared with another recipe, without --by.")
        return _counted(kinds, "key", _of_recipes(Path(a), Path(b)), limit)
    by = by or ("wnid" if "classes" in kinds else "id")
    if "classes" in kinds:
        if by != "wnid":
            raise UsageError(f"--by {by}: a list of classes has no images; expected --by wnid.")
        return _counted(kinds, by, _of_lists(_wnids(a, kinds[0]), _wnids(b, kinds[1])), limit)
    if by == "bytes" and kinds != ("index", "index"):
        raise UsageError(f"--by bytes: found {' and '.join(kinds)}; expected two indexes, whose images can be read.")
    with _joined(a, b, kinds) as sql:
        ways = {"id": _by_id, "wnid": _by_wnid}
        found = ways[by](sql) if by in ways else _by_bytes(sql, a, b)
        numbers = _of_classes(lock.read(a), lock.read(b)) if kinds == ("lock", "lock") else ()
        return _counted(kinds, by, chain(found, numbers), limit)


def _counted(kinds: tuple[str, str], by: str, found: Iterator[Difference], limit: int) -> Differences:
    counts: dict[str, int] = {}
    some: list[Difference] = []
    for one in found:
        counts[one.what] = counts.get(one.what, 0) + 1
        if counts[one.what] <= limit:
            some.append(one)
    return Differences(kinds, by, counts, tuple(some))


def _kind(given: str) -> str:
    path = Path(given)
    if path.is_dir():
        if not (path / MANIFEST).is_file():
            raise UsageError(f"{given}: no {MANIFEST} in it. Expected an index, a lock, a recipe or a class list.")
        return "index"
    if path.suffix == ".toml" and path.is_file():
        return "lock" if lock.is_lock(path) else "recipe"
    return "classes"


# ---- recipes and lists


def _of_recipes(a: Path, b: Path) -> Iterator[Difference]:
    one, other = (dict(_flat(recipe.read(path).words)) for path in (a, b))
    for key in sorted({*one, *other}):
        if one.get(key) != other.get(key):
            yield Difference("value", key, one.get(key), other.get(key))


def _flat(words: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in words.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{name}", one) for name, one in value.items())
        else:
            yield key, value


def _wnids(given: str, kind: str) -> list[str]:
    if kind == "classes":
        return given_lists.read_list(given, lambda text: terms.resolve(text).wnid)
    if kind == "lock":
        return list(lock.read(given).classes)
    import duckdb

    with duckdb.connect() as sql:
        rows = sql.execute(f"SELECT DISTINCT wnid FROM {_images(given, kind)} WHERE wnid IS NOT NULL ORDER BY 1")
        return [wnid for (wnid,) in rows.fetchall()]


def _of_lists(a: list[str], b: list[str]) -> Iterator[Difference]:
    yield from (Difference("only_a", wnid, _name(wnid), None) for wnid in a if wnid not in set(b))
    yield from (Difference("only_b", wnid, None, _name(wnid)) for wnid in b if wnid not in set(a))
    places = {wnid: n for n, wnid in enumerate(b)}
    yield from (Difference("place", w, n, places[w]) for n, w in enumerate(a) if places.get(w, n) != n)


def _of_classes(a: Lock, b: Lock) -> Iterator[Difference]:
    """Yield the classes of two locks that have other numbers or names."""
    others = {one.wnid: one for one in b.named}
    for one in a.named:
        other = others.get(one.wnid)
        if other is not None and one.index != other.index:
            yield Difference("place", f"{one.wnid} {one.name}", one.index, other.index)
        if other is not None and (one.folder, one.display) != (other.folder, other.display):
            yield Difference(
                "value", f"{one.wnid} {one.name}", [one.folder, one.display], [other.folder, other.display]
            )


def _name(wnid: str | None) -> str:
    return wordnet.synset(wnid).name if wnid and wordnet.find_row(wnid) is not None else ""


# ---- images


def _images(given: str, kind: str) -> str:
    """SQL: the images of an index or a lock, as dataset, image_id, wnid, split, length."""
    if kind == "lock":
        ids = lock.read(given).ids
        return f"(SELECT dataset, image_id, wnid, split, NULL AS length FROM read_parquet({quoted(str(ids))}))"
    paths = read_manifest(Path(given)).paths(Path(given).absolute(), "images")
    if not paths:
        raise UsageError(f"{given}: the index has no images.")
    listed = ", ".join(quoted(str(path)) for path in paths)
    rows = f"read_parquet([{listed}], hive_partitioning = false)"
    return f"(SELECT dataset, image_id, wnid, split, length FROM {rows})"


def _joined(a: str, b: str, kinds: tuple[str, str]) -> duckdb.DuckDBPyConnection:
    """A connection with the images of both as views a and b."""
    import duckdb

    sql = duckdb.connect(config={"temp_directory": ""})
    for name, given, kind in zip("ab", (a, b), kinds, strict=True):
        sql.execute(f"CREATE VIEW {name} AS FROM {_images(given, kind)}")
    return sql


def _rows(sql: duckdb.DuckDBPyConnection, query: str) -> Iterator[tuple[Any, ...]]:
    cursor = sql.execute(query)
    while rows := cursor.fetchmany(10_000):
        yield from rows


def _by_id(sql: duckdb.DuckDBPyConnection) -> Iterator[Difference]:
    both = "a FULL JOIN b ON a.dataset = b.dataset AND a.image_id = b.image_id"
    key = "coalesce(a.dataset, b.dataset) || '/' || coalesce(a.image_id, b.image_id)"
    differs = "a.wnid IS DISTINCT FROM b.wnid OR a.split IS DISTINCT FROM b.split"
    query = f"""SELECT {key} AS key, b.image_id IS NULL, a.image_id IS NULL, a.wnid, b.wnid, a.split, b.split
                FROM {both} WHERE a.image_id IS NULL OR b.image_id IS NULL OR {differs} ORDER BY key"""
    for key_of, only_a, only_b, wnid_a, wnid_b, split_a, split_b in _rows(sql, query):
        if only_a or only_b:
            what = "only_a" if only_a else "only_b"
            yield Difference(what, key_of, wnid_a, wnid_b)
            continue
        if wnid_a != wnid_b:
            yield Difference("wnid", key_of, wnid_a, wnid_b)
        if split_a != split_b:
            yield Difference("split", key_of, split_a, split_b)


def _by_wnid(sql: duckdb.DuckDBPyConnection) -> Iterator[Difference]:
    query = """SELECT wnid, x.n, y.n FROM (SELECT wnid, count(*) AS n FROM a GROUP BY wnid) AS x
               FULL JOIN (SELECT wnid, count(*) AS n FROM b GROUP BY wnid) AS y USING (wnid)
               WHERE x.n IS DISTINCT FROM y.n ORDER BY wnid"""
    for wnid, one, other in _rows(sql, query):
        what = "only_a" if other is None else "only_b" if one is None else "n"
        yield Difference(what, f"{wnid} {_name(wnid)}", one, other)


def _by_bytes(sql: duckdb.DuckDBPyConnection, a: str, b: str) -> Iterator[Difference]:
    """Images of both whose bytes differ: by length, or else as they are read."""
    from imagenet_tools.store.store import Store

    one, other = Store.open(a), Store.open(b)
    query = """SELECT dataset, image_id, a.length, b.length FROM a JOIN b USING (dataset, image_id)
               ORDER BY dataset, a.wnid, image_id"""
    for dataset, image_id, length_a, length_b in _rows(sql, query):
        if length_a != length_b:
            yield Difference("length", f"{dataset}/{image_id}", length_a, length_b)
        elif one.image(image_id, dataset=dataset).read() != other.image(image_id, dataset=dataset).read():
            yield Difference("bytes", f"{dataset}/{image_id}", length_a, length_b)
