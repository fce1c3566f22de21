"""Facts of JPEG and PNG from their first bytes, held against Pillow on drawn, real and hostile images."""

import io
import struct
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from imagenet_tools.images.jpeg import ImageFacts, facts

ORIENTATION = 0x0112
READ_LIMIT = 64 << 10
quick = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


class Reads:
    """An image's bytes, and how many were asked for beyond its head."""

    def __init__(self, data: bytes):
        self.data, self.n, self.calls = data, 0, 0

    def __call__(self, offset: int, n: int) -> bytes:
        assert n > 0
        assert offset + n <= len(self.data)
        self.n, self.calls = self.n + n, self.calls + 1
        return self.data[offset : offset + n]


def told(data: bytes, head: int = 4096) -> ImageFacts | None:
    return facts(data[:head], len(data), Reads(data))


def by_pillow(data: bytes) -> tuple[int, int, str, str, int | None]:
    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as opened:
        encoding = "png" if opened.format == "PNG" else "jpeg"
        return opened.width, opened.height, opened.mode, encoding, opened.getexif().get(ORIENTATION)


def segment(marker: int, data: bytes = b"") -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def frame(width: int = 20, height: int = 10, layers: int = 3, *, bits: int = 8, marker: int = 0xC0) -> bytes:
    parts = b"".join(bytes([n + 1, 0x11, 0]) for n in range(layers))
    return segment(marker, struct.pack(">BHHB", bits, height, width, layers) + parts)


SOI, SCAN = b"\xff\xd8", segment(0xDA, b"\x01\x01\x00\x00\x3f\x00") + b"\x12\x34\xff\xd9"
SHOULD = (20, 10, "RGB", "jpeg", None, None)


@st.composite
def drawn_jpegs(draw: st.DrawFn) -> bytes:
    size = draw(st.tuples(st.integers(1, 300), st.integers(1, 300)))
    picture = Image.new(draw(st.sampled_from(["L", "RGB", "CMYK", "YCbCr"])), size)
    exif = Image.Exif()
    if draw(st.booleans()):
        exif[ORIENTATION] = draw(st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 255, 32_767]))
    if draw(st.booleans()):
        exif[0x010E] = "described at length " * draw(st.integers(0, 3000))  # before the orientation
        exif[0x0131] = "software"
    options = {"exif": exif.tobytes()} if len(exif) else {}
    if draw(st.booleans()):
        number = draw(st.integers(0, 9))
        options["xmp"] = b'<x:xmpmeta tiff:Orientation="%d"/>' % number + b" " * draw(st.integers(0, 5000))
    if draw(st.booleans()):
        options["icc_profile"] = bytes(draw(st.integers(1, 40_000)))
    out = io.BytesIO()
    picture.save(
        out,
        "JPEG",
        progressive=draw(st.booleans()),
        optimize=draw(st.booleans()),
        comment=b"\xff\xc0" * draw(st.integers(0, 3000)),
        **options,
    )
    return out.getvalue()


@quick
@given(data=drawn_jpegs(), head=st.sampled_from([0, 3, 64, 512, 4096]))
def test_a_drawn_jpeg_is_told_as_pillow_tells_it(data: bytes, head: int) -> None:
    found = told(data, head)
    assert found is not None
    assert found[:5] == by_pillow(data)
    assert found.problem is None


@pytest.mark.filterwarnings("ignore")
@quick
@given(data=drawn_jpegs(), flips=st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 255)), max_size=4))
def test_a_damaged_jpeg_that_pillow_opens_has_pillows_size_and_mode(data: bytes, flips: list[tuple[int, int]]) -> None:
    damaged = bytearray(data)
    for place, value in flips:
        damaged[place % len(damaged)] = value
    found = told(bytes(damaged))
    try:
        expected = by_pillow(bytes(damaged))
    except (OSError, SyntaxError, ValueError):
        return
    assert found is not None
    assert found[:4] == expected[:4]


@quick
@given(
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]),
    orientation=st.none() | st.integers(0, 9),
)
def test_a_drawn_png_is_told_as_pillow_tells_it(size: tuple[int, int], mode: str, orientation: int | None) -> None:
    exif, out = Image.Exif(), io.BytesIO()
    if orientation is not None:
        exif[ORIENTATION] = orientation
    Image.new(mode, size).save(out, "PNG", exif=exif)
    found = told(out.getvalue())
    assert found is not None
    assert found == (*by_pillow(out.getvalue()), None)


