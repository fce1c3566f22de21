"""The zips of EDM2: the squares are those of ADM's rule, and dataset.json has the class of each.

`strictly_read` accepts only what `dataset_tool.py convert` of NVlabs/edm2 writes (its help text and its last lines):
a zip without compression; PNGs in one folder each, of 8-bit RGB, square, of one size that is a power of two, made with
`compress_level=0`; and dataset.json with the key labels alone, a pair of name and class for each PNG, in their order.
"""

import io
import json
import struct
import zlib
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import numpy as np
import pytest
from PIL import Image

import imagenet_tools
from imagenet_tools.errors import FormatError, UsageError
from imagenet_tools.images.transform import adm_square
from imagenet_tools.index import Index
from tests.exports.conftest import Export
from tests.exports.odd import ODD


def drawn(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """An image with a gradient in each direction."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // width, y * 255 // height, (x * y) % 256], axis=-1).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG" if image.mode != "CMYK" else "JPEG")
    return out.getvalue()


def by_the_rule(image: Image.Image, side: int) -> Image.Image:
    """ADM's rule, from its words: halve by averaging 2 x 2 pixels, fit the shorter side, cut the middle."""
    image = image.convert("RGB")
    while min(image.size) >= 2 * side:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    factor = side / min(image.size)
    fitted = np.asarray(
        image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)
    )
    top, left = (fitted.shape[0] - side) // 2, (fitted.shape[1] - side) // 2
    return Image.fromarray(fitted[top : top + side, left : left + side])


def as_dataset_tool_saves(square: Image.Image) -> bytes:
    out = io.BytesIO()
    square.save(out, format="png", compress_level=0, optimize=False)
    return out.getvalue()


@pytest.mark.parametrize(
    ("size", "mode"),
    [
        ((500, 375), "RGB"),
        ((375, 500), "L"),
        ((2001, 1333), "RGB"),
        ((31, 90), "RGB"),
        ((256, 256), "P"),
        ((600, 601), "CMYK"),
    ],
)
def test_a_square_is_that_of_adms_rule(size: tuple[int, int], mode: str) -> None:
    data = encoded(drawn(*size, mode))
    with Image.open(io.BytesIO(adm_square(data, 256))) as made, Image.open(io.BytesIO(data)) as image:
        assert (made.format, made.mode, made.size) == ("PNG", "RGB", (256, 256))
        assert np.array_equal(np.asarray(made), np.asarray(by_the_rule(image, 256)))


def test_an_image_of_that_size_keeps_its_pixels() -> None:
    image = drawn(256, 256)
    with Image.open(io.BytesIO(adm_square(encoded(image), 256))) as made:
        assert np.array_equal(np.asarray(made), np.asarray(image))


def test_a_colour_profile_is_not_kept_as_dataset_tool_keeps_none() -> None:
    out = io.BytesIO()
    drawn(300, 280).save(out, "PNG", icc_profile=b"a profile")
    with Image.open(io.BytesIO(out.getvalue())) as image:
        assert image.info["icc_profile"]
        assert adm_square(out.getvalue(), 256) == as_dataset_tool_saves(by_the_rule(image, 256))


def test_an_image_that_is_cut_is_undecodable() -> None:
    with pytest.raises(FormatError) as caught:
        adm_square(encoded(drawn(300, 300))[:-2000], 256)
    assert caught.value.code == "undecodable"


def test_the_zips_are_stored_and_dataset_json_names_every_image(exported: Export) -> None:
    root, result = exported("edm")
    for split in ("train", "val"):
        with ZipFile(root / f"{split}.zip") as archive:
            members = archive.infolist()
            labels = json.loads(archive.read("dataset.json"))["labels"]
        assert {one.compress_type for one in members} == {ZIP_STORED}
        assert [one.filename for one in members] == [*(name for name, _ in labels), "dataset.json"]
        assert len(labels) == result.images(split)
        assert {name[:9]: label for name, label in labels} == {
            one.wnid: one.index for one in result.classes if any(name.startswith(one.wnid) for name, _ in labels)
        }


