"""How often an export opens the files of its sources, and asks for boxes: counted, as no test is a timing."""

from collections import Counter
from functools import partial
from pathlib import Path

import pytest

import imagenet_tools
from imagenet_tools.exports import boxes, pictures, run
from imagenet_tools.images.transform import Change, reencode
from imagenet_tools.index import Index
from imagenet_tools.storage.blob import Descriptors


@pytest.mark.parametrize(("to", "link"), [("image_folder", "hard"), ("webdataset", "auto"), ("hf_parquet", "auto")])
def test_each_image_that_is_a_file_is_opened_once(
    odd: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str, link: str
) -> None:
    opened: Counter[str] = Counter()
    opens = Descriptors._opened

    def counting(files: Descriptors, path: str) -> object:
        opened[path] += 1
        return opens(files, path)

    monkeypatch.setattr(Descriptors, "_opened", counting)
    monkeypatch.setattr(run, "Descriptors", partial(Descriptors, capacity=1))
    imagenet_tools.export(odd.select(), tmp_path / "x", to=to, link=link, workers=1)  # type: ignore[arg-type]
    images = [path for path in opened if path.endswith(".JPEG")]
    assert images and {opened[path] for path in images} == {1}


def test_targets_of_one_pass_share_what_is_read(odd: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: Counter[tuple[object, ...]] = Counter()

    def counting(name: str) -> None:
        method = getattr(Descriptors, name)

        def count(files: Descriptors, path: str, offset: int, *words: object, **named: object) -> object:
            reads[path, offset] += 1
            return method(files, path, offset, *words, **named)

        monkeypatch.setattr(Descriptors, name, count)

    counting("read")
    counting("read_into")
    result = imagenet_tools.export(odd.select(), tmp_path / "x", to="webdataset,mds,hf_parquet", workers=1)
    assert len(reads) >= result.images() and set(reads.values()) == {1}


def test_an_image_is_encoded_once_for_all_targets_of_a_pass(
    odd: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[bytes] = []

    def counting(data: bytes, change: Change) -> bytes:
        encoded.append(data)
        return reencode(data, change)

    monkeypatch.setattr(pictures, "reencode", counting)
    for to in ("webdataset", "webdataset,mds,hf_parquet"):
        imagenet_tools.export(odd.select(), tmp_path / to, to=to, resize=32, workers=1)
    half = len(encoded) // 2
    assert half > 1 and sorted(encoded[:half]) == sorted(encoded[half:])


def test_boxes_are_not_asked_for_if_no_image_has_one(
    odd: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boxes.BoxesOf, "find", lambda *_: pytest.fail("boxes were asked for"))
    result = imagenet_tools.export(odd.select(where="n_boxes = 0"), tmp_path / "x", to="webdataset", workers=1)
    assert result.images() and not result.plan.boxes()


def test_images_are_not_gone_through_for_a_target_that_is_written_at_the_end(
    odd: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_pictures", lambda *_: pytest.fail("images were gone through"))
    result = imagenet_tools.export(odd.select(), tmp_path / "x", to="duckdb", workers=1)
    assert result.images() and result.files["imagenet.duckdb"]
