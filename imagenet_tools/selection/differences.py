"""Compare two indexes, locks, recipes, lists or releases: by image, by class, or by the bytes of images."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from imagenet_tools.catalogue import given_lists, image_lists, releases, terms
from imagenet_tools.errors import UsageError
from imagenet_tools.selection import lock, recipe, steps
from imagenet_tools.storage.buckets import refuse_url
from imagenet_tools.store.connection import add_image_lists, files_of, quoted, read_files
from imagenet_tools.store.layout import MANIFEST
from imagenet_tools.text import are, count_of, html_of
from imagenet_tools.wordnet import wordnet
from imagenet_tools.wordnet.wnid import keeps_imagenet_name, photo_of

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from imagenet_tools.selection.lock import Lock
    from imagenet_tools.store.store import Store

_ROWS_AT_ONCE = 10_000
_LINES_READ = 5  # of a file, to see what it lists

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
    "photo": """
        SELECT CASE WHEN b.photo IS NULL THEN 'only_a' ELSE 'only_b' END, coalesce(a.photo, b.photo), NULL, NULL
        FROM (SELECT DISTINCT photo FROM a) AS a FULL JOIN (SELECT DISTINCT photo FROM b) AS b USING (photo)
        WHERE a.photo IS NULL OR b.photo IS NULL ORDER BY 2""",
    # Images of the same length may have other bytes.
    "bytes": """
        SELECT CASE WHEN b.image_id IS NULL THEN 'only_a' WHEN a.image_id IS NULL THEN 'only_b'
                    WHEN a.length = b.length THEN 'bytes' ELSE 'length' END,
               dataset || '/' || image_id, a.length, b.length
        FROM a FULL JOIN b USING (dataset, image_id) ORDER BY dataset, coalesce(a.wnid, b.wnid), image_id""",
}


class Difference(NamedTuple):
    """A difference: its kind, the thing that differs, and its values in a and b."""

    what: str  # only_a, only_b, maybe_a, maybe_b, wnid, split, n, length, bytes, value or place
    key: str  # an image as dataset/image_id, a photo, a wnid, a key of a recipe, or a split of a release
    a: object
    b: object


class Differences(NamedTuple):
    """The differences of two things."""

    kinds: tuple[str, str]  # index, lock, recipe, classes, images (an image list) or release
    by: str
    counts: dict[str, int]  # by the kind of difference; empty if there is none
    some: tuple[Difference, ...]  # the first of each kind, in order
    in_both: int | None = None  # classes or photos that both lists have; None if not lists were compared
    why: tuple[str, ...] = ()  # known reasons, a sentence each

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
        a: A folder of an index, a lock, a recipe, a published list of classes or images, a release such as winter21,
            a file of classes or images, or a,b,c.
        b: Another entry.
        by: "id" (images by data set and id: presence, class and split), "photo" (photographs, which releases share),
            "wnid" (classes, and the images of each) or "bytes" (presence, and the bytes of images, read from both
            indexes). Default: id for images, photo for image lists, wnid for classes.
        limit: The number of differences of each kind in `some`.

    Raises:
        UsageError: The two cannot be compared in this way.
    """
    for text in (a, b):
        refuse_url(text, "what is compared")
    kinds = _kind(a), _kind(b)
    notes: list[str] = []
    in_both: int | None = None
    rows: Iterable[Difference]
    if "recipe" in kinds:
        if kinds != ("recipe", "recipe") or by is not None:
            raise UsageError(f"Found {' and '.join(kinds)}; a recipe is compared with another recipe, without --by.")
        by, rows = "key", _compare_recipes(Path(a), Path(b))
    elif "classes" in kinds or "release" in kinds:
        if "images" in kinds:
            side = 1 - kinds.index("images")
            _wnids((a, b)[side], kinds[side])  # a file that is not there counts as classes
            raise UsageError("Found an image list and a list of classes; expected two of images, or two of classes.")
        if by not in (None, "wnid"):
            raise UsageError(f"--by {by}: a list of classes has no images; expected --by wnid.")
        by = "wnid"
        rows, in_both = _compare_classes_of(a, b, kinds, notes)
    else:
        by = by or ("photo" if "images" in kinds else "id")
        _check_images(kinds, by)
        rows = _compare_images(a, b, kinds, by, notes)
    counts = Counter[str]()
    some: list[Difference] = []
    for row in rows:
        counts[row.what] += 1
        if counts[row.what] <= limit:
            some.append(row)
    return Differences(kinds, by, dict(counts), tuple(some), in_both, tuple(notes))


