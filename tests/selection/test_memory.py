"""A selection is lazy: it takes the memory of its largest class, not of its images."""

import subprocess
import sys
from pathlib import Path

import pytest

from imagenet_tools.catalogue import lists
from tests.forms.written_index import synthetic, write_batches

# What is asked of an index of either size, each with its rows read and thrown away; prints rows and the peak in MB.
ASKED = """
import re, sys
import imagenet_tools
index = imagenet_tools.open_index(sys.argv[1])
chosen = index.select(split="train=0.8,val=0.2", per_class={"train": 1_000_000, "val": 60}, exclude="simclr-1pct")
rows = sum(batch.num_rows for batch in chosen.batches())
rows += chosen.lock().n_images + sum(chosen.left_out().values())
# Not ru_maxrss, which a process inherits from the one that started it.
print(rows, int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) // 1024)
"""


# Measured: 239, 351 and 384 MB, as DuckDB's buffers fill. Rows of Python would take some 580 MB more for 500,000.
@pytest.mark.long
@pytest.mark.parametrize(
    ("few", "many", "megabytes"),
    [(100_000, 500_000, 200), pytest.param(500_000, 2_000_000, 100, marks=pytest.mark.long)],
)
def test_more_images_of_the_same_classes_take_the_same_memory(
    few: int, many: int, megabytes: int, tmp_path: Path
) -> None:
    found = {}
    wnids = sorted(lists.get("ilsvrc2012").wnids)
    for n in (few, many):
        path = write_batches(tmp_path / f"{n}.index", synthetic(n, wnids))
        done = subprocess.run([sys.executable, "-c", ASKED, str(path)], capture_output=True, text=True, check=True)
        rows, peak = map(int, done.stdout.split())
        assert rows > n
        found[n] = peak
    assert found[many] < found[few] + megabytes, found
