"""timm's class map: the classes of a subset in order, for timm to read where the images lie; no image is copied.

    root/class_map.txt      a folder a line; the number of the line, from 0, is the label
    root/class_map.pkl      in its place where classes were joined: {folder: label}

    create_dataset("", root="/data/train", class_map="root/class_map.txt")
    create_dataset("", root="/data/ILSVRC2012_img_train.tar", class_map="root/class_map.txt")

timm takes the last folder of an image's path, or the class tar that it lies in, for its class, and leaves out every
image whose class is not in the map. So a map chooses whole classes: a selection of images among them is refused, and so
are images that lie in no folder or tar of their class, as those of ILSVRC2012_img_val.tar do.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

from imagenet_tools.errors import ExportError
from imagenet_tools.exports.writer import Writes
from imagenet_tools.formats._shared.listing import ListSink
from imagenet_tools.selection.steps import CLASS_STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.exports.writer import ReadBack, Shard

WRITES = Writes(
    keeps=(),
    holds_bytes=False,
    names_images=False,
)

# Steps that leave out whole classes, data sets, splits, or what has no class and so is in no folder of one.
_WHOLE = (*CLASS_STEPS, "dataset", "from", "no_split", "unlabelled", "min_images", "max_images")
_DAMAGED = ("unreadable", "problem")

# The folder that timm takes for the class: the last of the path in the innermost archive, else that tar's own name.
_FOLDER = r"""
    SELECT image_id, own, split, regexp_extract(
        CASE WHEN "offset" = 0 AND compression IS NULL THEN file
             ELSE regexp_replace(coalesce(nullif(inner_tar, ''), file), '\.tar$', '') || '/' || coalesce(member, 'x')
        END, '([^/]+)/[^/]+$', 1) AS folder
    FROM (SELECT made.image_id, images.wnid AS own, made.split, made."offset", made.compression, made.file,
                 made.member, units.member AS inner_tar
          FROM made JOIN images USING (dataset, image_id)
          LEFT JOIN (SELECT source, unnest(units, recursive := true) FROM sources) AS units
               ON made.source = units.source AND images.unit = units.unit
          WHERE made.left_out IS NULL)"""

# Images of the chosen classes that a lock does not pin, or pins in another split than their own (train for none).
_BESIDE = """
    SELECT count(*) FROM made WHERE official_wnid IN (SELECT official_wnid FROM made WHERE left_out IS NULL)
    AND (left_out = 'lock' OR (left_out IS NULL AND split IS DISTINCT FROM coalesce(official_split, 'train')))"""


def hazards(plan: Plan) -> Iterator[str]:
    """ExportError where timm would read other images than those that are chosen, or none of a split."""
    among = {step: n for step, n in plan.left_out.items() if step not in (*_WHOLE, *_DAMAGED, "lock")}
    if beside := sum(n for (n,) in plan.selection.run(_BESIDE).fetchall()):
        among["lock"] = beside
    if among or plan.selection.choice.split.by != "official":
        what = ", ".join(f"{n:,} by {step}" for step, n in among.items()) or "a split that is not the official one"
        message = (
            f"A class map chooses whole classes, as they lie; found images chosen among them ({what}). "
            "Export to image_folder with --link hard, or choose by class alone."
        )
        raise ExportError(message)
    rows = plan.selection.run(
        f"""SELECT count(*), min(image_id), any_value(folder), list_sort(list(DISTINCT split)) FROM ({_FOLDER})
            WHERE folder IS DISTINCT FROM own"""
    ).fetchall()
    for n, first, folder, splits in rows:
        if n:
            message = (
                f"{n:,} images of {', '.join(splits)} lie in no folder or tar called by their wnid ({first} in "
                f"'{folder}'), and timm takes the folder for the class. Choose others with --from, or export to "
                "image_folder."
            )
            raise ExportError(message)
    damaged = sum(plan.left_out.get(step, 0) for step in _DAMAGED)
    if damaged:
        yield f"{damaged:,} images that are left out for they are damaged lie among the others, and timm reads them"


def open_shard(job: Job, shard: Shard) -> ListSink:
    """Nothing is said of images."""
    return ListSink(lambda row: row.stem)


def finish(job: Job) -> None:
    """The map."""
    of = job.plan.selection.classes_of()
    index_of = job.plan.index_of
    if all(own == joined for own, joined in of.items()):
        job.write("class_map.txt", "".join(f"{one.wnid}\n" for one in job.plan.classes).encode())
    else:
        job.write("class_map.pkl", pickle.dumps({own: index_of[joined] for own, joined in of.items()}, protocol=4))


def read_back(root: Path) -> Iterator[ReadBack]:
    """No image: it names none."""
    return iter(())