def raw_pixels(png: bytes, side: int) -> np.ndarray:
    """The pixels of a PNG that was not compressed: (side, side, 3); its chunks are read one by one."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    place, chunks = 8, []
    while place < len(png):
        (length,) = struct.unpack_from(">I", png, place)
        kind, data = png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        assert struct.unpack_from(">I", png, place + 8 + length) == (zlib.crc32(kind + data),)
        chunks.append((kind, data))
        place += length + 12
    (first, header), *middle, (last, end) = chunks
    assert (first, last, end) == (b"IHDR", b"IEND", b"")
    assert struct.unpack(">IIBBBBB", header) == (side, side, 8, 2, 0, 0, 0)  # 8 bits, RGB, not interlaced
    assert {kind for kind, _ in middle} == {b"IDAT"}
    stream = b"".join(data for _, data in middle)
    assert not stream[2] & 0b110  # the first deflate block is stored
    assert len(stream) > side * (side * 3 + 1)  # and so is all of them
    assert len(zlib.decompress(stream)) == side * (side * 3 + 1)
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image)


def strictly_read(path: Path, side: int) -> dict[str, tuple[int, np.ndarray]]:
    """The class and the pixels of each image, in the order of the zip."""
    with ZipFile(path) as archive:
        assert archive.testzip() is None
        *images, last = archive.infolist()
        assert last.filename == "dataset.json"
        assert all(one.compress_type == ZIP_STORED and not one.is_dir() for one in [*images, last])
        metadata = json.loads(archive.read(last))
        assert list(metadata) == ["labels"]
        assert [one.filename for one in images] == [name for name, _ in metadata["labels"]]
        assert all(name.count("/") == 1 and name.endswith(".png") for name, _ in metadata["labels"])
        assert all(type(label) is int and label >= 0 for _, label in metadata["labels"])
        assert len(dict(metadata["labels"])) == len(images) > 0
        return {name: (label, raw_pixels(archive.read(name), side)) for name, label in metadata["labels"]}


def test_a_strict_parser_reads_the_zips_and_every_pixel_is_adm_s(exported: Export) -> None:
    root, result = exported("edm")
    index_of = {cls.wnid: cls.index for cls in result.classes}
    n = 0
    for split in ("train", "val"):
        found = strictly_read(root / f"{split}.zip", 256)
        for one in ODD:
            name = f"{one.wnid}/{one.stem}.png"
            if one.split == split and name in found:
                label, pixels = found.pop(name)
                assert label == index_of[one.wnid]
                with Image.open(io.BytesIO(one.data)) as image:
                    assert np.array_equal(pixels, np.asarray(by_the_rule(image, 256))), name
                    assert adm_square(one.data, 256) == as_dataset_tool_saves(by_the_rule(image, 256)), name
                n += 1
        assert not found
    assert n == result.images() == len(ODD) - len(result.undecodable)


def test_squares_of_real_images_are_adm_s(real: Path) -> None:
    paths = sorted((real / "ilsvrc2012_val").rglob("*.JPEG"))[::10]
    assert len(paths) == 15
    for path in paths:
        with Image.open(path) as image:
            assert adm_square(path.read_bytes(), 256) == as_dataset_tool_saves(by_the_rule(image, 256)), path.name


def test_a_loader_that_sorts_the_names_finds_the_class_of_each(exported: Export) -> None:
    # training/dataset.py of EDM2 sorts the names that end in .png, and looks each up in dataset.json.
    root, result = exported("edm")
    found = strictly_read(root / "train.zip", 256)
    labels = np.array([found[name][0] for name in sorted(found)])
    assert labels.dtype == np.int64
    assert np.bincount(labels).tolist() == [
        result.tallies["train"][cls.wnid].images if cls.wnid in result.tallies["train"] else 0 for cls in result.classes
    ]


def test_the_planned_bytes_are_those_of_the_zips(index: Index, tmp_path: Path) -> None:
    result = imagenet_tools.export(index.select(under="dog", from_="val"), tmp_path / "x", to="edm")
    with ZipFile(tmp_path / "x" / "val.zip") as archive:
        sizes = {one.file_size for one in archive.infolist()[:-1]}
    assert len(sizes) == 1
    assert result.bytes("val") == pytest.approx(sizes.pop() * result.images("val"), rel=1e-3)  # by Pillow's zlib


def test_other_changes_are_refused(index: Index) -> None:
    with pytest.raises(UsageError, match="edm makes new images by rules of its own"):
        imagenet_tools.plan_export(index.select(), to="edm", resize=64)
