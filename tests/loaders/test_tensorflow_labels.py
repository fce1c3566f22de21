"""TensorFlow Datasets' own list of the validation labels is the bundled one, image by image."""

from pathlib import Path

import tensorflow_datasets as tfds

from imagenet_tools.class_lists import labels

# The list that its imagenet2012 labels the validation images by, a wnid a line in the order of the images' names.
LISTS = Path(tfds.__file__).parent / "datasets" / "imagenet2012"


def test_the_50000_labels_agree() -> None:
    theirs = (LISTS / "validation_labels.txt").read_text().split()
    assert len(theirs) == 50_000
    agreed = sum(one == labels.validation_wnid(f"ILSVRC2012_val_{n:08d}") for n, one in enumerate(theirs, 1))
    assert agreed == 50_000


def test_the_1000_classes_are_in_the_same_order() -> None:
    assert tuple((LISTS / "labels.txt").read_text().split()) == labels.ilsvrc2012_sorted()
