"""An open index: its tables and macros in a DuckDB connection, and its images as bytes."""

from __future__ import annotations

import functools
import io
import itertools
import warnings
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np

from imagenet_tools.annotations import bbox
from imagenet_tools.arguments import checked
from imagenet_tools.catalogue import terms
from imagenet_tools.containers import payload
from imagenet_tools.containers.gzip_stream import part_of
from imagenet_tools.containers.payload import STREAMED, Place
from imagenet_tools.errors import ImagenetToolsError, UsageError
from imagenet_tools.schema import TABLES
from imagenet_tools.storage import blob
from imagenet_tools.storage.blob import IndexedSource, Stamp, Stamps
from imagenet_tools.storage.buckets import path_of, place_of, url_of
from imagenet_tools.storage.files import inside
from imagenet_tools.store.connection import Descendants, add_table, connect, join_keys, relation
from imagenet_tools.store.gate import check_condition, senses_taken
from imagenet_tools.store.in_bucket import local_copy
from imagenet_tools.store.layout import default_index, read_manifest
from imagenet_tools.store.query import ask, connect_contained
from imagenet_tools.store.sources import Source, rooted
from imagenet_tools.wordnet import wordnet
from imagenet_tools.wordnet.wnid import ids_of_path

if TYPE_CHECKING:
    import duckdb
    import numpy.typing as npt
    import PIL.Image
    import pyarrow as pa

    from imagenet_tools.catalogue.terms import ResolvedSynset
    from imagenet_tools.display.pictures import ShownBox


# The columns of images that make an Image, in the order in which image_of() takes them.
IMAGE_COLUMNS = """dataset, image_id, wnid, source, file, "offset", length, member, position, compression,
                   CASE WHEN problem IS NULL THEN coalesce(encoding, '') END"""

_SHOWN_PIXELS = 480  # of the longer side of an image in a notebook


class ImageBox(NamedTuple):
    """A box of an image that can be used; edges in pixels of the raster as stored, from 0 to its width and height."""

    wnid: str | None  # the class of the object, if it has one
    name: str  # the object's name as the annotation gives it
    xmin: float
    ymin: float
    xmax: float
    ymax: float


@dataclass(frozen=True, repr=False)
class Image:
    """An image of an index. A notebook shows its picture.

    Attributes:
        dataset: First half of its key, such as ilsvrc2012.
        image_id: Second half of its key, such as n01440764_10026.
        wnid: Its class; None without a label.
        place: Where its bytes are on this machine.
        stamps: Size and time of its file when it was indexed.
        index: The index.

    Example:
        >>> index["n01440764_1021"]
        Image: ilsvrc2012/n01440764_1021; n01440764 tench.n.01
    """

    dataset: str
    image_id: str
    wnid: str | None
    place: Place
    stamps: Stamps = field(repr=False)
    index: Store = field(repr=False, compare=False)

    def __repr__(self) -> str:
        row = wordnet.find_row(self.wnid) if self.wnid else None
        label = f"{self.wnid or 'no class'}{f' {wordnet.name_at(row)}' if row is not None else ''}"
        return f"Image: {self.dataset}/{self.image_id}; {label}"

    def _repr_jpeg_(self) -> bytes:
        """Return the picture of show() for notebooks, as a small JPEG; a tile says why there is none."""
        try:
            picture = self.show()
        except (ImagenetToolsError, OSError, MemoryError) as error:
            from imagenet_tools.display import pictures

            picture = pictures.framed(pictures.unshown("", error))
        picture.thumbnail((_SHOWN_PIXELS, _SHOWN_PIXELS))
        picture.save(data := io.BytesIO(), "JPEG", quality=90)
        return data.getvalue()

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

    def array(self) -> npt.NDArray[np.uint8]:
        """Return the pixels in RGB, (height, width, 3), as stored: the EXIF orientation is not applied.

        Raises:
            SourceError: As read().
            FormatError: The image cannot be decoded.
        """
        return np.asarray(self._rgb())

    def _rgb(self) -> PIL.Image.Image:
        from imagenet_tools.images import probe

        return probe.rgb(self.read())

    @property
    def boxes(self) -> tuple[ImageBox, ...]:
        """The boxes of the image that can be used.

        Raises:
            UsageError: The index does not know the size of the image: it was built without probing.
        """
        rows = self.index.cursor().execute(
            """SELECT boxes.wnid, name, nxmin, nymin, nxmax, nymax, width, height
               FROM boxes JOIN images USING (dataset, image_id)
               WHERE image_id = $image_id AND dataset = $dataset AND nxmin IS NOT NULL ORDER BY ALL""",
            {"image_id": self.image_id, "dataset": self.dataset},
        )
        boxes: list[ImageBox] = []
        for wnid, name, *edges in rows.fetchall():
            if edges[-1] is None:
                raise UsageError(
                    f"{self.dataset}/{self.image_id}: its size is not in the index, which was built without probing. "
                    "Build it again with its sources, probing."
                )
            boxes.append(ImageBox(wnid, name, *map(float, bbox.to_pixels(*edges))))
        return tuple(boxes)

    def show(self) -> PIL.Image.Image:
        """Return a Pillow image in RGB as viewers show it: with the EXIF orientation applied, and its boxes drawn.

        A notebook shows it; .save("x.png") writes it. An image whose longer side is under 400 pixels is enlarged by a
        whole factor.

        Raises:
            SourceError: As read().
            FormatError: As pil().
        """
        from imagenet_tools.display.pictures import SMALL_PIXELS, upright

        boxes = self.index.shown_boxes([(self.dataset, self.image_id)])[0]
        return upright(self.read(), boxes, least=SMALL_PIXELS)


