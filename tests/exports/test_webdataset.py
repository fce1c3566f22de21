"""WebDataset shards: tars that GNU tar lists as they should be, keys, label spaces, and the indexes beside them."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import imagenet_tools
from imagenet_tools.catalogue import lists
from imagenet_tools.errors import ExportError
from imagenet_tools.formats.webdataset.shards import key_of
from imagenet_tools.index import Index
from tests.exports.odd import CRANE, ODD, SPANIEL, TENCH

TAKEN = {one.stem: one for one in ODD}


def export(index: Index, root: Path, **options: Any) -> Path:
    imagenet_tools.export(index.select(), root, to="webdataset", shard_size=8_000, **options)
    return root


def listed(shard: Path) -> list[list[str]]:
    """What GNU tar says of each member: mode, owner, size, date, time, name."""
    run = subprocess.run(
        ["tar", "--list", "--verbose", "--utc", "--full-time", "--file", str(shard)], capture_output=True, check=True
    )
    return [line.split(None, 5) for line in run.stdout.decode().splitlines()]


def member(shard: Path, name: str) -> bytes:
    return subprocess.run(
        ["tar", "--extract", "--to-stdout", "--file", str(shard), name], capture_output=True, check=True
    ).stdout


def samples(root: Path) -> dict[str, tuple[str, int, dict[str, Any], bytes]]:
    """(split, class, JSON, image) by key, as GNU tar unpacks them."""
    found = {}
    for shard in sorted(root.glob("*.tar")):
        names = [line[5] for line in listed(shard)]
        for name in names[::3]:
            key = name.removesuffix(".cls")
            text = member(shard, f"{key}.json").decode()
            about = json.loads(text)
            assert text == json.dumps(about, ensure_ascii=False, separators=(",", ":"))
            found[key] = (shard.name.split("-")[0], int(member(shard, name)), about, member(shard, f"{key}.jpg"))
    return found


def test_gnu_tar_lists_plain_members_in_threes_sorted_by_field(odd: Index, tmp_path: Path) -> None:
    keys: list[str] = []
    for shard in sorted(export(odd, tmp_path / "x").glob("*.tar")):
        assert shard.stat().st_size % 512 == 0
        members = listed(shard)
        assert {tuple(line[:2] + line[3:5]) for line in members} == {("-rw-r--r--", "0/0", "1970-01-01", "00:00:00")}
        names = [line[5] for line in members]
        for n in range(0, len(names), 3):
            key, _, _ = names[n].partition(".")
            assert names[n : n + 3] == [f"{key}.cls", f"{key}.jpg", f"{key}.json"]
            keys.append(key)
    assert len({key.casefold() for key in keys}) == len(keys) == len(ODD)
    assert key_of("n02012849_a b.c-d'é") == "n02012849_a%20b%2Ec-d%27%C3%A9" in keys


def test_samples_are_the_images_with_what_is_known_of_them(odd: Index, tmp_path: Path) -> None:
    found = samples(export(odd, tmp_path / "x"))
    shapes = set()
    for split, label, about, data in found.values():
        one = TAKEN[about["image_id"]]
        assert (split, data, [TENCH, CRANE, SPANIEL][label]) == (one.split, one.data, one.wnid)
        assert (about["dataset"], about["wnid"], about["label"]) == ("ilsvrc2012", one.wnid, label)
        assert (about["width"], about["height"], about["orientation"]) == (*one.size, one.orientation or 1)
        assert len(about["boxes"]) == len(about["boxes_normalised"]) == len(about["box_labels"])
        for pixels, fractions in zip(about["boxes"], about["boxes_normalised"], strict=True):
            sides = one.size * 2
            assert pixels == pytest.approx([f * side for f, side in zip(fractions, sides, strict=True)], abs=1e-3)
        shapes.add(tuple((key, type(value)) for key, value in about.items()))
    assert len(shapes) == 1  # so that types inferred from the first samples hold for all
    spaniel = found["n02102040_1"][2]
    assert spaniel["ilsvrc2012"] == lists.get("ilsvrc2012").wnids.index(SPANIEL)
    assert spaniel["ancestors"] == sorted(imagenet_tools.wordnet.hierarchy.ancestors(SPANIEL, itself=False))
    assert "n02084071" in spaniel["ancestors"] and spaniel["lemmas"][0] == "English_springer"


def test_joined_classes_keep_the_number_of_their_own_synset_beside_that_of_the_superclass(
    odd: Index, tmp_path: Path
) -> None:
    chosen = odd.select(superclasses="animal")
    imagenet_tools.export(chosen, tmp_path / "x", to="webdataset", side_files=True)
    for _, label, about, _ in samples(tmp_path / "x").values():
        assert (label, about["class_wnid"], about["wnid"]) == (0, "n00015388", TAKEN[about["image_id"]].wnid)
        assert about["ilsvrc2012"] == lists.numbers_of(about["wnid"])["ilsvrc2012"]
    again = imagenet_tools.build_index(tmp_path / "x", tmp_path / "y.index", workers=1)
    assert again.rows["images"] == len(ODD) and again.problems == {}  # of a data set of its own


def test_the_side_files_say_where_every_sample_lies(odd: Index, tmp_path: Path) -> None:
    root = export(odd, tmp_path / "x", side_files=True)
    info = json.loads((root / "_info.json").read_text())["splits"]
    for split, called in (("train", "train"), ("val", "validation")):
        wids = json.loads((root / f"{split}.wids.json").read_text())
        assert (wids["__kind__"], wids["wids_version"]) == ("wids-shard-index-v1", 1)
        shards = sorted(root.glob(f"{split}-*.tar"))
        assert [one["url"] for one in wids["shardlist"]] == [shard.name for shard in shards]
        for one, shard in zip(wids["shardlist"], shards, strict=True):
            assert one["md5sum"] == hashlib.md5(shard.read_bytes()).hexdigest()
            assert one["filesize"] == shard.stat().st_size
            assert one["nsamples"] == len(listed(shard)) // 3 == len(dali_index(shard))
        lengths = [one["nsamples"] for one in wids["shardlist"]]
        assert info[called] == {
            "name": called, "num_samples": sum(lengths), "filenames": [shard.name for shard in shards],
            "shard_lengths": lengths, "alt_label": "",
        }  # fmt: skip
        assert info[f"{called}-fall11"]["alt_label"] == "fall11"
        assert info[f"{called}-fall11"]["num_samples"] == sum(lengths)


def dali_index(shard: Path) -> list[str]:
    """The keys of DALI's index of a shard, each place held against what GNU tar unpacks."""
    head, *lines = shard.with_suffix(".idx").read_text().splitlines()
    assert head == f"v1.2 {len(lines)}"
    data, keys = shard.read_bytes(), []
    for line in lines:
        words = line.split(" ")
        assert len(words) == 12 and words[::4] == ["cls", "jpg", "json"]
        for ext, offset, size, name in zip(*(words[n::4] for n in range(4)), strict=True):
            assert int(offset) % 512 == 0
            assert data[int(offset) : int(offset) + int(size)] == member(shard, name)
            keys.append(name.removesuffix(f".{ext}"))
    assert keys[::3] == keys[1::3] == keys[2::3]
    return keys[::3]


