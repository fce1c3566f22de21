"""What others do to write images for training."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks import timed
from tests.benchmarks.peers import torchvision_half


def command(*arguments: str) -> Callable[[], int]:
    """A command of the system: how many units it does, and its arguments."""

    def work() -> int:
        subprocess.run(arguments[1:], check=True)
        return int(arguments[0])

    return work


def _files(root: str) -> Iterator[tuple[str, bytes, int]]:
    for label, folder in enumerate(sorted(Path(root).iterdir())):
        for path in sorted(folder.iterdir()):
            yield path.stem, path.read_bytes(), label


def tarfile_shard(root: str, dest: str) -> Callable[[], int]:
    """A tar of the images and a file of the label beside each, by tarfile."""
    import tarfile

    def work() -> int:
        n = 0
        with tarfile.open(dest, "w") as tar:
            for key, data, label in _files(root):
                for name, content in ((f"{key}.jpg", data), (f"{key}.cls", str(label).encode())):
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
                n += 1
        return n

    return work


def webdataset_shards(root: str, dest: str) -> Callable[[], int]:
    """webdataset's ShardWriter, from class folders."""
    import webdataset

    def work() -> int:
        n = 0
        Path(dest).mkdir()
        with webdataset.ShardWriter(f"{dest}/train-%06d.tar", maxsize=1e9, maxcount=10**9, verbose=0) as writer:
            for key, data, label in _files(root):
                writer.write({"__key__": key, "jpg": data, "cls": label})
                n += 1
        return n

    return work


def mds_shards(root: str, dest: str) -> Callable[[], int]:
    """mosaicml-streaming's MDSWriter, from class folders."""
    torchvision_half.complete()  # which streaming imports
    from streaming import MDSWriter

    def work() -> int:
        n = 0
        with MDSWriter(out=dest, columns={"i": "str", "x": "bytes", "y": "int"}) as writer:
            for key, data, label in _files(root):
                writer.write({"i": key, "x": data, "y": label})
                n += 1
        return n

    return work


def datasets_parquet(root: str, dest: str) -> Callable[[], int]:
    """Hugging Face's own way to Parquet with the bytes inside, from class folders."""
    import datasets

    datasets.disable_progress_bars()
    names = sorted(entry.name for entry in Path(root).iterdir())
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})

    def rows() -> Iterator[dict[str, object]]:
        for key, data, label in _files(root):
            yield {"image": {"bytes": data, "path": f"{key}.JPEG"}, "label": label}

    def work() -> int:
        made = datasets.Dataset.from_generator(rows, features=features, cache_dir=dest)
        made.to_parquet(f"{dest}/train.parquet")
        return len(made)

    return work


def pyarrow_parquet(root: str, dest: str) -> Callable[[], int]:
    """The same bytes by pyarrow alone, in row groups of 100: the limit."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("label", pa.int64())])

    def work() -> int:
        n, batch = 0, []
        with pq.ParquetWriter(dest, schema, compression="none") as writer:
            for key, data, label in _files(root):
                batch.append({"image": {"bytes": data, "path": f"{key}.JPEG"}, "label": label})
                n += 1
                if len(batch) == 100:
                    writer.write_table(pa.Table.from_pylist(batch, schema=schema))
                    batch.clear()
        return n

    return work


if __name__ == "__main__":
    timed.run(globals(), __name__)
