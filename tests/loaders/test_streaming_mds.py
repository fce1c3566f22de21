"""MosaicML's streaming reads the MDS shards of an export, which its own MDSWriter writes byte by byte the same."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from streaming import MDSWriter, StreamingDataset
from streaming.base.format.mds import encodings
from streaming.base.util import clean_stale_shared_memory
from streaming.vision import StreamingImageNet

import imagenet_tools
from tests.loaders import shards
from tests.loaders.truth import Say, Truth


@pytest.fixture(scope="module")
def root(index: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mds") / "x"
    imagenet_tools.export(index.select(), out, to="mds", shard_size=60_000)
    return out


@pytest.fixture(autouse=True)
def own_memory() -> None:
    """Its data sets meet in shared memory, of which an earlier one may be left."""
    clean_stale_shared_memory()


def data_of(image: Image.Image) -> bytes:
    """The bytes that Pillow opened."""
    assert isinstance(image.fp, io.BytesIO)
    return image.fp.getvalue()


@pytest.mark.proof(target="mds", loader="streaming.StreamingDataset")
def test_streaming_reads_every_sample(root: Path, truth: dict[str, Truth], say: Say) -> None:
    read, n_boxes = {}, 0
    for split in ("train", "val"):
        dataset = StreamingDataset(local=str(root), split=split, batch_size=1, shuffle=False)
        assert len(dataset.shards) > 1
        for n in range(dataset.size):
            sample = dataset[n]
            facts = sample["json"]
            one = truth[facts["image_id"]]
            read[facts["image_id"]] = (split, data_of(sample["x"]), sample["y"])
            boxes = sorted(map(tuple, facts["boxes_normalised"]))
            assert boxes == [pytest.approx(box[1:], abs=1e-6) for box in sorted(one.boxes, key=lambda box: box[1:])]
            assert facts["wnid"] == one.wnid
            n_boxes += len(boxes)
    shards.agree(read, truth)
    say(f"{len(read)} images, {n_boxes} boxes")


@pytest.mark.proof(target="mds", loader="streaming.vision.StreamingImageNet")
def test_its_data_set_of_imagenet_gives_pixels_and_classes(root: Path, truth: dict[str, Truth], say: Say) -> None:
    dataset = StreamingImageNet(local=str(root), split="val", batch_size=1, shuffle=False)
    found = [dataset[n] for n in range(dataset.size)]
    expected = [(shards.CLASSES.index(one.wnid), one.size) for one in truth.values() if one.split == "val"]
    assert sorted((label, (pixels.shape[2], pixels.shape[1])) for pixels, label in found) == sorted(expected)
    say(f"{len(found)} tensors")


@pytest.mark.proof(target="mds", loader="streaming.MDSWriter")
def test_the_bytes_are_those_of_its_own_writer(
    root: Path, tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its encoders would make JPEG and JSON anew. All else of its reader and writer sees the bytes as they are.
    for encoding in ("jpeg", "json"):
        monkeypatch.setitem(encodings._encodings, encoding, encodings.Bytes)
    ours = json.loads((root / "train" / "index.json").read_text())["shards"]
    dataset = StreamingDataset(local=str(root), split="train", batch_size=1, shuffle=False)
    for n, shard in enumerate(ours):
        columns = dict(zip(shard["column_names"], shard["column_encodings"], strict=True))
        with MDSWriter(columns=columns, out=str(tmp_path / f"{n}")) as writer:
            for k in range(shard["samples"]):
                writer.write(dataset.shards[n][k])
        [theirs] = json.loads((tmp_path / f"{n}" / "index.json").read_text())["shards"]
        assert (tmp_path / f"{n}" / "shard.00000.mds").read_bytes() == (
            root / "train" / shard["raw_data"]["basename"]
        ).read_bytes()
        assert {**theirs, "raw_data": {**theirs["raw_data"], "basename": shard["raw_data"]["basename"]}} == shard
    say(f"{len(ours)} shards equal to the byte")


@pytest.mark.proof(target="mds", loader="check --with-loader (streaming)")
def test_check_lets_streaming_read_it(root: Path, say: Say) -> None:
    (found,) = imagenet_tools.check(root, with_loader=True)
    assert not [one for one in found.findings if one.code[0] == "E"], found.findings
    say(found.loader)
