"""Write a report of an index or of an export: one HTML page with tables, charts and pictures, and no other file."""

from __future__ import annotations

import importlib
import json
import zlib
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, cast
from zipfile import BadZipFile

from imagenet_tools.display import charts, page, pictures
from imagenet_tools.display.pictures import SheetRow, ShownBox
from imagenet_tools.errors import FormatError, ImagenetToolsError
from imagenet_tools.exports.boxes import REASONS as BOX_REASONS
from imagenet_tools.exports.description import TERMS
from imagenet_tools.exports.manifest import CLASSES, MANIFEST
from imagenet_tools.images.jpeg import reader_of
from imagenet_tools.images.probe import PILLOW_ERRORS, probe
from imagenet_tools.selection import plots
from imagenet_tools.selection.selection import Selection
from imagenet_tools.selection.show import distinct_names, sheet_rows
from imagenet_tools.selection.steps import REASONS
from imagenet_tools.store.summary import summarise
from imagenet_tools.text import count_of
from imagenet_tools.wordnet import wordnet
from imagenet_tools.wordnet.wnid import hash32

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from imagenet_tools.display.charts import Chart
    from imagenet_tools.display.pictures import Tile
    from imagenet_tools.exports.writer import ReadBack, Writer
    from imagenet_tools.store.store import Store

_THUMBNAILS = 20
_THUMBNAIL = (2 * pictures.TILE[0], 2 * pictures.TILE[1])  # pixels; a page shows them smaller, for sharp screens
_MOST_ROWS = 1000  # of a table
_SAMPLE_IMAGES = 500  # of an export, whose size is read


def index_page(index: Store) -> bytes:
    """Return the report of an index: what it holds by split, class, size, box and problem, and thumbnails."""
    content, everything = summarise(index), Selection(index)
    images, boxes = (sum(cast("int", row[key] or 0) for row in content.splits) for key in ("images", "boxes"))
    counts: Counter[str] = Counter()
    for counted in everything.counts().values():
        counts.update(counted)
    numbers = {
        "images": images,
        "classes": len(counts),
        "boxes": boxes,
        "problems": sum(cast("int", row["n"]) for row in content.problems),
        "bytes of images": sum(cast("int", row["bytes"] or 0) for row in content.splits),
    }
    split_head = ("data set", "split", "images", "published", "classes", "with boxes", "boxes", "bytes")
    source_head = ("source", "formats", "images", "boxes", "labels", "problems")
    sources = [[value for key, value in row.items() if key != "root"] for row in content.sources]
    flags = [tuple(row.values()) for row in content.box_flags]
    kinds = ("tree", "classes", "sizes", "aspect", "boxes", "splits")
    parts = [
        page.figures(numbers),
        page.section("Splits", page.table(split_head, [tuple(row.values()) for row in content.splits])),
        page.section("Charts", page.chart_grid(everything.plot(kind) for kind in kinds)),
        page.section(
            "Images",
            page.tile_rows(sheet_rows(everything, _THUMBNAILS, together=True, fit=_THUMBNAIL)) if counts else "",
        ),
        page.section("Problems", page.table(("problem", "count", "example"), _values(content.problems))),
        page.section("Repairs and notes of boxes", page.table(("flag", "boxes", "meaning"), flags)),
        page.section("Classes", *_class_table({w: (wordnet.label_of(w), {"images": n}) for w, n in counts.items()})),
        page.section("Sources", page.table(source_head, sources)),
        page.section("Terms", page.paragraph(TERMS)),
    ]
    return page.document(f"Index {index.path.name}", parts)


def _values(rows: list[dict[str, object]]) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in rows]


