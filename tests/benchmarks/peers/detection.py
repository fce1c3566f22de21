"""What others do with images and their boxes: read Pascal VOC, write what detectors train on, and read it again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks import timed

# ---- from Pascal VOC to what a detector trains on


def supervision(voc: str, dest: str, to: str) -> Callable[[], int]:
    """supervision's reading of Pascal VOC, and its writing of YOLO or COCO."""
    from supervision import DetectionDataset

    def work() -> int:
        found = DetectionDataset.from_pascal_voc(f"{voc}/JPEGImages", f"{voc}/Annotations")
        if to == "yolo":
            found.as_yolo(f"{dest}/images", f"{dest}/labels", f"{dest}/data.yaml")
        else:
            found.as_coco(f"{dest}/images", f"{dest}/annotations.json")
        return len(found)

    return work


def datumaro(voc: str, dest: str, to: str) -> Callable[[], int]:
    """Datumaro's."""
    from datumaro import Dataset

    def work() -> int:
        found = Dataset.import_from(voc, "voc")
        found.export(dest, "yolo" if to == "yolo" else "coco_instances", save_media=True)
        return len(found)

    return work


def fiftyone(voc: str, dest: str, to: str) -> Callable[[], int]:
    """FiftyOne's, by way of its database, which is started before."""
    os.environ["FIFTYONE_DATABASE_DIR"] = f"{dest}/database"
    os.environ["FIFTYONE_DEFAULT_DATASET_DIR"] = f"{dest}/datasets"
    os.environ["FIFTYONE_DO_NOT_TRACK"] = "true"
    import fiftyone as fo

    fo.list_datasets()

    def work() -> int:
        found = fo.Dataset.from_dir(
            dataset_type=fo.types.VOCDetectionDataset,
            data_path=f"{voc}/JPEGImages",
            labels_path=f"{voc}/Annotations",
        )
        kind = fo.types.YOLOv5Dataset if to == "yolo" else fo.types.COCODetectionDataset
        found.export(export_dir=f"{dest}/out", dataset_type=kind, label_field="ground_truth")
        return len(found)

    return work


def process(name: str, *arguments: str) -> Callable[[], int]:
    """Return the work of a peer in a Python of its own, from its start to its end."""
    command = [sys.executable, "-m", "tests.benchmarks.peers.detection", name, *arguments]
    return lambda: int(json.loads(subprocess.check_output(command).splitlines()[-1])["units"])


# ---- loading what a detector trains on


def supervision_loads(root: str, form: str) -> Callable[[], int]:
    """supervision's reading of an export to YOLO or COCO."""
    from supervision import DetectionDataset

    def work() -> int:
        if form == "yolo":
            return len(DetectionDataset.from_yolo(f"{root}/images/train", f"{root}/labels/train", f"{root}/data.yaml"))
        return len(DetectionDataset.from_coco(f"{root}/images/train", f"{root}/annotations/instances_train.json"))

    return work


# ---- COCO's JSON


def _made(index: str) -> dict[str, Any]:
    """What COCO's JSON of an index holds, as objects; the making is not counted."""
    import pyarrow.parquet as pq

    images, boxes = {}, []
    for file in sorted(Path(index, "boxes").glob("*.parquet")):
        columns = ("image_id", "xmin", "ymin", "xmax", "ymax")
        for row in pq.read_table(file, columns=list(columns)).to_pylist():
            number = images.setdefault(row["image_id"], len(images) + 1)
            left, top, right, bottom = (float(row[name]) for name in ("xmin", "ymin", "xmax", "ymax"))
            corner = [left, top, right - left, bottom - top]
            boxes.append({"id": len(boxes) + 1, "image_id": number, "category_id": 1, "bbox": corner,
                          "area": corner[2] * corner[3], "iscrowd": 0, "segmentation": []})  # fmt: skip
    listed = [
        {"id": number, "file_name": f"{image_id}.jpg", "width": 500, "height": 375}
        for image_id, number in images.items()
    ]
    return {"images": listed, "annotations": boxes, "categories": [{"id": 1, "name": "object"}]}


def json_dump(index: str, dest: str) -> Callable[[], int]:
    """The standard library's json.dump of objects that are ready."""
    made = _made(index)

    def work() -> int:
        with Path(dest).open("w") as file:
            json.dump(made, file)
        return len(made["annotations"])

    return work


def orjson(index: str, dest: str) -> Callable[[], int]:
    """orjson's of objects that are ready: the limit."""
    import orjson as library

    made = _made(index)

    def work() -> int:
        Path(dest).write_bytes(library.dumps(made))
        return len(made["annotations"])

    return work


def pycocotools(index: str, dest: str) -> Callable[[], int]:
    """pycocotools' reading of such a file."""
    import contextlib
    import io

    from pycocotools.coco import COCO

    with Path(dest).open("w") as file:
        json.dump(_made(index), file)

    def work() -> int:
        with contextlib.redirect_stdout(io.StringIO()):
            return len(COCO(dest).anns)

    return work


if __name__ == "__main__":
    timed.run(globals(), __name__)
