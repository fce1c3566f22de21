"""The library webdataset and Hugging Face's current `datasets` read our shards: bytes, classes, boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import webdataset
from datasets import Image, load_dataset

import imagenet_tools
from imagenet_tools.catalogue import labels
from tests.loaders import shards
from tests.loaders.parquet_proofs import prove
from tests.loaders.truth import Say, Truth


@pytest.fixture(scope="module")
def tars(index: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shards.exported(index, tmp_path_factory.mktemp("tars") / "x", "webdataset")


@pytest.mark.proof(target="webdataset", loader="webdataset WebDataset")
def test_webdataset_decodes_every_sample(tars: Path, truth: dict[str, Truth], say: Say) -> None:
    read, n_boxes = {}, 0
    for split in ("train", "val"):
        files = sorted(map(str, tars.glob(f"{split}-*.tar")))
        raw = webdataset.WebDataset(files, shardshuffle=False, empty_check=False)
        for sample in raw.decode(only=["cls", "json"]):
            about = sample["json"]
            read[about["image_id"]] = (split, sample["jpg"], sample["cls"])
            one = truth[about["image_id"]]
            assert sorted(map(tuple, about["boxes"])) == [pytest.approx(box, abs=1e-3) for box in shards.pixels(one)]
            assert about["ilsvrc2012"] == labels.ilsvrc2012_sorted().index(one.wnid)
            n_boxes += len(about["boxes"])
    shards.agree(read, truth)
    say(f"{len(read)} images, {n_boxes} boxes")


@pytest.mark.proof(target="webdataset", loader="webdataset WebDataset, decode('pil')")
def test_webdataset_decodes_the_pixels_of_what_is_sound(tars: Path, truth: dict[str, Truth]) -> None:
    files = sorted(map(str, tars.glob("*.tar")))
    skip = webdataset.ignore_and_continue
    sizes = {
        sample["json"]["image_id"]: sample["jpg"].size
        for sample in webdataset.WebDataset(files, shardshuffle=False, empty_check=False).decode("pil", handler=skip)
    }
    sound = {name: one.size for name, one in truth.items() if one.problem is None}
    assert {name: size for name, size in sizes.items() if name in sound} == sound


@pytest.mark.proof(target="webdataset", loader="datasets webdataset, streaming")
@pytest.mark.parametrize("streaming", [True, False])
def test_datasets_reads_the_folder_with_typed_features(
    tars: Path, truth: dict[str, Truth], streaming: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Say
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    theirs = load_dataset(str(tars), streaming=streaming, cache_dir=str(tmp_path))
    read = {}
    for split, called in shards.CALLED.items():
        rows = theirs[called]
        assert rows.features["cls"].num_classes == len(shards.CLASSES)
        for row in rows.cast_column("jpg", Image(decode=False)):
            read[row["json"]["image_id"]] = (split, row["jpg"]["bytes"], row["cls"])
            assert len(row["json"]["boxes"]) == len(truth[row["json"]["image_id"]].boxes)
    shards.agree(read, truth)
    say(f"{len(read)} images")


@pytest.mark.proof(target="webdataset", loader="check --with-loader (webdataset)")
def test_check_lets_webdataset_read_it(tars: Path, say: Say) -> None:
    (found,) = imagenet_tools.check(tars, with_loader=True)
    assert {one.code for one in found.findings} == {"W301"}
    say(found.loader)


@pytest.fixture(scope="module")
def parquet(index: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shards.exported(index, tmp_path_factory.mktemp("parquet") / "x", "hf_parquet")


@pytest.mark.proof(target="hf_parquet", loader="check --with-loader (datasets)")
def test_check_lets_datasets_read_it(parquet: Path, say: Say) -> None:
    (found,) = imagenet_tools.check(parquet, with_loader=True)
    assert {one.code for one in found.findings} == {"W301"}
    say(found.loader)


@pytest.mark.proof(target="hf_parquet", loader="datasets, current")
@pytest.mark.parametrize("streaming", [True, False])
def test_datasets_reads_every_row_typed(
    parquet: Path, truth: dict[str, Truth], streaming: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Say
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    say(prove(parquet, truth, tmp_path, streaming=streaming))
