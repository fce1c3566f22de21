"""The types of an export's features, and its README.md, a dataset card, as Hugging Face's datasets reads them.

Types are spelled as in the metadata of a Parquet file under `huggingface`: {"_type": "Value", "dtype": "int64"},
ClassLabel, Image, and a plain object for a struct. Lists are Sequence, which every release knows; List is unknown to
releases before 4.0.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from imagenet_tools.errors import ExportError
from imagenet_tools.exports.description import LICENSE, README, card, table_of, text
from imagenet_tools.exports.job import Job
from imagenet_tools.exports.plan import Plan

if TYPE_CHECKING:
    import pyarrow as pa

Feature = Mapping[str, Any]

# Names of splits that Hugging Face and timm spell differently.
CALLED = {"val": "validation"}

IMAGE: Feature = {"_type": "Image"}


def value(dtype: str) -> Feature:
    """Return a plain value of a type such as int64, float32 or string."""
    return {"dtype": dtype, "_type": "Value"}


def class_label(names: Sequence[str]) -> Feature:
    """Return a class number with the names of the classes."""
    return {"names": list(names), "_type": "ClassLabel"}


def sequence(feature: Feature, length: int = -1) -> Feature:
    """Return a list, of a fixed length unless it is negative."""
    return {"feature": feature, **({"length": length} if length >= 0 else {}), "_type": "Sequence"}


def refuse_split_names(plan: Plan) -> None:
    """Raise ExportError if a split has the name by which the files of another one are called."""
    for split, called in CALLED.items():
        if called in plan.splits:
            raise ExportError(
                f"A split is called {called}, as {plan.target} calls the files of {split}. Give it another name in "
                f"--split, such as {split}."
            )


def label_names(plan: Plan) -> list[str]:
    """Return the names of classes for ClassLabel: display names, or wnids with --names wnid."""
    return [cls.wnid if plan.options.names == "wnid" else cls.display for cls in plan.classes]


def feature_of(kind: pa.DataType, option: str) -> Feature:
    """Return the feature of an Arrow type. ExportError, which repeats the `option`: there is no such feature."""
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = feature_of(kind.value_type, option)
        if "_type" in inner:
            return sequence(inner)
    elif pa.types.is_struct(kind):
        return {field.name: feature_of(field.type, option) for field in kind}
    elif pa.types.is_decimal(kind):
        return value(f"decimal128({kind.precision}, {kind.scale})")
    elif pa.types.is_floating(kind):
        return value(f"float{kind.bit_width}")
    elif not pa.types.is_nested(kind) and not pa.types.is_dictionary(kind):
        return value(str(kind))
    message = f"{option}: found values of the type {kind}; expected numbers, texts, times, lists or structs of them."
    raise ExportError(message)


def in_yaml(features: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return features as the card spells them."""
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


def refuse_fields(plan: Plan, keys: Container[str], place: str) -> None:
    """Raise ExportError if a field has one of the keys that every file or sample has; `place` says where."""
    for key, column in plan.options.fields:
        if key in keys:
            raise ExportError(f"--field {key}={column}: {key} is a {place}. Choose another name.")


def fields(job: Job, adapt: Callable[[pa.DataType], pa.DataType] = lambda kind: kind) -> dict[str, Feature]:
    """Return the features of the fields that were asked for; `adapt` returns the type in which a value is stored."""
    return {
        key: feature_of(adapt(job.pieces.field_type(key)), f"--field {key}={column}")
        for key, column in job.plan.options.fields
    }


def write_card(job: Job, *, title: str, pattern: str, features: Mapping[str, Any], notes: str) -> None:
    """Write README.md. Its head tells Hugging Face's loaders the files of the splits and the types of the features.

    Args:
        job: The job; the notes of its shards state the number of their images as "images".
        title: The title of the card.
        pattern: A pattern of the files of a split, with {split} or {called}, the split's name at Hugging Face.
        features: The types of the columns.
        notes: The meaning of the columns, in Markdown.
    """
    plan, images = job.plan, dict.fromkeys(job.plan.splits, 0)
    for shard, note in job.notes():
        images[shard.split] += note["images"]
    called = {split: CALLED.get(split, split) for split in plan.splits}
    data_files = [
        {"split": called[split], "path": pattern.format(split=split, called=called[split])} for split in called
    ]
    splits = [{"name": called[split], "num_examples": n} for split, n in images.items()]
    head = {
        **LICENSE,
        "configs": [{"config_name": "default", "data_files": data_files}],
        "dataset_info": {"features": in_yaml(features), "splits": splits},
    }
    table = table_of(("split", "images"), [(called[split], f"{n:,}") for split, n in images.items()])
    job.write(README, card(head, text(plan, title, sum(images.values()), table, notes)))
