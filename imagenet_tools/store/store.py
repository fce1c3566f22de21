"""An open index: its tables and macros in a DuckDB connection, and its images as bytes."""

from __future__ import annotations

import functools
import itertools
import warnings
import weakref
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
from imagenet_tools.store.connection import Descendants, add_table, connect, join_keys, relation
from imagenet_tools.store.gate import check_condition, senses_taken
from imagenet_tools.store.layout import default_index, read_manifest
from imagenet_tools.store.sources import Source, rooted
from imagenet_tools.wordnet import wordnet

if TYPE_CHECKING:
    import duckdb
    import numpy.typing as npt
    import PIL.Image

    from imagenet_tools.catalogue.terms import ResolvedSynset


@dataclass(frozen=True)
class Image:
    """An image of an index.

    Attributes:
        dataset: First half of its key, such as ilsvrc2012.
        image_id: Second half of its key, such as n01440764_10026.
        wnid: Its class; None without a label.
        place: Where its bytes are on this machine.
        stamps: Size and time of its file when it was indexed.
    """

    dataset: str
    image_id: str
    wnid: str | None
    place: Place
    stamps: Stamps = field(repr=False)

    def read(self) -> bytes:
        """Return the bytes of the image file, unchanged.

        Raises:
            SourceError: The file of the source is missing, or has changed since it was indexed.
        """
        with blob.Descriptors(capacity=1, stamps=self.stamps) as files:
            return payload.read(self.place, files)

    def pil(self) -> PIL.Image.Image:
        """Return a Pillow image in its stored mode; the EXIF orientation is not applied.

        Raises:
            SourceError: As read().
            FormatError: Pillow cannot decode the image.
        """
        from imagenet_tools.images import probe

        return probe.image(self.read())


