"""Contact sheets of a selection: a row a class, drawn by its seed, with thumbnails straight from the archives."""

from __future__ import annotations

import functools
from collections import Counter
from typing import TYPE_CHECKING

from imagenet_tools.containers import payload
from imagenet_tools.display import pictures
from imagenet_tools.display.pictures import SheetRow
from imagenet_tools.errors import UsageError
from imagenet_tools.selection.splits import draw
from imagenet_tools.storage.blob import Descriptors
from imagenet_tools.wordnet import wordnet
from imagenet_tools.wordnet.wnid import hash32

if TYPE_CHECKING:
    from imagenet_tools.display.pictures import Tile
    from imagenet_tools.selection.selection import Selection

_A_CLASS = 4  # images of a class, of several classes
# The arguments of Store.image_place.
_PLACE = """source, file, "offset", length, member, position, compression,
            CASE WHEN problem IS NULL THEN coalesce(encoding, '') END AS encoding"""


def sheet_rows(
    selection: Selection, n: int, *, together: bool = False, fit: tuple[int, int] = pictures.TILE
) -> list[SheetRow]:
    """Return the rows of a contact sheet: see Selection.show.

    Args:
        selection: The images to draw from.
        n: The number of images.
        together: Put all in one row, one image a class if there are as many classes.
        fit: The largest width and height of a tile in pixels.

    Raises:
        UsageError: The selection has no images.
    """
    if n < 1:
        raise UsageError(f"n: found {n}; expected a number of images, at least 1.")
    images: Counter[str] = Counter()
    for counted in selection.counts().values():
        images.update(counted)
    if not images:
        raise UsageError("Found no image in the selection; expected at least one to show.")
    a_class = max(1 if together else min(_A_CLASS, n), -(-n // len(images)))
    seed = selection.choice.seed
    wanted: dict[str, int] = {}
    for wnid in sorted(images, key=lambda wnid: (draw(hash32(wnid), seed), wnid)):
        wanted[wnid] = min(a_class, images[wnid], n - sum(wanted.values()))
        if sum(wanted.values()) == n:
            break
    tiles = _tiles(selection, dict(sorted(wanted.items())), fit)
    rows, mixed = [], []
    for wnid, shown in tiles.items():
        label = wordnet.label_of(wnid)
        if together or len(shown) == 1:  # a row of one tile each would make a tall and empty sheet
            mixed += [tile._replace(caption=f"{label}, {tile.caption}") for tile in shown]
        else:
            rows.append(SheetRow(f"{label}, {wnid}, images: {images[wnid]:,}", tuple(shown)))
    return [*rows, *([SheetRow("" if together else "One image a class", tuple(mixed))] if mixed else [])]


def _tiles(selection: Selection, wanted: dict[str, int], fit: tuple[int, int]) -> dict[str, list[Tile]]:
    """Return tiles of the images with the lowest draws of each class, as many as wanted."""
    index = selection.index
    drawn = selection.run(
        f"""SELECT wnid, dataset, image_id, {_PLACE} FROM made
            WHERE left_out IS NULL AND wnid IN (SELECT unnest($_shown::VARCHAR[]))
            QUALIFY row_number() OVER (PARTITION BY wnid ORDER BY draw(hash32, $_drawn), dataset, image_id) <= $_most
            ORDER BY wnid, draw(hash32, $_drawn), dataset, image_id""",
        {"_shown": list(wanted), "_drawn": selection.choice.seed, "_most": max(wanted.values())},
    ).fetchall()
    n_taken: Counter[str] = Counter()
    rows = []
    for wnid, dataset, image_id, *place in drawn:
        n_taken[wnid] += 1
        if n_taken[wnid] <= wanted[wnid]:
            rows.append((wnid, dataset, image_id, index.image_place(*place)))
    boxes = index.shown_boxes([(dataset, image_id) for _, dataset, image_id, _ in rows])
    tiles: dict[int, Tile] = {}
    with Descriptors(stamps=index.stamps) as files:
        # In this order each row group of a Parquet file is decoded once.
        for n in sorted(range(len(rows)), key=lambda n: payload.reading_order(rows[n][3])):
            _, _, image_id, image_place = rows[n]
            tiles[n] = pictures.tile(image_id, functools.partial(payload.read, image_place, files), boxes[n], fit=fit)
    by_class: dict[str, list[Tile]] = {wnid: [] for wnid in wanted}
    for n, row in enumerate(rows):
        by_class[row[0]].append(tiles[n])
    return by_class
