"""The proof that a release of Hugging Face's `datasets` reads a Parquet export, whichever release is installed."""

from __future__ import annotations

import io
import json
from pathlib import Path

import datasets
import pytest
from datasets import ClassLabel, Image, Value, load_dataset
from PIL import Image as Pillow
from PIL import ImageOps

from tests.loaders import shards
from tests.loaders.truth import Truth


def prove(root: Path, truth: dict[str, Truth], cache: Path, *, streaming: bool) -> str:
    """Read the folder as its users do; features, bytes, classes, sizes and boxes are the truth. Gives what was read."""
    theirs = load_dataset(str(root), streaming=streaming, cache_dir=str(cache))
    listed = json.loads((root / "classes.json").read_text())["classes"]
    read, n_boxes = {}, 0
    for split, called in shards.CALLED.items():
        features = theirs[called].features
        assert isinstance(features["image"], Image)
        assert features["label"] == ClassLabel(names=[one["display"] for one in listed])
        assert features["wnid"] == Value("string")
        for row in theirs[called].cast_column("image", Image(decode=False)):
            one, found = truth[row["image_id"]], row["objects"]
            read[row["image_id"]] = (split, row["image"]["bytes"], row["label"])
            assert row["wnid"] == one.wnid
            assert {row["label"]} >= set(found["category"])
            boxes = sorted((x, y, x + w, y + h) for x, y, w, h in found["bbox"])
            assert len(boxes) == len(one.boxes)
            if one.orientation == 1:
                assert boxes == [pytest.approx(box, abs=1e-3) for box in shards.pixels(one)]
            n_boxes += len(boxes)
            if one.problem is None:
                shown = features["image"].decode_example(row["image"])
                assert shown.size == ImageOps.exif_transpose(Pillow.open(io.BytesIO(one.data))).size
                assert shown.size == (row["width"], row["height"])
    shards.agree(read, truth)
    return f"{datasets.__version__}: {len(read)} images, {n_boxes} boxes"
