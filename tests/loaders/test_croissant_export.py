"""mlcroissant reads croissant.json beside an export: it finds no error in it, and gives every record."""

from __future__ import annotations

import io
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import mlcroissant
import pytest
from PIL import Image

import imagenet_tools
from imagenet_tools import api
from tests.loaders.folders import SOUND
from tests.loaders.truth import DOGS, Say, Truth

FORMATS = {name: module for name, module in api._formats().items() if hasattr(module, "open_shard")}
# Those left out list whole classes, or files that are alone, of which the sample has none, or need a library
# of their own, which is an extra of the target's name, with '-' for '_'.
EXTRAS = [extra.replace("-", "_") for extra in metadata("imagenet-tools").get_all("Provides-Extra") or []]
TARGETS = sorted({*FORMATS} - {"timm_class_map", "dinov2", "file_list", "mmpretrain", *EXTRAS})


def texts(record: dict[str, Any]) -> dict[str, str]:
    return {key.rpartition("/")[2]: value.decode() for key, value in record.items() if isinstance(value, bytes)}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.proof(target="any with --card", loader="mlcroissant Dataset")
def test_records_are_those_of_the_export(
    target: str, index: Any, truth: dict[str, Truth], tmp_path: Path, say: Say
) -> None:
    result = imagenet_tools.export(index.select(under="dog", where=SOUND), tmp_path / "x", to=target, card=True)
    dataset = mlcroissant.Dataset(jsonld=str(tmp_path / "x" / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors
    classes = [texts(record) for record in dataset.records("classes")]
    assert [(row["wnid"], row["display"]) for row in classes] == [(cls.wnid, cls.display) for cls in result.classes]
    images = {row["image_id"]: (row["wnid"], row["split"]) for row in map(texts, dataset.records("images"))}
    assert len(images) == result.images()
    assert images == {stem: (truth[stem].wnid, truth[stem].split) for stem in images}
    assert {wnid for wnid, _ in images.values()} == set(DOGS)
    n = 0
    if FORMATS[target].WRITES.files_per_image:
        for record in dataset.records("files"):
            stem = Path(record["files/path"].decode()).stem
            with Image.open(io.BytesIO(truth[stem].data)) as image:
                assert record["files/content"].tobytes() == image.convert("RGB").tobytes()
            n += 1
        assert n == result.images()
    say(f"{target} {len(images)} images{f', {n} of them decoded' if n else ''}")


@pytest.mark.proof(target="image_folder", loader="mlcroissant Dataset")
def test_a_file_of_another_content_is_refused(index: Any, tmp_path: Path) -> None:
    imagenet_tools.export(index.select(under="tabby"), tmp_path / "x", to="image_folder", card=True)
    path = tmp_path / "x" / "classes.json"
    path.write_bytes(path.read_bytes() + b" ")
    dataset = mlcroissant.Dataset(jsonld=str(tmp_path / "x" / "croissant.json"))
    with pytest.raises(Exception, match=r"Download\(classes.json\)"):
        list(dataset.records("classes"))
