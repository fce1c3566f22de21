"""Shards that begin with offsets, mds and litdata: their bytes by the rules, what is left out, and what is refused."""

import json
import os
import struct
from itertools import pairwise
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.errors import ExportError, FormatError
from imagenet_tools.formats import litdata, mds
from imagenet_tools.index import Index
from tests.exports.conftest import Export
from tests.exports.odd import ODD, TENCH

pytestmark = pytest.mark.long  # a proof of the whole; the long suite has it

CUT = "n01440764_22"  # an image without its end, which Pillow does not decode


def items_of(path: Path) -> tuple[bytes, list[bytes]]:
    """What is between the offsets and the first item, and the items."""
    data = path.read_bytes()
    (n,) = struct.unpack_from("<I", data)
    offsets = struct.unpack_from(f"<{n + 1}I", data, 4)
    assert offsets[-1] == len(data)
    items = [data[start:end] for start, end in pairwise(offsets)]
    return data[4 * (n + 2) : offsets[0]], items


def test_a_shard_of_mds_is_that_of_the_formats_rules(exported: Export) -> None:
    root = exported("mds", shard_size=8_000).root
    for split in ("train", "val"):
        index = json.loads((root / split / "index.json").read_text())
        assert index["version"] == 2
        seen = []
        for number, shard in enumerate(index["shards"]):
            path = root / split / shard["raw_data"]["basename"]
            assert path.name == f"shard.{number:05d}.mds" and path.stat().st_size == shard["raw_data"]["bytes"]
            head, samples = items_of(path)
            assert json.loads(head).items() <= shard.items()
            assert len(samples) == shard["samples"]
            for sample in samples:
                sizes = struct.unpack_from("<2I", sample)
                facts, data = sample[8 : 8 + sizes[0]], sample[8 + sizes[0] : 8 + sum(sizes)]
                (label,) = struct.unpack("<q", sample[8 + sum(sizes) :])
                seen.append((json.loads(facts)["image_id"], data, label))
        classes = [one["wnid"] for one in json.loads((root / "classes.json").read_text())["classes"]]
        expected = [(one.stem, one.data, classes.index(one.wnid)) for one in ODD if one.split == split]
        assert sorted(seen) == sorted(expected)


def test_a_chunk_of_litdata_is_that_of_the_formats_rules(exported: Export) -> None:
    root = exported("litdata", shard_size=8_000).root
    index = json.loads((root / "train" / "index.json").read_text())
    assert json.loads(json.loads(index["config"]["data_spec"])[1]["context"]) == ["image", "label", "json"]
    seen = set()
    for number, chunk in enumerate(index["chunks"]):
        path = root / "train" / chunk["filename"]
        assert path.name == f"chunk-0-{number}.bin" and path.stat().st_size == chunk["chunk_bytes"]
        head, items = items_of(path)
        assert head == b"" and len(items) == chunk["chunk_size"]
        for item in items:
            image, label, facts = struct.unpack_from("<3I", item)
            assert label == 8 and len(item) == 12 + image + label + facts
            seen.add((json.loads(item[-facts:])["image_id"], item[12 : 12 + image]))
    assert seen == {(one.stem, one.data) for one in ODD if one.split == "train"}


def test_litdata_names_its_copies_of_another_export_otherwise(odd: Index, exported: Export, tmp_path: Path) -> None:
    imagenet_tools.export(odd.select(classes=[TENCH]), tmp_path / "x", to="litdata")
    one, other = (
        json.loads((root / "train" / "index.json").read_text())["updated_at"]
        for root in (exported("litdata", shard_size=8_000).root, tmp_path / "x")
    )
    assert one != other


@pytest.mark.parametrize("target", ["mds", "litdata"])
def test_an_image_that_cannot_be_decoded_leaves_zeros_before_the_first_item(
    target: str, odd: Index, tmp_path: Path
) -> None:
    imagenet_tools.export(odd.select(), tmp_path / "x", to=target, resize=24, workers=1)
    [path] = (tmp_path / "x" / "train").glob("*.[mb]*")
    head, items = items_of(path)
    stems = {image.stem for image in {"mds": mds, "litdata": litdata}[target].read_back(tmp_path / "x")}
    assert CUT not in stems and len(items) == sum(one.split == "train" for one in ODD) - 1
    assert head.endswith(bytes(4)) and head.count(0) == 4
    assert imagenet_tools.check(tmp_path / "x").ok


def test_a_shard_without_a_sample_is_not_in_the_index(odd: Index, tmp_path: Path) -> None:
    chosen = odd.select(where=f"image_id = '{CUT}' OR split = 'val'")
    imagenet_tools.export(chosen, tmp_path / "x", to="mds,litdata", resize=24)
    assert json.loads((tmp_path / "x/mds/train/index.json").read_text())["shards"] == []
    assert json.loads((tmp_path / "x/litdata/train/index.json").read_text())["chunks"] == []
    assert all(result.ok for result in imagenet_tools.check(tmp_path / "x"))


@pytest.mark.parametrize("target", ["mds", "litdata"])
def test_shards_whose_offsets_would_not_fit_are_refused(target: str, odd: Index) -> None:
    with pytest.raises(ExportError, match=r"found 5,000,000,000 bytes; .* offsets of 32 bits\. Choose at most"):
        imagenet_tools.plan_export(odd.select(), to=target, shard_size="5GB")


@pytest.mark.parametrize("target", ["mds", "litdata"])
def test_a_field_may_not_hide_a_key_of_the_json(target: str, odd: Index) -> None:
    with pytest.raises(ExportError, match=r"--field photo=mode: photo is a key of every (sample|item)'s JSON"):
        imagenet_tools.plan_export(odd.select(), to=target, field=["photo=mode"])


@pytest.mark.parametrize("module", [mds, litdata])
def test_a_damaged_shard_is_an_error(module: object, exported: Export, tmp_path: Path) -> None:
    target = module.__name__.rpartition(".")[2]
    source = exported(target, shard_size=8_000).root / "train"
    (tmp_path / "train").mkdir()
    for path in source.iterdir():
        (tmp_path / "train" / path.name).write_bytes(path.read_bytes())
    path = sorted((tmp_path / "train").glob("*.[mb]*"))[0]
    data = path.read_bytes()
    os.truncate(path, len(data) - 1)
    with pytest.raises(FormatError, match="items; expected their offsets"):
        list(module.read_back(tmp_path))
    (start,) = struct.unpack_from("<I", data, 4)
    path.write_bytes(data[:start] + b"\xff" + data[start + 1 :])
    with pytest.raises(FormatError, match=r"whose (columns|values) take others"):
        list(module.read_back(tmp_path))
