"""A split of a selection as the data set that a training reads: the queries that fill its arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imagenet_tools.annotations.bbox import to_pixels
from imagenet_tools.errors import UsageError
from imagenet_tools.schema import TABLES
from imagenet_tools.training.dataset import BOX_FIELDS, Boxes, Dataset
from imagenet_tools.training.images import Container, ImagePlaces, smallest

if TYPE_CHECKING:
    import pyarrow as pa

    from imagenet_tools.selection.selection import Selection

_COLUMNS = ("official_split", *(column.name for column in TABLES["images"].columns))
_FIELDS = ("image", "label", "bytes", *BOX_FIELDS, *_COLUMNS)

_USABLE = "nxmin IS NOT NULL"
_USABLE_BOX = f"(dataset, image_id) IN (SELECT (dataset, image_id) FROM boxes WHERE {_USABLE})"

# The chosen images of a split, with their class index. `alone`: an image that is a file of its own.
_CHOSEN = """,
listed AS (SELECT unnest($_classes) AS wnid, unnest(range(len($_classes)))::INTEGER AS label),
chosen AS (
    SELECT made.*, label, "offset" = 0 AND compression IS NULL AS alone
    FROM made JOIN listed USING (wnid) WHERE left_out IS NULL AND split = $_split)"""
_NUMBERS = ("home", "start", "length", "label")
_ORDER = "label, dataset, image_id"  # as ImageFolder sorts: class by class, by name
# What makes a Home, as one text, for it is looked up for every image; between its parts stands what no name has.
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
    problems: str = "skip",
    unboxed: str = "skip",
    on_error: str = "raise",
) -> Dataset:
    """A split of a selection as a map-style data set over the original archives, with ImageFolder's face.

    Items are (image, label), or the `fields` asked for, in their order: image (a Pillow image in RGB, or what `loader`
    makes of the bytes, and then `transform`), label (the 0-based class index, and then `target_transform`), bytes (the
    undecoded file), boxes ((n, 4) float32: xmin, ymin, xmax, ymax in pixels of the stored raster), boxes_normalised
    (the same, 0 to 1), box_labels ((n,) int64 class indices), or any column of the table images. Boxes are those of
    the selection's classes that can be used, clipped to the image, as in an export; `transform` does not change them.

    Images with a problem are left out, or kept: `problems="keep"`. Where boxes are asked for, images without one are
    left out, or are background: `unboxed="background"`. What is left out is counted in `left_out`.

    An image that is cut inside the picture is there, as it is in an export: that shows when it is decoded, and Pillow
    stops at it. It is a SourceError that names the image, or with `on_error="skip"` the next image that can be read
    comes in its place, with its label, and `dataset.skipped` names the one that was left. A source that is gone or has
    changed is always an error. UsageError: nothing is chosen in the split, or a word is unknown.
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
    if boxed:  # an image whose boxes cannot be used does hold an object: it is background under no option
        chosen = chosen.demand("bad_boxes", _USABLE_BOX if unboxed == "skip" else f"n_boxes = 0 OR {_USABLE_BOX}")
    asked = {"_classes": list(wnids), "_split": split}
    columns = tuple(dict.fromkeys(field for field in fields if field in _COLUMNS))
    images, extra = _images(chosen, asked, columns)
    left_out = _left_out(chosen, split)
    if not len(images.label):
        raise _nothing(chosen, split, left_out)
    return Dataset(
        images,
        wnids,
        stamps=chosen.index.stamps,
        split=split,
        fields=fields,
        columns=extra,
        boxes=_boxes(chosen, asked, len(images.label)) if boxed else None,
        left_out=left_out,
        on_error=on_error,
        transform=transform,
        target_transform=target_transform,
        loader=loader,
    )


