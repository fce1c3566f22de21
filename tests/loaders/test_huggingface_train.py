"""Training without exporting: Hugging Face's `datasets` streams the archives as the index says."""

from __future__ import annotations

from typing import Any

import pytest

from tests.loaders.folders import SOUND, decoded
from tests.loaders.truth import DOGS, Say, Truth, page_code


@pytest.mark.proof(target="no export", loader="docs: datasets IterableDataset")
def test_the_page_s_lines_stream_every_image_once(index: Any, truth: dict[str, Truth], say: Say) -> None:
    exec(page_code("datasets"), names := {"dogs": index.select(under="dog", where=SOUND)})
    stream = names["stream"]
    wanted = {
        decoded(one.data).tobytes(): DOGS.index(one.wnid)
        for image_id, one in truth.items()
        if one.split == "train" and one.wnid in DOGS and image_id not in SOUND
    }
    assert stream.num_shards == 8
    shards = [list(stream.shard(num_shards=8, index=n)) for n in range(8)]
    rows = [row for shard in shards for row in shard]
    assert len(rows) == len(wanted) == 49
    assert {row["image"].tobytes(): row["label"] for row in rows} == wanted
    assert {row["label"] for row in stream.shuffle(seed=0, buffer_size=16)} == set(range(5))
    say(f"{len(rows)} images in 8 shards")
