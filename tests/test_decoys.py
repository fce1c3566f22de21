"""What is no ImageNet is claimed by no form: `detect` finds nothing in it, and build-index refuses it."""

import ctypes
import gzip
import io
import json
import os
import pickle
import shutil
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import imagenet_tools
from imagenet_tools.errors import SourceError
from imagenet_tools.index import Index
from tests.conftest import Extracted
from tests.forms import tfrecord

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"


def _write(home: Path, files: dict[str, bytes | str]) -> Path:
    for name, data in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return home


def _tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


Decoy = Callable[[Path], Path]

_VOC = "<annotation><filename>a.jpg</filename><object><name>dog</name></object></annotation>"
_WNIDS = ("n01440764", "n02123045")


def _coco(home: Path) -> Path:
    boxes = {"images": [{"id": 139, "file_name": "000000000139.jpg"}], "annotations": [], "categories": []}
    return _write(home, {"annotations/instances_val2017.json": json.dumps(boxes), "val2017/000000000139.jpg": JPEG})


def _parquet(home: Path) -> Path:
    pq.write_table(pa.table({"PassengerId": [1, 2], "Name": ["Braund", "Cumings"]}), home / "titanic.parquet")
    return home / "titanic.parquet"


def _parquet_of_other_images(home: Path) -> Path:
    images = [{"bytes": JPEG, "path": f"{n}.jpg"} for n in range(3)]
    pq.write_table(pa.table({"image": images, "label": [0, 1, 0]}), home / "train-00000-of-00001.parquet")
    return home


def _sqlite(home: Path) -> Path:
    with sqlite3.connect(home / "a.db") as base:
        base.execute("CREATE TABLE images (wnid TEXT)")
    base.close()
    return home / "a.db"


def _zip(home: Path) -> Path:
    with zipfile.ZipFile(home / "a.zip", "w") as archive:
        archive.writestr("n01440764/n01440764_1.txt", "not an image")
    return home / "a.zip"


def _pipe(home: Path) -> Path:
    os.mkfifo(home / "pipe")
    return home / "pipe"


def _pipe_inside(home: Path) -> Path:
    _pipe(home)
    return home


def _dangling(home: Path) -> Path:
    (home / "train").symlink_to("nowhere")
    return home


def _looping(home: Path) -> Path:
    (home / "train").symlink_to(home)
    return home


def _cifar(home: Path) -> Path:
    batch = pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 1]})
    return _write(home, {"data_batch_1": batch, "batches.meta": pickle.dumps({"label_names": ["cat", "dog"]})})


def _array(home: Path) -> Path:
    np.savez(home / "a.npz", x=np.arange(4))
    return home / "a.npz"


def _record(home: Path) -> Path:
    # A TFRecord frame without a true checksum.
    return _write(home, {"x-00000-of-00001": (5).to_bytes(8, "little") + bytes(4) + b"hello" + bytes(4)})


def _examples(home: Path) -> Path:
    features: dict[str, tfrecord.Values] = {"image/encoded": [JPEG], "image/filename": [b"IMG_1.jpg"], "label": [3]}
    tfrecord.write_shards(home, "train-{:05d}-of-{:05d}", [tfrecord.example(features)], 1)
    return home


def _truth_of_another_list(home: Path) -> Path:
    return _write(home, {"labels.txt": "\n".join(str(n % 1000 + 1) for n in range(50_000))})


