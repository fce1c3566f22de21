"""An image's facts and its problem: every encoding, every kind of bad bytes, and never an error for them."""

import io
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imagenet_tools.errors import FormatError, SourceError
from imagenet_tools.images.jpeg import ImageFacts
from imagenet_tools.images.probe import FORMATS, PIXEL_LIMIT, PROBLEMS, ends_whole, image, probe

ORIENTATION = 0x0112
quick = settings(deadline=None, max_examples=100)


def told(data: bytes, head: int = 4096) -> ImageFacts:
    def more(offset: int, n: int) -> bytes:
        assert offset + n <= len(data)
        return data[offset : offset + n]

    return probe(data[:head], len(data), more)


def saved(form: str, mode: str = "RGB", size: tuple[int, int] = (37, 21), orientation: int | None = None) -> bytes:
    out, exif = io.BytesIO(), Image.Exif()
    if orientation is not None:
        exif[ORIENTATION] = orientation
    options = {"exif": exif} if form in {"JPEG", "PNG", "TIFF", "WEBP"} else {}
    Image.new(mode, size).save(out, form, **options)
    return out.getvalue()


MODES = {
    "JPEG": ["L", "RGB", "CMYK"],
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "GIF": ["L", "P"],
    "BMP": ["1", "L", "RGB"],
    "TIFF": ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"],
    "WEBP": ["RGB", "RGBA"],
    "PPM": ["1", "L", "RGB"],
}


@pytest.mark.parametrize(("form", "mode"), [(form, mode) for form, modes in MODES.items() for mode in modes])
@pytest.mark.parametrize("head", [0, 20, 4096])
def test_every_encoding_is_told_as_pillow_tells_it(form: str, mode: str, head: int) -> None:
    data = saved(form, mode, orientation=6)
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()
        expected = (opened.width, opened.height, opened.mode, form.lower(), opened.getexif().get(ORIENTATION), None)
    assert told(data, head) == expected
    with image(data) as opened:
        opened.load()
        assert (*opened.size, opened.mode) == expected[:3]
    assert set(MODES) == set(FORMATS)


def bomb() -> bytes:
    header = struct.pack(">LLBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    written = (
        struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def giant(form: str) -> bytes:
    """A header that promises 2.5 milliard pixels."""
    if form == "BMP":
        small = bytearray(saved("BMP"))
        small[18:26] = struct.pack("<LL", 50_000, 50_000)
        return bytes(small)
    return b"P5 50000 50000 255\n" + bytes(100)


@pytest.mark.parametrize(
    ("data", "problem", "encoding"),
    [
        (b"", "empty", None),
        (b"\xff", "not_an_image", None),
        (b"\xff\xd8", "cut_short", "jpeg"),
        (saved("JPEG")[:100], "cut_short", "jpeg"),
        (saved("GIF")[:8], "cut_short", "gif"),
        (saved("TIFF")[:12], "cut_short", "tiff"),
        (saved("WEBP")[:16], "cut_short", "webp"),
        (b"<!DOCTYPE html><title>This photo is no longer available", "not_an_image", None),
        (bytes(5000), "not_an_image", None),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not_an_image", None),
        (b"8BPS\0\1" + bytes(100), "not_an_image", None),
        (b"SIMPLE  =                    T" + bytes(100), "not_an_image", None),
        (b"\x1f\x8b\x08" + bytes(20), "gzipped", None),
        (b"BM" + bytes(200), "damaged", "bmp"),
        (b"II*\0" + bytes(200), "damaged", "tiff"),
        (b"RIFF\0\0\0\0WEBP" + bytes(100), "damaged", "webp"),
        (saved("JPEG").replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"), "unsupported", "jpeg"),
        (saved("JPEG").replace(b"\xff\xc0\0\x11\x08\0\x15", b"\xff\xc0\0\x11\x08\0\0"), "no_size", "jpeg"),
        (b"\xff\xd8\xff" + b"\xff" * 300_000, "header_too_long", "jpeg"),
        (bomb(), "too_many_pixels", "png"),
        (giant("BMP"), "too_many_pixels", "bmp"),
        (giant("PPM"), "too_many_pixels", "ppm"),
    ],
)  # fmt: skip
def test_bad_bytes_have_their_problem_and_do_not_open(data: bytes, problem: str, encoding: str | None) -> None:
    found = told(data)
    assert (found.problem, found.encoding) == (problem, encoding)
    with pytest.raises(FormatError, match="No image") as caught:
        image(data)
    assert caught.value.code == problem
    assert PROBLEMS[problem] in str(caught.value)


def test_a_jpeg_named_png_and_a_png_named_jpeg_are_what_their_bytes_are() -> None:
    assert told(saved("PNG")).encoding == "png"
    assert told(saved("JPEG")).encoding == "jpeg"


def test_the_pixel_limit_is_pillows_own() -> None:
    assert Image.MAX_IMAGE_PIXELS == PIXEL_LIMIT
    assert told(bomb())[:3] == (20_000, 20_000, "1")


@pytest.mark.parametrize("error", [SourceError("the source changed"), OSError(5, "Input/output error")])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "TIFF"])
def test_a_disk_that_fails_is_no_bad_image(form: str, error: Exception) -> None:
    def more(offset: int, n: int) -> bytes:
        raise error

    with pytest.raises(type(error)) as caught:
        probe(saved(form)[:12], len(saved(form)), more)
    assert caught.value is error


