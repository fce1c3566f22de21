"""What others do in a benchmark, as their users would; each function prepares, and gives the work that is timed.

Each runs in an environment of its own and imports what it measures alone.
"""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.benchmarks import timed

# ---- reading


def _pillow_class(folder: str) -> int:
    from PIL import Image

    n = 0
    for entry in os.scandir(folder):
        with Image.open(entry.path) as image:
            n += bool(image.size and image.mode)
    return n


def pillow_two_processes(root: str) -> Callable[[], int]:
    """Size and mode of every image in class folders by Pillow, in two processes."""
    folders = [entry.path for entry in os.scandir(root)]

    def work() -> int:
        with ProcessPoolExecutor(2) as pool:
            return sum(pool.map(_pillow_class, folders))

    return work


def datumaro_folders(root: str) -> Callable[[], int]:
    """Datumaro's import of class folders."""
    import datumaro

    return lambda: len(datumaro.Dataset.import_from(root, "imagenet"))


def datasets_imagefolder(root: str, cache: str) -> Callable[[], int]:
    """Hugging Face's imagefolder."""
    import datasets

    datasets.disable_progress_bars()
    return lambda: len(datasets.load_dataset("imagefolder", data_dir=root, split="train", cache_dir=cache))


def torchvision_folders(root: str) -> Callable[[], int]:
    """torchvision's ImageFolder, which opens no image."""
    import torch

    # A torch built for the CPU lacks what torchvision's compiled half defines, and importing it asks for.
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

    return lambda: len(torchvision.datasets.ImageFolder(root))


def _nested(path: str) -> Iterator[tuple[str, int]]:
    import tarfile

    with tarfile.open(path, "r:") as outer:
        for member in outer:
            inner_file = outer.extractfile(member)
            assert inner_file is not None
            with tarfile.open(fileobj=inner_file, mode="r:") as inner:
                for one in inner:
                    yield one.name, one.offset_data


def tarfile_nested(path: str) -> Callable[[], int]:
    """Names and places of the members of a tar of tars, by tarfile."""
    return lambda: sum(1 for _ in _nested(path))


def _annotations(path: str) -> Iterator[bytes]:
    import tarfile

    with tarfile.open(path, "r|gz") as outer:
        for member in outer:
            packed = outer.extractfile(member)
            assert packed is not None
            with tarfile.open(fileobj=io.BytesIO(packed.read()), mode="r:gz") as inner:
                for one in inner:
                    file = inner.extractfile(one)
                    assert file is not None
                    yield file.read()


def _boxes(parse: Callable[[bytes], object], path: str) -> int:
    n = 0
    for data in _annotations(path):
        tree = parse(data)
        for found in tree.iter("bndbox"):  # type: ignore[attr-defined]
            n += len([int(edge.text) for edge in found]) == 4
    return n


def etree_boxes(path: str) -> Callable[[], int]:
    """The boxes of a nested tar.gz by tarfile and the standard library's ElementTree."""
    from xml.etree import ElementTree

    return lambda: _boxes(ElementTree.fromstring, path)


def lxml_boxes(path: str) -> Callable[[], int]:
    """The boxes of a nested tar.gz by tarfile and lxml."""
    from lxml import etree

    return lambda: _boxes(etree.fromstring, path)


# ---- asking


def _dogs() -> list[str]:
    from imagenet_tools import hierarchy

    return list(hierarchy.descendants("dog.n.01"))


def _images(index: str) -> list[str]:
    return sorted(map(str, Path(index, "images").glob("*.parquet")))


def polars_query(index: str) -> Callable[[], int]:
    """The images below dog.n.01, a hundred times, by polars over the same Parquet."""
    import polars

    dogs, files = _dogs(), _images(index)

    def work() -> int:
        for _ in range(100):
            polars.scan_parquet(files).filter(polars.col("wnid").is_in(dogs)).select(polars.len()).collect()
        return 100

    return work


def pandas_query(index: str) -> Callable[[], int]:
    """The images below dog.n.01, a hundred times, by pandas; loading the table is not counted."""
    import pandas

    dogs = _dogs()
    table = pandas.concat([pandas.read_parquet(file, columns=["wnid"]) for file in _images(index)])

    def work() -> int:
        return len([int(table["wnid"].isin(dogs).sum()) for _ in range(100)])

    return work


def duckdb_native(index: str) -> Callable[[], int]:
    """The images below dog.n.01, a hundred times, from DuckDB's own tables: the limit."""
    import duckdb

    sql = duckdb.connect()
    sql.execute(f"CREATE TABLE images AS SELECT wnid FROM read_parquet({_images(index)})")
    sql.execute("CREATE TABLE dogs (wnid VARCHAR)")
    sql.executemany("INSERT INTO dogs VALUES (?)", [(wnid,) for wnid in _dogs()])
    asked = "SELECT count(*) FROM images WHERE wnid IN (FROM dogs)"
    return lambda: len([sql.execute(asked).fetchall() for _ in range(100)])


def nltk_wordnet() -> Callable[[], int]:
    """NLTK's reader of WordNet: everything below its root."""
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    reader = WordNetCorpusReader(os.environ["WORDNET_DICT"], None)
    root = reader.synset("entity.n.01")

    def work() -> int:
        below = root.closure(lambda one: one.hyponyms() + one.instance_hyponyms())
        return 1 + len(set(below))

    return work


# ---- writing


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


def _resize_class(folder: str) -> int:
    from PIL import Image

    n = 0
    for entry in os.scandir(folder):
        with Image.open(entry.path) as image:
            image.draft("RGB", (256, 256))
            scale = 256 / min(image.size)
            small = image.convert("RGB").resize((round(image.width * scale), round(image.height * scale)))
            small.save(io.BytesIO(), "JPEG", quality=90)
            n += 1
    return n


def pillow_resize(root: str) -> Callable[[], int]:
    """The short side made 256 by Pillow's scaled decoding, in two processes, and encoded again; nothing written."""
    folders = [entry.path for entry in os.scandir(root)]

    def work() -> int:
        with ProcessPoolExecutor(2) as pool:
            return sum(pool.map(_resize_class, folders))

    return work


WORKS = {
    name: work
    for name, work in globals().items()
    if callable(work) and getattr(work, "__module__", "") == __name__ and not name.startswith("_")
}

if __name__ == "__main__":
    timed.run(WORKS)
