"""A selection is lazy: it takes the memory of its largest class, not of its images."""

import subprocess
import sys
from pathlib import Path

import pytest

from imagenet_tools.class_lists import lists
from tests.forms.written_index import synthetic, write_batches

# What is asked of an index of either size, each with its rows read and thrown away; prints rows and the peak in MB.
ASKED = """
import resource, sys
import imagenet_tools
index = imagenet_tools.open_index(sys.argv[1])
chosen = index.select(split="train=0.8,val=0.2", per_class={"train": 1_000_000, "val": 60}, exclude="simclr-1pct")
rows = sum(batch.num_rows for batch in chosen.batches())
rows += chosen.lock().n_images + sum(chosen.left_out().values())
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.parametrize(
    ("times", "megabytes"), [(5, 100), pytest.param(20, 150, marks=pytest.mark.long)]
)  # what rows of Python would take: 400 and 1,800
def test_more_images_of_the_same_classes_take_the_same_memory(times: int, megabytes: int, tmp_path: Path) -> None:
    found = {}
    wnids = sorted(lists.get("ilsvrc2012").wnids)
    for n in (100_000, times * 100_000):
        path = write_batches(tmp_path / f"{n}.index", synthetic(n, wnids))
        done = subprocess.run([sys.executable, "-c", ASKED, str(path)], capture_output=True, text=True, check=True)
        rows, peak = map(int, done.stdout.split())
        assert rows > n
        found[n] = peak
    assert found[times * 100_000] < found[100_000] + megabytes, found
