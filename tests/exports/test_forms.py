"""An export is the same from every form of the same images: tars, folders, Parquet shards, gzip archives."""

from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.exports import pieces
from imagenet_tools.index import Index
from tests.conftest import Extracted
from tests.exports.test_contract import content
from tests.forms import hf_parquet
from tests.forms.small import hub_archive
from tests.parameters import short_list


def images(root: Path) -> dict[str, str]:
    return {name: digest for name, digest in content(root).items() if not name.endswith(".json")}


@pytest.mark.parametrize("form", short_list(["parquet", "tar.gz"], "parquet"))
def test_an_export_is_the_same_from_containers_without_byte_ranges(
    form: str, index: Index, extracted: Extracted, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "_PIECE", 2_000_000)
    labelled = {stem: data for stem, data in extracted.data.items() if hf_parquet.wnid_of(stem)}
    if form == "parquet":
        source = [hf_parquet.write(tmp_path / "hub", labelled, hf_parquet.words(sample))]
    else:
        source = []
        for split in ("train", "val"):
            part = {stem: data for stem, data in labelled.items() if hf_parquet.split_of(stem) == split}
            name = "val_images.tar.gz" if split == "val" else "train_images_0.tar.gz"
            source.append(hub_archive(tmp_path / name, part, {stem: str(hf_parquet.wnid_of(stem)) for stem in part}))
    imagenet_tools.build_index(source, tmp_path / "x.index", dataset="ilsvrc2012", workers=1)
    packed = imagenet_tools.open_index(tmp_path / "x.index")
    assert packed.sql('SELECT count(*) FROM images WHERE "offset" IS NULL').fetchall() == [(182,)]
    for n in (1, 2):
        imagenet_tools.export(packed.select(), tmp_path / f"packed by {n}", to="image_folder", workers=n)
    imagenet_tools.export(index.select(), tmp_path / "plain", to="image_folder")
    assert images(tmp_path / "packed by 1") == images(tmp_path / "packed by 2") == images(tmp_path / "plain")


def test_rows_of_parquet_are_read_as_they_lie(index: Index, extracted: Extracted, sample: Path, tmp_path: Path) -> None:
    hf_parquet.write(tmp_path / "hub", extracted.data, hf_parquet.words(sample))
    imagenet_tools.build_index(tmp_path / "hub", tmp_path / "x.index", workers=1)
    packed = imagenet_tools.open_index(tmp_path / "x.index")
    plan = imagenet_tools.plan_export(packed.select(), to="image_folder")
    made = pieces.cut(plan.together, tmp_path)
    places = [
        place
        for n in range(len(made.pieces))
        for columns in made.columns(n)
        for place in zip(columns["split"], columns["file"], columns["position"], strict=True)
    ]
    assert places == sorted(places)
