"""The categories of COCO's and LVIS's JSON, for the writers of both.

    id              1 to N in the order of classes.json; with --names listed the numbers of the published list
    name, wnid, synset
    supercategory   the name of the class's first hypernym in WordNet; hypernyms: all of them
    image_count, instance_count, frequency      of train; r, c or f as LVIS counts

With --names listed, the file has every category of the list, also one that is no synset, whose wnid is null: loaders
number categories by the order of their ids, and would otherwise number those behind it one too low.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from imagenet_tools.wordnet import wordnet

if TYPE_CHECKING:
    import numpy.typing as npt

    from imagenet_tools.catalogue.export_classes import Class
    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.plan import Plan, Tally

as_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def category_ids(plan: Plan) -> npt.NDArray[np.int64]:
    """Return the id of the category of each class, by class index: (classes,)."""
    superclasses = plan.selection.named_superclasses()
    listed = superclasses.categories() if superclasses and plan.options.names == "listed" else {}
    numbers = [listed[cls.wnid].number if listed else None for cls in plan.classes]
    ids = [cls.index + 1 if number is None else number for cls, number in zip(plan.classes, numbers, strict=True)]
    return np.array(ids, np.int64)


def category_records(job: Job) -> list[dict[str, object]]:
    """Return the categories in the order of their ids."""
    plan = job.plan
    tallies = job.tallies.get("train", {})
    ids = category_ids(plan).tolist()
    records = [_record(cls, number, tallies.get(cls.wnid)) for cls, number in zip(plan.classes, ids, strict=True)]
    superclasses = plan.selection.named_superclasses()
    if plan.options.names == "listed" and superclasses:
        records += [
            {"id": category.number, "name": category.name, "supercategory": "", "wnid": None}
            for category in superclasses.without_synset()
            if category.number is not None
        ]
    return sorted(records, key=lambda record: int(str(record["id"])))


def _record(cls: Class, number: int, tally: Tally | None) -> dict[str, object]:
    """Return a category, with LVIS's measure: rare up to 10 images of train, common up to 100, else frequent."""
    images, boxes = (tally.images, tally.boxes) if tally else (0, 0)
    synset = wordnet.synset(cls.wnid)
    above = [wordnet.synset(parent) for parent in (*synset.hypernyms, *synset.instance_hypernyms)]
    return {
        "id": number,
        "name": cls.display,
        "supercategory": above[0].name if above else synset.name,
        "wnid": cls.wnid,
        "synset": synset.name,
        "hypernyms": [{"wnid": parent.wnid, "name": parent.name} for parent in above],
        "image_count": images,
        "instance_count": boxes,
        "frequency": "r" if images <= 10 else "c" if images <= 100 else "f",
    }