class Store:
    """An open index without selections. Opening reads the manifest and the table sources; nothing is written.

    imagenet_tools.index.Index adds selections. A Store is pickled as its path, and opens again where it is unpickled.

    Attributes:
        path: Folder of the index, absolute.
        roots: Folder of each source on this machine, by name.
    """

    def __init__(self, path: Path, *, roots: Mapping[str, Path] | None = None):
        self.path = path.absolute()
        self._given_roots = dict(roots or {})
        self._connection = connect(path)
        self._descendants: dict[str, Descendants] = {}
        self._kept_numbers = itertools.count()
        self._unused_tables: list[str] = []
        stored = self._connection.execute("SELECT source, root, path FROM sources").fetchall()
        self._sources = [Source(name, Path(root), inside) for name, root, inside in stored]
        self.roots = {source.name: source.root for source in rooted(self._sources, self._given_roots)}

    def __reduce__(self) -> tuple[object, ...]:
        return functools.partial(type(self), roots=self._given_roots), (self.path,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    @classmethod
    def open(cls, path: str | Path | None = None, *, roots: Mapping[str, str | Path] | None = None) -> Self:
        """Open an index.

        Args:
            path: Its folder; default $IMAGENET_INDEX, else ./imagenet.index.
            roots: Where sources are now, by name, if they were moved. NAME=PATH pairs in $IMAGENET_ROOTS, with ':'
                between, do the same.

        Raises:
            NoIndexError: There is no index, it is of another schema, or one of its files is missing or damaged.
            UsageError: `roots` names an unknown source.
        """
        absolute = {name: Path(root).absolute() for name, root in (roots or {}).items()}
        return cls(Path(path) if path is not None else default_index(), roots=absolute)

    # ---- SQL

    @checked
    def sql(self, query: str, **parameters: object) -> duckdb.DuckDBPyRelation:
        """Return a query as a DuckDB relation, with .df(), .arrow(), .pl() and .fetchall().

        Args:
            query: SQL over the tables and macros of the index: see `imagenet-tools query --schema`.
            parameters: A value for each `$name` in the query.

        Raises:
            duckdb.Error: DuckDB refuses the query.

        Warns:
            UserWarning: The query names a synset by a lemma with several senses, such as is_a(wnid, 'dog').

        Example:
            >>> index.sql("SELECT count(*) FROM images WHERE is_a(wnid, 'dog.n.01')").fetchall()
            [(70,)]
        """
        for note in self.senses_taken(query):
            warnings.warn(note, stacklevel=2)
        return relation(self._connection, query, parameters, self._descendants)

    def cursor(self, tables: Mapping[str, Path] | None = None) -> duckdb.DuckDBPyConnection:
        """Return a new cursor with the tables of the index and of some files of the user, by name.

        Two open readers on one connection end each other.
        """
        cursor = self._connection.cursor()
        for name, path in (tables or {}).items():
            add_table(cursor, name, path)
        return cursor

    def keep(
        self, owner: object, cursor: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, object]
    ) -> str:
        """Return the name of a new table in memory with the rows of a query; it is kept as long as `owner` lives."""
        # Not in the finalizer, which may run in a forked child or inside another query.
        while self._unused_tables:
            cursor.execute(f"DROP TABLE {self._unused_tables.pop()}")
        table = f"_kept.rows_{next(self._kept_numbers)}"
        cursor.execute(f"CREATE TABLE {table} AS {query}", parameters)
        weakref.finalize(owner, self._unused_tables.append, table).atexit = False
        return table

    @functools.cached_property
    def n_images(self) -> int:
        """The number of images of all data sets."""
        return read_manifest(self.path).rows.get("images", 0)

    def condition(self, flag: str, text: str, tables: Iterable[str] = ()) -> None:
        """Raise QueryError unless a text is one SQL condition over the tables of the index and these."""
        check_condition(self.cursor(), flag, text, (*TABLES, *tables))

    def senses_taken(self, query: str) -> list[str]:
        """Return a sentence for each lemma of a query that has several senses: see gate.senses_taken."""
        return senses_taken(self.cursor(), query)

    def keys(self, table: str, path: Path) -> str:
        """Return the columns that join a file of the user to images: see connection.join_keys."""
        return join_keys(self.cursor({table: path}), table, path)

    # ---- synsets

    @checked
    def resolve(self, text: str, *, strict: bool = False) -> ResolvedSynset:
        """Return the synset that a text names in this index.

        Args:
            text: A wnid ("n02084071"), a name ("dog.n.01"), or a lemma of which only one sense has images ("dog").
            strict: Refuse every lemma with several senses.

        Raises:
            AmbiguousSynsetError: Several senses have images; the message lists them.
            UnknownSynsetError: No synset has this name.

        Example:
            >>> index.resolve("dog").wnid
            'n02084071'
        """
        return terms.resolve(text, images=self._images_below, strict=strict)

    def synset(self, text: str) -> str:
        """Return the wnid that a text names: see resolve()."""
        return self.resolve(text).wnid

    @functools.cached_property
    def _images_below(self) -> npt.NDArray[np.int64]:
        """The number of images at or below each synset, by row of wordnet.wordnet."""
        return self._counts("n_images_inclusive")

    @checked
    def counts(self, what: str = "images", *, classes: Iterable[str] | None = None) -> npt.NDArray[np.int64]:
        """Return the number of images or boxes at each synset itself.

        Args:
            what: "images" or "boxes".
            classes: Wnids to count; default all.

        Returns:
            Counts by row of wordnet.wordnet: shape (82115,).

        Raises:
            UsageError: `what` is another word.
        """
        if what not in ("images", "boxes"):
            raise UsageError(f"{what!r} is not counted by synset; expected images or boxes.")
        counts = self._counts(f"n_{what}")
        if classes is not None:
            excluded = np.ones(len(counts), np.bool_)
            excluded[wordnet.rows_of(classes)] = False
            counts[excluded] = 0
        return counts

    def _counts(self, column: str) -> npt.NDArray[np.int64]:
        rows = self.cursor().execute(f"SELECT {column} FROM synsets ORDER BY wnid").fetchall()
        return np.array(rows, np.int64)[:, 0]

    # ---- images

    @checked
    def image(self, image_id: str, *, dataset: str | None = None) -> Image:
        """Return one image.

        Args:
            image_id: Its id, such as n01440764_10026.
            dataset: Its data set, needed if several have an image of this id.

        Raises:
            UsageError: No data set has the image, or several have it.

        Example:
            >>> index.image("ILSVRC2012_val_00000020").read()[:3]
            b'\\xff\\xd8\\xff'
        """
        query = """SELECT dataset, wnid, source, file, "offset", length, member, position, compression,
                          CASE WHEN problem IS NULL THEN coalesce(encoding, '') END
                   FROM images WHERE image_id = $image_id AND ($dataset IS NULL OR dataset = $dataset)"""
        rows = self.cursor().execute(query, {"image_id": image_id, "dataset": dataset}).fetchall()
        if len(rows) != 1:
            sets = ", ".join(sorted(row[0] for row in rows))
            found = f"{len(rows)} data sets have an image {image_id} ({sets})" if rows else f"No image {image_id}"
            raise UsageError(
                f"{found} in {self.path}. Expected the id of one image, such as n01440764_10026; name its data set "
                "with dataset=."
            )
        dataset, wnid, *columns = rows[0]
        return Image(str(dataset), image_id, wnid, self.image_place(*columns), self.stamps)

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
        """Return where the bytes of an image are on this machine, from columns of the table images."""
        points = self._seek_points.get(part_of(source, file)) if compression in STREAMED else None
        return Place(self.place(source, file), offset, length, member, position, compression, points, encoding)

    def place(self, source: str, file: str) -> Path:
        """Return a file of a source on this machine. Raise SourceError if it is outside of the source's root."""
        return Path(inside(self.roots[source], file))

    @functools.cached_property
    def stamps(self) -> Stamps:
        """Size and time of the files of the sources when they were indexed, by their paths on this machine."""
        units = self.cursor().execute(
            """SELECT source, unit.file, unit.size, max(unit.mtime_ns)
               FROM (SELECT source, unnest(units) AS unit FROM sources) GROUP BY ALL ORDER BY ALL"""
        )
        moved = {source.name for source in self._sources if source.root != self.roots[source.name]}
        archives: dict[str, Stamp] = {}
        newest: dict[str, int] = {}
        for source, file, size, mtime_ns in units.fetchall():
            if size >= 0:
                archives[str(self.place(source, file))] = Stamp(size, None if source in moved else mtime_ns)
            elif source not in moved and mtime_ns is not None:
                newest[source] = max(mtime_ns, newest.get(source, 0))
        sources = tuple(
            IndexedSource(
                str(self.place(source.name, source.path)),
                newest.get(source.name),
                f"{source.name}={self.roots[source.name]}" if source.name in moved else "",
            )
            for source in self._sources
        )
        return Stamps(str(self.path), archives, sources)

    @functools.cached_property
    def _seek_points(self) -> dict[str, Path]:
        """The files of seek points, by part."""
        entries = read_manifest(self.path).tables.get("seek_points", [])
        return {entry.part: self.path.absolute() / entry.file for entry in entries}