@pytest.mark.parametrize("folder", ["ilsvrc2012_val", "class_samples", "tiny-imagenet-200"])
def test_real_images_are_told_as_pillow_tells_them_within_64_kib(real: Path, folder: str) -> None:
    images = sorted((real / folder).rglob("*.JPEG"))
    assert len(images) >= 150
    for path in images:
        data = path.read_bytes()
        more = Reads(data)
        assert facts(data[:4096], len(data), more) == (*by_pillow(data), None), path.name
        assert more.n <= READ_LIMIT


def test_the_two_odd_orientations_of_the_class_samples_are_kept(real: Path) -> None:
    for name, expected in (("n02951585_can_opener", 6), ("n01728572_thunder_snake", 0)):
        found = told((real / "class_samples" / f"{name}.JPEG").read_bytes())
        assert found is not None
        assert found.orientation == expected


# Pillow decodes a whole PNG to look for EXIF behind its pixels; here that is not read.
EXIF_BEHIND_THE_PIXELS = {"pillow_color_snakes.png"}
# Pillow refuses a text chunk that unpacks to gigabytes; here no text is unpacked, and the size is told.
TOLD_THOUGH_PILLOW_REFUSES = {"pillow_png_decompression_dos.png"}


@pytest.mark.filterwarnings("ignore")
def test_hostile_images_that_pillow_opens_are_told_alike_and_the_others_have_a_problem(real: Path) -> None:
    compared = 0
    for path in sorted((real / "hostile").iterdir()):
        data = path.read_bytes()
        found = told(data)
        if found is None:
            continue
        try:
            with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as opened:
                size_and_mode = opened.width, opened.height, opened.mode
                try:
                    orientation = opened.getexif().get(ORIENTATION)
                except (OSError, SyntaxError):
                    orientation = None
        except (OSError, SyntaxError, ValueError):
            assert found.problem is not None or path.name in TOLD_THOUGH_PILLOW_REFUSES, path.name
            continue
        compared += 1
        assert found[:3] == size_and_mode, path.name
        assert found.orientation == orientation or path.name in EXIF_BEHIND_THE_PIXELS, path.name
    assert compared >= 150


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (frame(), SHOULD),
        (segment(0xE0, b"JFIF\0") * 300 + frame(), SHOULD),
        (b"\xff" * 5000 + frame(), SHOULD),
        (b"junk" * 2000 + frame(), SHOULD),
        (b"\xff\xd0\xff\x00\xff\xf7" + frame(), SHOULD),
        (b"\xff\xc8" + frame(), SHOULD),
        (b"\xff\xe0\0\0" + frame(), SHOULD),
        (b"\xff\xe0\0\1" + frame(), SHOULD),
        (frame(3, 3) + frame(), SHOULD),  # Pillow takes the last
        (segment(0xE1, b"Exif\0\0" + SOI + frame(160, 120) + SCAN) + frame(), SHOULD),  # a thumbnail
        (frame(layers=1), (20, 10, "L", "jpeg", None, None)),
        (frame(layers=4, marker=0xC2), (20, 10, "CMYK", "jpeg", None, None)),
        (frame(65_535, 65_535), (65_535, 65_535, "RGB", "jpeg", None, None)),
        (frame(bits=12), (20, 10, None, "jpeg", None, "unsupported")),
        (frame(layers=2), (20, 10, None, "jpeg", None, "unsupported")),
        (frame(0, 10), (None, None, None, "jpeg", None, "no_size")),
        (frame(10, 0), (None, None, None, "jpeg", None, "no_size")),
        (b"", (None, None, None, "jpeg", None, "no_size")),
        (b"\xff\x01", (None, None, None, "jpeg", None, "damaged")),
    ],
)
def test_the_header_says_the_facts(header: bytes, expected: tuple[object, ...]) -> None:
    assert told(SOI + (b"" if header[:1] == b"\xff" else segment(0xE0)) + header + SCAN) == expected