def _check_images(kinds: tuple[str, str], by: str) -> None:
    """Raise UsageError if images of these kinds cannot be compared in this way."""
    if by == "bytes" and kinds != ("index", "index"):
        raise UsageError(f"--by bytes: found {' and '.join(kinds)}; expected two indexes, whose images can be read.")
    if "images" in kinds and by != "photo":
        raise UsageError(f"--by {by}: found an image list, which names photos alone; expected --by photo.")


def _kind(text: str) -> str:
    path = Path(text)
    if os.path.isdir(text):  # noqa: PTH112 (Path.is_dir raises an error for a list longer than a file name)
        if not (path / MANIFEST).is_file():
            raise UsageError(f"{text}: no {MANIFEST} in it. Expected an index, a lock, a recipe or a class list.")
        return "index"
    if path.suffix == ".toml" and path.is_file():
        return "lock" if lock.is_lock(path) else "recipe"
    if given_lists.published(releases.list_of(text)) is not None:
        return "classes"
    if text == releases.WINTER21:
        return "release"
    return "images" if image_lists.find(text) is not None or _names_images(path) else "classes"


def _names_images(path: Path) -> bool:
    """Return True if the first lines of a file name an image of ImageNet; the very first may be a heading."""
    if not given_lists.is_file(str(path)):
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        lines = [line.partition("#")[0].strip() for line in itertools.islice(file, _LINES_READ)]
    return any(keeps_imagenet_name(text) for line in lines if line for text in steps.ids_of_line(line))


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
    if kind == "release":
        return list(releases.winter21().has)
    if kind == "classes":
        return given_lists.read_list(releases.list_of(text), lambda name: terms.resolve(name).wnid)
    if kind == "lock":
        return list(lock.read(text).classes)
    import duckdb

    with duckdb.connect() as sql:
        query = f"SELECT DISTINCT wnid FROM {_images_sql(text, kind)} WHERE wnid IS NOT NULL ORDER BY 1"
        return [wnid for (wnid,) in sql.execute(query).fetchall()]


def _compare_classes_of(a: str, b: str, kinds: tuple[str, str], notes: list[str]) -> tuple[Iterator[Difference], int]:
    """Return the differences of two sets of classes, and how many both have; add the known reasons to notes."""
    sides = [_wnids(text, kind) for text, kind in zip((a, b), kinds, strict=True)]
    perhaps = [releases.winter21().perhaps if kind == "release" else frozenset[str]() for kind in kinds]
    in_both = set(sides[0]).intersection(sides[1])
    for text, kind, wnids in ((b, kinds[1], sides[0]), (a, kinds[0], sides[1])):
        if absent := {*wnids} - in_both.union(*perhaps):
            name = _dataset(text, kind) if kind in ("index", "lock") else text
            notes += releases.why_missing(releases.list_of(name), absent)
    if perhaps[0] != perhaps[1]:
        known = releases.winter21()
        notes.append(
            f"winter21: no list of its classes is public. It has {known.n_of_these} of {len(known.perhaps):,} persons "
            "(maybe_a, maybe_b), and its archive names them: compare with an index of it."
        )
    rows = itertools.chain(_compare_lists(*sides, *perhaps), _compare_numbers(a, b))
    return rows, len(in_both)


def _dataset(text: str, kind: str) -> str:
    """Return the name of the data set of an index or a lock; empty if it has several."""
    import duckdb

    with duckdb.connect() as sql:
        names = sql.execute(f"SELECT DISTINCT dataset FROM {_images_sql(text, kind)}").fetchall()
    return names[0][0] if len(names) == 1 else ""