def _class_table(classes: Mapping[str, tuple[str, Mapping[str, int]]]) -> tuple[str, ...]:
    """Return the table of classes, given by wnid as (name, counts), the largest first."""
    columns = list(dict.fromkeys(column for _, counts in classes.values() for column in counts))
    rows = [(name, wnid, *(counts.get(column, 0) for column in columns)) for wnid, (name, counts) in classes.items()]
    rows.sort(key=lambda row: (*(-cast("int", n) for n in row[2:]), row[1]))
    more = len(rows) - _MOST_ROWS
    note = f"{more:,} more classes have fewer images." if more > 0 else ""
    return page.table(("class", "wnid", *columns), rows[:_MOST_ROWS]), page.paragraph(note)


# ---- an export


class _Stated(NamedTuple):
    """The content of an export, as its manifest.json and classes.json state it."""

    module: Writer
    target: str
    numbers: dict[str, int]
    classes: dict[str, tuple[str, dict[str, int]]]  # by wnid: name, and images and boxes by split
    splits: Counter[str]  # images by split
    images: Counter[str]  # images by wnid
    lost: list[tuple[str, int, str]]
    lost_boxes: list[tuple[str, int, str]]
    hazards: list[str]
    bad_images: list[tuple[str, str]]
    sources: list[tuple[object, ...]]


def _stated(root: Path) -> _Stated:
    """Read what an export states. FormatError: it is no export of this program."""
    try:
        manifest = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        listed = json.loads((root / CLASSES).read_text(encoding="utf-8"))["classes"]
        target = str(manifest["target"])
        module = cast("Writer", importlib.import_module(f"imagenet_tools.formats.{target}"))
        names = {key: key for key in ("images", "boxes")} | {"bytes": "bytes of images"}
        splits, images = Counter[str](), Counter[str]()
        classes: dict[str, tuple[str, dict[str, int]]] = {}
        for row in listed:
            counts: dict[str, int] = {}
            for split, counted in row["splits"].items():
                counts |= {f"{split}: {what}": int(counted[what]) for what in ("images", "boxes")}
                splits[split] += int(counted["images"])
                images[row["wnid"]] += int(counted["images"])
            classes[row["wnid"]] = (str(row["display"]), counts)
        return _Stated(
            module,
            target,
            {name: int(manifest[key]) for key, name in names.items()} | {"classes": len(classes)},
            classes,
            splits,
            images,
            [(code, int(n), REASONS.get(code, "")) for code, n in manifest["left_out"].items()],
            [(code, int(n), BOX_REASONS.get(code, "")) for code, n in manifest["boxes_left_out"].items()],
            [str(text) for text in manifest["hazards"]],
            [*((name, "cut inside the picture") for name in manifest["cut"]), *manifest["undecodable"].items()],
            [(row["source"], row["dataset"], list(row["forms"]), row["images"]) for row in manifest["sources"]],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RecursionError) as error:
        message = f"{root}: {MANIFEST} and {CLASSES} cannot be read as an export's ({error}). Expected an export."
        raise FormatError(message) from error


def export_page(root: Path) -> bytes:
    """Return the report of an export, from its own files alone.

    Sizes, boxes and thumbnails are those of a sample, chosen by the hash of the images' names.

    Raises:
        FormatError: The folder is no export of this program.
    """
    stated = _stated(root)
    sample = _Sample(stated)
    try:
        for image in stated.module.read_back(root):
            sample.add(image)
    except (ImagenetToolsError, *PILLOW_ERRORS, BadZipFile, zlib.error) as error:
        stated.hazards.append(f"The export is not as it was written: {error}")
    by_name = {wnid: (name, stated.images[wnid]) for wnid, (name, _) in stated.classes.items()}
    split_about = f"{stated.numbers['images']:,} images"
    drawn_charts = [
        plots.tree_chart(stated.images),
        plots.class_chart(by_name),
        *sample.charts(),
        charts.bars("Images of each split", split_about, sorted(stated.splits.items())),
    ]
    problems = page.table(("image", "problem"), stated.bad_images[:_MOST_ROWS])
    parts = [
        page.paragraph(f"An export to {stated.target}."),
        page.figures(stated.numbers),
        page.section("Charts", page.chart_grid(drawn_charts)),
        page.section("Images", page.tile_rows(sample.rows())),
        page.section("Images left out", page.table(("step", "images", "why"), stated.lost)),
        page.section("Boxes left out", page.table(("reason", "boxes", "why"), stated.lost_boxes)),
        page.section("Problems", *map(page.paragraph, stated.hazards), problems),
        page.section("Classes", *_class_table(stated.classes)),
        page.section("Sources", page.table(("source", "data set", "formats", "images"), stated.sources)),
        page.section("Terms", page.paragraph(TERMS)),
    ]
    return page.document(f"Export {root.resolve().name}", parts)


