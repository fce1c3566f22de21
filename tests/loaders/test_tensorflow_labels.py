"""TensorFlow Datasets' own list of the validation labels is the bundled one, image by image."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from imagenet_tools.class_lists import labels
from tests.loaders.truth import Say

# The list that its imagenet2012 labels the validation images by, a wnid a line in the order of the images' names.
LISTS = Path(tfds.__file__).parent / "datasets" / "imagenet2012"


@pytest.mark.proof(target="validation labels", loader="tensorflow-datasets' imagenet2012")
def test_the_50000_labels_agree(say: Say) -> None:
    theirs = (LISTS / "validation_labels.txt").read_text().split()
    assert len(theirs) == 50_000
    agreed = sum(one == labels.validation_wnid(f"ILSVRC2012_val_{n:08d}") for n, one in enumerate(theirs, 1))
    say(f"{agreed:,} of {len(theirs):,} labels agree")
    assert agreed == 50_000


@pytest.mark.proof(target="class order", loader="tensorflow-datasets' imagenet2012")
def test_the_1000_classes_are_in_the_same_order(say: Say) -> None:
    theirs = tuple((LISTS / "labels.txt").read_text().split())
    say(f"{len(theirs):,} classes in sorted order")
    assert theirs == labels.ilsvrc2012_sorted()
