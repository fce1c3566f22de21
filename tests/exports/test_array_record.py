"""The ArrayRecord shards of an export: records of their own, the same Examples as tfrecord's, and what is refused."""

import json
from pathlib import Path

import pytest
from array_record.python.array_record_module import ArrayRecordReader

import imagenet_tools
from imagenet_tools import system
from imagenet_tools.containers import tfrecords
from imagenet_tools.errors import ExportError, FormatError
from imagenet_tools.formats import array_record
from imagenet_tools.index import Index
from tests.exports.conftest import Export


def test_the_records_are_the_examples_of_tfrecord(odd: Index, tmp_path: Path) -> None:
    imagenet_tools.export(odd.select(), tmp_path / "x", to="tfrecord,array_record", shard_size=8_000)
    files = sorted((tmp_path / "x" / "tfrecord").glob("*-of-*"))
    assert len(files) > 3
    for file in files:
        reader = ArrayRecordReader(str(tmp_path / "x" / "array_record" / f"{file.name}.array_record"))
        assert "group_size:1," in reader.writer_options_string()
        data = file.read_bytes()
        with file.open("rb") as opened:
            ranges = [record[:2] for record in tfrecords.walk(opened.fileno(), file.name)]
        assert reader.read_all() == [data[offset : offset + length] for offset, length in ranges]
    infos = [
        json.loads((tmp_path / "x" / target / "dataset_info.json").read_text())
        for target in ("tfrecord", "array_record")
    ]
    lengths = [[split["shardLengths"] for split in info["splits"]] for info in infos]
    assert lengths[0] == lengths[1]
    assert infos[1]["fileFormat"] == "array_record"


@pytest.mark.parametrize("damage", ["cut", "a byte"])
def test_a_damaged_shard_is_an_error(damage: str, exported: Export, tmp_path: Path) -> None:
    [source, *_] = exported("array_record", shard_size=8_000).root.glob("train-00000-*")
    data = bytearray(source.read_bytes())
    place = data.index(b"image/encoded")
    data[place] ^= 1
    (tmp_path / source.name).write_bytes(data[:place] if damage == "cut" else data)
    with pytest.raises(FormatError, match="found no whole file of ArrayRecord"):
        list(array_record.read_back(tmp_path))


def test_a_missing_library_is_named_with_its_extra(odd: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_record, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"array_record.*pip install 'imagenet-tools\[array-record\]'"):
        imagenet_tools.plan_export(odd.select(), to="array_record")


def test_the_disk_begins_to_write_each_shard(odd: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[tuple[int, int]] = []
    monkeypatch.setattr(system, "begin_writeback", lambda _, offset, n: begun.append((offset, n)))
    imagenet_tools.export(odd.select(), tmp_path / "x", to="array_record", workers=1)
    sizes = [path.stat().st_size for path in (tmp_path / "x").glob("*.array_record")]
    assert sorted(begun) == sorted((0, size) for size in sizes)
