"""Images as viewers show them: boxes at their place in pixels, upright by EXIF, and tiles of what cannot be decoded."""

import io
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from imagenet_tools.display import pictures
from imagenet_tools.display.pictures import SheetRow, ShownBox, Tile, tile, upright
from imagenet_tools.errors import FormatError, SourceError

SIZE = (80, 60)
RED = (10, 20, 30, 50)  # left, top, right, bottom of a red rectangle, in pixels
FRACTIONS = (10 / 80, 20 / 60, 30 / 80, 50 / 60)
FRAME = (9, 19, 31, 51)  # the line of its box, outside of it
YELLOW = (255, 204, 0)
ORIENTATION = 0x0112


def drawn(orientation: int | None = None, *, form: str = "PNG", mode: str = "RGB") -> bytes:
    """A grey raster with a red rectangle, as a file with an EXIF orientation."""
    picture = Image.new("RGB", SIZE, (128, 128, 128))
    picture.paste((255, 0, 0), RED)
    exif = Image.Exif()
    if orientation is not None:
        exif[ORIENTATION] = orientation
    out = io.BytesIO()
    picture.convert(mode).save(out, form, exif=exif)
    return out.getvalue()


def extent(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what is true; the last two are behind it."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def extent_of(picture: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    return extent(np.all(np.asarray(picture) == colour, axis=2))


def test_a_box_is_drawn_at_its_place() -> None:
    picture = upright(drawn(), [ShownBox(*FRACTIONS)])
    assert extent_of(picture, YELLOW) == FRAME
    pixels = np.asarray(picture)
    assert (pixels[19:51, 9] == YELLOW).all() and (pixels[50, 9:31] == YELLOW).all()
    assert (pixels[20:50, 10:30] == (255, 0, 0)).all()  # nothing is drawn inside
    assert (pixels[:18] == 128).all() and (pixels[:, 32:] == 128).all()  # and nothing elsewhere


def test_the_line_of_a_box_grows_with_the_picture_and_stays_in_it() -> None:
    picture = Image.new("RGB", (1000, 500))
    pictures.draw_boxes(picture, [ShownBox(0.5, 0.5, 1, 1)])
    pixels = (np.asarray(picture) == YELLOW).all(axis=2)
    assert extent(pixels) == (495, 245, 1000, 500)
    assert pixels[400, 495:500].all() and not pixels[400, 500:995].any()  # at the right edge, the line is inside


def test_labels_cover_neither_each_other_nor_boxes_with_room_beside_them(monkeypatch: pytest.MonkeyPatch) -> None:
    areas: list[tuple[int, int, int, int]] = []
    place = pictures._area
    monkeypatch.setattr(pictures, "_area", lambda *words: (areas.append(place(*words)), areas[-1])[1])
    written: list[tuple[int, int, int, int]] = []
    rectangle = ImageDraw.ImageDraw.rectangle

    def recorded(canvas: ImageDraw.ImageDraw, area: tuple[int, int, int, int], **colours: Any) -> None:
        rectangle(canvas, area, **colours)
        if area in areas:
            written.append(area)

    monkeypatch.setattr(ImageDraw.ImageDraw, "rectangle", recorded)
    picture = Image.new("RGB", (400, 300))
    edges = [(0.1, 0.0, 0.3, 0.3), (0.12, 0.0, 0.3, 0.3), (0.1, 0.7, 0.4, 1.0), (0.7, 0.4, 1.0, 0.9)]
    pictures.draw_boxes(picture, [ShownBox(*box, "golden retriever") for box in edges])
    assert len(written) == 4 and not any(pictures._overlap(a, b) for a, b in combinations(written, 2))
    assert all(min(area) >= 0 and area[2] < 400 and area[3] < 300 for area in written)
    for area in written:
        for left, top, right, bottom in edges:
            box = (round(400 * left), round(300 * top), round(400 * right) - 1, round(300 * bottom) - 1)
            assert not pictures._overlap(area, box)
    written.clear()
    pictures.draw_boxes(picture, [ShownBox(0, 0, 1, 1, "dog")] * 12)
    assert len(set(written)) == 12 and not any(pictures._overlap(a, b) for a, b in combinations(written, 2))


def test_a_small_image_is_enlarged_by_a_whole_factor_before_its_boxes_are_drawn() -> None:
    picture = upright(drawn(), [ShownBox(*FRACTIONS)], least=pictures.SMALL_PIXELS)
    assert picture.size == (400, 300)
    assert extent_of(picture, YELLOW) == (48, 98, 152, 252)  # five times RED, and lines of 2 pixels around it
    assert upright(drawn(), least=81).size == (160, 120) and upright(drawn(), least=80).size == SIZE
    assert upright(drawn(), fit=pictures.TILE).size == pictures.TILE  # both are 4:3


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
def test_a_box_of_the_stored_raster_turns_with_the_picture(orientation: int) -> None:
    data = drawn(orientation)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    picture = upright(data, [ShownBox(*FRACTIONS)])
    assert picture.size == expected.size == (SIZE if orientation < 5 else SIZE[::-1])
    left, top, right, bottom = extent_of(expected, (255, 0, 0))
    assert extent_of(picture, YELLOW) == (left - 1, top - 1, right + 1, bottom + 1)


def test_a_box_of_the_shown_image_does_not_turn() -> None:
    picture = upright(drawn(6), [ShownBox(0.5, 0.25, 1, 0.5, upright=True)])
    assert extent_of(picture, YELLOW) == (29, 19, 60, 41)


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_invalid_orientation_turns_nothing(orientation: int) -> None:
    assert extent_of(upright(drawn(orientation), [ShownBox(*FRACTIONS)]), YELLOW) == FRAME


def test_a_label_is_written_and_may_hold_anything() -> None:
    plain = np.asarray(upright(drawn(), [ShownBox(*FRACTIONS)]))
    for label in ("dog", "two\nlines\x1b[31m", "\udcff surrogate", "long " * 99, "\u72ac"):
        labelled = np.asarray(upright(drawn(), [ShownBox(*FRACTIONS, label)]))
        assert (labelled != plain).any()
    assert (np.asarray(upright(drawn(), [ShownBox(*FRACTIONS, "dog")], labels=False)) == plain).all()


@pytest.mark.parametrize("edges", [(0, 0, 1, 1), (0.5, 0.5, 0.5001, 0.5001), (0.999, 0, 1, 1)])
def test_a_box_at_the_edge_or_of_no_pixel_is_drawn(edges: tuple[float, float, float, float]) -> None:
    assert (np.asarray(upright(drawn(), [ShownBox(*edges, "x")])) == YELLOW).all(axis=2).any()


@pytest.mark.parametrize(
    ("form", "mode"), [("JPEG", "CMYK"), ("JPEG", "L"), ("PNG", "P"), ("PNG", "I;16"), ("TIFF", "RGB")]
)
def test_every_mode_is_shown_in_rgb(form: str, mode: str) -> None:
    assert upright(drawn(form=form, mode=mode), [ShownBox(*FRACTIONS)]).mode == "RGB"


def test_cmyk_keeps_its_colours() -> None:
    pixels = np.asarray(upright(drawn(form="JPEG", mode="CMYK")))
    red = pixels[35, 20].astype(int)
    assert red[0] > 200 and red[1] < 60 and red[2] < 60


@pytest.mark.parametrize("orientation", [None, 6])
def test_a_thumbnail_fits_and_keeps_its_box_and_its_shape(orientation: int | None) -> None:
    picture = Image.new("RGB", (1600, 900), (128, 128, 128))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation or 1
    out = io.BytesIO()
    picture.save(out, "JPEG", exif=exif)
    thumbnail = upright(out.getvalue(), [ShownBox(0, 0, 0.5, 0.5)], fit=(160, 120))
    assert thumbnail.size == ((160, 90) if orientation is None else (67, 120))
    expected = (0, 0, 81, 46) if orientation is None else (33, 0, 67, 61)
    assert extent_of(thumbnail, YELLOW) == expected


def fails(error: Exception) -> Callable[[], bytes]:
    def read() -> bytes:
        raise error

    return read


def test_what_cannot_be_decoded_is_a_tile_that_says_so() -> None:
    data = drawn(form="JPEG")
    huge = b"P6 60000 60000 255\n" + bytes(64)  # a decompression bomb
    reads: list[Callable[[], bytes]] = [
        lambda: b"<html>not found</html>",
        lambda: data[: len(data) // 2],
        lambda: b"",
        lambda: huge,
        fails(SourceError("the tar is gone")),
        fails(OSError(5, "Input/output error")),
    ]
    tiles = [tile("n01440764_1", read, [ShownBox(*FRACTIONS)]) for read in reads]
    assert all(shown.picture is None and shown.problem for shown in tiles)
    assert "over 89,478,485" in tiles[3].problem and "the tar is gone" in tiles[4].problem
    sheet = pictures.contact_sheet([SheetRow("tench", (*tiles, tile("whole", lambda: data, [])))])
    assert sheet.width > 6 * pictures.TILE[0]
    with pytest.raises(FormatError):
        upright(data[: len(data) // 2])


def test_a_sheet_has_a_row_a_class_and_breaks_long_rows() -> None:
    def row(n: int, colour: tuple[int, int, int]) -> SheetRow:
        return SheetRow("name", tuple(Tile(str(k), Image.new("RGB", (50, 40), colour)) for k in range(n)))

    sheet = np.asarray(pictures.contact_sheet([row(2, (250, 0, 0)), row(9, (0, 0, 250))]))
    red, blue = ((sheet == colour).all(axis=2) for colour in ((250, 0, 0), (0, 0, 250)))
    assert red.sum() == 2 * 50 * 40 and blue.sum() == 9 * 50 * 40
    assert extent(red)[3] < extent(blue)[1]
    lines = np.flatnonzero(np.diff(np.concatenate(([0], blue.any(axis=1).astype(int)))) == 1)
    assert len(lines) == 2  # eight tiles, and one
