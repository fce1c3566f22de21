"""The tables of an index, with the name, Arrow type and meaning of every column.

pyarrow is imported when a schema is built, so that a query can print its columns without it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

# Increase it when a column changes its name, type or meaning, or rows move to other files. An index of another version
# is refused. 2: the images of large data sets are in more files. 3: copies has the column other_bytes, units have the
# time of their files, and the constant columns of synsets and terms are in tables of their own.
VERSION = 3


class Column(NamedTuple):
    """A column: its name, its Arrow type as text, and its meaning, with unit and range."""

    name: str
    type: str
    meaning: str


class Table(NamedTuple):
    """A table: the meaning of a row, and the columns."""

    meaning: str
    columns: tuple[Column, ...]


_DATASET = Column("dataset", "string", "the data set, such as ilsvrc2012; first half of the key")
_IMAGE_ID = Column("image_id", "string", "the stem, such as n01440764_10026; second half of the key")
_UNIT = Column("unit", "int64", "the unit of work that read the row; sources.units says what it was")
_PHOTO = Column(
    "photo",
    "string",
    "the photograph: the same in every release that keeps ImageNet's stems, else dataset/image_id",
)

_WNID = Column("wnid", "string", "n and the eight digits of its offset, such as n02084071")

_FACTS = (
    _WNID,
    Column("name", "string", "as NLTK spells it, such as dog.n.01"),
    Column("lemmas", "list<string>", "its words, in WordNet's order, '_' for a space"),
    Column("lexfile", "string", "WordNet's lexicographer file, such as noun.animal"),
    Column("min_depth", "int16", "edges on the shortest path to entity.n.01, both kinds of hypernym"),
    Column("max_depth", "int16", "edges on the longest path to entity.n.01, both kinds of hypernym"),
    Column("height", "int16", "edges on the longest path down to a leaf, hypernym edges without instances"),
    Column("ilsvrc_id", "int16", "ILSVRC2012_ID of the devkit, 1 to 1,000; null for other synsets"),
    Column("ilsvrc2012_index", "int16", "0-based class index in sorted-wnid order; null for other synsets"),
    Column("ilsvrc2012_slim_id", "int16", "the same from 1, 0 being the background: TF-slim, 1,001-way models"),
    Column("ilsvrc2010_id", "int16", "ILSVRC2010_ID of the devkit of 2010, 1 to 1,000; null for other synsets"),
    Column("fall11_index", "int16", "0-based, of the 21,841 classes of fall11 sorted by wnid; null for others"),
    Column("imagenet21k_goog_index", "int16", "0-based, of Google's 21,843 classes sorted by wnid; null, likewise"),
    Column("imagenet22k_ms_index", "int16", "0-based, of Microsoft's 21,842, ILSVRC2012's first; null, likewise"),
    Column("imagenet12k_index", "int16", "0-based, of timm's 11,821 classes sorted by wnid; null, likewise"),
    Column("imagenet21k_p_index", "int16", "0-based, of 21K-P's 11,221 of fall11 sorted by wnid; null, likewise"),
    Column("imagenet21k_p_winter21_index", "int16", "0-based, of 21K-P's 10,450 of winter21; null, likewise"),
)

_COUNTS = (
    Column("n_images", "int64", "images labelled with this very synset"),
    Column("n_images_inclusive", "int64", "distinct images labelled with it or anything below it"),
    Column("n_photos", "int64", "distinct photographs of those images: one in two data sets counts once"),
    Column("n_photos_inclusive", "int64", "distinct photographs labelled with it or anything below it"),
    Column("n_boxes", "int64", "boxes labelled with this very synset"),
    Column("n_boxes_inclusive", "int64", "distinct boxes labelled with it or anything below it"),
)

TABLES: dict[str, Table] = {
    "images": Table(
        "an image of a data set; the key is (dataset, image_id)",
        (
            _DATASET,
            _IMAGE_ID,
            _PHOTO,
            Column("wnid", "string", "its class, a WordNet 3.0 noun synset; null where it has no label"),
            Column("split", "string", "the official split: train, val or test; null where there is none"),
            Column("source", "string", "the source that holds it, by its name in the table sources"),
            Column("file", "string", "the file that holds its bytes, relative to the source's root, '/' between"),
            Column("member", "string", "its name in file, an archive; null where that is image_id + .JPEG"),
            Column("offset", "int64", "where its bytes begin in file, bytes; null inside a compressed container"),
            Column("length", "int64", "how many bytes it has, as they lie there"),
            Column(
                "position", "int64", "its place where offset is null: the row of a Parquet file, the byte of a stream"
            ),
            Column(
                "compression",
                "string",
                "how it is stored: gzip, tar.gz, parquet; planar, interleaved, npz: raw values; null: as it is",
            ),
            Column("width", "int32", "pixels, of the raster as stored (EXIF orientation not applied)"),
            Column("height", "int32", "pixels, of the raster as stored (EXIF orientation not applied)"),
            Column("mode", "string", "Pillow's mode of the raster: RGB, L, CMYK ..."),
            Column("encoding", "string", "what the bytes really are: jpeg, png, gif, bmp, tiff, webp"),
            Column("orientation", "int16", "the EXIF orientation tag as written, 1 to 8 where valid; null without"),
            Column("n_boxes", "int32", "rows of this image in the table boxes"),
            Column("hash32", "uint32", "first four bytes, big-endian, of SHA-256 of photo: splits draw on it"),
            Column("problem", "string", "code of what is wrong with the bytes; null where nothing is"),
            _UNIT,
        ),
    ),
    "boxes": Table(
        "an annotated object of an image",
        (
            _DATASET,
            _IMAGE_ID,
            _PHOTO,
            Column("wnid", "string", "the class of the object; null where no rule gives one"),
            Column("xmin", "double", "left edge as the annotation gives it, pixels of the stated size, 0-based"),
            Column("ymin", "double", "top edge, likewise"),
            Column("xmax", "double", "right edge, likewise"),
            Column("ymax", "double", "bottom edge, likewise"),
            Column("stated_width", "int32", "the image's width as the annotation states it, pixels; 1 for fractions"),
            Column("stated_height", "int32", "the image's height as the annotation states it, pixels"),
            Column("nxmin", "double", "left edge over the width it refers to, 0 to 1, repaired; null if unusable"),
            Column("nymin", "double", "top edge over the height, likewise"),
            Column("nxmax", "double", "right edge over the width, likewise"),
            Column("nymax", "double", "bottom edge over the height, likewise"),
            Column("name", "string", "the object's name as the annotation gives it"),
            Column("pose", "string", "the annotation's pose; null without"),
            Column("truncated", "bool", "the annotation says the object is cut by the image's edge; null without"),
            Column("difficult", "bool", "the annotation says the object is hard to recognise; null without"),
            Column("subcategory", "string", "a narrower class that the annotation says beside; null without"),
            Column("source", "string", "the source that holds the annotation"),
            Column("file", "string", "the annotation's file, relative to the source's root"),
            Column("flags", "list<string>", "every repair and oddity, by the codes of imagenet_tools.annotations.bbox"),
            _UNIT,
        ),
    ),
    "labels": Table(
        "a label of an image by one label set; images.wnid is the one a class folder or the official truth gives",
        (
            _DATASET,
            _IMAGE_ID,
            Column("label_set", "string", "who says so: devkit, loc_csv, ..."),
            Column("wnid", "string", "the label"),
            Column("source", "string", "the source that holds the label"),
            _UNIT,
        ),
    ),
    "seek_points": Table(
        "a place of a gzip stream of images from which it can be read, without what comes before",
        (
            Column("source", "string", "the source that holds the stream"),
            Column("file", "string", "the file it lies in, relative to the source's root"),
            Column("member", "string", "the member of file that is the stream; null where the file is"),
            Column("start", "int64", "where the compressed bytes begin in file, bytes"),
            Column("size", "int64", "how many compressed bytes there are"),
            Column("position", "int64", "the place in the decompressed stream, bytes"),
            Column("offset", "int64", "the place in the compressed bytes, counted from start, bytes"),
            Column("bits", "int16", "how many bits of the byte before offset belong to it, 0 to 7"),
            Column("window", "binary", "the 32 KiB of the stream before it; null where none are needed"),
            _UNIT,
        ),
    ),
    "problems": Table(
        "something wrong with a source or an image, in place of silence",
        (
            Column("code", "string", "what is wrong, a word that does not change"),
            Column("source", "string", "the source"),
            Column("file", "string", "the file, relative to the source's root"),
            Column("member", "string", "the member of the archive, or the row, where there is one"),
            Column("dataset", "string", "the data set, where known"),
            Column("image_id", "string", "the image, where there is one"),
            Column("reason", "string", "what was found, and what was expected"),
            _UNIT,
        ),
    ),
    "sources": Table(
        "a path that was indexed; the only table with machine-dependent values",
        (
            Column("source", "string", "its name, unique in the index"),
            Column("root", "string", "the absolute folder that files are relative to, on the machine that built"),
            Column("path", "string", "the path given, relative to root; '.' for the root itself"),
            Column("forms", "list<string>", "the formats found there, by module name"),
            Column("dataset", "string", "the data set it belongs to"),
            Column("found", "string", "the evidence: what was found, in words"),
            Column("n_images", "int64", "images read from it"),
            Column("n_boxes", "int64", "boxes read from it"),
            Column("n_labels", "int64", "labels read from it"),
            Column("n_problems", "int64", "problems met in it"),
            Column("size", "int64", "bytes of the file, or of the files in the folder"),
            Column("mtime_ns", "int64", "time of last change of path, nanoseconds since 1970"),
            Column("units", "units", "its units of work, each with what tells that it changed"),
        ),
    ),
    "synsets": Table(
        "a noun synset of WordNet 3.0, all 82,115 of them; a view that joins synset_facts and synset_counts",
        (*_FACTS, *_COUNTS),
    ),
    "hypernyms": Table(
        "an edge of the graph: wnid is a kind, or an instance, of hypernym",
        (
            Column("wnid", "string", "the narrower synset"),
            Column("hypernym", "string", "the broader synset"),
            Column("instance", "bool", "an instance edge (@i): Stoker is one writer, not a kind of writer"),
        ),
    ),
    "closure": Table(
        "a synset and one of its ancestors over both kinds of edge, itself included",
        (
            Column("ancestor", "string", "the broader synset"),
            Column("descendant", "string", "the narrower synset"),
            Column("distance", "int16", "edges on the shortest path between them; 0 for itself"),
        ),
    ),
    "terms": Table(
        "what a synset may be called by: its wnid, its name, and each lemma in lower case; a view over synset_terms",
        (
            Column("term", "string", "the text, lower case, with spaces for '_' in lemmas"),
            Column("n", "int16", "how many synsets carry it"),
            Column("wnid", "string", "the one it is taken for; null where nothing decides"),
            Column("candidates", "string", "the synsets that carry it, with the images below each"),
        ),
    ),
    "glosses": Table(
        "a synset's definition, only where the build was asked for them",
        (
            Column("wnid", "string", "the synset"),
            Column("gloss", "string", "WordNet's definition and examples"),
        ),
    ),
}
TABLES["synset_facts"] = Table("the columns of synsets that are the same in every index", _FACTS)
TABLES["synset_counts"] = Table("the columns of synsets that count rows; a row where any is above 0", (_WNID, *_COUNTS))
TABLES["synset_terms"] = Table(
    "a text and a synset that it names, the same in every index",
    (
        Column("term", "string", "the text, lower case, with spaces for '_' in lemmas"),
        _WNID,
        Column("name", "string", "the synset's name where the text names several synsets, else null"),
    ),
)
TABLES["unused_boxes"] = Table(
    "a box kept aside: its image is not in this index, or another source has the boxes of that image",
    (*TABLES["boxes"].columns, Column("reason", "string", "no_image; repeated: the same boxes; conflict: others")),
)
TABLES["copies"] = Table(
    "a further place of an image that images already places",
    (
        *TABLES["images"].columns,
        Column("other_bytes", "bool", "its bytes are not those of the image in images: a row in problems names both"),
    ),
)

TABLES["image_lists"] = Table(
    "an image of a published image list, such as real-empty or ilsvrc2012-cmyk: see classes list --images",
    (
        Column("list", "string", "the name of the list, which --images and --exclude take too"),
        Column("dataset", "string", "the data set of the list; imagenet21k is any release of the whole ImageNet"),
        _PHOTO._replace(meaning="the photograph: joins images.photo, in every data set that keeps ImageNet's stems"),
    ),
)


# Tables without files: views.sql derives them from the others, and connection.py from the package's image lists.
VIEWS = ("synsets", "terms", "image_lists")


@functools.cache
def arrow_schema(table: str) -> pa.Schema:
    """Return the Arrow schema of a table of the index; raise KeyError if there is no such table."""
    import pyarrow as pa

    return pa.schema([pa.field(column.name, _arrow_type(column.type)) for column in TABLES[table].columns])


def _arrow_type(name: str) -> pa.DataType:
    import pyarrow as pa

    if name == "list<string>":
        return pa.list_(pa.string())
    if name == "units":
        counts = [(f"n_{rows}", pa.int64()) for rows in ("images", "boxes", "labels", "problems")]
        texts = [(text, pa.string()) for text in ("form", "file", "member", "fingerprint")]
        content = [("size", pa.int64()), ("digest", pa.string()), ("mtime_ns", pa.int64())]
        return pa.list_(pa.struct([("unit", pa.int64()), *texts, *counts, *content]))
    return pa.type_for_alias(name)
