"""LitData reads the chunks of an export, which its own writer of JPEG images writes byte by byte the same."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import litdata
import numpy as np
import pytest
from litdata import Jpeg
from litdata.streaming.writer import BinaryWriter
from PIL import Image

import imagenet_tools
from tests.loaders import shards
from tests.loaders.truth import Say, Truth


@pytest.fixture(scope="module")
def root(index: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("litdata") / "x"
    imagenet_tools.export(index.select(), out, to="litdata", shard_size=60_000)
    return out


@pytest.mark.proof(target="litdata", loader="litdata.StreamingDataset")
def test_litdata_reads_every_item(root: Path, truth: dict[str, Truth], say: Say) -> None:
    read, n_boxes, decoded = {}, 0, 0
    for split in ("train", "val"):
        for item in litdata.StreamingDataset(str(root / split)):
            facts = json.loads(item["json"])
            one = truth[facts["image_id"]]
            read[facts["image_id"]] = (split, bytes(item["image"]), item["label"])
            boxes = sorted(map(tuple, facts["boxes_normalised"]))
            assert boxes == [pytest.approx(box[1:], abs=1e-6) for box in sorted(one.boxes, key=lambda box: box[1:])]
            assert facts["wnid"] == one.wnid
            n_boxes += len(boxes)
            if one.problem is None:
                assert Image.open(io.BytesIO(item["image"])).convert("RGB").size == one.size
                decoded += 1
    shards.agree(read, truth)
    say(f"{len(read)} images, {decoded} decoded, {n_boxes} boxes")


@pytest.mark.proof(target="litdata", loader="litdata.StreamingDataLoader, shuffled")
def test_its_data_loader_makes_batches_of_items(root: Path, truth: dict[str, Truth], say: Say) -> None:
    def decode(item: dict[str, Any]) -> dict[str, Any]:
        with Image.open(io.BytesIO(item["image"])) as image:
            image.draft("RGB", (32, 32))
            return {**item, "image": np.array(image.convert("RGB").resize((32, 32)))}

    sound = {name for name, one in truth.items() if one.problem is None}
    dataset = litdata.StreamingDataset(str(root / "val"), shuffle=True, seed=1, transform=decode)
    batches = list(litdata.StreamingDataLoader(dataset, batch_size=8, num_workers=0))
    labels = [label for batch in batches for label in batch["label"].tolist()]
    names = [json.loads(text)["image_id"] for batch in batches for text in batch["json"]]
    expected = {name: shards.CLASSES.index(one.wnid) for name, one in truth.items() if one.split == "val"}
    assert expected.keys() <= sound
    assert all(batch["image"].shape[1:] == (32, 32, 3) for batch in batches)
    assert dict(zip(names, labels, strict=True)) == expected
    assert names != sorted(names)
    say(f"{len(batches)} batches")


@pytest.mark.proof(target="litdata", loader="litdata's BinaryWriter")
def test_the_bytes_are_those_of_its_own_writer(root: Path, tmp_path: Path, say: Say) -> None:
    n_chunks = 0
    for split in ("train", "val"):
        ours = json.loads((root / split / "index.json").read_text())
        dataset, first = litdata.StreamingDataset(str(root / split)), 0
        for n, chunk in enumerate(ours["chunks"]):
            # As its type for JPEG images, because it stores rows of plain values as Arrow's.
            items = [dataset[first + k] for k in range(chunk["chunk_size"])]
            rows = [{**item, "image": bytes(item["image"])} for item in items]
            first += len(rows)
            if not all(row["image"].startswith(b"\xff\xd8") for row in rows):
                continue  # of this type, it encodes a PNG again
            writer = BinaryWriter(str(tmp_path / f"{split}{n}"), chunk_bytes=2 * chunk["chunk_bytes"])
            for k, row in enumerate(rows):
                writer.add_item(k, {**row, "image": Jpeg(bytes=row["image"])})
            writer.done()
            writer.merge()
            theirs = json.loads((tmp_path / f"{split}{n}" / "index.json").read_text())
            data = (tmp_path / f"{split}{n}" / "chunk-0-0.bin").read_bytes()
            assert data == (root / split / chunk["filename"]).read_bytes()
            assert [{**entry, "filename": chunk["filename"]} for entry in theirs["chunks"]] == [chunk]
            config = {name: theirs["config"][name] for name in ours["config"]}
            assert config == {
                **ours["config"],
                "chunk_bytes": config["chunk_bytes"],
                "data_format": ["jpeg", "int", "str"],
            }
            n_chunks += 1
    assert n_chunks > 3
    say(f"{n_chunks} chunks equal to the byte")


@pytest.mark.proof(target="litdata", loader="check --with-loader (litdata)")
def test_check_lets_litdata_read_it(root: Path, say: Say) -> None:
    (found,) = imagenet_tools.check(root, with_loader=True)
    assert not [one for one in found.findings if one.code[0] == "E"], found.findings
    say(found.loader)
