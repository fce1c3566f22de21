"""Parquet shards that Hugging Face's `datasets` writes, and tars that `webdataset` writes, are read by ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import webdataset
from datasets import ClassLabel, Dataset, Features, Image, load_dataset

from imagenet_tools.catalogue import labels
from imagenet_tools.formats import hf_imagefolder, hf_parquet
from imagenet_tools.formats import webdataset as ours
from tests.forms import hf_imagefolder as imagefolder_form
from tests.forms import hf_parquet as parquet_form
from tests.forms import webdataset as webdataset_form
from tests.loaders.truth import Say, Truth
from tests.scanned import Scanned


def agree(scanned: Scanned, truth: Mapping[str, Truth]) -> None:
    """Hold what was read to the index of the archives: every image, its bytes, its class, its split, its size."""
    assert scanned.problems == {}
    assert scanned.bytes() == {stem: image.data for stem, image in truth.items()}
    for stem, image in truth.items():
        row = scanned.images[stem]
        assert (row["wnid"], row["split"], (row["width"], row["height"])) == (image.wnid, image.split, image.size)


@pytest.mark.proof(target="hf_parquet, read", loader="datasets to_parquet")
def test_shards_that_datasets_writes_are_read(truth: dict[str, Truth], sample: Path, tmp_path: Path, say: Say) -> None:
    features = Features({"image": Image(), "label": ClassLabel(names=unique(parquet_form.words(sample)))})
    data = {stem: image.data for stem, image in truth.items()}
    for split, called in (("train", "train"), ("val", "validation")):
        rows = parquet_form.rows_of(data, split)
        for number in range(2):
            shard = Dataset.from_list(rows[number::2], features=features)
            shard.to_parquet(str(tmp_path / f"{called}-{number:05d}-of-00002.parquet"))
    scanned = Scanned(hf_parquet, tmp_path)
    agree(scanned, truth)
    [found] = scanned.found
    assert "class numbers in sorted order of ilsvrc2012, from 0" in found.evidence
    assert found.missing == ""
    say(f"{len(scanned.images)} images")


@pytest.mark.proof(target="hf_parquet, read", loader="datasets parquet")
def test_the_parquet_shards_of_our_tests_are_read_by_datasets(
    truth: dict[str, Truth], sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    names = unique(parquet_form.words(sample))
    root = parquet_form.write(tmp_path / "hub", {stem: image.data for stem, image in truth.items()}, names)
    files = {name: str(root / "data" / f"{name}-*") for name in ("train", "validation")}
    theirs = load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))
    read = {}
    for split in theirs.values():
        assert split.features["label"].names == names
        for row in split.cast_column("image", Image(decode=False)):
            read[parquet_form.stem_of(row)] = (row["image"]["bytes"], row["label"])
    order = labels.ilsvrc2012_sorted()
    assert read == {stem: (image.data, order.index(image.wnid)) for stem, image in truth.items()}


def unique(words: list[str]) -> list[str]:
    """Names that differ, as a ClassLabel asks: two of the 1,000 have the same words."""
    return [f"{name} ({words[:n].count(name) + 1})" if name in words[:n] else name for n, name in enumerate(words)]


@pytest.mark.proof(target="webdataset, read", loader="webdataset ShardWriter")
def test_shards_that_webdataset_writes_are_read(truth: dict[str, Truth], tmp_path: Path, say: Say) -> None:
    for split, called in (("train", "train"), ("val", "validation")):
        pattern = str(tmp_path / f"imagenet1k-{called}-%04d.tar")
        with webdataset.ShardWriter(pattern, maxcount=40, verbose=0) as writer:
            for stem, image in truth.items():
                if image.split == split:
                    label = labels.ilsvrc2012_sorted().index(image.wnid)
                    facts = {"label": label, "filename": f"{stem}.JPEG"}
                    writer.write({"__key__": stem, "jpg": image.data, "cls": label, "json": facts})
    scanned = Scanned(ours, tmp_path)
    agree(scanned, truth)
    say(f"{len(scanned.images)} images in {len(scanned.units)} shards")


@pytest.mark.proof(target="webdataset, read", loader="webdataset WebDataset")
def test_the_shards_of_our_tests_are_webdatasets_own(truth: dict[str, Truth], tmp_path: Path) -> None:
    root = webdataset_form.write_1k(tmp_path, {stem: image.data for stem, image in truth.items()})
    shards = sorted(map(str, root.glob("*.tar")))
    read = {one["__key__"]: one["jpg"] for one in webdataset.WebDataset(shards, shardshuffle=False, empty_check=False)}
    assert read == {stem: image.data for stem, image in truth.items()}


@pytest.mark.proof(target="hf_imagefolder, read", loader="datasets imagefolder")
def test_a_folder_that_datasets_reads_as_an_imagefolder_is_read_with_its_classes(
    truth: dict[str, Truth], sample: Path, tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    data = {stem: image.data for stem, image in truth.items()}
    imagefolder_form.write_words(tmp_path / "data", data, parquet_form.words(sample))
    theirs = load_dataset("imagefolder", data_dir=str(tmp_path / "data"), cache_dir=str(tmp_path / "cache"))
    assert {split: rows.num_rows for split, rows in theirs.items()} == {"train": 130, "validation": 52}
    scanned = Scanned(hf_imagefolder, tmp_path / "data")
    agree(scanned, truth)
    say(f"{len(scanned.images)} images; {theirs['train'].features['label'].num_classes} words for 13 classes")
