"""Contests of boxes: what detectors train on, and COCO's JSON."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.contest import OURS, Aim, Contest
from tests.benchmarks.contests import runs
from tests.benchmarks.data import Data

_PEERS = ("supervision", "datumaro", "fiftyone")
_WHOLE_PROCESSES = {"supervision": 3.0, "datumaro": 1.5}  # the peer -> the aim


def contests(data: Data, scratch: Path) -> list[Contest]:
    """From Pascal VOC to YOLO and COCO; and the text of COCO's JSON alone."""
    index, made = runs.index(scratch), runs.made(scratch)
    found = [
        Contest(
            f"images and box XML, read and written for {to.upper()}",
            "images",
            runs.ours(scratch, "detection", data.voc, index, made, to),
            {
                name: runs.peer(
                    scratch, f"detection.{name}", data.voc, made, to, group=name, rounds=1 if name == "fiftyone" else 2
                )
                for name in _PEERS
            },
            aims=dict.fromkeys(_PEERS, Aim(1.0)),
            reads=(data.voc,),
        )
        for to in ("yolo", "coco")
    ]
    whole_processes = [
        Contest(
            f"the same for {to.upper()} from the shell, whole processes",
            "images",
            runs.ours(scratch, "detection_by_commands", data.voc, index, made, to),
            {
                name: runs.peer(scratch, "detection.process", name, data.voc, made, to, group=name, rounds=2)
                for name in _WHOLE_PROCESSES
            },
            aims={name: Aim(least) for name, least in _WHOLE_PROCESSES.items()},
            reads=(data.voc,),
        )
        for to in ("yolo", "coco")
    ]
    loads = Contest(
        "the boxes of images, loaded",
        "images",
        runs.ours(scratch, "load_boxes", data.voc_index),
        {
            f"supervision, from {to.upper()}": runs.peer(
                scratch, "detection.supervision_loads", data.detection / to, to, group="supervision"
            )
            for to in ("yolo", "coco")
        },
        note="ours: opened and read out of the index; supervision: read from an export of it",
    )
    return [*found, *whole_processes, loads, coco_json(data.index, scratch)]


def coco_json(index: Path, scratch: Path) -> Contest:
    """The boxes of an index as COCO's JSON."""
    made = runs.made(scratch)
    names = {"json.dump, objects ready": "json_dump", "pycocotools, reading": "pycocotools"}
    return Contest(
        "COCO JSON out of the index, no image placed",
        "boxes",
        runs.ours(scratch, "coco_text", index, made),
        {
            name: runs.peer(scratch, f"detection.{function}", index, made, group="coco", rounds=1)
            for name, function in names.items()
        },
        {"orjson, objects ready": runs.peer(scratch, "detection.orjson", index, made, group="coco", rounds=2)},
        {OURS: Aim(500_000)},
        note="ours: the query, the plan and the serialising; the others: serialising or reading alone",
    )
