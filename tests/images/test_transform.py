"""Images encoded anew: what Pillow itself gives of the same, what is kept, and what cannot be decoded."""

import io
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageOps

from imagenet_tools.errors import FormatError
from imagenet_tools.images.transform import Change, mode_after, reencode


def photo(size: tuple[int, int], mode: str = "RGB", form: str = "JPEG", **options: object) -> bytes:
    small = Image.frombytes("RGB", (9, 7), Random(1).randbytes(189))
    out = io.BytesIO()
    small.resize(size, Image.Resampling.BICUBIC).convert(mode).save(out, form, **options)
    return out.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (2000, 1300)])
@pytest.mark.parametrize("square", [False, True])
def test_a_resized_image_is_what_pillow_makes_without_scaled_decoding(size: tuple[int, int], square: bool) -> None:
    data = photo(size, quality=95)
    image = Image.open(io.BytesIO(data))
    short = min(size)
    wanted = (128, 128) if square else (round(size[0] * 128 / short), round(size[1] * 128 / short))
    left, top = ((size[0] - short) / 2, (size[1] - short) / 2) if square else (0, 0)
    box = (left, top, left + short, top + short) if square else None
    expected = np.asarray(image.resize(wanted, Image.Resampling.BICUBIC, box=box), dtype=float)
    made = pixels(reencode(data, Change(*wanted, square=square, quality=95)))
    assert made.shape == expected.shape
    assert np.abs(made - expected).mean() < 2


@pytest.mark.parametrize("orientation", range(2, 9))
def test_pixels_are_turned_as_pillow_turns_them_and_the_tag_goes(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = photo((64, 48), exif=exif, quality=95)
    made = reencode(data, Change(64, 48, orientation=orientation, quality=95))
    turned = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert Image.open(io.BytesIO(made)).size == turned.size
    assert not Image.open(io.BytesIO(made)).getexif()
    assert np.abs(pixels(made) - np.asarray(turned, dtype=float)).mean() < 3


def test_the_tag_and_the_profile_stay_where_pixels_are_not_turned() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    made = reencode(photo((64, 48), exif=exif, icc_profile=b"profile"), Change(32, 24))
    opened = Image.open(io.BytesIO(made))
    assert (opened.getexif()[0x0112], opened.info["icc_profile"]) == (6, b"profile")


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "P", "RGBA", "LA", "1"])
@pytest.mark.parametrize("rgb", [False, True])
def test_every_mode_becomes_a_jpeg_of_the_mode_that_is_foretold(mode: str, rgb: bool) -> None:
    form = "JPEG" if mode in ("L", "RGB", "CMYK") else "PNG"
    made = Image.open(io.BytesIO(reencode(photo((40, 30), mode, form), Change(20, 15, rgb=rgb))))
    assert (made.format, made.size) == ("JPEG", (20, 15))
    assert made.mode == mode_after(mode, rgb=rgb)


def test_cmyk_becomes_what_loaders_that_convert_see() -> None:
    data = photo((64, 48), "CMYK", quality=95)
    seen = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)
    assert np.abs(pixels(reencode(data, Change(64, 48, rgb=True, quality=95))) - seen).mean() < 3


@pytest.mark.parametrize("cut", [0, 2, 20, 300, 1000])
def test_what_cannot_be_decoded_is_said_and_nothing_else_is_raised(cut: int) -> None:
    data = photo((300, 200))[: -1000 + cut - 1]
    with pytest.raises(FormatError) as error:
        reencode(data, Change(20, 20))
    assert error.value.code == "undecodable"


def test_the_same_bytes_give_the_same_bytes() -> None:
    data = photo((300, 200))
    assert reencode(data, Change(64, 43)) == reencode(data, Change(64, 43))


def test_the_filter_is_bicubic_over_what_the_decoder_leaves_of_at_least_twice_the_size() -> None:
    data = photo((2000, 1300), quality=95)
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (2 * 197, 2 * 128))
    assert image.size == (500, 325)
    expected = io.BytesIO()
    image.resize((197, 128), Image.Resampling.BICUBIC).save(expected, "JPEG", quality=90)
    assert reencode(data, Change(197, 128)) == expected.getvalue()