def test_its_own_reader_needs_to_be_told_nothing(odd: Index, tmp_path: Path) -> None:
    root = export(odd, tmp_path / "x")
    (found,) = imagenet_tools.detect(root).found
    assert (found.form, found.dataset, found.splits, found.readings) == (
        "webdataset",
        "ilsvrc2012",
        ("train", "val"),
        (),
    )
    resized = export(odd, tmp_path / "small", resize=24, repair="eoi")
    (found,) = imagenet_tools.detect(resized).found
    assert found.dataset != "ilsvrc2012"  # resized images are no originals
    assert "resized" in found.evidence


def test_fields_come_along_and_hide_nothing(odd: Index, tmp_path: Path) -> None:
    captions = tmp_path / "captions.csv"
    captions.write_text("photo,text,day\nn01440764_1,\"a fish, 'held'\",2012-05-06\n")
    chosen = odd.select(with_={"captions": captions})
    imagenet_tools.export(chosen, tmp_path / "x", to="webdataset", field=["caption=captions.text", "d=captions.day"])
    found = samples(tmp_path / "x")
    assert (found["n01440764_1"][2]["caption"], found["n01440764_1"][2]["d"]) == ("a fish, 'held'", "2012-05-06")
    assert found["n01440764_2"][2]["caption"] is None
    with pytest.raises(ExportError, match="is a key of every sample's JSON"):
        imagenet_tools.plan_export(chosen, to="webdataset", field=["wnid=captions.text"])


def test_a_key_that_no_member_has_room_for_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source" / TENCH
    source.mkdir(parents=True)
    (source / f"n01440764_{'x' * 90}.JPEG").write_bytes(ODD[0].data)
    imagenet_tools.build_index(source.parent, tmp_path / "x.index", dataset="own", workers=1)
    chosen = imagenet_tools.open_index(tmp_path / "x.index").select()
    with pytest.raises(ExportError, match="room for 95 bytes"):
        imagenet_tools.plan_export(chosen, to="webdataset")