class _Sample:
    """Images of an export, chosen by the hash of their names: their sizes, their boxes, and thumbnails of a few."""

    def __init__(self, stated: _Stated):
        self._names = distinct_names({wnid: name for wnid, (name, _) in stated.classes.items()})
        self._is_turned = stated.module.WRITES.turned
        n_images = self._n_images = max(stated.numbers["images"], 1)
        self._limit = (_SAMPLE_IMAGES << 32) // n_images
        self._thumbnail_limit = (2 * _THUMBNAILS << 32) // n_images  # some 40, of which 20 are shown
        self._sides: Counter[float] = Counter()
        self._areas: Counter[float] = Counter()
        self._tiles: list[tuple[int, str, list[str], Tile]] = []  # hash, stem, classes

    def add(self, image: ReadBack) -> None:
        """Take an image if it is in the sample."""
        stem_hash = hash32(image.stem)
        if stem_hash >= self._limit:
            return
        boxes = [ShownBox(*box[1:], upright=self._is_turned) for box in image.boxes or ()]
        self._areas.update(round(100 * (box.right - box.left) * (box.bottom - box.top), 1) for box in boxes)
        if image.read is None:
            return
        data = image.read()
        found = probe(data[:4096], len(data), reader_of(data))
        if found.width and found.height:
            self._sides[min(found.width, found.height)] += 1
        if stem_hash < self._thumbnail_limit:
            wnids = self._classes_of(image)
            caption = ", ".join([*(self._names[wnid] for wnid in wnids), image.stem])
            tile = pictures.tile(caption, lambda: data, boxes, fit=_THUMBNAIL)
            self._tiles.append((stem_hash, image.stem, wnids, tile))

    def _classes_of(self, image: ReadBack) -> list[str]:
        """Return the class of an image; where the format has none, that of its name, or those of its boxes."""
        wnids = list(self._names)
        named = image.stem.partition("_")[0]
        if image.class_index is None and named in self._names:
            return [named]
        indices = {image.class_index} if image.class_index is not None else {box[0] for box in image.boxes or ()}
        return [wnids[index] for index in sorted(indices) if 0 <= index < len(wnids)]

    def charts(self) -> list[Chart]:
        """Return the charts of what was counted."""
        some = []
        drawn = "drawn " if self._n_images > _SAMPLE_IMAGES else ""
        if self._sides:
            some.append(charts.histogram("Shorter side", " px", self._sides, of=f"{drawn}images"))
        if self._areas:
            some.append(plots.box_chart(self._areas, f"boxes of {drawn}images" if drawn else "boxes"))
        return some

    def rows(self) -> list[SheetRow]:
        """Return the thumbnails with the lowest hashes."""
        shown = sorted(self._tiles, key=lambda drawn: drawn[:2])[:_THUMBNAILS]
        classes = {wnid for _, _, wnids, _ in shown for wnid in wnids}
        heading = f"{len(shown):,} of {count_of(self._n_images, 'image')}"
        heading += f", {len(classes):,} of {count_of(len(self._names), 'class')}" if classes else ""
        return [SheetRow(heading, tuple(tile for _, _, _, tile in shown))] if shown else []
