"""Contact sheets of a selection: a row a class, drawn by its seed, with thumbnails straight from the archives."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from imagenet_tools.containers import payload
from imagenet_tools.display import pictures
from imagenet_tools.display.pictures import SheetRow
from imagenet_tools.errors import UsageError
from imagenet_tools.selection.splits import draw
from imagenet_tools.storage.blob import Descriptors
from imagenet_tools.text import count_of
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
    wanted = _shares(images, n, 1 if together else min(_A_CLASS, n), selection.choice.seed)
    n_classes = f"{len(wanted):,} of {count_of(len(images), 'class')}"
    names = distinct_names({wnid: wordnet.label_of(wnid) for wnid in images})
    tiles = _tiles(selection, dict(sorted(wanted.items())), fit)
    rows, mixed = [], []
    for wnid, shown in tiles.items():
        if together or len(shown) == 1:  # a row of one tile each would make a tall and empty sheet
            mixed += [tile._replace(caption=f"{names[wnid]}, {tile.caption}") for tile in shown]
        else:
            heading = f"{wordnet.label_of(wnid)}, {wnid}, {len(shown):,} of {count_of(images[wnid], 'image')}"
            rows.append(SheetRow(heading, tuple(shown)))
    if together:
        total = count_of(images.total(), "image")
        return [SheetRow(f"{len(mixed):,} of {total}, {n_classes}", tuple(mixed))]
    rows += [SheetRow("One image a class", tuple(mixed))] if mixed else []
    return [SheetRow(n_classes, ()), *rows] if len(wanted) < len(images) else rows


def _shares(images: Mapping[str, int], n: int, least: int, seed: int) -> dict[str, int]:
    """Return how many images of each class are shown: at least `least`, if it has as many, and together at most n."""
    shares: dict[str, int] = {}
    left = n
    for wnid in sorted(images, key=lambda wnid: (draw(hash32(wnid), seed), wnid)):
        share = min(least, images[wnid])
        if share <= left:
            shares[wnid] = share
            left -= share
    while left and (larger := [wnid for wnid, share in shares.items() if share < images[wnid]][:left]):
        for wnid in larger:
            shares[wnid] += 1
        left -= len(larger)
    return shares


def distinct_names(names: Mapping[str, str]) -> dict[str, str]:
    """Return the names of classes by wnid; names that several of them have, such as crane, get the wnid."""
    counts = Counter(names.values())
    return {wnid: f"{name} {wnid}" if counts[name] > 1 else name for wnid, name in names.items()}


def _tiles(selection: Selection, wanted: dict[str, int], fit: tuple[int, int]) -> dict[str, list[Tile]]:
    """Return the wanted number of tiles for each class, of the images with the lowest draws."""
    drawn = selection.run(
        f"""SELECT wnid, dataset, image_id, {_PLACE} FROM made
            JOIN (SELECT unnest($_shown::VARCHAR[]) AS wnid, unnest($_wanted::BIGINT[]) AS wanted) USING (wnid)
            WHERE left_out IS NULL
            QUALIFY row_number() OVER (PARTITION BY wnid ORDER BY draw(hash32, $_drawn), dataset, image_id) <= wanted
            ORDER BY wnid, draw(hash32, $_drawn), dataset, image_id""",
        {"_shown": list(wanted), "_wanted": list(wanted.values()), "_drawn": selection.choice.seed},
    ).fetchall()
    by_class: dict[str, list[Tile]] = {wnid: [] for wnid in wanted}
    for (wnid, *_), tile in zip(drawn, _opened(selection, [image for _, *image in drawn], fit), strict=True):
        by_class[wnid].append(tile)
    return by_class


def tiles_of(
    selection: Selection,
    groups: Mapping[str, Sequence[str]],
    n: int,
    *,
    n_groups: int,
    fit: tuple[int, int] = pictures.TILE,
) -> dict[str, list[Tile]]:
    """Return the tiles of the first n images of the first groups of which the selection has images.

    Args:
        selection: The images.
        groups: The image_ids of each group, in order.
        n: The greatest number of images of a group.
        n_groups: The greatest number of groups.
        fit: The largest width and height of a tile in pixels.
    """
    found = selection.run(
        f"""SELECT dataset, image_id, {_PLACE} FROM made
            WHERE left_out IS NULL AND image_id IN (SELECT unnest($_shown::VARCHAR[]))
            QUALIFY row_number() OVER (PARTITION BY image_id ORDER BY dataset, wnid) = 1""",
        {"_shown": sorted({image_id for group in groups.values() for image_id in group})},
    ).fetchall()
    known = {image[1]: image for image in found}
    present = {name: [known[i] for i in group if i in known][:n] for name, group in groups.items()}
    shown = dict(islice(((name, some) for name, some in present.items() if some), n_groups))
    tiles = iter(_opened(selection, [image for some in shown.values() for image in some], fit))
    return {name: [next(tiles) for _ in some] for name, some in shown.items()}


def _opened(selection: Selection, images: Sequence[Sequence[Any]], fit: tuple[int, int]) -> list[Tile]:
    """Return the tiles of images, given by data set, image_id and place, in their order."""
    index = selection.index
    rows = [(dataset, image_id, index.image_place(*place)) for dataset, image_id, *place in images]
    boxes = index.shown_boxes([(dataset, image_id) for dataset, image_id, _ in rows])
    tiles: dict[int, Tile] = {}
    with Descriptors(stamps=index.stamps) as files:
        # In this order each row group of a Parquet file is decoded once.
        for n in sorted(range(len(rows)), key=lambda n: payload.reading_order(rows[n][2])):
            _, image_id, image_place = rows[n]
            tiles[n] = pictures.tile(image_id, functools.partial(payload.read, image_place, files), boxes[n], fit=fit)
    return [tiles[n] for n in range(len(rows))]
