"""Images that are cut inside the picture: a data set raises or skips, an export says that Pillow stops there."""

import gc
import io
import json
import multiprocessing
import os
import pickle
import warnings
from pathlib import Path
from random import Random
from typing import Any

import pytest
from PIL import Image

import imagenet_tools
from imagenet_tools.errors import SourceError, UsageError
from imagenet_tools.index import Index
from imagenet_tools.training.dataset import Dataset
from tests.parameters import short_list

WNID = "n01440764"
CUT = (2, 3, 5)  # numbers of the images that are cut; 6 is a PNG that is cut
ALL_CUT = [f"ilsvrc2012/{WNID}_{n}" for n in (2, 3, 5, 6)]


def drawn(n: int, form: str = "JPEG") -> bytes:
    out = io.BytesIO()
    Image.frombytes("RGB", (40, 30), Random(n).randbytes(3600)).save(out, form)
    return out.getvalue()


def make(root: Path) -> Path:
    """Ten images of which four are cut, with whole headers; one lacks nothing but its last two bytes."""
    folder = root / "train" / WNID
    folder.mkdir(parents=True)
    for n in range(10):
        data = drawn(n, "PNG" if n in (6, 7) else "JPEG")
        length = len(data) // 2 if n in (*CUT, 6) else len(data)
        (folder / f"{WNID}_{n}.JPEG").write_bytes(data[:length])
    return root / "train"


def indexed(root: Path) -> Index:
    imagenet_tools.build_index([make(root)], root / "x.index", dataset="ilsvrc2012", workers=1)
    return imagenet_tools.open_index(root / "x.index")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return indexed(tmp_path_factory.mktemp("cut"))


def size(image: Image.Image) -> tuple[int, int]:
    return image.size


def test_a_cut_image_is_an_error_that_names_it_and_both_ways_out(index: Index) -> None:
    train = index.select().dataset("train")
    with pytest.raises(SourceError, match=rf"{ALL_CUT[0]}.*truncated.*image_id <> .*on_error=\"skip\""):
        train[2]
    assert train.skipped == []
    with pytest.raises(UsageError, match="raise, skip"):
        index.select().dataset("train", on_error="ignore")


def test_skipping_gives_the_next_readable_image_with_its_label_and_names_what_it_left(index: Index) -> None:
    train = index.select().dataset("train", on_error="skip", fields=("image", "label", "image_id"), transform=size)
    with pytest.warns(UserWarning, match="Skipped an image") as warned:
        items = [train[n] for n in range(len(train))]
    assert [image_id for _, _, image_id in items] == [f"{WNID}_{n}" for n in (0, 1, 4, 4, 4, 7, 7, 7, 8, 9)]
    assert {image for image, _, _ in items} == {(40, 30)}
    assert train.skipped == ALL_CUT
    assert len(warned) == 4 and all(ALL_CUT[n] in str(one.message) for n, one in enumerate(warned))
    with warnings.catch_warnings(action="error"):  # said once
        assert [train[n] for n in range(len(train))] == items


def test_a_batch_skips_as_its_items_do(index: Index) -> None:
    train = index.select().dataset("train", on_error="skip", fields=("bytes", "image", "image_id"), transform=size)
    with pytest.warns(UserWarning, match="Skipped an image"):
        batch = train.__getitems__([6, 2, 2, 9])
    assert [image_id for *_, image_id in batch] == [f"{WNID}_{n}" for n in (7, 4, 4, 9)]
    assert batch[0][0] == drawn(7, "PNG")


def test_the_last_image_is_followed_by_the_first(index: Index, tmp_path: Path) -> None:
    train = index.select().dataset("train", on_error="skip", fields=("image_id", "image"), loader=_refuse(9))
    with pytest.warns(UserWarning, match="not this one"):
        assert train[9][0] == f"{WNID}_0"
    assert train.skipped == [f"ilsvrc2012/{WNID}_9"]


class _refuse:  # noqa: N801 (a function that pickles)
    """A loader that somebody wrote, which raises what it likes at one image."""

    def __init__(self, n: int):
        self.data = drawn(n)

    def __call__(self, data: bytes) -> bytes:
        if data == self.data:
            message = "not this one"
            raise RuntimeError(message)
        return data