DECOYS: dict[str, Decoy] = {
    "an empty folder": lambda home: home,
    "an empty file": lambda home: _write(home, {"a.tar": b""}) / "a.tar",
    "COCO": _coco,
    "Pascal VOC": lambda home: _write(home, {"JPEGImages/a.jpg": JPEG, "Annotations/a.xml": _VOC}),
    "a YOLO data set": lambda home: _write(
        home, {"images/train/a.jpg": JPEG, "labels/train/a.txt": "0 .5 .5 .1 .1", "data.yaml": "names: [dog]"}
    ),
    "a source tree": lambda home: _write(
        home, {"pyproject.toml": "[project]", "src/a/__init__.py": "", "README.md": "a"}
    ),
    "a git repository": lambda home: _write(home, {".git/HEAD": "ref: refs/heads/main", ".git/config": "[core]"}),
    "a tar of text files": lambda home: _tar(home / "a.tar", {"a.txt": b"a", "b/c.txt": b"c"}),
    "a tar.gz of sources": lambda home: _tar(home / "a.tar.gz", {"a-1.0/setup.py": b"a", "a-1.0/a/__init__.py": b""}),
    "a tar without members": lambda home: _tar(home / "a.tar", {}),
    "a tar.gz without members": lambda home: _tar(home / "a.tgz", {}),
    "a tar of images without wnids": lambda home: _tar(home / "a.tar", {"a.jpg": JPEG, "b.jpg": JPEG}),
    "a tar.gz of images without wnids": lambda home: _tar(home / "a.tar.gz", {"cats/a.jpg": JPEG}),
    "a tar of tars of no class": lambda home: _tar(home / "a.tar", {"one.tar": b"", "two.tar": b""}),
    "a tar of annotations in words": lambda home: _tar(home / "a.tar", {"Annotations/a.xml": _VOC.encode()}),
    "a WebDataset of other images": lambda home: _tar(home / "0000.tar", {"000.jpg": JPEG, "000.cls": b"3"}),
    "text in gzip": lambda home: _write(home, {"a.gz": gzip.compress(b"hello\n" * 100)}) / "a.gz",
    "a broken gzip": lambda home: _write(home, {"a.tar.gz": b"\x1f\x8b" + bytes(40)}) / "a.tar.gz",
    "a zip": _zip,
    "a folder of JPEGs without wnids": lambda home: _write(home, {f"IMG_{n:04}.JPG": JPEG for n in range(5)}),
    "class folders called by words": lambda home: _write(home, {"train/cat/1.jpg": JPEG, "train/dog/2.jpg": JPEG}),
    "class folders called by numbers": lambda home: _write(home, {"0/a.jpeg": JPEG, "1/b.jpeg": JPEG}),
    "wnid folders without anything": lambda home: [(home / w).mkdir() for w in _WNIDS] and home,  # type: ignore[func-returns-value]
    "wnid folders of text": lambda home: _write(home, {f"{w}/{w}_1.txt": "url" for w in _WNIDS}),
    "wnids that are no synsets": lambda home: _write(home, {"n99999999/n99999999_1.JPEG": JPEG}),
    "loose images of no synset": lambda home: _write(home, {"n99999999_1.JPEG": JPEG}),
    "a single photograph": lambda home: _write(home, {"a.jpg": JPEG}) / "a.jpg",
    "an empty train folder": lambda home: (home / "train").mkdir() or home,
    "hidden files": lambda home: _write(home, {".DS_Store": b"\0\0\0\1Bud1", "._n01440764_1.JPEG": b"\0\5\x16\7"}),
    "a table of other predictions": lambda home: _write(
        home, {"sub.csv": "ImageId,PredictionString\n0004cfab,0.9 264 152 213 379\n"}
    ),
    "a sample submission": lambda home: _write(
        home, {"s.csv": "ImageId,PredictionString\nILSVRC2012_test_00000001,0 0 10 10 5\n"}
    ),
    "a table of numbers": lambda home: _write(home, {"a.csv": "a,b\n1,2\n"}) / "a.csv",
    "a list of wnids": lambda home: _write(home, {"wnids.txt": "\n".join(_WNIDS)}),
    "words of the classes": lambda home: _write(home, {"LOC_synset_mapping.txt": "n01440764 tench, Tinca tinca\n"}),
    "numbers of another list": _truth_of_another_list,
    "Parquet of passengers": _parquet,
    "Parquet of other images": _parquet_of_other_images,
    "a data base": _sqlite,
    "CIFAR's form with other classes": _cifar,
    "an array": _array,
    "records of something": _record,
    "MNIST": lambda home: _write(home, {"train-images-idx3-ubyte": bytes([0, 0, 8, 3]) + bytes(12)}),
    "a PDF": lambda home: _write(home, {"a.pdf": "%PDF-1.7\n"}) / "a.pdf",
    "Open Images": lambda home: _write(
        home,
        {
            "train/000002b66c9c498e.jpg": JPEG,
            "class-descriptions-boxable.csv": "/m/01g317,Person\n",
            "oidv6-train-annotations-bbox.csv": "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n",
        },
    ),
    "TFRecords of other Examples": _examples,
    "a pipe": _pipe,
    "a folder with a pipe": _pipe_inside,
    "a link to nothing": _dangling,
    "a folder that holds itself": _looping,
}


