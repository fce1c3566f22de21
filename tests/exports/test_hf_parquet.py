"""Parquet shards for Hugging Face: types, row groups, checksums and the card, as pyarrow alone finds them."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import imagenet_tools
from imagenet_tools.errors import ExportError
from imagenet_tools.formats.hf_parquet import shards
from imagenet_tools.index import Index
from tests.exports.odd import CRANE, ODD, SPANIEL, TENCH

TAKEN = {one.stem: one for one in ODD}


def export(index: Index, root: Path, **options: Any) -> list[Path]:
    imagenet_tools.export(index.select(), root, to="hf_parquet", shard_size=8_000, **options)
    return sorted((root / "data").glob("*.parquet"))


def test_files_are_called_as_the_hub_calls_them_and_hold_the_images(odd: Index, tmp_path: Path) -> None:
    files = export(odd, tmp_path / "x")
    train, val = ([file.name for file in files if file.name.startswith(name)] for name in ("train-", "validation-"))
    assert len(train) > 2 and len(train) + len(val) == len(files)
    assert train == [f"train-{n:05d}-of-{len(train):05d}.parquet" for n in range(len(train))]
    rows = [row | {"split": file.name.split("-")[0]} for file in files for row in pq.read_table(file).to_pylist()]
    assert {row["image_id"]: row["image"]["bytes"] for row in rows} == {one.stem: one.data for one in ODD}
    for row in rows:
        one = TAKEN[row["image_id"]]
        assert row["image"]["path"] == f"{one.stem}.JPEG"
        assert ({"train": "train", "validation": "val"}[row["split"]], row["wnid"]) == (one.split, one.wnid)
        assert [TENCH, CRANE, SPANIEL][row["label"]] == one.wnid
        turned = (one.orientation or 1) >= 5
        assert (row["width"], row["height"]) == (one.size[::-1] if turned else one.size)
        assert row["ancestors"] == list(imagenet_tools.wordnet.hierarchy.ancestors(one.wnid, itself=False))


def test_the_metadata_types_every_column_with_sequence_and_never_list(odd: Index, tmp_path: Path) -> None:
    schema = pq.read_schema(export(odd, tmp_path / "x")[0])
    text = schema.metadata[b"huggingface"].decode()
    features = json.loads(text)["info"]["features"]
    assert list(features) == schema.names
    assert '"List"' not in text and '"Sequence"' in text
    names = ["tench", "crane", "English springer"]
    assert features["label"] == {"names": names, "_type": "ClassLabel"}
    assert features["objects"]["category"] == {"feature": features["label"], "_type": "Sequence"}
    assert features["objects"]["bbox"]["feature"]["length"] == 4
    assert schema.field("image").type == pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    by_wnid = pq.read_schema(export(odd, tmp_path / "y", names="wnid")[0]).metadata[b"huggingface"].decode()
    assert json.loads(by_wnid)["info"]["features"]["label"]["names"] == [TENCH, CRANE, SPANIEL]


def test_row_groups_are_small_checked_and_indexed(odd: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_ROW_GROUP_IMAGES", 4)
    monkeypatch.setattr(shards, "_ROW_GROUP_BYTES", 4_000)
    imagenet_tools.export(odd.select(), tmp_path / "x", to="hf_parquet", workers=1)
    groups = 0
    for path in (tmp_path / "x" / "data").glob("*.parquet"):
        file = pq.ParquetFile(path)
        for n in range(file.metadata.num_row_groups):
            group = file.metadata.row_group(n)
            columns = {column.path_in_schema: column for column in map(group.column, range(group.num_columns))}
            assert columns["image.bytes"].compression == "UNCOMPRESSED"
            assert columns["label"].has_column_index and columns["label"].has_offset_index
            assert columns["label"].statistics.has_min_max
            images = [
                len(one) for one in file.read_row_group(n).column("image").combine_chunks().field("bytes").to_pylist()
            ]
            assert len(images) <= 4 and (len(images) == 1 or sum(images) <= 4_000)
            groups += 1
        damaged = bytearray(path.read_bytes())
        damaged[columns["image.bytes"].data_page_offset + 200] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(OSError, match="CRC"):
            pq.ParquetFile(path, page_checksum_verification=True).read()
    assert groups > 8


def test_the_card_says_where_everything_is_and_what_is_not_there(odd: Index, tmp_path: Path) -> None:
    export(odd, tmp_path / "x", resize=24)  # of which one cannot be decoded
    head, text = (tmp_path / "x" / "README.md").read_text().removeprefix("---\n").split("---\n\n", 1)
    facts = {line.partition(": ")[0]: json.loads(line.partition(": ")[2]) for line in head.splitlines()}
    assert facts["configs"][0]["data_files"] == [
        {"split": "train", "path": "data/train-*.parquet"},
        {"split": "validation", "path": "data/validation-*.parquet"},
    ]
    n = {one["name"]: one["num_examples"] for one in facts["dataset_info"]["splits"]}
    assert n == {"train": sum(one.split == "train" for one in ODD) - 1, "validation": 4}
    assert "partial" in text and "terms of access" in text
    assert "| undecodable | 1 |" in text and "| unlabelled | 1 |" in text


def test_its_own_reader_needs_to_be_told_nothing(odd: Index, tmp_path: Path) -> None:
    export(odd, tmp_path / "x")
    (found,) = imagenet_tools.detect(tmp_path / "x").found
    assert (found.form, found.dataset, found.splits, found.readings) == (
        "hf_parquet",
        "ilsvrc2012",
        ("train", "val"),
        (),
    )
    export(odd, tmp_path / "small", resize=24, repair="eoi")
    (found,) = imagenet_tools.detect(tmp_path / "small").found
    assert found.dataset != "ilsvrc2012"  # resized images are no originals
    assert "resized" in found.evidence


def test_joined_classes_are_the_label_and_the_synset_stays(odd: Index, tmp_path: Path) -> None:
    imagenet_tools.export(odd.select(superclasses="animal"), tmp_path / "x", to="hf_parquet")
    rows = pq.read_table(tmp_path / "x" / "data").to_pylist()
    assert {row["label"] for row in rows} == {0} and {row["wnid"] for row in rows} == {TENCH, CRANE, SPANIEL}
    again = imagenet_tools.build_index(tmp_path / "x", tmp_path / "y.index", workers=1)
    assert again.rows["images"] == len(ODD) and again.problems == {}  # of a data set of its own


def test_fields_keep_their_types(odd: Index, tmp_path: Path) -> None:
    table = pa.table({"photo": ["n01440764_1"], "words": [["a", "b"]], "score": pa.array([0.5], pa.float32())})
    pq.write_table(table, tmp_path / "own.parquet")
    chosen = odd.select(with_={"own": tmp_path / "own.parquet"})
    options = {"to": "hf_parquet", "field": ["words=own.words", "score=own.score"]}
    imagenet_tools.export(chosen, tmp_path / "x", **options)
    read = pq.read_table(tmp_path / "x" / "data")
    assert read.schema.field("score").type == pa.float32()
    features = json.loads(read.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["score"] == {"dtype": "float32", "_type": "Value"}
    assert features["words"]["_type"] == "Sequence"
    rows = {row["image_id"]: (row["words"], row["score"]) for row in read.to_pylist()}
    assert rows["n01440764_1"] == (["a", "b"], 0.5) and rows["n01440764_2"] == (None, None)
    with pytest.raises(ExportError, match="is a column of every file"):
        imagenet_tools.plan_export(chosen, to="hf_parquet", field=["label=own.score"])