def test_an_error_of_a_transform_is_no_unreadable_image(index: Index) -> None:
    def broken(image: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        index.select().dataset("train", on_error="skip", transform=broken)[0]


def read_all(train: Dataset) -> None:
    for n in range(len(train)):
        train[n]


@pytest.mark.parametrize("start", short_list(["fork", "spawn"], "fork"))
def test_what_workers_skip_is_counted_where_they_are_forked(index: Index, start: str) -> None:
    train = index.select().dataset("train", on_error="skip", fields=("image",))
    with warnings.catch_warnings(action="ignore"):
        train[2]
        worker = multiprocessing.get_context(start).Process(target=read_all, args=(train,))
        worker.start()
        worker.join()
    assert worker.exitcode == 0
    assert train.skipped == (ALL_CUT if start == "fork" else ALL_CUT[:2])  # 2, and 3 after it
    assert pickle.loads(pickle.dumps(train)).skipped == train.skipped


class Inherited:
    """Garbage in a cycle, as a DuckDB query may be; to finalise it in another process is a fault."""

    def __init__(self) -> None:
        self.cycle, self.process = self, os.getpid()

    def __del__(self) -> None:
        if os.getpid() != self.process:
            os._exit(9)


def collect(train: Dataset) -> None:
    train[0]
    gc.collect()


def test_a_forked_worker_finalises_no_garbage_of_its_parent(index: Index) -> None:
    train = index.select().dataset("train", fields=("bytes",))
    gc.disable()
    try:
        Inherited()
        worker = multiprocessing.get_context("fork").Process(target=collect, args=(train,))
        worker.start()
        worker.join()
    finally:
        gc.enable()
    assert worker.exitcode == 0


def test_a_source_that_changed_or_is_gone_is_never_skipped(tmp_path: Path) -> None:
    train = indexed(tmp_path).select().dataset("train", on_error="skip")
    path = tmp_path / "train" / WNID / f"{WNID}_0.JPEG"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**10))
    with pytest.raises(SourceError, match="has changed since it was indexed"):
        train[0]
    path.unlink()
    with pytest.raises(SourceError, match="Found no file"):
        train[0]
    with pytest.raises(SourceError, match="Found no file"):
        train.__getitems__([1, 0])
    assert train.skipped == []


def test_where_no_image_can_be_read_it_ends(index: Index) -> None:
    def no(data: bytes) -> bytes:
        raise OSError(5, "Input/output error")

    train = index.select().dataset("train", on_error="skip", loader=no)
    with warnings.catch_warnings(action="ignore"):
        for _ in range(2):
            with pytest.raises(SourceError, match=r"Skipped 10 images in a row.*check INDEX --read-data"):
                train[3]
    assert len(train.skipped) == 10


@pytest.mark.parametrize(
    "target", short_list(["image_folder", "webdataset", "hf_parquet", "zip", "image_folder,csv"], "webdataset")
)
def test_an_export_holds_a_cut_image_and_says_that_pillow_stops_at_it(
    target: str, index: Index, tmp_path: Path
) -> None:
    plan = imagenet_tools.export(index.select(), tmp_path / "x", to=target, workers=1)
    assert plan.images() == 10
    root = tmp_path / "x" / "image_folder" if "," in target else tmp_path / "x"
    (note,) = [text for text in plan.hazards if "Pillow stops there" in text]
    assert note.startswith(f"4 images are cut inside the picture ({', '.join(ALL_CUT)})")
    assert json.loads((root / "manifest.json").read_text())["cut"] == ALL_CUT
    (found, *_) = imagenet_tools.check(root, index=index, read_data=True)
    assert [one.code for one in found.findings] == ["E310"] * 4


def test_an_export_that_holds_no_bytes_looks_at_none(index: Index, tmp_path: Path) -> None:
    plan = imagenet_tools.export(index.select(), tmp_path / "x", to="csv", workers=1)
    assert not any("Pillow" in text for text in plan.hazards)


def test_what_is_decoded_anyway_is_left_out_where_it_is_cut(index: Index, tmp_path: Path) -> None:
    plan = imagenet_tools.export(index.select(), tmp_path / "x", to="image_folder", workers=1, resize=20)
    assert plan.left_out["undecodable"] == 4 and plan.images() == 6
    assert not any("Pillow stops" in text for text in plan.hazards)
