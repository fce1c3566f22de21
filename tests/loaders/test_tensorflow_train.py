"""Training without exporting: grain's and TensorFlow's loaders read the archives as the index says."""

from __future__ import annotations

from typing import Any

import grain
import numpy as np
import pytest
import tensorflow as tf

from tests.loaders.folders import SOUND, decoded, pixels
from tests.loaders.truth import DOGS, Say, Truth, page_code


@pytest.fixture
def dogs(index: Any) -> Any:
    return index.select(under="dog", where=SOUND)


@pytest.mark.proof(target="no export", loader="grain DataLoader")
def test_grain_s_workers_give_every_image_once(dogs: Any, truth: dict[str, Truth], say: Say) -> None:
    source = dogs.dataset("train", transform=pixels, fields=("image", "label", "image_id"))
    sampler = grain.samplers.IndexSampler(len(source), shuffle=True, seed=0, num_epochs=1)
    read = {}
    for image, label, image_id in grain.DataLoader(data_source=source, sampler=sampler, worker_count=2):
        assert np.array_equal(image, pixels(decoded(truth[image_id].data)))
        read[image_id] = DOGS[label]
    assert read == expected(dogs, truth)
    say(f"{len(read)} images by 2 workers")


def expected(dogs: Any, truth: dict[str, Truth]) -> dict[str, str]:
    """The classes of the sound dogs of train by id."""
    chosen = {image_id: one.wnid for image_id, one in truth.items() if one.split == "train" and one.wnid in DOGS}
    return {image_id: wnid for image_id, wnid in chosen.items() if image_id not in SOUND}


@pytest.mark.proof(target="no export", loader="docs: grain MapDataset")
def test_the_page_s_lines_give_grain_a_data_set(dogs: Any, truth: dict[str, Truth]) -> None:
    exec(page_code("grain"), {"dogs": dogs}, found := {})
    assert sorted(label for _, label in found["photos"]) == sorted(dogs.dataset("train").targets)
    assert len({image.tobytes() for image, _ in found["photos"]}) == 49


@pytest.mark.proof(target="no export", loader="tf.data from_generator")
def test_tf_data_takes_it_as_a_generator(dogs: Any, truth: dict[str, Truth], say: Say) -> None:
    source = dogs.dataset("train", transform=np.asarray, fields=("image", "label", "image_id"))
    kinds = (tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((), tf.int64), tf.TensorSpec((), tf.string))
    rows = tf.data.Dataset.from_generator(lambda: iter(source), output_signature=kinds)
    read = {}
    for image, label, image_id in rows.as_numpy_iterator():
        assert np.array_equal(image, np.asarray(decoded(truth[image_id.decode()].data)))
        read[image_id.decode()] = DOGS[label]
    assert read == expected(dogs, truth)
    say(f"{len(read)} images")


@pytest.mark.proof(target="no export", loader="docs: tf.data in batches")
def test_the_page_s_lines_give_tf_data_batches_of_undecoded_images(
    dogs: Any, truth: dict[str, Truth], say: Say
) -> None:
    exec(page_code("tf.data"), names := {"dogs": dogs})
    read: list[tuple[bytes, int]] = []
    for data, labels in names["batches"].as_numpy_iterator():
        read += zip(data.tolist(), labels.tolist(), strict=True)
    wanted = [(truth[image_id].data, DOGS.index(wnid)) for image_id, wnid in expected(dogs, truth).items()]
    assert sorted(read) == sorted(wanted)
    shapes = {tf.io.decode_image(data).shape[2] for data, _ in read}
    assert shapes == {3}
    say(f"{len(read)} images in batches of 32")
