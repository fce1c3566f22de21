"""timm's reader of WebDataset shards and wids read our export by the indexes beside it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import wids
from timm.data.readers.reader_wds import ReaderWds

from imagenet_tools.catalogue import labels
from tests.loaders import shards
from tests.loaders.truth import Say, Truth


@pytest.fixture(scope="module")
def tars(index: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shards.exported(index, tmp_path_factory.mktemp("tars") / "x", "webdataset")


def sound(truth: dict[str, Truth], split: str) -> dict[str, Truth]:
    return {name: one for name, one in truth.items() if one.problem is None and one.split == split}


@pytest.mark.proof(target="webdataset", loader="timm wds, by _info.json")
@pytest.mark.parametrize("split", ["train", "val"])
def test_timm_reads_every_sound_image_with_its_class(tars: Path, truth: dict[str, Truth], split: str, say: Say) -> None:
    reader = ReaderWds(str(tars), split=shards.CALLED[split], batch_size=1)
    assert len(reader) == sum(one.split == split for one in truth.values())
    found = sorted((image.size, target) for image, target, *_ in reader)
    expected = sorted((one.size, shards.CLASSES.index(one.wnid)) for one in sound(truth, split).values())
    assert found == expected
    say(f"{split} {len(found)} images")


@pytest.mark.proof(target="webdataset", loader="timm wds, alt_label")
def test_timm_counts_by_another_label_space(tars: Path, truth: dict[str, Truth], say: Say) -> None:
    reader = ReaderWds(str(tars), split="validation-ilsvrc2012", batch_size=1)
    found = sorted(target for _, target, *_ in reader)
    assert found == sorted(labels.ilsvrc2012_sorted().index(one.wnid) for one in sound(truth, "val").values())
    say(f"{len(set(found))} classes of ilsvrc2012")


@pytest.mark.proof(target="webdataset", loader="wids ShardListDataset")
def test_wids_reads_any_sample_by_its_number(tars: Path, truth: dict[str, Truth], tmp_path: Path, say: Say) -> None:
    read = {}
    for split in ("train", "val"):
        dataset = wids.ShardListDataset(
            str(tars / f"{split}.wids.json"), transformations=[], cache_dir=str(tmp_path / split), keep=True
        )
        for n in reversed(range(len(dataset))):
            sample = {key: value.read() for key, value in dataset[n].items() if isinstance(value, io.IOBase)}
            about = json.loads(sample[".json"])
            read[about["image_id"]] = (split, sample[".jpg"], int(sample[".cls"]))
    shards.agree(read, truth)
    say(f"{len(read)} images")
