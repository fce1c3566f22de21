"""pandas, which takes longer to import than a small export does, is not imported where nobody asks for a frame."""

import subprocess
import sys
from pathlib import Path

import pytest

from imagenet_tools.index import Index
from tests.waiting import PATIENCE

# Each in a fork of one process: pyarrow looks for pandas once, the first time that it makes an array of a list.
SCRIPT = """
import importlib, os, sys
import imagenet_tools, imagenet_tools.formats
index, out = sys.argv[1:]
for target in imagenet_tools.formats.names():
    if not hasattr(importlib.import_module(f"imagenet_tools.formats.{target}"), "open_shard"):
        continue
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0, target
        continue
    opened = imagenet_tools.open_index(index)
    assert opened.sql("SELECT count(*) FROM images WHERE is_a(wnid, 'animal.n.01')").fetchall()
    plan = imagenet_tools.export(opened.select(), f"{out}/{target}", to=target, workers=1)
    assert plan.images() and "pandas" not in sys.modules, target
    print(target, flush=True)
    os._exit(0)
opened = imagenet_tools.open_index(index)
imagenet_tools.export(opened.select(), f"{out}.blocks", to="webdataset", workers=1, shuffle="block")
assert "pandas" not in sys.modules
import pyarrow
pyarrow.array([1])  # so that pyarrow is still one that would have imported it
assert "pandas" in sys.modules
"""


@pytest.mark.long
def test_no_export_to_any_target_and_no_query_imports_pandas(odd: Index, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(odd.path), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert {"coco", "hf_parquet", "parquet", "webdataset", "yolo"} <= set(done.stdout.split())
    assert sorted(done.stdout.split()) == sorted(path.name for path in tmp_path.iterdir())