def _compare_lists(
    a: list[str], b: list[str], perhaps_a: Collection[str], perhaps_b: Collection[str]
) -> Iterator[Difference]:
    """Yield the differences of two lists. The side of a release without a list also has some classes perhaps."""
    places_a, places_b = ({wnid: n for n, wnid in enumerate(wnids)} for wnids in (a, b))
    for wnid in a:
        if wnid not in places_b:
            yield Difference("maybe_a" if wnid in perhaps_b else "only_a", wnid, _synset_name(wnid), None)
    for wnid in b:
        if wnid not in places_a:
            yield Difference("maybe_b" if wnid in perhaps_a else "only_b", wnid, None, _synset_name(wnid))
    yield from (
        Difference("maybe_a", wnid, _synset_name(wnid), None) for wnid in sorted({*perhaps_a} - {*b, *perhaps_b})
    )
    yield from (
        Difference("maybe_b", wnid, None, _synset_name(wnid)) for wnid in sorted({*perhaps_b} - {*a, *perhaps_a})
    )
    for place, wnid in enumerate(a):
        if not perhaps_a and not perhaps_b and places_b.get(wnid, place) != place:
            yield Difference("place", wnid, place, places_b[wnid])


def _compare_numbers(a: str, b: str) -> Iterator[Difference]:
    """Yield the numbers of images of two releases that differ: by split, or in all if one of them has no splits."""
    images_a, images_b = releases.images_of(a), releases.images_of(b)
    if not images_a or not images_b:
        return
    if None in images_a or None in images_b:
        images_a, images_b = {"images in all": sum(images_a.values())}, {"images in all": sum(images_b.values())}
    for split in dict.fromkeys([*images_a, *images_b]):
        if images_a.get(split) != images_b.get(split):
            yield Difference("n", str(split), images_a.get(split), images_b.get(split))


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
    """Return SQL for the images of an index or a lock: dataset, image_id, wnid and split, of an index also photo."""
    if kind == "lock":
        return f"(SELECT dataset, image_id, wnid, split FROM read_parquet({quoted(str(lock.read(text).ids))}))"
    paths = files_of(Path(text)).get("images")
    if not paths:
        raise UsageError(f"{text}: the index has no images.")
    files = ", ".join(quoted(str(path)) for path in paths)
    rows = f"read_parquet([{files}], hive_partitioning = false)"
    return f"(SELECT dataset, image_id, photo, wnid, split, length FROM {rows})"


def _compare_images(a: str, b: str, kinds: tuple[str, str], by: str, notes: list[str]) -> Iterator[Difference]:
    """Yield the differences of two sets of images; add the known reasons to notes."""
    import duckdb

    from imagenet_tools.store.store import Store

    stores = [Store.open(a), Store.open(b)] if by == "bytes" else []
    with duckdb.connect(config={"temp_directory": ""}) as sql:
        for name, text, kind in zip("ab", (a, b), kinds, strict=True):
            if kind == "images":
                sql.register(name, _photos(text))
            elif kind == "lock":
                sql.register(name, _with_photos(sql.sql(f"FROM {_images_sql(text, kind)}").to_arrow_table()))
            else:
                sql.execute(f"CREATE VIEW {name} AS FROM {_images_sql(text, kind)}")
        if by in ("id", "photo"):
            notes += _causes(sql, _indexes(a, b, kinds), besides=(a, b))
        cursor = sql.execute(_QUERIES[by])
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            for row in map(Difference._make, rows):
                if by == "wnid":
                    yield row._replace(key=f"{row.key} {_synset_name(row.key)}")
                elif row.what != "bytes" or _bytes_differ(stores, row.key):
                    yield row
    if kinds == ("lock", "lock"):
        yield from _compare_classes(lock.read(a), lock.read(b))


def _with_photos(images: pa.Table) -> pa.Table:
    """Return the images of a lock with their photos, by the rule that most readers have."""
    import pyarrow as pa

    photos = map(photo_of, images["dataset"].to_pylist(), images["image_id"].to_pylist())
    return images.append_column("photo", pa.array(photos, pa.string()))


