"""A split of a selection as the data set that a training reads: the queries that fill its arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from imagenet_tools.annotations.bbox import to_pixels
from imagenet_tools.errors import UsageError
from imagenet_tools.schema import TABLES
from imagenet_tools.text import did_you_mean
from imagenet_tools.training.dataset import BOX_FIELDS, Boxes, Container, Dataset, ImagePlaces, smallest

if TYPE_CHECKING:
    import pyarrow as pa

    from imagenet_tools.selection.selection import Selection

_COLUMNS = ("official_split", *(column.name for column in TABLES["images"].columns))
_FIELDS = ("image", "label", "bytes", *BOX_FIELDS, *_COLUMNS)

_USABLE = "nxmin IS NOT NULL"

# The chosen images of a split, with their class index. `alone`: the image is a file by itself.
_CHOSEN = """,
listed AS (SELECT unnest($_classes) AS wnid, unnest(range(len($_classes)))::INTEGER AS label),
chosen AS (
    SELECT made.*, label, "offset" = 0 AND compression IS NULL AS alone
    FROM made JOIN listed USING (wnid) WHERE left_out IS NULL AND split = $_split)"""
_ORDER = "label, dataset, image_id"  # as ImageFolder sorts: by class, then by name
# The fields of a Container as one text, because each image looks its container up. No name contains chr(0).
_HOME = """concat_ws(chr(0), dataset, source, coalesce(compression, ''), coalesce(encoding, ''),
                     (problem IS NULL)::INTEGER, alone::INTEGER,
                     CASE WHEN alone THEN parse_dirpath(file, 'forward_slash') ELSE file END)"""
_HOMES = f"{_CHOSEN} SELECT DISTINCT {_HOME} AS home FROM chosen ORDER BY home"
_IMAGES = f"""{_CHOSEN},
homes AS (SELECT unnest($_homes) AS named, unnest(range(len($_homes)))::INTEGER AS home)
SELECT home, coalesce("offset", position) AS start, length, image_id, label,
       nullif(CASE WHEN alone THEN parse_filename(file, false, 'forward_slash') ELSE member END,
              image_id || '.JPEG') AS name{{columns}}
FROM chosen JOIN homes ON named = {_HOME} ORDER BY {_ORDER}
"""
_BOXES = f"""{_CHOSEN}
SELECT DISTINCT row, listed.label, nxmin, nymin, nxmax, nymax, width, height
FROM class_boxes AS boxes JOIN listed USING (wnid)
JOIN (SELECT dataset, image_id, width, height, row_number() OVER (ORDER BY {_ORDER}) - 1 AS row FROM chosen)
    USING (dataset, image_id)
WHERE {_USABLE} ORDER BY ALL
"""


def dataset(
    selection: Selection,
    split: str,
    *,
    transform: Callable[[Any], Any] | None = None,
    target_transform: Callable[[Any], Any] | None = None,
    loader: Callable[[bytes], Any] | None = None,
    fields: str | Sequence[str] = ("image", "label"),
    problems: Literal["skip", "keep"] = "skip",
    unboxed: Literal["skip", "background"] = "skip",
    on_error: Literal["raise", "skip"] = "raise",
) -> Dataset:
    """Return a split of the selection as a map-style data set over the original archives, like ImageFolder.

    Boxes are those of the selection's classes that are usable, clipped to the image, as in an export. Images that
    are left out are counted in `left_out` of the result.

    Args:
        split: The name of one of its splits.
        transform: Is applied to the image. It does not change boxes.
        target_transform: Is applied to the label.
        loader: Makes an image of the bytes of a file; default: a Pillow image in RGB.
        fields: The fields of an item, in order. They are image; label (the 0-based class index); bytes (the undecoded
            file); boxes ((n, 4) float32: xmin, ymin, xmax, ymax in pixels of the stored raster). Also boxes_normalised
            (the same, 0 to 1); box_labels ((n,) int64 class indices); and every column of the table images.
        problems: "skip" leaves out images with a problem; "keep" keeps them.
        unboxed: With box fields, "skip" leaves out images without a box; "background" keeps them.
        on_error: An image that is cut inside the picture has no problem in the index; it fails when it is decoded.
            "raise" raises a SourceError that names it. "skip" returns the next image that can be read, with its
            label, and adds the failed one to `skipped` of the result.

    Returns:
        The data set.

    Raises:
        UsageError: No image is chosen in the split, or an option has an unknown value.
        SourceError: A source is missing or has changed; raised when an image is read.

    Example:
        train = index.select(under="dog").dataset("train", transform=transform)
        image, label = train[0]
    """
    fields = (fields,) if isinstance(fields, str) else tuple(fields)
    _check("fields", fields, _FIELDS)
    _check("problems", [problems], ("skip", "keep"))
    _check("unboxed", [unboxed], ("skip", "background"))
    _check("on_error", [on_error], ("raise", "skip"))
    wnids = selection.wnids()
    chosen = selection
    if problems == "skip":
        chosen = chosen.demand("problem", "problem IS NULL")
    boxed = any(field in BOX_FIELDS for field in fields)
    if boxed and unboxed == "skip":
        chosen = chosen.demand("unboxed", "n_boxes > 0")
    if boxed:  # an image all of whose boxes are unusable, or of other classes, shows an object: it is no background
        usable = _usable_box(selection, wnids)
        chosen = chosen.demand("bad_boxes", usable if unboxed == "skip" else f"n_boxes = 0 OR {usable}")
    values = {"_classes": list(wnids), "_split": split}
    left_out = _left_out(chosen, split)
    homes = [home for (home,) in chosen.run(_HOMES, values).fetchall()]
    if not homes:
        raise _no_images(chosen, split, left_out)
    columns = tuple(dict.fromkeys(field for field in fields if field in _COLUMNS))
    images, extra = _images(chosen, homes, values, columns)
    return Dataset(
        images,
        wnids,
        stamps=chosen.index.stamps,
        split=split,
        fields=fields,
        columns=extra,
        boxes=_boxes(chosen, values, len(images.label)) if boxed else None,
        left_out=left_out,
        on_error=on_error,
        transform=transform,
        target_transform=target_transform,
        loader=loader,
    )


def _check(option: str, values: Iterable[str], known: Sequence[str]) -> None:
    for value in values:
        if value not in known:
            number = "some" if len(known) > 2 else "one"
            expected = ", ".join(dict.fromkeys(known))
            raise UsageError(f"dataset({option}=...): found {value!r}; expected {number} of {expected}.")


def _usable_box(selection: Selection, wnids: Sequence[str]) -> str:
    """Return SQL that is true for images with a usable box of one of the selection's classes."""
    class_of = selection.classes_of()
    of_classes = {*(wnid for wnid, own in class_of.items() if own in set(wnids)), *(set(wnids) - class_of.keys())}
    boxes = f"boxes WHERE {_USABLE} AND wnid IN (SELECT unnest({sorted(of_classes)}::VARCHAR[]))"
    return f"(dataset, image_id) IN (SELECT (dataset, image_id) FROM {boxes})"