def test_a_jpeg_cut_at_any_byte_of_its_header_is_cut_short() -> None:
    out = io.BytesIO()
    Image.new("RGB", (40, 30)).save(out, "JPEG", comment=b"c" * 1000)
    data = out.getvalue()
    end = data.index(segment(0xDA, b"\x03")[:2] + b"\x00\x0c") + 14
    for cut in range(3, len(data)):
        found = told(data[:cut], 512)
        assert found is not None
        assert found.problem == ("cut_short" if cut < end else None), cut
        assert found.width in {None, 40}


def test_exif_cut_at_any_byte_has_its_orientation_or_none() -> None:
    exif = exif_of(">", entry(">", 4, 2, b"\0\0\0\x1a") + bytes(4) + b"\0\0\0\5\0\0\0\0", 1)
    data = SOI + segment(0xE1, exif) + frame() + SCAN
    for head in (0, 4096):
        for cut in range(3, len(data)):
            found = told(data[:cut], head)
            assert found is not None
            assert found.orientation == (5 if cut >= data.index(b"\0\0\0\5") + 4 else None)


def test_the_last_xmp_says_the_orientation_where_exif_does_not() -> None:
    name = b"http://ns.adobe.com/xap/1.0/\0"
    last = segment(0xE1, name + b"<tiff:Orientation>7</tiff:Orientation>")
    extension = segment(0xE1, b'http://ns.adobe.com/xmp/extension/\0tiff:Orientation="2"')
    data = SOI + segment(0xE1, name + b'tiff:Orientation="3"') + last + extension + frame() + SCAN
    found = told(data)
    assert found is not None
    assert found[:5] == by_pillow(data)
    assert found.orientation == 7


def test_a_head_longer_than_the_image_is_not_read_beyond_it() -> None:
    assert facts(SOI + segment(0xE0) + frame() + SCAN, 8, Reads(b"")) == (None, None, None, "jpeg", None, "cut_short")


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("5,000 application segments", segment(0xE5, bytes(40)) * 5000),
        ("500 segments of 64 KB", segment(0xE2, bytes(65_533)) * 500),
    ],
)
def test_long_headers_are_hopped_over(name: str, header: bytes) -> None:
    data = SOI + header + frame() + SCAN
    more = Reads(data)
    assert facts(data[:4096], len(data), more) == SHOULD
    assert more.n <= READ_LIMIT + 16 * more.calls


@pytest.mark.parametrize(
    "header",
    [
        segment(0xFE, b"c") * 100_000,
        b"\xff" * 1_000_000,
        b"\xff\xe0\0\2" + b"\0" * 1_000_000,
        b"\xff\xd0" * 500_000,
        segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(65_000)) * 100,
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + bytes(65_000)) * 100,
    ],
    ids=["comments", "fill", "junk", "restarts", "exif", "xmp"],
)
def test_no_header_costs_more_than_its_bounds(header: bytes) -> None:
    data = SOI + header + frame() + SCAN
    more = Reads(data)
    start = time.process_time()
    found = facts(data[:4096], len(data), more)
    assert time.process_time() - start < 0.2  # 5 ms on a machine that does nothing else
    assert found is not None
    assert found.problem in {None, "header_too_long"}
    assert more.n <= READ_LIMIT + 10 * 5120
    assert more.calls <= 5200


def exif_of(order: str, entries: bytes, count: int | None = None) -> bytes:
    mark = b"MM\0*" if order == ">" else b"II*\0"
    n = len(entries) // 12 if count is None else count
    return b"Exif\0\0" + mark + struct.pack(order + "LH", 8, n) + entries


def entry(order: str, kind: int, n: int, value: bytes, tag: int = ORIENTATION) -> bytes:
    return struct.pack(order + "HHL4s", tag, kind, n, value)