def _photos(text: str) -> pa.Table:
    """Return the photos of a published image list or of a file of images, as a table."""
    import pyarrow as pa

    photos = [next(filter(keeps_imagenet_name, ids), ids[0]) for _, ids in steps.read_image_list(text)]
    if len(photos) > 1 and not keeps_imagenet_name(photos[0]) and keeps_imagenet_name(photos[1]):
        del photos[0]  # a heading
    return pa.table({"photo": pa.array(photos, pa.string())})


def _indexes(a: str, b: str, kinds: tuple[str, str]) -> dict[str, list[Path]]:
    """Return the files of the table problems by side, of the sides that are indexes."""
    sides = zip("ab", (a, b), kinds, strict=True)
    return {side: files_of(Path(text)).get("problems", []) for side, text, kind in sides if kind == "index"}


def _bytes_differ(stores: Iterable[Store], key: str) -> bool:
    dataset, _, image_id = key.partition("/")
    return len({store.image(image_id, dataset=dataset).read() for store in stores}) > 1


# ---- Reasons that published image lists and the problems of an index give

# The photos of one side alone.
_ALONE = """
CREATE TEMP VIEW alone AS
    SELECT coalesce(a.photo, b.photo) AS photo, CASE WHEN b.photo IS NULL THEN 'a' ELSE 'b' END AS side
    FROM (SELECT DISTINCT photo FROM a) AS a FULL JOIN (SELECT DISTINCT photo FROM b) AS b USING (photo)
    WHERE a.photo IS NULL OR b.photo IS NULL
"""
# A list tells why if all of it is on one side alone, or all photos of that side alone are on it.
_BY_LIST = """
    SELECT side, list, count(*) AS n, any_value(n_listed) AS n_listed, any_value(n_alone) AS n_alone
    FROM alone JOIN image_lists USING (photo)
    JOIN (SELECT list, count(*) AS n_listed FROM image_lists GROUP BY ALL) USING (list)
    JOIN (SELECT side, count(*) AS n_alone FROM alone GROUP BY ALL) USING (side)
    WHERE NOT list_contains($1, list) GROUP BY side, list HAVING n = n_alone OR n = any_value(n_listed) ORDER BY ALL
"""
_BY_PROBLEM = r"""
    SELECT code, count(DISTINCT photo) AS n FROM alone
    JOIN (SELECT code, coalesce(image_id, regexp_extract(coalesce(member, file), '([^/]+?)(\.[^./]*)?$', 1)) AS stem
          FROM {problems}) ON stem = photo
    WHERE side = $1 GROUP BY code ORDER BY ALL
"""


def _causes(
    sql: duckdb.DuckDBPyConnection, problems: Mapping[str, Sequence[Path]], *, besides: Sequence[str]
) -> Iterator[str]:
    """Yield a sentence for each reason why one of the relations a and b lacks photos that the other has.

    Args:
        sql: A connection with the relations `a` and `b`, each with the column photo.
        problems: The files of the table problems of a side, "a" or "b", that is an index.
        besides: What is compared; an image list does not tell its own photos.
    """
    sql.execute(_ALONE)
    add_image_lists(sql)
    compared = [found.name for text in besides if (found := image_lists.find(text)) is not None]
    for side, name, n, n_listed, n_alone in sql.execute(_BY_LIST, [compared]).fetchall():
        of_side = f"{n:,} of the {count_of(n_alone, 'photo')} only in {side.upper()} {are(n)} on the image list {name}"
        yield f"{of_side}, which has {n_listed:,}."
    for lacking, other in (("b", "a"), ("a", "b")):
        if files := problems.get(lacking):
            query = _BY_PROBLEM.format(problems=read_files("read_parquet", files))
            for code, n in sql.execute(query, [other]).fetchall():
                yield f"{count_of(n, 'photo')} only in {other.upper()}: {lacking.upper()} reports the problem {code}."