def _left_out(selection: Selection, split: str) -> dict[str, int]:
    """Return the images that are left out by reason; for a new split all of them, because they are in no split."""
    in_split = "coalesce(official_split, $_split) = $_split" if selection.choice.split.by == "official" else "true"
    query = f"SELECT left_out, count(*) FROM made WHERE left_out IS NOT NULL AND {in_split} GROUP BY ALL ORDER BY ALL"
    return dict(selection.run(query, {"_split": split}).fetchall())


def _no_images(selection: Selection, split: str, left_out: Mapping[str, int]) -> UsageError:
    splits = ", ".join(f"{name} ({sum(counted.values()):,})" for name, counted in selection.counts().items())
    reasons = ", ".join(f"{n:,} {reason}" for reason, n in left_out.items())
    meant = did_you_mean(split, selection.counts())
    return UsageError(
        f"No images are chosen in split {split!r}. {meant}The selection has images in: {splits or 'no split'}"
        f"{f'; left out: {reasons}' if reasons else ''}. Name one of its splits, or loosen it."
    )


def _images(
    selection: Selection, homes: Sequence[str], values: Mapping[str, object], columns: Sequence[str]
) -> tuple[ImagePlaces, dict[str, pa.Array]]:
    """Return the places of the images, and the columns that were asked for, in order."""
    import pyarrow as pa

    # A column gets the prefix `_`, because it may be image_id, which is there already.
    more = "".join(f', "{column}" AS "_{column}"' for column in columns)
    table = pa.Table.from_batches(selection.read(_IMAGES.format(columns=more), {**values, "_homes": homes}))
    home, start, length, label = (table[name].to_numpy() for name in ("home", "start", "length", "label"))
    name = table["name"].combine_chunks()
    images = ImagePlaces(
        tuple(_container(selection, *text.split("\0")) for text in homes),
        smallest(home),
        start.astype(np.int64),
        smallest(length),
        table["image_id"].combine_chunks(),
        None if name.null_count == len(name) else name,
        smallest(label),
    )
    return images, {column: table[f"_{column}"].combine_chunks() for column in columns}


def _container(
    selection: Selection, dataset: str, source: str, compression: str, encoding: str, sound: str, alone: str, path: str
) -> Container:
    """Return the container that the fields of _HOME describe; the encoding counts only without a problem."""
    place = selection.index.image_place(source, path, None, 0, None, None, compression or None)
    expected = encoding if sound == "1" else None
    return Container(dataset, Path(place.path), alone == "1", place.compression, place.points, expected)


def _boxes(selection: Selection, values: Mapping[str, object], n_images: int) -> Boxes:
    columns = selection.run(_BOXES, values).fetchnumpy()
    row, label, left, top, right, bottom, width, height = columns.values()
    if np.ma.is_masked(width):
        raise UsageError(
            "Boxes are asked for, and some images have no size in the index: it was built without probing. "
            "Build it again with its sources, probing."
        )
    starts = np.zeros(n_images + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=n_images), out=starts[1:])
    fractions = np.stack((left, top, right, bottom), axis=1).astype(np.float32)
    pixels = np.stack(to_pixels(left, top, right, bottom, width, height), axis=1).astype(np.float32)
    return Boxes(starts, np.asarray(label, np.int64), fractions, pixels)
