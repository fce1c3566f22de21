"""Read the true boxes with which localisation and detection are scored, of anything that holds boxes.

An index gives them from its tables. So does a source, of which a temporary index is made. An export is read back. A
file of COCO's instances is read as it is: its ids of images and categories are those of COCO's results.
"""

from __future__ import annotations

import importlib
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from imagenet_tools.annotations import bbox
from imagenet_tools.build.build import build_index
from imagenet_tools.build.own_exports import CLASSES, MANIFEST, export_at
from imagenet_tools.catalogue import lists
from imagenet_tools.errors import UsageError
from imagenet_tools.evaluation.detections import TrueBoxes
from imagenet_tools.images.probe import probe
from imagenet_tools.store.layout import is_index
from imagenet_tools.store.store import Store
from imagenet_tools.text import count_of, some_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imagenet_tools.build.own_exports import OwnExport
    from imagenet_tools.exports.writer import Writer
    from imagenet_tools.units import Reader

_IMAGES = """SELECT image_id, split, width, height, orientation, wnid FROM images WHERE dataset = $dataset
UNION ALL SELECT DISTINCT image_id, NULL, NULL, NULL, NULL, NULL FROM unused_boxes
WHERE dataset = $dataset AND reason = 'no_image' ORDER BY image_id"""

# The edges as the annotation states them, unless they refer to another size than the image's own, or are exchanged.
_BOXES = """WITH stated AS (
    SELECT * FROM boxes UNION ALL BY NAME SELECT * EXCLUDE reason FROM unused_boxes WHERE reason = 'no_image'
)
SELECT image_id, wnid, list_contains(flags, 'crowd') AS crowd,
    CASE WHEN other THEN nxmin * width ELSE xmin END AS xmin, CASE WHEN other THEN nymin * height ELSE ymin END AS ymin,
    CASE WHEN other THEN nxmax * width ELSE xmax END AS xmax, CASE WHEN other THEN nymax * height ELSE ymax END AS ymax
FROM (
    SELECT stated.*, width, height,
        nxmin IS NOT NULL AND coalesce(stated_width != width OR stated_height != height OR xmin > xmax OR ymin > ymax,
            false) AS other
    FROM stated LEFT JOIN images USING (dataset, image_id) WHERE dataset = $dataset AND stated.wnid IS NOT NULL
) WHERE xmin IS NOT NULL AND ymin IS NOT NULL AND xmax IS NOT NULL AND ymax IS NOT NULL
ORDER BY ALL"""


def read(path: Path, readers: Mapping[str, Reader], dataset: str) -> TrueBoxes:
    """Return the true boxes that a path holds.

    Args:
        path: An index, an export, a source with boxes, or a file of COCO's instances.
        readers: The readers of formats, for a source.
        dataset: The data set to take if an index has boxes of several.

    Raises:
        UsageError: It has no boxes, or those of several other data sets.
        SourceError: It is not recognised.
    """
    if path.is_file() and (content := _instances(path)) is not None:
        try:
            return _of_coco(path, content)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, UsageError):
                raise
            expected = "Expected images and categories with ids, and annotations with image_id, category_id and bbox"
            raise UsageError(f"{path}: it cannot be read as COCO's instances: {error!r}. {expected}.") from error
    export = export_at(path)
    if export is not None:
        return _of_export(path, export)
    if is_index(path):
        with Store.open(path) as index:
            return _of_index(index, path, dataset)
    with tempfile.TemporaryDirectory() as folder:
        build_index([path], Path(folder, "boxes.index"), readers=readers)
        with Store.open(Path(folder, "boxes.index")) as index:
            return _of_index(index, path, dataset)


def _of_index(index: Store, path: Path, wanted: str) -> TrueBoxes:
    rows = index.sql("SELECT DISTINCT dataset FROM boxes UNION SELECT dataset FROM unused_boxes").fetchall()
    datasets = sorted(dataset for (dataset,) in rows)
    dataset = wanted if wanted in datasets else datasets[0] if len(datasets) == 1 else None
    if dataset is None:
        those = f"those of {some_of(datasets)}" if datasets else "none"
        raise UsageError(f"{path}: expected boxes of {wanted}, or of one data set; found {those}.")
    images, boxes = (index.sql(query, dataset=dataset).to_arrow_table().to_pydict() for query in (_IMAGES, _BOXES))
    place_of = {stem: place for place, stem in enumerate(images["image_id"])}
    edges = _matrix([boxes[edge] for edge in ("xmin", "ymin", "xmax", "ymax")])
    widths, heights = edges[:, 2] - edges[:, 0], edges[:, 3] - edges[:, 1]
    return TrueBoxes(
        name=path.name,
        images=np.array(images["image_id"], object),
        sizes=_matrix([images["width"], images["height"]]),
        orientations=np.array([tag or 1 for tag in images["orientation"]], np.int64),
        splits=np.array(images["split"], object),
        is_partial=np.array([wnid is not None for wnid in images["wnid"]], np.bool_),
        image_places=np.array([place_of[stem] for stem in boxes["image_id"]], np.int64),
        classes=np.array(boxes["wnid"], object),
        edges=edges,
        areas=widths * heights,
        crowds=np.array([bool(crowd) for crowd in boxes["crowd"]], np.bool_),
        lists_images=any(width is not None for width in images["width"]),
    )