@pytest.mark.parametrize(
    ("exif", "expected"),
    [
        (exif_of(">", entry(">", 3, 1, b"\0\6")), 6),
        (exif_of("<", entry("<", 3, 1, b"\6\0")), 6),
        (exif_of(">", entry(">", 4, 1, b"\0\0\0\3")), 3),
        (b"Exif\0\0" + exif_of(">", entry(">", 3, 1, b"\0\6")), 6),
        (exif_of(">", entry(">", 3, 1, b"\0\0")), 0),
        (exif_of(">", entry(">", 3, 1, b"\xff\xff")), -1),
        (exif_of(">", entry(">", 9, 1, b"\xff\xff\xff\xff")), -1),
        (exif_of(">", entry(">", 2, 2, b"6\0")), -1),
        (exif_of(">", entry(">", 3, 3, b"\0\0\0\x1c") + bytes(6) + b"\0\5\0\0\0\0", 1), 5),
        (exif_of(">", entry(">", 3, 0, b"\0\6")), None),
        (exif_of(">", entry(">", 3, 9999, b"\0\6\0\6")), None),
        (exif_of(">", entry(">", 3, 1, b"\0\2") + entry(">", 3, 1, b"\0\7")), 2),
        (exif_of(">", entry(">", 3, 1, b"\0\2", tag=0x0111)), None),
        (exif_of(">", entry(">", 3, 1, b"\0\2"), 500), 2),
        (exif_of(">", b"", 9), None),
        (b"Exif\0\0MM\0*\xff\xff\xff\xff", None),
        (b"Exif\0\0MM\0*", None),
        (b"Exif\0\0", None),
        (b"Exif\0\0??\0*\0\0\0\x08\0\1" + entry(">", 3, 1, b"\0\6"), None),
    ],
)
def test_the_orientation_is_told_as_it_is_written(exif: bytes, expected: int | None) -> None:
    found = told(SOI + segment(0xE1, exif) + frame() + SCAN)
    assert found is not None
    assert found.orientation == expected
    assert found.problem is None


def test_exif_in_two_segments_is_read_as_one() -> None:
    exif = exif_of(">", entry(">", 3, 1, b"\0\2", tag=0x0111) + entry(">", 3, 1, b"\0\7"))
    for cut in range(8, len(exif)):
        data = SOI + segment(0xE1, exif[:cut]) + segment(0xE1, b"Exif\0\0" + exif[cut:]) + frame() + SCAN
        found = told(data)
        assert found is not None
        assert found.orientation == 7


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


def png(width: int = 20, height: int = 10, bits: int = 8, colour: int = 2, filters: int = 0) -> bytes:
    header = struct.pack(">LLBBBBB", width, height, bits, colour, 0, filters, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)


PIXELS = chunk(b"IDAT", b"") + chunk(b"IEND", b"")
BOMB = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(10_000_000)))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (png() + PIXELS, (20, 10, "RGB", "png", None, None)),
        (png() + BOMB + PIXELS, (20, 10, "RGB", "png", None, None)),
        (png(50_000, 50_000, 1, 0) + PIXELS, (50_000, 50_000, "1", "png", None, None)),
        (png(bits=3) + PIXELS, (20, 10, None, "png", None, "unsupported")),
        (png(filters=1) + PIXELS, (20, 10, None, "png", None, "unsupported")),
        (png(width=0) + PIXELS, (None, None, None, "png", None, "no_size")),
        (png(height=1 << 31) + PIXELS, (None, None, None, "png", None, "no_size")),
        (png(), (20, 10, "RGB", "png", None, "cut_short")),
        (png()[:20], (None, None, None, "png", None, "cut_short")),
        (png()[:29] + b"\0\0\0\0" + PIXELS, (None, None, None, "png", None, "damaged")),
        (png() + chunk(b"IEND", b""), (20, 10, "RGB", "png", None, "damaged")),
        (png() + b"\0\0\0\0\0\0\0\0" + PIXELS, (20, 10, "RGB", "png", None, "damaged")),
        (png() + chunk(b"eXIf", exif_of(">", entry(">", 3, 1, b"\0\6"))[6:]) + PIXELS, (20, 10, "RGB", "png", 6, None)),
        (png() + chunk(b"teSt", bytes(200_000)) + PIXELS, (20, 10, "RGB", "png", None, None)),
    ],
)  # fmt: skip
def test_a_png_is_told_by_its_first_chunk(data: bytes, expected: tuple[object, ...]) -> None:
    assert told(data) == expected


@pytest.mark.parametrize("data", [b"", b"\xff", b"\xff\xd8\x00", b"GIF89a", b"\x89PNG\r\n\x1a", b"<html>"])
def test_what_is_neither_is_left_to_others(data: bytes) -> None:
    assert told(data) is None
