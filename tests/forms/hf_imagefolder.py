"""Folders as Hugging Face's imagefolder takes them: class folders called by words, or a table of the files."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path

from imagenet_tools.catalogue import labels
from tests.forms.hf_parquet import split_of, wnid_of

SPLITS = {"train": "train", "val": "validation", "test": "test"}


def write_words(root: Path, data: Mapping[str, bytes], words: list[str]) -> Path:
    """<split>/<words of the class>/<image>; test images have no class, and are left out."""
    order = labels.ilsvrc2012_sorted()
    for stem, image in data.items():
        wnid = wnid_of(stem)
        if wnid is not None:
            folder = root / SPLITS[split_of(stem)] / words[order.index(wnid)].split(",")[0]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{stem}.JPEG").write_bytes(image)
    return root


def write_table(root: Path, data: Mapping[str, bytes], rows: list[dict[str, object]], kind: str = "csv") -> Path:
    """Images beside metadata.csv or metadata.jsonl; of a row, file_name is where its image lies, `stem` which it is."""
    for row in rows:
        path = root / str(row["file_name"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data[str(row.pop("stem"))])
    if kind == "csv":
        with (root / "metadata.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root
