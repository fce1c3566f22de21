"""manifest.json and classes.json: what was asked, what was made of it, and where every image that is not there went."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from imagenet_tools.build import own_exports
from imagenet_tools.catalogue.export_classes import classes_json
from imagenet_tools.exports.estimate import describe
from imagenet_tools.exports.kept import ALL_BYTES, LABEL_BYTES, Digest, order_of, write_kept
from imagenet_tools.exports.partial import state_of
from imagenet_tools.exports.writer import ImageFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.plan import Plan

CLASSES, MANIFEST = own_exports.CLASSES, own_exports.MANIFEST  # by which an index tells an export among its sources

TERMS = (
    "The images are ImageNet's: their use is bound by ImageNet's terms of access (https://image-net.org/download), "
    "for non-commercial research and education."
)

_NAMED = 5  # how many images a note names


def write_manifest(job: Job) -> None:
    """Write classes.json and manifest.json of a finished target; its plan is made to say what was carried out."""
    plan = job.plan
    digest, found = Digest(), _Found()
    for shard in job.shards:
        record = job.record(shard)
        digest.add(ImageFile(*one) for one in record["targets"][plan.target]["images"])
        found.take(record, plan.target, job.target)
    _take_out(job, found)
    if found.endless and plan.writes.files_per_image:
        plan.hazards.append(
            f"{len(found.endless):,} images do not end with FF D9, and were copied, not linked "
            f"({_first(found.endless)}): "
            "Ultralytics writes such files anew, or drops them where they are cut short. --repair eoi ends them"
        )
    # Where a target that lists images is made in one pass with others, theirs are read, and not its own.
    cut = sorted(found.cut) if plan.writes.holds_bytes else []
    if cut:
        plan.hazards.append(
            f"{len(cut):,} images are cut inside the picture ({_first(cut)}), and are exported as they "
            "are: Pillow stops at them with an error, and so does each loader that uses it. --exclude FILE leaves them "
            "out; manifest.json names them"
        )
    job.write(CLASSES, _classes(plan))
    locked = write_kept(job, found.left_out)
    content = {
        "format": 2,
        **state_of(plan),
        **describe(plan),
        "cut": cut,
        "undecodable": dict(sorted(found.left_out.items())),
        "repaired": {rule: sorted(found.repaired.get(rule, ())) for rule in plan.options.repair},
        "sha256_of_lock": locked.sha256,
        "sources": _sources(plan),
        "files": {**found.files, **{name: _file(job, name) for name in job.wrote}},
        "image_files": {
            "files": digest.files,
            "bytes": digest.bytes,
            "of": ALL_BYTES if plan.options.hash else LABEL_BYTES,
            "sum_of_sha256_of_lines": digest.hexdigest(),
        },
        "terms": TERMS,
    }
    job.write(MANIFEST, (json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n").encode())


class _Found:
    """What the records of all pieces say."""

    def __init__(self) -> None:
        self.left_out: dict[str, str] = {}  # why, by dataset/image_id
        self.repaired: dict[str, list[str]] = {}  # dataset/image_id, by rule
        self.endless: list[str] = []
        self.cut: list[str] = []
        self.files: dict[str, dict[str, object]] = {}

    def take(self, record: dict[str, Any], name: str, target: int) -> None:
        """Take in one record, as far as it is about this target."""
        kept = {kind: [one for one in record[kind] if one[0] >> target & 1] for kind in record if kind != "targets"}
        for _, dataset, image_id, why in kept["left_out"]:
            self.left_out[f"{dataset}/{image_id}"] = why
        for _, dataset, image_id, rule in kept["repaired"]:
            self.repaired.setdefault(rule, []).append(f"{dataset}/{image_id}")
        self.endless += [image_id for _, _, image_id in kept["endless"]]
        self.cut += [f"{dataset}/{image_id}" for _, dataset, image_id in kept["cut"]]
        for path, size, sha256 in record["targets"][name]["files"]:
            self.files[path] = {"bytes": size, **({"sha256": sha256} if sha256 else {})}


def _first(ids: Iterable[str]) -> str:
    """Return the first few ids."""
    named = sorted(ids)
    return ", ".join(named[:_NAMED]) + (" ..." if len(named) > _NAMED else "")


def _take_out(job: Job, found: _Found) -> None:
    """Count the images that could not be decoded out of what the plan said."""
    plan, n = job.plan, 0
    for row in job.left_out_rows() if found.left_out else ():
        tally = plan.tallies[row.split][row.wnid]
        plan.tallies[row.split][row.wnid] = tally._replace(images=tally.images - 1, boxes=tally.boxes - len(row.boxes))
        n += 1
    if n:
        plan.left_out["undecodable"] = n
        plan.hazards.append(f"{n:,} images could not be decoded, and are left out; manifest.json names them")


def _classes(plan: Plan) -> bytes:
    members: dict[str, list[str]] = {}
    for wnid, one in plan.selection.classes_of().items():
        members.setdefault(one, []).append(wnid)
    order = "folder" if plan.writes.by_folder else order_of(plan.selection)
    return classes_json(plan.classes, plan.counts(), order, members)


def _file(job: Job, name: str) -> dict[str, object]:
    with (job.out / name).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": file.tell(), "sha256": digest}


def _sources(plan: Plan) -> list[dict[str, object]]:
    used = plan.selection.run(
        """SELECT source, sources.dataset, forms, count(*) FROM made JOIN sources USING (source)
           WHERE left_out IS NULL GROUP BY ALL ORDER BY ALL"""
    ).fetchall()
    return [{"source": source, "dataset": dataset, "forms": forms, "images": n} for source, dataset, forms, n in used]