def _keys(text: str, dataset: str | None) -> Iterator[tuple[str | None, str]]:
    """Yield the (data set, image_id) that a text may mean; an exact id comes first."""
    for image_id in dict.fromkeys([text, *ids_of_path(text)]):
        yield dataset, image_id
        name, slash, rest = image_id.partition("/")
        if slash and dataset is None:
            yield name, rest


class Store:
    """An open index without selections. Opening reads the manifest and the table sources; nothing is written.

    imagenet_tools.index.Index adds selections. A Store is pickled as its path, and opens again where it is unpickled.

    Attributes:
        path: Folder of the index, absolute.
        folder: The same; of an index in a bucket, the folder of its copy on this machine.
        sources: The sources by name, without their units; their roots are those of the build.
        roots: Folder of each source on this machine, by name.
    """

    def __init__(self, path: Path, *, roots: Mapping[str, Path] | None = None):
        self.path = path.absolute()
        self.folder = local_copy(self.path)
        self._given_roots = dict(roots or {})
        self._connection = connect(self.folder)
        self._descendants: dict[str, Descendants] = {}
        self._kept_numbers = itertools.count()
        self._unused_tables: list[str] = []
        stored = self._connection.execute("SELECT source, root, path, forms, dataset FROM sources").fetchall()
        self.sources = [
            Source(name, Path(root), inside, forms=tuple(forms), dataset=dataset or "")
            for name, root, inside, forms, dataset in sorted(stored)
        ]
        self.roots = {source.name: source.root for source in rooted(self.sources, self._given_roots)}

    def __reduce__(self) -> tuple[object, ...]:
        return functools.partial(type(self), roots=self._given_roots), (self.path,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({url_of(self.path)!r})"

    @classmethod
    def open(cls, path: str | Path | None = None, *, roots: Mapping[str, str | Path] | None = None) -> Self:
        """Open an index.

        Args:
            path: Its folder, or a URL; default $IMAGENET_INDEX, else ./imagenet.index.
            roots: Where sources are now, by name, if they were moved: folders, or URLs of buckets. NAME=PATH pairs in
                $IMAGENET_ROOTS, with ':' between, do the same.

        Raises:
            NoIndexError: There is no index, it is of another schema, or one of its files is missing or damaged.
            UsageError: `roots` names an unknown source.
        """
        absolute = {name: place_of(root) for name, root in (roots or {}).items()}
        return cls(path_of(path if path is not None else default_index()), roots=absolute)

    # ---- SQL

    @checked
    def sql(self, query: str, **parameters: object) -> duckdb.DuckDBPyRelation:
        """Return SQL of your own as a DuckDB relation, with .df(), .arrow(), .pl() and .fetchall().

        The SQL is not contained: like every program of yours, it may read and write files. For SQL that somebody else
        wrote, use query().

        Args:
            query: SQL over the tables and macros of the index: see `imagenet-tools query --schema`.
            parameters: A value for each `$name` in the query. A table of pandas, polars or Arrow becomes a table of
                this name.

        Raises:
            duckdb.Error: DuckDB refuses the query.
            UsageError: A table has the name of a table of the index.

        Warns:
            UserWarning: The query names a synset by a lemma with several senses, such as is_a(wnid, 'dog').

        Example:
            >>> index.sql("SELECT count(*) FROM images WHERE is_a(wnid, 'dog.n.01')").fetchall()
            [(70,)]
        """
        for note in self.senses_taken(query):
            warnings.warn(note, stacklevel=2)
        return relation(self._connection, query, parameters, self._descendants)

    @checked
    def query(self, query: str, **parameters: object) -> duckdb.DuckDBPyRelation:
        """Return one SELECT as sql() does, contained: it reads the index and the tables given, and nothing else.

        Its time and its memory are not bounded, as they are for the command `imagenet-tools query`.

        Args:
            query: One SELECT.
            parameters: As sql() takes them.

        Raises:
            QueryError: The query is not one SELECT of these tables, or DuckDB refuses it.

        Example:
            >>> index.query("SELECT count(*) FROM images").fetchall()
            [(182,)]
        """
        for note in self.senses_taken(query):
            warnings.warn(note, stacklevel=2)
        return ask(self._contained, query, parameters)

    @functools.cached_property
    def _contained(self) -> duckdb.DuckDBPyConnection:
        return connect_contained(self.folder)

    def close(self) -> None:
        """Close the index. Images can still be read; results that were not fetched can not."""
        self._connection.close()
        if "_contained" in self.__dict__:
            self._contained.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cursor(self, tables: Mapping[str, Path | pa.Table] | None = None) -> duckdb.DuckDBPyConnection:
        """Return a new cursor with the tables of the index and some of the user: files or tables in memory, by name.

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
        return read_manifest(self.folder).rows.get("images", 0)

    def condition(self, flag: str, text: str, tables: Iterable[str] = ()) -> None:
        """Raise QueryError unless a text is one SQL condition over the tables of the index and these."""
        check_condition(self.cursor(), flag, text, (*TABLES, *tables))

    def senses_taken(self, query: str) -> list[str]:
        """Return a sentence for each lemma of a query that has several senses: see gate.senses_taken."""
        return senses_taken(self.cursor(), query)

    def keys(self, table: str, path: Path | pa.Table) -> str:
        """Return the columns that join a table of the user to images: see connection.join_keys."""
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
    def counts(
        self, what: Literal["images", "boxes"] = "images", *, classes: Iterable[str] | None = None
    ) -> npt.NDArray[np.int64]:
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
        """Return one image; `index[image_id]` is the same.

        Args:
            image_id: Its id (n01440764_10026), its data set and id (ilsvrc2012/n01440764_10026), or a file name.
            dataset: Its data set, needed if several have an image of this id.

        Raises:
            UsageError: No data set has the image, or several have it.

        Example:
            >>> index.image("ILSVRC2012_val_00000020").read()[:3]
            b'\\xff\\xd8\\xff'
        """
        query = f"""SELECT {IMAGE_COLUMNS} FROM images
                    WHERE image_id = $image_id AND ($dataset IS NULL OR dataset = $dataset)"""
        rows: list[tuple[Any, ...]] = []
        for name, key in _keys(image_id, dataset):
            rows = rows or self.cursor().execute(query, {"image_id": key, "dataset": name}).fetchall()
        if len(rows) != 1:
            sets = ", ".join(sorted(row[0] for row in rows))
            found = f"{len(rows)} data sets have an image {image_id} ({sets})" if rows else f"No image {image_id}"
            raise UsageError(
                f"{found} in {url_of(self.path)}. Expected the id of one image, such as n01440764_10026, or with its "
                "data set ilsvrc2012/n01440764_10026."
            )
        return self.image_of(*rows[0])

    def __getitem__(self, image_id: str) -> Image:
        return self.image(image_id)

    def image_of(self, dataset: str, image_id: str, wnid: str | None, *place: Any) -> Image:
        """Return the image of a row of IMAGE_COLUMNS."""
        return Image(dataset, image_id, wnid, self.image_place(*place), self.stamps, self)

    def shown_boxes(self, keys: Sequence[tuple[str, str]]) -> list[list[ShownBox]]:
        """Return the boxes to draw on each of some images, by their keys (dataset, image_id).

        A label is the name of the box's class, or the annotation's word if the class is unknown.
        """
        from imagenet_tools.display.pictures import ShownBox

        boxes: dict[tuple[str, str], list[ShownBox]] = {}
        rows = self.cursor().execute(
            """SELECT dataset, image_id, wnid, name, nxmin, nymin, nxmax, nymax FROM boxes
               WHERE image_id IN (SELECT unnest($ids::VARCHAR[])) AND nxmin IS NOT NULL ORDER BY ALL""",
            {"ids": [image_id for _, image_id in keys]},
        )
        for dataset, image_id, wnid, name, left, top, right, bottom in rows.fetchall():
            label = wordnet.label_of(wnid) if wnid else name or ""
            box = ShownBox(left, top, right, bottom, label)
            boxes.setdefault((dataset, image_id), []).append(box)
        return [boxes.get(key, []) for key in keys]

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
        moved = {source.name for source in self.sources if source.root != self.roots[source.name]}
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
                f"{source.name}={url_of(self.roots[source.name])}" if source.name in moved else "",
            )
            for source in self.sources
        )
        return Stamps(url_of(self.path), archives, sources)

    @functools.cached_property
    def _seek_points(self) -> dict[str, Path]:
        """The files of seek points, by part."""
        entries = read_manifest(self.folder).tables.get("seek_points", [])
        return {entry.part: self.folder / entry.file for entry in entries}
