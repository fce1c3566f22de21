"""An older `datasets`, pandas and polars read our Parquet shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas
import polars
import pytest

from tests.loaders import shards
from tests.loaders.parquet_proofs import prove
from tests.loaders.truth import Say, Truth


@pytest.fixture(scope="module")
def parquet(index: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shards.exported(index, tmp_path_factory.mktemp("parquet") / "x", "hf_parquet")


@pytest.mark.proof(target="hf_parquet", loader="datasets before 4.0")
@pytest.mark.parametrize("streaming", [True, False])
def test_datasets_reads_every_row_typed(
    parquet: Path, truth: dict[str, Truth], streaming: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Say
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    say(prove(parquet, truth, tmp_path, streaming=streaming))


@pytest.mark.proof(target="hf_parquet", loader="pandas")
def test_pandas_reads_every_row(parquet: Path, truth: dict[str, Truth], say: Say) -> None:
    read = {}
    for split, called in shards.CALLED.items():
        for path in sorted((parquet / "data").glob(f"{called}-*.parquet")):
            for row in pandas.read_parquet(path).to_dict("records"):
                read[row["image_id"]] = (split, row["image"]["bytes"], row["label"])
                assert len(row["objects"]["bbox"]) == len(truth[row["image_id"]].boxes)
    shards.agree(read, truth)
    say(f"{len(read)} images")


@pytest.mark.proof(target="hf_parquet", loader="polars")
def test_polars_reads_every_row_and_prunes(parquet: Path, truth: dict[str, Truth], say: Say) -> None:
    read = {}
    for split, called in shards.CALLED.items():
        frame = polars.read_parquet(parquet / "data" / f"{called}-*.parquet")
        for row in frame.select("image_id", "image", "label", "objects").to_dicts():
            read[row["image_id"]] = (split, row["image"]["bytes"], row["label"])
            assert len(row["objects"]["bbox"]) == len(truth[row["image_id"]].boxes)
    shards.agree(read, truth)
    lazy = polars.scan_parquet(parquet / "data" / "*.parquet").filter(polars.col("label") == 3).select("wnid").collect()
    assert set(lazy["wnid"]) == {shards.CLASSES[3]}
    say(f"{len(read)} images")