def _check(word: str, given: Iterable[str], known: Sequence[str]) -> None:
    for one in given:
        if one not in known:
            message = f"dataset({word}=...): found {one!r}; expected {'some' if len(known) > 2 else 'one'} of "
            raise UsageError(message + f"{', '.join(dict.fromkeys(known))}.")


def _left_out(selection: Selection, split: str) -> dict[str, int]:
    """Images that are left out, by reason; of a new split, all of them: they fall on no side of it."""
    mine = "coalesce(official_split, $_split) = $_split" if selection.choice.split.by == "official" else "true"
    query = f"SELECT left_out, count(*) FROM made WHERE left_out IS NOT NULL AND {mine} GROUP BY ALL ORDER BY ALL"
    return dict(selection.run(query, {"_split": split}).fetchall())


def _nothing(selection: Selection, split: str, left_out: Mapping[str, int]) -> UsageError:
    there = ", ".join(f"{name} ({sum(found.values()):,})" for name, found in selection.counts().items())
    lost = ", ".join(f"{n:,} {reason}" for reason, n in left_out.items())
    message = f"No images are chosen in split {split!r}. The selection has images in: {there or 'no split'}"
    return UsageError(f"{message}{f'; left out: {lost}' if lost else ''}. Name one of its splits, or loosen it.")


def _images(
    selection: Selection, asked: Mapping[str, object], columns: Sequence[str]
) -> tuple[ImagePlaces, dict[str, pa.Array]]:
    """The places of the images, and the columns that were asked for, in order."""
    import pyarrow as pa

    homes = [home for (home,) in selection.run(_HOMES, asked).fetchall()]
    # A name of its own for each: one of them may be `image_id` again.
    wanted = "".join(f', "{column}" AS "_{column}"' for column in columns)
    kept: dict[str, list[Any]] = {}
    for batch in selection.read(_IMAGES.format(columns=wanted), {**asked, "_homes": homes}):
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            kept.setdefault(name, []).append(values.to_numpy() if name in _NUMBERS else values)
    home, start, length, label = (np.concatenate([np.empty(0, np.int64), *kept.pop(name, ())]) for name in _NUMBERS)
    texts = {name: pa.chunked_array(parts).combine_chunks() for name, parts in kept.items()}
    image_id, name = (texts.pop(name, pa.array([], pa.string())) for name in ("image_id", "name"))
    images = ImagePlaces(
        tuple(_home(selection, *text.split("\0")) for text in homes),
        smallest(home),
        start.astype(np.int64),
        smallest(length),
        image_id,
        None if name.null_count == len(name) else name,
        smallest(label),
    )
    return images, {name.removeprefix("_"): values for name, values in texts.items()}


def _home(
    selection: Selection, dataset: str, source: str, compression: str, encoding: str, right: str, alone: str, path: str
) -> Container:
    place = selection.index.image_place(source, path, None, 0, None, None, compression or None)
    said = encoding if right == "1" else None
    return Container(dataset, Path(place.path), alone == "1", place.compression, place.points, said)


def _boxes(selection: Selection, asked: Mapping[str, object], n: int) -> Boxes:
    import pyarrow as pa

    batches = list(selection.read(_BOXES, asked))
    found = pa.Table.from_batches(batches) if batches else None
    row, label, left, top, right, bottom, width, height = (
        found[name].to_numpy() if found is not None else np.empty(0)
        for name in ("row", "label", "nxmin", "nymin", "nxmax", "nymax", "width", "height")
    )
    if np.isnan(width.astype(float)).any():
        message = "Boxes are asked for, and some images have no size in the index: it was built without probing. "
        raise UsageError(message + "Build it again with its sources, probing.")
    starts = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(row.astype(np.int64), minlength=n), out=starts[1:])
    fractions = np.stack((left, top, right, bottom), axis=1).astype(np.float32)
    pixels = np.stack(to_pixels(left, top, right, bottom, width, height), axis=1).astype(np.float32)
    return Boxes(starts, label.astype(np.int64), fractions, pixels)
