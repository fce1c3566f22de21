"""The zips of EDM2: the squares are those of ADM's rule, and dataset.json has the class of each."""

import io
import json
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


def test_the_planned_bytes_are_those_of_the_zips(index: Index, tmp_path: Path) -> None:
    result = imagenet_tools.export(index.select(under="dog", from_="val"), tmp_path / "x", to="edm")
    with ZipFile(tmp_path / "x" / "val.zip") as archive:
        sizes = {one.file_size for one in archive.infolist()[:-1]}
    assert len(sizes) == 1
    assert result.bytes("val") == pytest.approx(sizes.pop() * result.images("val"), rel=1e-3)  # by Pillow's zlib


def test_other_changes_are_refused(index: Index) -> None:
    with pytest.raises(UsageError, match="edm makes new images by rules of its own"):
        imagenet_tools.plan_export(index.select(), to="edm", resize=64)