def _of_export(root: Path, export: OwnExport) -> TrueBoxes:
    """Return what the reader of its format finds in an export; edges become those of the stored raster."""
    module = cast("Writer", importlib.import_module(f"imagenet_tools.formats.{export.target}"))
    if not (export.finished and module.WRITES.boxes and module.WRITES.holds_bytes):
        raise UsageError(f"{root}: {export.title} without images and boxes. Expected one to coco, yolo or voc.")
    listed = json.loads((root / CLASSES).read_bytes())["classes"]
    indexes = {row["index"]: row["wnid"] for row in listed}
    options = json.loads((root / MANIFEST).read_bytes())["recipe"]["options"]
    images: list[tuple[str, str, int, int, int]] = []
    of, classes, edges = [], [], []
    for image in module.read_back(root):
        data = b"" if image.read is None else image.read()
        facts = probe(data, len(data), lambda start, n: b"")  # all is in the head
        for index, *box in image.boxes or ():
            of.append(len(images))
            classes.append(indexes[index])
            edges.append(box)
        images.append((image.stem, image.split, facts.width or 0, facts.height or 0, facts.orientation or 1))
    stems, splits, widths, heights, orientations = (np.array(column, object) for column in zip(*images, strict=True))
    places = np.array(of, np.int64)
    sides = widths[places].astype(np.float64), heights[places].astype(np.float64)
    left, top, right, bottom = np.array(edges, np.float64).reshape(-1, 4).T
    if module.WRITES.turned:
        left, top, right, bottom = bbox.turn_back(left, top, right, bottom, orientations[places].astype(np.int64))
    pixels = np.stack(bbox.to_pixels(left, top, right, bottom, *sides), axis=1)
    return TrueBoxes(
        name=root.name,
        images=stems,
        sizes=np.stack([widths, heights], axis=1).astype(np.float64),
        orientations=orientations.astype(np.int64),
        splits=splits,
        is_partial=np.ones(len(stems), np.bool_),
        image_places=places,
        classes=np.array(classes, object),
        edges=pixels,
        areas=(pixels[:, 2:] - pixels[:, :2]).prod(axis=1),
        crowds=np.zeros(len(places), np.bool_),
        # Ultralytics and our files of COCO number categories from 1, unless they have the ids of a published list.
        class_of={} if options.get("names") == "listed" else {index + 1: wnid for index, wnid in indexes.items()},
        indexes=indexes,
    )


def _matrix(columns: Sequence[Sequence[float | None]]) -> Any:
    """Return columns of numbers as (n, columns), nan for None."""
    return np.array(columns, np.float64).reshape(len(columns), -1).T


def _instances(path: Path) -> dict[str, Any] | None:
    if path.suffix != ".json":
        return None
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise UsageError(f"{path}: it is no JSON: {error}. Expected COCO's instances.") from error
    return content if isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys() else None


def _of_coco(path: Path, content: Mapping[str, Any]) -> TrueBoxes:
    # COCOeval ranks equal scores by the ids of their images, whatever the order in the file.
    images = sorted(content["images"], key=lambda record: record["id"])
    place_of = {record["id"]: place for place, record in enumerate(images)}
    class_of = _class_of(content["categories"])
    annotations = [record for record in content["annotations"] if "bbox" in record]
    boxes = [each for each in annotations if each["image_id"] in place_of and each["category_id"] in class_of]
    if not boxes:
        raise UsageError(f"{path}: found no boxes; expected annotations with a bbox, a listed image and a category.")
    n_others = len(annotations) - len(boxes)
    note = (
        f"{count_of(n_others, 'box')} of images or categories that {path.name} does not list: left out, as by COCOeval"
    )
    x, y, w, h = np.array([record["bbox"] for record in boxes], np.float64).T
    stems = [Path(record.get("file_name") or record.get("coco_url") or str(record["id"])).stem for record in images]
    stated = [record.get("area", width * height) for record, width, height in zip(boxes, w, h, strict=True)]
    edges, areas = np.stack(bbox.from_coco(x, y, w, h, width=1, height=1), axis=1), np.array(stated, np.float64)
    if not (np.isfinite(edges).all() and np.isfinite(areas).all()):
        raise ValueError("a bbox or an area is no number")
    return TrueBoxes(
        name=path.name,
        images=np.array(stems, object),
        sizes=_matrix([[record.get(key) for record in images] for key in ("width", "height")]),
        orientations=np.ones(len(images), np.int64),
        splits=np.full(len(images), path.stem, object),
        is_partial=np.array([bool(record.get("wnid")) for record in images], np.bool_),
        image_places=np.array([place_of[record["image_id"]] for record in boxes], np.int64),
        classes=np.array([class_of[record["category_id"]] for record in boxes], object),
        edges=edges,
        areas=areas,
        crowds=np.array([bool(record.get("iscrowd")) for record in boxes], np.bool_),
        class_of=class_of,
        indexes={index: class_of[number] for index, number in enumerate(sorted(class_of))},
        image_of=place_of,
        notes=(note,) if n_others else (),
    )


def _class_of(categories: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Return the class of each category by its id: its wnid, or its name if it has none, or shares it with another."""
    wnids = lists.wnids_of_categories(categories)
    n_of_wnid = Counter(wnids.values())
    names = {record["id"]: str(record.get("name", record["id"])) for record in categories}
    names |= {number: wnid for number, wnid in wnids.items() if wnid is not None and n_of_wnid[wnid] == 1}
    n_of_name = Counter(names.values())
    return {number: name if n_of_name[name] == 1 else f"{name} {number}" for number, name in names.items()}
