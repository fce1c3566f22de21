"""Describe an export for people and for dataset hubs: README.md, a card of Hugging Face, and croissant.json.

Croissant 1.0 (https://docs.mlcommons.org/croissant/docs/croissant-spec.html) is schema.org's JSON-LD with the places of
records. Any export has two record sets in it, because any export has their files, and one with files of images a third:

    classes     wnid, name, display         of classes.json
    images      dataset, image_id, wnid, split      of lock.ids
    files       path, content               of the image files

The files are at the root of an export, as those of exports.manifest. Both are written with --card; README.md has
another head where Hugging Face's loaders read one: see formats/_shared/card.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from mimetypes import guess_type
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from imagenet_tools import __version__
from imagenet_tools.exports.estimate import describe
from imagenet_tools.images.image_rows import is_image_name
from imagenet_tools.selection.steps import REASONS
from imagenet_tools.text import count_of

if TYPE_CHECKING:
    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.plan import Plan

README = "README.md"
CROISSANT = "croissant.json"

TERMS = (
    "Images of ImageNet are bound by ImageNet's terms of access (https://image-net.org/download): "
    "for non-commercial research and education."
)
LICENSE = {"license": "other", "license_name": "imagenet", "license_link": "https://image-net.org/download"}

_CITATION = (
    "Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 115, 2015, "
    "https://doi.org/10.1007/s11263-015-0816-y"
)
# The terms of Croissant 1.0. Readers warn if a context lacks one, though a file may not use all.
_VOCABULARY = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet", "format",
    "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex",
    "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _VOCABULARY},
}

_Node = dict[str, Any]


def write(job: Job, digests: Mapping[str, str]) -> None:
    """Write croissant.json, and README.md unless the target wrote its own.

    Args:
        job: A job that wrote all other files but the manifest.
        digests: The SHA-256 of classes.json and of the ids of the lock, by name.
    """
    if README not in job.wrote:
        images = {split: sum(tally.images for tally in tallies.values()) for split, tallies in job.tallies.items()}
        task = "object-detection" if job.plan.writes.detection else "image-classification"
        head = {**LICENSE, "pretty_name": _title(job.plan), "task_categories": [task], "tags": ["imagenet", "wordnet"]}
        table = table_of(("split", "images"), [(split, f"{n:,}") for split, n in images.items()])
        job.write(README, card(head, text(job.plan, _title(job.plan), sum(images.values()), table)))
    job.write(CROISSANT, (json.dumps(_croissant(job, digests), indent=1, ensure_ascii=False) + "\n").encode())


def _title(plan: Plan) -> str:
    return f"ImageNet as {plan.target}"


# ---- the card


def card(head: Mapping[str, object], body: str) -> bytes:
    """Return README.md: the head, which hubs and loaders read, and a text in Markdown."""
    # JSON is YAML, also for names with colons, quotes or '#' in them.
    lines = "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in head.items())
    return f"---\n{lines}---\n\n{body}\n".encode()


def text(plan: Plan, title: str, n: int, table: str, notes: str = "") -> str:
    """Return the text of a card: `n` images, a table of the splits, notes, and what is not in the export."""
    undecodable = plan.images() - n
    left_out = {**plan.left_out, **({"undecodable": undecodable} if undecodable else {})}
    parts = [
        f"# {title}",
        f"{count_of(n, 'image')} of {count_of(len(plan.classes), 'class')}, written by imagenet-tools. "
        "`classes.json` lists the classes and their place in WordNet, `manifest.json` what was asked and made of it.",
        table,
        notes,
    ]
    if plan.writes.boxes:
        parts.append(f"Boxes are {describe(plan)['boxes_are']}. An image without boxes is no background.")
    parts.append(TERMS)
    if left_out:
        rows = [(reason, f"{n:,}", REASONS[reason]) for reason, n in left_out.items()]
        parts += ["## Images of the index that are not here", table_of(("step", "images", "why"), rows)]
    return "\n\n".join(filter(None, parts))


def table_of(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


# ---- Croissant


def _croissant(job: Job, digests: Mapping[str, str]) -> _Node:
    plan = job.plan
    classes, ids = digests
    n = sum(tally.images for tallies in job.tallies.values() for tally in tallies.values())
    suffixes = _image_suffixes(job)
    class_fields = {name: {"jsonPath": f"$.classes[*].{name}"} for name in ("wnid", "name", "display")}
    image_fields = {name: {"column": name} for name in ("dataset", "image_id", "wnid", "split")}
    images = _records("images", {"fileObject": {"@id": ids}}, image_fields)
    images["field"][2]["references"] = {"field": {"@id": "classes/wnid"}}
    distribution = [
        _file(classes, "application/json", digests[classes]),
        _file(ids, "application/x-parquet", digests[ids]),
    ]
    record_sets = [_records("classes", {"fileObject": {"@id": classes}}, class_fields, key="wnid"), images]
    if suffixes:
        encodings = sorted({str(guess_type(f"x{suffix}", strict=False)[0]) for suffix in suffixes})
        distribution.append(
            {
                "@type": "cr:FileSet",
                "@id": "image-files",
                "encodingFormat": encodings[0] if len(encodings) == 1 else encodings,
                "includes": [f"*{suffix}" for suffix in suffixes],
            }
        )
        file_fields = {"path": {"fileProperty": "fullpath"}, "content": {"fileProperty": "content"}}
        record_sets.append(_records("files", {"fileSet": {"@id": "image-files"}}, file_fields))
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": f"imagenet-{plan.target.replace('_', '-')}",
        "description": f"{count_of(n, 'image')} of {count_of(len(plan.classes), 'class')} of ImageNet, as "
        f"{plan.target}, written by imagenet-tools {__version__}. {TERMS}",
        "license": LICENSE["license_link"],
        "url": "https://image-net.org",
        "citeAs": _CITATION,
        "version": __version__,
        "distribution": distribution,
        "recordSet": record_sets,
    }


def _file(name: str, encoding: str, sha256: str) -> _Node:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "encodingFormat": encoding,
        "sha256": sha256,
    }


def _records(name: str, source: _Node, extracts: Mapping[str, _Node], key: str = "") -> _Node:
    """Return a record set; `extracts` say where the value of each field is in the source."""
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"{name}/{field}",
            "name": f"{name}/{field}",
            "dataType": "sc:ImageObject" if field == "content" else "sc:Text",
            "source": {**source, "extract": extract},
        }
        for field, extract in extracts.items()
    ]
    keys = {"key": {"@id": f"{name}/{key}"}} if key else {}
    return {"@type": "cr:RecordSet", "@id": name, "name": name, **keys, "field": fields}


def _image_suffixes(job: Job) -> list[str]:
    """Return the suffixes of files with one image, sorted."""
    names = (path for shard in job.shards for path, *_ in job.image_files(shard.piece) if is_image_name(path))
    return sorted({PurePosixPath(name).suffix for name in names})
