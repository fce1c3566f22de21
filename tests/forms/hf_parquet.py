"""Parquet shards as Hugging Face's ILSVRC/imagenet-1k has them, by pyarrow as the library `datasets` calls it."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from imagenet_tools.catalogue import labels

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SPLITS = {"train": "train", "val": "validation", "test": "test"}


def split_of(stem: str) -> str:
    """train, val or test."""
    return stem.split("_")[1] if stem.startswith("ILSVRC") else "train"


def wnid_of(stem: str) -> str | None:
    """The class, from the name or the official list; None of a test image."""
    return stem[:9] if stem.startswith("n") else labels.validation_wnid(stem)


def suffixed(stem: str) -> str:
    """The name that Hugging Face gives an image."""
    wnid = wnid_of(stem)
    return f"{stem}_{wnid}.JPEG" if wnid else f"{stem}.JPEG"


def words(sample: Path) -> list[str]:
    """The names of the ClassLabel: the words of the 1,000 classes in sorted order."""
    lines = (sample / "LOC_synset_mapping.txt").read_text().splitlines()
    return [line.split(" ", 1)[1] for line in lines]


def schema(names: list[str] | None) -> pa.Schema:
    """The columns, with the features in the metadata."""
    label = {"names": names, "_type": "ClassLabel"} if names else {"dtype": "int64", "_type": "Value"}
    info = {"info": {"features": {"image": {"_type": "Image"}, "label": label}}}
    metadata = {"huggingface": json.dumps(info)}
    return pa.schema([("image", IMAGE), ("label", pa.int64())], metadata=metadata)


def rows_of(data: Mapping[str, bytes], split: str) -> list[dict[str, object]]:
    """The rows of a split, shuffled as the hub's are, here by the digits of the names."""
    sorted_wnids = labels.ilsvrc2012_sorted()
    stems = sorted((stem for stem in data if split_of(stem) == split), key=lambda stem: stem[::-1])
    return [
        {
            "image": {"bytes": data[stem], "path": suffixed(stem)},
            "label": sorted_wnids.index(wnid) if (wnid := wnid_of(stem)) else -1,
        }
        for stem in stems
    ]


def write_rows(path: Path, rows: list[dict[str, object]], names: list[str] | None, **options: object) -> None:
    """One shard, in row groups of 100 rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows, schema(names))
    pq.write_table(table, path, **({"row_group_size": 100, "compression": "snappy"} | options))


def write(root: Path, data: Mapping[str, bytes], names: list[str] | None, *, per_shard: int = 40) -> Path:
    """data/<split>-<number>-of-<count>.parquet, and what lies beside."""
    for split, called in SPLITS.items():
        rows = rows_of(data, split)
        n = math.ceil(len(rows) / per_shard)
        for number in range(n):
            path = root / "data" / f"{called}-{number:05d}-of-{n:05d}.parquet"
            write_rows(path, rows[number * per_shard : (number + 1) * per_shard], names)
    (root / "README.md").write_text("---\npretty_name: ImageNet\n---\n")
    (root / ".gitattributes").write_text("*.parquet filter=lfs diff=lfs merge=lfs -text\n")
    return root


def stem_of(row: dict[str, object]) -> str:
    """The stem of the image of a row, as ImageNet spells it."""
    image = row["image"]
    assert isinstance(image, dict)
    return "_".join(str(image["path"]).removesuffix(".JPEG").split("_")[: 3 if "ILSVRC" in str(image["path"]) else 2])


def write_hard(path: Path, rows: list[tuple[bytes, list[int], list[str]]], **columns: object) -> Path:
    """A shard of taesiri/imagenet-hard: images without a path, with lists of labels and of their names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    records = [
        {"image": {"bytes": data, "path": None}, "label": numbers, "origin": "imagenet_a", "english_label": names}
        | columns
        for data, numbers, names in rows
    ]
    lists = [("label", pa.list_(pa.int64())), ("origin", pa.string()), ("english_label", pa.list_(pa.string()))]
    fields = pa.schema([("image", IMAGE), *lists, *((name, pa.int64()) for name in columns)])
    pq.write_table(pa.Table.from_pylist(records, fields), path, row_group_size=2)
    return path
