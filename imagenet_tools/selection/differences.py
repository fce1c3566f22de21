"""Compare two indexes, locks, recipes or lists of classes: by image, by class, or by the bytes of images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from imagenet_tools.catalogue import given_lists, terms
from imagenet_tools.errors import UsageError
from imagenet_tools.selection import lock, recipe
from imagenet_tools.store.connection import quoted
from imagenet_tools.store.layout import MANIFEST, read_manifest
from imagenet_tools.text import html_of
from imagenet_tools.wordnet import wordnet

if TYPE_CHECKING:
    from imagenet_tools.selection.lock import Lock
    from imagenet_tools.store.store import Store

_ROWS_AT_ONCE = 10_000

# Differences of the views a and b, by way, as (kind of the difference, key, value in a, value in b).
_QUERIES = {
    "id": """
        WITH pairs AS MATERIALIZED (
            SELECT coalesce(a.dataset, b.dataset) || '/' || coalesce(a.image_id, b.image_id) AS key,
                   a.wnid AS wnid_a, b.wnid AS wnid_b, a.split AS split_a, b.split AS split_b,
                   CASE WHEN b.image_id IS NULL THEN 'only_a' WHEN a.image_id IS NULL THEN 'only_b' END AS alone
            FROM a FULL JOIN b ON a.dataset = b.dataset AND a.image_id = b.image_id
            WHERE alone IS NOT NULL OR wnid_a IS DISTINCT FROM wnid_b OR split_a IS DISTINCT FROM split_b)
        SELECT coalesce(alone, 'wnid') AS kind, key, wnid_a, wnid_b FROM pairs
        WHERE alone IS NOT NULL OR wnid_a IS DISTINCT FROM wnid_b
        UNION ALL
        SELECT 'split', key, split_a, split_b FROM pairs WHERE alone IS NULL AND split_a IS DISTINCT FROM split_b
        ORDER BY key, kind DESC""",
    "wnid": """
        SELECT CASE WHEN y.n IS NULL THEN 'only_a' WHEN x.n IS NULL THEN 'only_b' ELSE 'n' END, wnid, x.n, y.n
        FROM (SELECT wnid, count(*) AS n FROM a GROUP BY wnid) AS x
        FULL JOIN (SELECT wnid, count(*) AS n FROM b GROUP BY wnid) AS y USING (wnid)
        WHERE x.n IS DISTINCT FROM y.n ORDER BY wnid""",
    # Images of the same length may have other bytes.
    "bytes": """
        SELECT CASE WHEN b.image_id IS NULL THEN 'only_a' WHEN a.image_id IS NULL THEN 'only_b'
                    WHEN a.length = b.length THEN 'bytes' ELSE 'length' END,
               dataset || '/' || image_id, a.length, b.length
        FROM a FULL JOIN b USING (dataset, image_id) ORDER BY dataset, coalesce(a.wnid, b.wnid), image_id""",
}


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

    def __repr__(self) -> str:
        counts = ", ".join(f"{kind} {n:,}" for kind, n in self.counts.items())
        return f"Differences: of {' and '.join(self.kinds)} by {self.by}; {counts or 'none'}"

    def _repr_html_(self) -> str:
        """Return the counts and the first differences of each kind, for notebooks."""
        head = ("difference", "of", "a", "b")
        return html_of(repr(self), (("difference", "count"), [*self.counts.items()]), (head, self.some))


def differences(a: str, b: str, *, by: str | None = None, limit: int = 20) -> Differences:
    """Return the differences of b from a.

    Args:
        a: A folder of an index, a lock, a recipe, a published list, a file of classes, or a,b,c.
        b: Another entry.
        by: "id" (images by data set and id: presence, class and split), "wnid" (classes, and the images of each) or
            "bytes" (presence, and the bytes of images, read from both indexes). Default: id for images, wnid for
            classes.
        limit: The number of differences of each kind in `some`.

    Raises:
        UsageError: The two cannot be compared in this way.
    """
    kinds = _kind(a), _kind(b)
    rows: Iterable[Difference]
    if "recipe" in kinds:
        if kinds != ("recipe", "recipe") or by is not None:
            raise UsageError(f"Found {' and '.join(kinds)}; a recipe is compared with another recipe, without --by.")
        by, rows = "key", _compare_recipes(Path(a), Path(b))
    elif "classes" in kinds:
        if by not in (None, "wnid"):
            raise UsageError(f"--by {by}: a list of classes has no images; expected --by wnid.")
        by, rows = "wnid", _compare_lists(_wnids(a, kinds[0]), _wnids(b, kinds[1]))
    else:
        by = by or "id"
        if by == "bytes" and kinds != ("index", "index"):
            raise UsageError(
                f"--by bytes: found {' and '.join(kinds)}; expected two indexes, whose images can be read."
            )
        rows = _compare_images(a, b, kinds, by)
    counts = Counter[str]()
    some: list[Difference] = []
    for row in rows:
        counts[row.what] += 1
        if counts[row.what] <= limit:
            some.append(row)
    return Differences(kinds, by, dict(counts), tuple(some))


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
    """Return the words with the key `key.name` for each name in a table."""
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

    from imagenet_tools.store.store import Store

    stores = [Store.open(a), Store.open(b)] if by == "bytes" else []
    with duckdb.connect(config={"temp_directory": ""}) as sql:
        for name, text, kind in zip("ab", (a, b), kinds, strict=True):
            sql.execute(f"CREATE VIEW {name} AS FROM {_images_sql(text, kind)}")
        cursor = sql.execute(_QUERIES[by])
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            for row in map(Difference._make, rows):
                if by == "wnid":
                    yield row._replace(key=f"{row.key} {_synset_name(row.key)}")
                elif row.what != "bytes" or _bytes_differ(stores, row.key):
                    yield row
    if kinds == ("lock", "lock"):
        yield from _compare_classes(lock.read(a), lock.read(b))


def _bytes_differ(stores: Iterable[Store], key: str) -> bool:
    dataset, _, image_id = key.partition("/")
    return len({store.image(image_id, dataset=dataset).read() for store in stores}) > 1
