"""Builds and exports on a Ray cluster of two nodes of this machine give the bytes of one process."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

import imagenet_tools
from imagenet_tools.storage.executors import RayExecutor, in_executor

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLE = ROOT / "data" / "sample"
SOURCES = sorted(path for path in SAMPLE.iterdir() if path.name.startswith("ILSVRC2012"))


pytestmark = pytest.mark.proof(target="index, shards", loader="Ray, two nodes")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    os.environ["PYTHONPATH"] = str(ROOT)  # of the workers, which start with the nodes
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    yield made
    made.shutdown()


def files(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file of an export, or of an index without what names this machine."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "sources" and path.name not in ("manifest.json", "lock")
    }


def test_a_build_and_an_export_have_the_bytes_of_one_process(cluster: Cluster, tmp_path: Path) -> None:
    imagenet_tools.build_index(SOURCES, tmp_path / "one.index", workers=1)
    with RayExecutor(cluster.address) as executor:
        imagenet_tools.build_index(SOURCES, tmp_path / "ray.index", executor=executor)
        assert files(tmp_path / "ray.index") == files(tmp_path / "one.index")
        selection = imagenet_tools.open_index(tmp_path / "ray.index").select(from_="train")
        imagenet_tools.export(selection, tmp_path / "one", to="webdataset", shard_size="20KB", workers=1)
        imagenet_tools.export(selection, tmp_path / "ray", to="webdataset", shard_size="20KB", executor=executor)
    assert files(tmp_path / "ray") == files(tmp_path / "one")


def die_at_tens(task: tuple[str, int]) -> int:
    """Kill the worker at the first run of each tenth task, and at every run of task 7."""
    folder, number = task
    mark = Path(folder, str(number))
    if number == 7 or (number % 10 == 0 and not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_tenth_of_the_units_kills_its_worker(cluster: Cluster, tmp_path: Path) -> None:
    with RayExecutor(cluster.address) as executor:
        tasks = [(str(tmp_path), number) for number in range(40)]
        results = list(in_executor(die_at_tens, tasks, executor, lost=lambda task: -task[1]))
    assert results == [-n if n == 7 else n for n in range(40)]


def wait(task: tuple[str, int]) -> int:
    """Take a moment."""
    Path(task[0], str(task[1])).touch()
    time.sleep(0.2)
    return task[1]


def test_a_node_is_lost(cluster: Cluster, tmp_path: Path) -> None:
    node = cluster.add_node(num_cpus=1)

    def lose() -> None:
        while len(list(tmp_path.iterdir())) < 10:
            time.sleep(0.05)
        cluster.remove_node(node, allow_graceful=False)

    thread = threading.Thread(target=lose)
    with RayExecutor(cluster.address) as executor:
        thread.start()
        tasks = [(str(tmp_path), number) for number in range(40)]
        assert list(in_executor(wait, tasks, executor)) == list(range(40))
    thread.join()
