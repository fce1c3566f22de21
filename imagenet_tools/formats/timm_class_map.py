"""timm's class map: the classes of a subset in order, for timm to read the original files; no image is copied.

    root/class_map.txt      one folder a line; the number of the line, from 0, is the label
    root/class_map.pkl      in its place if classes were joined: {folder: label}

The lock, recipe and manifest of an export are at its root, beside classes.json: see exports.manifest.

    create_dataset("", root="/data/train", class_map="root/class_map.txt")
    create_dataset("", root="/data/ILSVRC2012_img_train.tar", class_map="root/class_map.txt")

For timm, the class of an image is the last folder of its path, or the class tar that it is in. timm leaves out every
image whose class is not in the map. So a map chooses whole classes: a selection of images within a class is refused,
and so are images that are in no folder or tar of their class, such as those of ILSVRC2012_img_val.tar.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

from imagenet_tools.errors import ExportError
from imagenet_tools.exports import boxes
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.plan import Plan
from imagenet_tools.exports.writer import ReadBack, Writes
from imagenet_tools.formats._shared.listing import no_sink
from imagenet_tools.selection.steps import CLASS_STEPS
from imagenet_tools.text import are, count_of

WRITES = Writes(holds_bytes=False, names_images=False)

# Steps that leave out whole classes, data sets or splits, or images without a class, which are in no class folder.
_WHOLE_STEPS = (*CLASS_STEPS, "dataset", "from", "no_split", "unlabelled", "min_images", "max_images")
_DAMAGE_STEPS = ("unreadable", "problem")

# The folder that timm takes for the class: the last of the path in the innermost archive, else that tar's own name.
_FOLDER = r"""
    SELECT image_id, own_wnid, split, regexp_extract(
        CASE WHEN "offset" = 0 AND compression IS NULL THEN file
             ELSE regexp_replace(coalesce(nullif(inner_tar, ''), file), '\.tar$', '') || '/' || coalesce(member, 'x')
        END, '([^/]+)/[^/]+$', 1) AS folder
    FROM (SELECT made.image_id, images.wnid AS own_wnid, made.split, made."offset", made.compression, made.file,
                 made.member, units.member AS inner_tar
          FROM made JOIN images USING (dataset, image_id)
          LEFT JOIN (SELECT source, unnest(units, recursive := true) FROM sources) AS units
               ON made.source = units.source AND images.unit = units.unit
          WHERE made.left_out IS NULL)"""

# Images of the chosen classes that a lock does not pin, or pins in another split than their own (train for none).
_OUTSIDE_LOCK = """
    SELECT count(*) FROM made WHERE official_wnid IN (SELECT official_wnid FROM made WHERE left_out IS NULL)
    AND (left_out = 'lock' OR (left_out IS NULL AND split IS DISTINCT FROM coalesce(official_split, 'train')))"""


def hazards(plan: Plan) -> Iterator[str]:
    """Yield a note on damaged images. ExportError: timm would read other images than the chosen ones."""
    within = {step: n for step, n in plan.left_out.items() if step not in (*_WHOLE_STEPS, *_DAMAGE_STEPS, "lock")}
    if outside := sum(n for (n,) in plan.selection.run(_OUTSIDE_LOCK).fetchall()):
        within["lock"] = outside
    if within or plan.selection.choice.split.by != "official":
        choice = ", ".join(f"{n:,} by {step}" for step, n in within.items()) or "a split that is not the official one"
        message = (
            f"A class map chooses whole classes; found a choice of images within classes ({choice}). "
            "Export to image_folder with --link hard, or choose by class alone."
        )
        raise ExportError(message)
    [(n, first, folder, splits)] = plan.selection.run(
        f"""SELECT count(*), min(image_id), any_value(folder), list_sort(list(DISTINCT split)) FROM ({_FOLDER})
            WHERE folder IS DISTINCT FROM own_wnid"""
    ).fetchall()
    if n:
        message = (
            f"{count_of(n, 'image')} of {', '.join(splits)} {are(n)} in no folder or tar called by their wnid "
            f"({first} in '{folder}'), and timm takes the folder for the class. Choose others with --from, or export "
            "to image_folder."
        )
        raise ExportError(message)
    damaged = sum(plan.left_out.get(step, 0) for step in _DAMAGE_STEPS)
    if damaged:
        yield f"{damaged:,} damaged images are left out here, but timm reads them: they are among the others"


open_shard = no_sink


def finish(job: Job) -> None:
    """Write the map."""
    class_of = boxes.class_of(job.plan.selection)
    if all(wnid == joined for wnid, joined in class_of.items()):
        job.write("class_map.txt", "".join(f"{cls.wnid}\n" for cls in job.plan.classes).encode())
    else:
        labels = {wnid: job.plan.index_of[joined] for wnid, joined in class_of.items()}
        job.write("class_map.pkl", pickle.dumps(labels, protocol=4))


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield nothing: a class map names no image."""
    return iter(())
