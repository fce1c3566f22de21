"""Images of raw values are PNGs to whoever reads them, by Pillow's reading of these."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imagenet_tools.containers import planar
from imagenet_tools.images.probe import ends_whole, why_undecodable


@given(st.integers(1, 100), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_a_png_has_the_pixels_of_the_planes(side: int, seed: int) -> None:
    planes = np.random.default_rng(seed).integers(0, 256, (3, side, side), np.uint8)
    data = planar.png(planes.tobytes())
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (side, side))
        assert np.array_equal(np.asarray(image), planes.transpose(1, 2, 0))
    assert why_undecodable(data) == "" and ends_whole(data[-4:], "png")
    assert planar.png(planes.tobytes()) == data


def test_the_bytes_are_fixed() -> None:
    # 1 x 1 pixel, by hand: IDAT is a stored block of 4 bytes, filter 0 and (1, 2, 3).
    data = planar.png(bytes((1, 2, 3)))
    assert data[8:33].hex() == "0000000d4948445200000001000000010802000000907753de"
    assert data[33:56].hex() == "0000000f494441547801010400fbff00010203000e0007"
    assert data[-12:].hex() == "0000000049454e44ae426082"


@pytest.mark.parametrize("n", [0, 1, 3071, 3073, 3 * 32 * 31])
def test_bytes_that_are_no_square_are_refused(n: int) -> None:
    with pytest.raises(ValueError, match=f"found {n:,} bytes"):
        planar.png(bytes(n))
