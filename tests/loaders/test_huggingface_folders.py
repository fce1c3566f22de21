"""Hugging Face's imagefolder on an `image_folder`, with our classes, and on the zips of a `zip`: every byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from datasets import Image, load_dataset

from tests.loaders.truth import Export, Say, Truth


def hold(found: Any, made: Export, truth: dict[str, Truth]) -> int:
    """Hold the rows of every split to the truth; gives how many there are."""
    n = 0
    for split, rows in found.items():
        assert rows.features["label"].names == [one["folder"] for one in made.classes]
        read = {}
        for row in rows.cast_column("image", Image(decode=False)):
            image = row["image"]
            data = image["bytes"] if image["bytes"] is not None else Path(image["path"]).read_bytes()
            read[Path(image["path"]).stem] = (made.classes[row["label"]]["wnid"], data)
        asked = {stem: one for stem, one in truth.items() if one.split == split and one.wnid in made.wnids}
        sound = {stem for stem, one in asked.items() if one.problem is None}
        assert sound <= set(read) <= set(asked)
        assert read == {stem: (asked[stem].wnid, asked[stem].data) for stem in read}
        n += len(read)
    return n


@pytest.mark.proof(target="image_folder", loader="datasets imagefolder")
def test_the_folders_of_a_split_are_its_classes(
    export: Callable[[str, str], Export], chosen: str, truth: dict[str, Truth], tmp_path: Path, say: Say,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    made = export(chosen, "image_folder")
    files = {split: str(made.root / split / "**") for split in ("train", "val")}
    found = load_dataset("imagefolder", data_files=files, cache_dir=str(tmp_path))
    say(f"{hold(found, made, truth)} images, {len(made.classes)} classes")


@pytest.mark.proof(target="zip", loader="datasets imagefolder, drop_labels")
def test_every_image_of_the_zips_is_read(
    export: Callable[[str, str], Export], chosen: str, truth: dict[str, Truth], tmp_path: Path, say: Say,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    made = export(chosen, "zip")
    files = {split: str(made.root / f"{split}.zip") for split in ("train", "val")}
    found = load_dataset("imagefolder", data_files=files, cache_dir=str(tmp_path), drop_labels=True)
    n = 0
    for split, rows in found.items():
        images = [row["image"] for row in rows.cast_column("image", Image(decode=False))]
        read = {}
        for image in images:  # zip://train/n02085620/n02085620_10074.JPEG::/.../train.zip
            with fsspec.open(image["path"]) as file:
                read[Path(image["path"].partition("::")[0]).stem] = file.read()
        listed = dict(line.split("\t") for line in (made.root / f"{split}_map.txt").read_text().splitlines())
        assert len(read) == len(images) == len(listed)
        for path, label in listed.items():
            stem = Path(path).stem
            assert read[stem] == truth[stem].data
            assert made.classes[int(label)]["wnid"] == truth[stem].wnid
        n += len(read)
    say(f"{n} images, their classes by the map")
