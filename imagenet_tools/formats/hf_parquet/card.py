"""What Hugging Face's datasets reads of an export beside its rows: the types of its features, and README.md, its card.

Types are spelled as the metadata of a Parquet file has them, under `huggingface`: {"_type": "Value", "dtype": "int64"},
ClassLabel, Image, a plain object for a struct, and Sequence, which every release knows; List is unknown to those before
4.0.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from imagenet_tools.errors import ExportError
from imagenet_tools.exports.estimate import describe
from imagenet_tools.exports.manifest import TERMS
from imagenet_tools.selection.steps import REASONS

if TYPE_CHECKING:
    import pyarrow as pa

    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.plan import Plan

Feature = Mapping[str, Any]

# What Hugging Face and timm call a split, where that differs.
CALLED = {"val": "validation"}

IMAGE: Feature = {"_type": "Image"}


def value(dtype: str) -> Feature:
    """A plain value of a type such as int64, float32 or string."""
    return {"dtype": dtype, "_type": "Value"}


def class_label(names: Sequence[str]) -> Feature:
    """A class number, and the names of the classes."""
    return {"names": list(names), "_type": "ClassLabel"}


def sequence(feature: Feature, length: int = -1) -> Feature:
    """A list; of so many items, where that is always the same."""
    return {"feature": feature, **({"length": length} if length >= 0 else {}), "_type": "Sequence"}


def label_names(plan: Plan) -> list[str]:
    """What classes are called in ClassLabel: for people, unless --names wnid asks for wnids."""
    return [one.wnid if plan.options.names == "wnid" else one.display for one in plan.classes]


def feature_of(kind: pa.DataType, said: str) -> Feature:
    """The feature of an Arrow type; ExportError, which repeats what was `said`, where there is none of it."""
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = feature_of(kind.value_type, said)
        if "_type" in inner:
            return sequence(inner)
    elif pa.types.is_struct(kind):
        return {field.name: feature_of(field.type, said) for field in kind}
    elif pa.types.is_decimal(kind):
        return value(f"decimal128({kind.precision}, {kind.scale})")
    elif pa.types.is_floating(kind):
        return value(f"float{kind.bit_width}")
    elif not pa.types.is_nested(kind) and not pa.types.is_dictionary(kind):
        return value(str(kind))
    message = f"{said}: found values of the type {kind}; expected numbers, texts, times, lists or structs of them."
    raise ExportError(message)


def in_yaml(features: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Features as the card spells them."""
    return [{"name": name, **_typed(feature)} for name, feature in features.items()]


def _typed(feature: Feature) -> dict[str, Any]:
    kind = feature.get("_type")
    if not isinstance(kind, str):
        return {"struct": in_yaml(feature)}
    if kind == "Sequence":
        inner = _typed(feature["feature"])
        length = {"length": feature["length"]} if "length" in feature else {}
        return {"sequence": inner["dtype"] if set(inner) == {"dtype"} else inner, **length}
    if kind == "ClassLabel":
        return {"dtype": {"class_label": {"names": {str(n): name for n, name in enumerate(feature["names"])}}}}
    return {"dtype": "image" if kind == "Image" else feature["dtype"]}


class Card(NamedTuple):
    """What a format says of itself in its card."""

    title: str
    files: Mapping[str, str]  # a pattern of the files of each split
    images: Mapping[str, int]  # how many images were written, by split
    features: Mapping[str, Any]
    notes: str


def write_card(job: Job, card: Card) -> None:
    """README.md, whose head tells Hugging Face's loaders where the splits are and of what types the features."""
    job.write("README.md", f"---\n{_head(job.plan, card)}---\n\n{_text(job.plan, card)}\n".encode())


def _head(plan: Plan, card: Card) -> str:
    data_files = [{"split": CALLED.get(split, split), "path": pattern} for split, pattern in card.files.items()]
    splits = [{"name": CALLED.get(split, split), "num_examples": card.images[split]} for split in plan.splits]
    head = {
        "license": "other",
        "license_name": "imagenet",
        "license_link": "https://image-net.org/download",
        "configs": [{"config_name": "default", "data_files": data_files}],
        "dataset_info": {"features": in_yaml(card.features), "splits": splits},
    }
    # JSON is YAML: names with colons, quotes or '#' come through.
    return "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in head.items())


def _text(plan: Plan, card: Card) -> str:
    counts = [(CALLED.get(split, split), f"{card.images[split]:,}") for split in plan.splits]
    lost = plan.images() - sum(card.images.values())
    left = {**plan.left_out, **({"undecodable": lost} if lost else {})}
    parts = [
        f"# {card.title}",
        f"{sum(card.images.values()):,} images of {len(plan.classes):,} classes, written by imagenet-tools. "
        "`classes.json` lists the classes and their place in WordNet, `manifest.json` what was asked and made of it.",
        _table(("split", "images"), counts),
        card.notes,
        f"Boxes are {describe(plan)['boxes_are']}. An image without boxes is no background.",
        TERMS,
    ]
    if left:
        rows = [(reason, f"{n:,}", REASONS[reason]) for reason, n in left.items()]
        parts += ["## Images of the index that are not here", _table(("step", "images", "why"), rows)]
    return "\n\n".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))
