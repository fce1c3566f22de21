"""timm's readers, of folders and of tars, with a `timm_class_map` and on an `image_folder`; torchvision's ImageNet."""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from timm.data.readers import create_reader
from torchvision.datasets import ImageNet, imagenet

import imagenet_tools
from imagenet_tools.wordnet import wordnet
from tests.loaders.folders import class_folders
from tests.loaders.truth import DOGS, OTHERS, Export, Say, Truth

SPLITS = pytest.mark.parametrize("split", ["train", "val"])
# Neither in the order of names nor of wnids.
ORDER = ["n02123045", "n02088364", "n01531178", "n02085620"]


@pytest.mark.proof(target="image_folder", loader="timm ReaderImageFolder")
@SPLITS
def test_timm_numbers_folders_as_we_do(
    export: Callable[[str, str], Export], chosen: str, truth: dict[str, Truth], split: str, say: Say
) -> None:
    folder = export(chosen, "image_folder")
    reader = create_reader("", root=str(folder.root / split))
    assert reader.class_to_idx == {one["folder"]: one["index"] for one in folder.classes}
    read = {Path(path).stem: folder.classes[label]["wnid"] for path, label in reader.samples}
    assert read == {stem: truth[stem].wnid for stem in folder.expect(truth, split, split, listed=True)}
    say(f"{split} {len(read)} images, {len(reader.class_to_idx)} classes")


@pytest.mark.proof(target="image_folder", loader="timm ReaderImageFolder")
@pytest.mark.parametrize("names", ["wnid", "lemma"])
def test_where_timm_numbers_folders_otherwise_the_export_says_so(index: Any, tmp_path: Path, names: str) -> None:
    plan = imagenet_tools.export(index.select(), tmp_path / "x", to="image_folder", names=names)
    reader = create_reader("", root=str(tmp_path / "x" / "train"))
    same = reader.class_to_idx == {one.folder: one.index for one in plan.classes}
    assert same == (not any("timm sorts folders" in hazard for hazard in plan.hazards)) == (names == "wnid")


def mapped(index: Any, tmp_path: Path, **words: Any) -> str:
    """The class map of a selection among the training images."""
    imagenet_tools.export(index.select(from_="train", **words), tmp_path / "map", to="timm_class_map")
    [path] = (tmp_path / "map").glob("class_map.*")
    return str(path)


@pytest.mark.proof(target="timm_class_map", loader="timm ReaderImageInTar")
def test_timm_reads_the_classes_of_the_map_from_the_official_tar(
    index: Any, truth: dict[str, Truth], sample: Path, tmp_path: Path, say: Say
) -> None:
    class_map = mapped(index, tmp_path, classes=",".join(ORDER))
    reader = create_reader("", root=str(sample / "ILSVRC2012_img_train.tar"), class_map=class_map)
    read = {}
    for number in range(len(reader)):
        file, label = reader[number]
        read[Path(reader.filename(number)).stem] = (ORDER[label], file.read())
    asked = {stem: one for stem, one in truth.items() if one.split == "train" and one.wnid in ORDER}
    assert read == {stem: (one.wnid, one.data) for stem, one in asked.items()}
    say(f"{len(read)} images of {len(ORDER)} classes, in the map's order")


@pytest.mark.proof(target="timm_class_map", loader="timm ReaderImageFolder")
def test_timm_joins_folders_by_a_map_of_superclasses(
    index: Any, truth: dict[str, Truth], tmp_path: Path, say: Say
) -> None:
    class_map = mapped(index, tmp_path, superclasses="n02084071,n01503061")  # dog, bird
    root = class_folders(tmp_path / "folders", truth)
    reader = create_reader("", root=str(root / "train"), class_map=class_map)
    birds = [wnid for wnid in OTHERS if wnid in ("n01531178", "n01558993", "n02012849")]
    expected = Counter(
        0 if one.wnid in DOGS else 1
        for one in truth.values()
        if one.split == "train" and one.problem is None and one.wnid in DOGS + birds
    )
    found = Counter(label for _, label in reader.samples)
    assert found == expected
    say(f"{found.total()} images of {len(DOGS + birds)} folders, in 2 classes")


@pytest.fixture(scope="module")
def with_meta(index: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("meta") / "x"
    imagenet_tools.export(index.select(), root, to="image_folder", meta_bin=True)
    return root


@pytest.mark.proof(target="image_folder", loader="torchvision ImageNet")
@SPLITS
def test_torchvisions_imagenet_opens_by_meta_bin_without_the_devkit(
    with_meta: Path, truth: dict[str, Truth], split: str, say: Say
) -> None:
    found = ImageNet(str(with_meta), split)
    assert found.wnids == sorted(DOGS + OTHERS)
    assert all(words[0] for words in found.classes)
    read = {Path(path).stem: found.wnids[label] for path, label in found.samples}
    assert {stem for stem, one in truth.items() if one.split == split and one.problem is None} <= set(read)
    assert read == {stem: truth[stem].wnid for stem in read}
    say(f"{split} {len(read)} images; {', '.join(found.classes[0])} first")


@pytest.mark.proof(target="image_folder", loader="torchvision parse_devkit_archive")
def test_meta_bin_says_what_torchvision_makes_of_the_real_devkit(
    with_meta: Path, real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, truth: dict[str, Truth], say: Say
) -> None:
    with tarfile.open(tmp_path / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as archive:
        for name in ("meta.mat", "ILSVRC2012_validation_ground_truth.txt"):
            archive.add(real / "ilsvrc2012" / name, f"ILSVRC2012_devkit_t12/data/{name}")
    monkeypatch.setattr(imagenet, "_verify_archive", lambda root, file, md5: None)  # it holds two files of the devkit
    imagenet.parse_devkit_archive(str(tmp_path))
    words, val = torch.load(tmp_path / "meta.bin", weights_only=True)
    ours, our_val = torch.load(with_meta / "meta.bin", weights_only=True)
    assert ours == {wnid: words[wnid] for wnid in ours}
    stems = sorted(stem for stem, one in truth.items() if one.split == "val")
    assert our_val == [val[int(stem[-8:]) - 1] for stem in stems]
    assert words == {wnid: tuple(one.replace("_", " ") for one in wordnet.synset(wnid).lemmas) for wnid in words}
    say(f"{len(ours)} classes and {len(our_val)} val images agree; the words of all {len(words):,} classes too")