def _refused(path: Path, index: Path) -> None:
    found = imagenet_tools.detect(path)
    assert found.found == ()
    assert found.unrecognised
    with pytest.raises(SourceError, match=r"not recognised: it is .*\.\nExpected class folders called by wnids"):
        imagenet_tools.build_index([path], index, workers=1)
    assert not index.exists()


@pytest.mark.parametrize("decoy", DECOYS)
def test_no_form_claims(decoy: str, tmp_path: Path) -> None:
    (tmp_path / "decoy").mkdir()
    _refused(DECOYS[decoy](tmp_path / "decoy"), tmp_path / "x.index")


@contextmanager
def no_right_to_pass_permissions() -> Iterator[None]:
    """Take from root what lets it read any file, CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH; others have neither.

    The account stays, so that this checkout may be below a folder that root alone may enter, such as /root.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3 of the call; this thread
    rights = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable: of capabilities 0 to 31, then of the others
    assert libc.capget(header, rights) == 0
    effective = rights[0]
    rights[0] = effective & ~0b110
    assert libc.capset(header, rights) == 0
    try:
        yield
    finally:
        rights[0] = effective
        assert libc.capset(header, rights) == 0


def test_what_may_not_be_looked_into_is_an_error_or_is_said(extracted: Extracted, sample: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    shutil.copytree(extracted.class_tars, tmp_path / "data" / "train")
    (tmp_path / "data" / "lost+found").mkdir(mode=0)
    shutil.copy(sample / "ILSVRC2012_img_val.tar", tmp_path / "data")
    (tmp_path / "data" / "ILSVRC2012_img_val.tar").chmod(0)
    with no_right_to_pass_permissions():
        with pytest.raises(PermissionError, match="closed"):
            imagenet_tools.detect(tmp_path / "closed")
        found = imagenet_tools.detect(tmp_path / "data")
    assert [one.form for one in found.found] == ["image_tars"]
    assert found.ignored == (
        "ILSVRC2012_img_val.tar (Permission denied)",
        "lost+found (Permission denied)",
    )


def test_there_are_more_than_thirty_of_them() -> None:
    assert len(DECOYS) > 30


@pytest.mark.parametrize("cut", [slice(None, 700), slice(1_000, None), slice(70_000, None)])
def test_no_form_claims_half_an_archive_without_a_whole_image_at_its_beginning(
    cut: slice, sample: Path, tmp_path: Path
) -> None:
    (tmp_path / "val.tar").write_bytes((sample / "ILSVRC2012_img_val.tar").read_bytes()[cut])
    _refused(tmp_path / "val.tar", tmp_path / "x.index")


def test_the_first_half_of_an_archive_is_told_as_half(sample: Path, tmp_path: Path) -> None:
    data = (sample / "ILSVRC2012_img_val.tar").read_bytes()
    (tmp_path / "val.tar").write_bytes(data[: len(data) // 2])
    assert "cut short" in imagenet_tools.detect(tmp_path / "val.tar").found[0].missing
    assert "cut short" not in imagenet_tools.detect(sample / "ILSVRC2012_img_val.tar").found[0].missing


def test_no_form_claims_an_index_of_our_own(index: Index, tmp_path: Path) -> None:
    shutil.copytree(index.path, tmp_path / "imagenet.index")
    _refused(tmp_path / "imagenet.index", tmp_path / "x.index")


def test_one_true_image_makes_a_folder_of_decoys_ours(extracted: Extracted, tmp_path: Path) -> None:
    _write(tmp_path, {"notes.txt": "a", "holiday.jpg": JPEG, "n02123045_1.JPEG": next(iter(extracted.data.values()))})
    assert [one.form for one in imagenet_tools.detect(tmp_path).found] == ["flat_folder"]