def test_no_more_is_read_for_pillow_than_its_limit() -> None:
    read = 0

    def more(offset: int, n: int) -> bytes:
        nonlocal read
        read += n
        return bytes(n)

    start = time.process_time()
    for head in (saved("WEBP")[:40], b"P6 #a comment without an end", b"MM\0*\0\0\0\x08\xff\xff" + bytes(2000)):
        read = 0
        assert probe(head, 1 << 40, more).problem == "header_too_long"
        assert read <= 16 << 20
    assert time.process_time() - start < 5


@quick
@given(
    form=st.sampled_from(FORMATS),
    flips=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 3000),
)
def test_any_bytes_have_facts_or_a_problem(form: str, flips: list[tuple[int, int]], cut: int) -> None:
    mixed = bytearray(saved(form, orientation=3))
    for place, value in flips:
        mixed[place % min(len(mixed), 300)] = value
    found = told(bytes(mixed[:cut]), 64)
    assert found.problem is None or found.problem in PROBLEMS
    if found.problem is None:
        assert found.width
        assert found.height
        assert found.mode


@given(data=st.binary(max_size=200))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    assert told(data).problem is not None


@pytest.mark.filterwarnings("ignore")
def test_hostile_images_without_a_problem_are_those_that_pillow_opens(real: Path) -> None:
    # Pillow refuses its text, of gigabytes when unpacked; its size is told all the same.
    refused = {"pillow_png_decompression_dos.png"}
    seen = 0
    for path in sorted((real / "hostile").iterdir()):
        data = path.read_bytes()
        found = told(data)
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                expected = (opened.width, opened.height, opened.mode)
        except (OSError, SyntaxError, ValueError):
            assert found.problem is not None or path.name in refused, path.name
            continue
        seen += 1
        assert found[:3] == expected, path.name
    assert seen >= 150


def test_real_images_have_no_problem_and_end_whole(real: Path) -> None:
    for path in sorted((real / "ilsvrc2012_val").glob("*.JPEG")):
        data = path.read_bytes()
        assert told(data).problem is None
        assert ends_whole(data[-2:])


def test_a_jpeg_ends_with_its_end_mark() -> None:
    assert ends_whole(b"\xff\xd9")
    assert ends_whole(b"12\xff\xd9")
    assert not any(ends_whole(tail) for tail in (b"", b"\xd9", b"\xff\xd8", b"\xff\xd9\0"))


def test_pillow_is_loaded_only_where_it_is_needed() -> None:
    lines = (
        "import sys",
        "from imagenet_tools.images.probe import probe",
        f"probe({saved('JPEG')!r}, {len(saved('JPEG'))}, None)",
        "assert 'PIL' not in sys.modules",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)
