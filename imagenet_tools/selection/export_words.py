"""The one table of the options of an export: flags, recipe keys, Python keywords, README and help() are made from it.

A recipe checks these words when it is read, so the table is here and not in exports. `exports.options.Options` adds
the checks of values, and what the options do to an image.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypedDict

from imagenet_tools.selection.words import Word

if TYPE_CHECKING:
    from imagenet_tools.storage.links import How


def _option(default: object, kind: str, help_text: str, *, metavar: str = "") -> Any:
    """Return a field of the table; `kind` and `metavar` are those of Word. The help names a default that says much."""
    if default and default is not True:
        help_text += f" (default {default})"
    return field(default=default, metadata={"kind": kind, "metavar": metavar, "help": help_text})


@dataclass(frozen=True)
class ExportWords:
    """The options of an export, with their defaults. The metadata of a field are those of its Word."""

    link: How = _option(  # noqa: RUF009 (it returns a field)
        "auto", "auto|hard|sym|reflink|copy", "how images that are files of their own are placed"
    )
    names: str = _option(
        "",
        "text",
        "what classes are called: wnid, lemma (made unique), or a file of `wnid name` lines",
        metavar="wnid|lemma|FILE",
    )
    unboxed: str = _option(
        "skip",
        "skip|background|error",
        "images without boxes in a detection export; not all objects are boxed, so such an image may show some",
    )
    bad_boxes: str = _option("clip", "clip|drop|error", "boxes that reach out of their image")
    min_box: int = _option(
        0, "number", "leave out boxes with a side below so many pixels of the exported image", metavar="PX"
    )
    resize: int | None = _option(
        None, "number", "make images of N pixels, encoded anew as JPEG; --fit says which side", metavar="N"
    )
    fit: str = _option("short", "short|long|exact", "the side that --resize means, or both")
    crop: str = _option("none", "center|none", "cut the middle square out of each resized image")
    quality: int = _option(90, "number", "JPEG quality of what is encoded anew, 1 to 100", metavar="N")
    repair: tuple[str, ...] = _option(
        (),
        "texts",
        "repair images that need it: cmyk and png become RGB JPEG, eoi ends a JPEG, exif turns the pixels",
        metavar="RULE,..",
    )
    field: tuple[str, ...] = _option(
        (),
        "texts",
        "carry a column of images, or of a table joined by --with, where the target takes fields",
        metavar="KEY=COLUMN",
    )
    shard_size: int | None = _option(
        None,
        "text",
        "bytes of images in a shard, such as 500MB or 1GB",
        metavar="SIZE",
    )
    shuffle: str = _option("none", "none|block|full", "the order of images in shards and lists")
    side_files: bool = _option(False, "flag", "webdataset: also write what wids, timm and DALI read beside the shards")
    hash: bool = _option(False, "flag", "put digests of the bytes of all images or shards into manifest.json")
    meta_bin: bool = _option(
        False,
        "flag",
        "write torchvision's meta.bin into an image_folder, so that its ImageNet opens without the devkit; needs torch",
    )


EXPORT = tuple(Word(option.name, "export", **option.metadata) for option in fields(ExportWords))


class ExportOptions(TypedDict, total=False):
    """The options of an export as Python keywords; help(imagenet_tools.export) explains each of them."""

    link: How  # auto, hard, sym, reflink or copy
    names: str  # wnid, lemma, or the path of a file
    unboxed: str  # skip, background or error
    bad_boxes: str  # clip, drop or error
    min_box: int  # pixels of the exported image, 0 and above
    resize: int | None  # pixels, 1 to 8,192
    fit: str  # short, long or exact
    crop: str  # center or none
    quality: int  # 1 to 100
    repair: str | Iterable[str]  # some of cmyk, png, eoi and exif: a list, or a text with ',' between
    field: str | Iterable[str]  # KEY=COLUMN
    shard_size: int | str | None  # bytes, or a text such as 500MB
    shuffle: str  # none, block or full
    side_files: bool
    hash: bool
    meta_bin: bool
