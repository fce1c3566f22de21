"""The files that describe an export lie where no pattern for the data of its target finds them."""

import json
from pathlib import Path, PurePosixPath

import pyarrow.parquet as pq
import pytest

from imagenet_tools import api
from tests.exports.conftest import Export

pytestmark = pytest.mark.long  # a proof of the whole; the long suite has it

FORMATS = api._formats()
TARGETS = [name for name, module in FORMATS.items() if hasattr(module, "open_shard")]
SIDECARS = {"classes.json", "manifest.json", "recipe.toml", "lock.toml", "lock.ids"}


@pytest.mark.parametrize("target", TARGETS)
def test_no_pattern_for_the_data_finds_a_sidecar(target: str, exported: Export) -> None:
    root, _ = exported(target, **({"shard_size": 8_000} if FORMATS[target].WRITES.shard_bytes is not None else {}))
    files = {PurePosixPath(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert {str(path) for path in files} >= SIDECARS
    data = {path for path in files if str(path) not in SIDECARS}
    assert data
    for path in data:
        # JSON beside shards is opened by its fixed name. Where JSON is the data, it has a folder of its own.
        pattern = f"{path.parent}/*.json" if path.suffix == ".json" else f"**/*{path.suffix}"
        if path.suffix and not (path.suffix == ".json" and path.parent == PurePosixPath(".")):
            found = {path.relative_to(root).as_posix() for path in root.glob(pattern)}
            assert found & SIDECARS == set(), pattern
        else:
            assert str(path) not in SIDECARS


def test_the_whole_parquet_of_an_export_is_one_table(exported: Export) -> None:
    for target in ("parquet", "hf_parquet"):
        root, result = exported(target, **({"shard_size": 8_000} if target == "hf_parquet" else {}))
        files = sorted(root.glob("**/*.parquet"))
        assert sum(pq.read_metadata(path).num_rows for path in files) == result.images()
        assert len({str(pq.read_schema(path)) for path in files}) == 1


def test_the_ids_are_parquet_and_the_lock_names_them(exported: Export) -> None:
    root, result = exported("image_folder")
    assert pq.read_table(Path(root, "lock.ids")).num_rows == result.images()
    assert 'ids = "lock.ids"' in (root / "lock.toml").read_text()
    assert "lock.ids" in json.loads((root / "manifest.json").read_text())["files"]
