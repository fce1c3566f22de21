"""An open index: its tables and macros in a DuckDB of its own, and its images as bytes."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from imagenet_tools.arguments import checked
from imagenet_tools.catalogue import terms
from imagenet_tools.containers import payload
from imagenet_tools.containers.gzip_stream import part_of
from imagenet_tools.containers.payload import STREAMED, Place
from imagenet_tools.errors import UsageError
from imagenet_tools.schema import TABLES
from imagenet_tools.storage import blob
from imagenet_tools.storage.blob import IndexedSource, Stamp, Stamps
from imagenet_tools.storage.files import inside
from imagenet_tools.store.connection import GROUPS, LOCK, add_table, connect, join_keys, relation
from imagenet_tools.store.gate import check_condition, senses_taken
from imagenet_tools.store.layout import default_index, read_manifest
from imagenet_tools.store.sources import Source, rooted
from imagenet_tools.wordnet import hierarchy, wordnet

if TYPE_CHECKING:
    import duckdb
    import numpy.typing as npt
    import PIL.Image

    from imagenet_tools.catalogue.terms import Taken


@dataclass(frozen=True)
class Image:
    """One image of an index: where its bytes lie, and the bytes themselves when asked."""

    dataset: str
    image_id: str
    wnid: str | None
    place: Place  # where its bytes lie on this machine
    stamps: Stamps = field(repr=False)  # what its file was when it was indexed

    def read(self) -> bytes:
        """Its bytes, untouched; SourceError if they are not there any more, or their file has changed."""
        with blob.Descriptors(capacity=1, stamps=self.stamps) as files:
            return payload.read(self.place, files)

    def pil(self) -> PIL.Image.Image:
        """As a Pillow image, of the mode and orientation it is stored in."""
        from imagenet_tools.images import probe

        return probe.image(self.read())


class Store:
    """An open index, without selections. Opening reads the manifest and the table of sources; it writes nothing.

    imagenet_tools.index.Index is the same with selections: modules below them take a Store. It pickles by its path and
    opens again where it is unpickled.
    """

    def __init__(self, path: Path, *, roots: Mapping[str, Path] | None = None):
        self.path = path
        self._given = dict(roots or {})
        self._connection = connect(path)
        self._below: npt.NDArray[np.int64] | None = None
        stored = self._connection.execute("SELECT source, root, path FROM sources").fetchall()
        self._sources = [Source(name, Path(root), inside) for name, root, inside in stored]
        self.roots = {source.name: source.root for source in rooted(self._sources, self._given)}

    def __reduce__(self) -> tuple[object, ...]:
        return _reopen, (type(self), self.path, self._given)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    @classmethod
    def open(cls, path: str | Path | None = None, *, roots: Mapping[str, str | Path] | None = None) -> Self:
        """Open an index: a path, else $IMAGENET_INDEX, else ./imagenet.index; NoIndexError says what is there instead.

        `roots` (and NAME=PATH pairs in $IMAGENET_ROOTS, ':' between) say where sources are now, if they moved.
        """
        absolute = {name: Path(root).absolute() for name, root in (roots or {}).items()}
        return cls(Path(path) if path is not None else default_index(), roots=absolute)

    def cursor(self, tables: Mapping[str, Path] | None = None) -> duckdb.DuckDBPyConnection:
        """A connection of its own to the tables, and to `tables` of one's own by name.

        Two open readers on one connection cut each other short.
        """
        cursor = self._connection.cursor()
        for name, path in (tables or {}).items():
            add_table(cursor, name, path, said=_said(name, path), temporary=True)
        return cursor

    def condition(self, flag: str, text: str, tables: Iterable[str] = ()) -> None:
        """QueryError for everything but one SQL condition over the tables of the index and these."""
        check_condition(self.cursor(), flag, text, (*TABLES, *tables))

    def senses_taken(self, query: str) -> list[str]:
        """Which sense each lemma of a query was taken for, in sentences: see gate.senses_taken."""
        return senses_taken(self.cursor(), query)

    def keys(self, table: str, path: Path) -> str:
        """The columns, ',' between, that join a table of one's own to images; it has one row an image at most."""
        return join_keys(self.cursor({table: path}), table, said=_said(table, path))

    @checked
    def sql(self, query: str, **parameters: object) -> duckdb.DuckDBPyRelation:
        """A query as a DuckDB relation (.df(), .arrow(), .pl(), .fetchall()); `$name` stands for a parameter.

        A UserWarning says which sense a lemma such as is_a(wnid, 'dog') was taken for.
        """
        for taken in self.senses_taken(query):
            warnings.warn(taken, stacklevel=2)
        return relation(self._connection, query, parameters)

    # ---- synsets

    @checked
    def resolve(self, text: str, *, strict: bool = False) -> Taken:
        """The synset that a text means here: a wnid, a name, or a lemma of which one sense alone has images.

        AmbiguousSynsetError lists the senses with their images; UnknownSynsetError: no synset is called so.
        """
        return terms.resolve(text, images=self.images_below(), strict=strict)

    def synset(self, text: str) -> str:
        """The wnid that a text names: see resolve."""
        return self.resolve(text).wnid

    def images_below(self) -> npt.NDArray[np.int64]:
        """Images at or below each synset, by row of imagenet_tools.wordnet.wordnet: (82,115,)."""
        if self._below is None:
            self._below = self._counts("n_images_inclusive")
        return self._below

    @checked
    def below(self, what: str = "images", *, classes: Iterable[str] | None = None) -> npt.NDArray[np.int64]:
        """`images` or `boxes` at or below each synset, by row, each once; of `classes` alone where they are given."""
        if classes is None and what == "images":
            return self.images_below()
        return hierarchy.inclusive(self.counts(what, classes=classes))

    @checked
    def counts(self, what: str = "images", *, classes: Iterable[str] | None = None) -> npt.NDArray[np.int64]:
        """`images` or `boxes` at each synset itself, by row; of `classes` alone where they are given."""
        if what not in ("images", "boxes"):
            message = f"{what!r} is not counted by synset; expected images or boxes."
            raise UsageError(message)
        direct = self._counts(f"n_{what}")
        if classes is not None:
            others = np.ones(len(direct), np.bool_)
            others[wordnet.rows_of(classes)] = False
            direct[others] = 0
        return direct

    def _counts(self, column: str) -> npt.NDArray[np.int64]:
        found = self.cursor().execute(f"SELECT {column} FROM synsets ORDER BY wnid").fetchall()
        return np.array(found, np.int64)[:, 0]

    # ---- images

    @checked
    def image(self, image_id: str, *, dataset: str | None = None) -> Image:
        """One image by its id; UsageError if none, or several data sets, have it."""
        rows = (
            self.cursor()
            .execute(
                """SELECT dataset, image_id, wnid, source, file, "offset", length, member, position, compression,
                      CASE WHEN problem IS NULL THEN coalesce(encoding, '') END
               FROM images
               WHERE image_id = $image_id AND ($dataset IS NULL OR dataset = $dataset)""",
                {"image_id": image_id, "dataset": dataset},
            )
            .fetchall()
        )
        if len(rows) != 1:
            sets = ", ".join(sorted(row[0] for row in rows))
            what = f"{len(rows)} data sets have an image {image_id} ({sets})" if rows else f"No image {image_id}"
            message = f"{what} in {self.path}. Expected the id of one image, such as n01440764_10026; "
            raise UsageError(message + "name its data set with dataset=.")
        name, found, wnid, source, file, *where = rows[0]
        return Image(name, found, wnid, self.image_place(source, file, *where), self.stamps)

    def image_place(
        self,
        source: str,
        file: str,
        offset: int | None,
        length: int,
        member: str | None = None,
        position: int | None = None,
        compression: str | None = None,
        encoding: str | None = None,
    ) -> Place:
        """Where the bytes of an image lie on this machine, from the columns of the table images that say it."""
        points = self._points.get(part_of(source, file)) if compression in STREAMED else None
        return Place(self.place(source, file), offset, length, member, position, compression, points, encoding)

    @functools.cached_property
    def stamps(self) -> Stamps:
        """What the files of the sources were when they were indexed, by their places on this machine."""
        units = self.cursor().execute(
            """SELECT source, unit.file, unit.size, max(unit.mtime_ns)
               FROM (SELECT source, unnest(units) AS unit FROM sources) GROUP BY ALL ORDER BY ALL"""
        )
        moved = {one.name for one in self._sources if one.root != self.roots[one.name]}
        archives: dict[str, Stamp] = {}
        newest: dict[str, int | None] = {}
        for source, file, size, mtime_ns in units.fetchall():
            known = None if source in moved else mtime_ns
            if size >= 0:
                archives[str(self.place(source, file))] = Stamp(size, known)
            elif known is not None:
                newest[source] = max(known, newest.get(source) or 0)
        sources = tuple(
            IndexedSource(
                str(self.place(one.name, one.path)),
                newest.get(one.name),
                f"{one.name}={self.roots[one.name]}" if one.name in moved else "",
            )
            for one in self._sources
        )
        return Stamps(str(self.path), archives, sources)

    @functools.cached_property
    def _points(self) -> dict[str, Path]:
        """The files of seek points by their part."""
        listed = read_manifest(self.path).tables.get("seek_points", [])
        return {entry.part: self.path.absolute() / entry.file for entry in listed}

    def place(self, source: str, file: str) -> Path:
        """Return the file on this machine that `file` of a source means; SourceError where it leaves the root."""
        return Path(inside(self.roots[source], file))


def _said(name: str, path: Path) -> str:
    known = {GROUPS: f"--groups {path}", LOCK: f"the ids of the lock, {path}"}
    return known.get(name, f"--with {name}={path}")


def _reopen(kind: type[Store], path: Path, roots: Mapping[str, Path]) -> Store:
    return kind(path, roots=roots)
