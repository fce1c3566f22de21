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


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Indexes of 100,000 and of 2,000,000 images of the same 1,000 classes."""
    home = tmp_path_factory.mktemp("sizes")
    wnids = sorted(lists.get("ilsvrc2012").wnids)
    return {n: write_batches(home / f"{n}.index", synthetic(n, wnids)) for n in (100_000, 2_000_000)}


def test_twenty_times_the_images_take_the_same_memory(sizes: dict[int, Path]) -> None:
    found = {}
    for n, path in sizes.items():
        done = subprocess.run([sys.executable, "-c", ASKED, str(path)], capture_output=True, text=True, check=True)
        rows, peak = map(int, done.stdout.split())
        assert rows > n
        found[n] = peak
    assert found[2_000_000] < found[100_000] + 150, found
