"""Contests of indexing: images in folders and in tars, and boxes."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.contest import OURS, Aim, Contest
from tests.benchmarks.contests import runs
from tests.benchmarks.data import Data


def contests(data: Data, scratch: Path) -> list[Contest]:
    """Indexing from a warm page cache."""
    index, made = runs.index(scratch), runs.made(scratch)
    many, whole, boxes = data.many, data.whole, data.boxes
    return [
        Contest(
            "build an index of one image",
            "builds",
            runs.ours(scratch, "build_of_one_image", index, data.few[min(data.few)]),
            cpu=0.4,
            note="a process from its start to its end, with Python, numpy and pyarrow",
        ),
        *(_folders(data, scratch, n) for n in sorted(data.few)),
        Contest(
            "index class folders, facts of every image",
            "images",
            runs.ours(scratch, "build_index", index, many.parent),
            {
                "Pillow, 2 processes": runs.peer(scratch, "reading.pillow_two_processes", many),
                "datumaro, no sizes": runs.peer(scratch, "reading.datumaro_folders", many, group="datumaro", rounds=2),
                "HF imagefolder": runs.peer(
                    scratch, "reading.datasets_imagefolder", many, made, group="datasets", rounds=1
                ),
                "torchvision, opens no file": runs.peer(
                    scratch, "reading.torchvision_folders", many, group="torchvision"
                ),
            },
            {"C: open, fstat, pread, close, one thread": runs.limit(scratch, data.limits, "stat", many)},
            {"Pillow, 2 processes": Aim(1.5), "datumaro, no sizes": Aim(4), "HF imagefolder": Aim(100)},
            reads=(many,),
        ),
        Contest(
            "index class tars, facts of every image",
            "images",
            runs.ours(scratch, "build_index", index, data.class_tars),
            {"tarfile + Pillow, 2 processes": runs.peer(scratch, "reading.pillow_tars_two_processes", data.class_tars)},
            aims={"tarfile + Pillow, 2 processes": Aim(4)},
            reads=(data.class_tars,),
        ),
        Contest(
            "index a tar of class tars, facts of every image",
            "images",
            runs.ours(scratch, "build_index", index, whole),
            {"tarfile, nested, no facts": runs.peer(scratch, "reading.tarfile_nested", whole, rounds=1)},
            {"C: pread of 512 + 4096 a member, one thread": runs.limit(scratch, data.limits, "walk", whole)},
            {OURS: Aim(200_000), "tarfile, nested, no facts": Aim(8)},
            reads=(whole,),
        ),
        Contest(
            "index a tar of class tars, one process",
            "images",
            runs.ours(scratch, "build_index_alone", index, whole),
            {"ours, one by one": runs.ours(scratch, "build_index_one_by_one", index, whole)},
            aims={"ours, one by one": Aim(1.5)},
            reads=(whole,),
        ),
        Contest(
            "index a tar of class tars, --no-probe",
            "images",
            runs.ours(scratch, "build_index_unprobed", index, whole),
            reads=(whole,),
        ),
        Contest(
            "box XML out of the nested .tar.gz",
            "XML",
            runs.ours(scratch, "index_boxes", data.n_boxed, index, boxes),
            {
                "tarfile + ElementTree": runs.peer(scratch, "reading.etree_boxes", boxes),
                "tarfile + lxml": runs.peer(scratch, "reading.lxml_boxes", boxes, group="lxml"),
            },
            {"gunzip alone, one process": runs.peer(scratch, "reading.gunzipped_boxes", boxes)},
            {OURS: Aim(60_000)},
            reads=(boxes,),
        ),
        Contest(
            "box XML out of the nested .tar.gz, one process",
            "XML",
            runs.ours(scratch, "index_boxes_alone", data.n_boxed, index, boxes),
            {"ours, expat alone": runs.ours(scratch, "index_boxes_by_expat", data.n_boxed, index, boxes)},
            aims={"ours, expat alone": Aim(1.5)},
            reads=(boxes,),
        ),
        Contest(
            "random reads for training, out of the tar",
            "images",
            runs.ours(scratch, "random_reads", data.nested_index, _READS),
            {"extracted files": runs.peer(scratch, "reading.random_files", data.folders, _READS)},
            aims={"extracted files": Aim(0.95)},
            reads=(data.folders, data.nested),
        ),
    ]


def _folders(data: Data, scratch: Path, n: int) -> Contest:
    """Return the contest of class folders with few images, which a fixed cost slows most."""
    train = data.few[n]
    pillow = "Pillow, 2 processes"
    return Contest(
        f"index class folders, {n:,} images",
        "images",
        runs.ours(scratch, "build_index", runs.index(scratch), train.parent),
        {pillow: runs.peer(scratch, "reading.pillow_two_processes", train)},
        aims={pillow: Aim(1.5)},
        reads=(train,),
    )


_READS = 50_000
