"""Check an image by its header or by decoding it in full; the only user of Pillow for reading.

Headers of JPEG and PNG are read by `jpeg`. Headers of GIF, BMP, TIFF, WebP and PPM are read by Pillow, by the reader
that the signature names and no other. Pillow applies the orientation of a TIFF itself, so none is returned for it.
"""

from __future__ import annotations

import io
import struct
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, cast

from imagenet_tools.containers.gzip_stream import GZIP_MAGIC
from imagenet_tools.containers.payload import HEAD_BYTES, encoding_of
from imagenet_tools.errors import FormatError, ImagenetToolsError
from imagenet_tools.images.jpeg import ORIENTATION, ImageFacts, More, facts, reader_of

if TYPE_CHECKING:
    from PIL import Image


# Codes of the column problem of the table images.
PROBLEMS = {
    "empty": "no bytes at all",
    "not_an_image": "no signature of JPEG, PNG, GIF, BMP, TIFF, WebP or PPM: often a web page in place of the photo",
    "gzipped": "compressed by gzip, as a few files of the whole ImageNet are: the image is inside",
    "cut_short": "the bytes end before the image's data begin",
    "damaged": "the header breaks the rules of its encoding",
    "no_size": "the header gives no width, or no height, or 0",
    "header_too_long": "the header goes on for longer than is read",
    "unsupported": "of its encoding, but of a kind that Pillow does not read, such as 12 bits a sample",
    "too_many_pixels": "more pixels than are decoded without being asked for: over 89,478,485",
}

# Image.MAX_IMAGE_PIXELS as Pillow ships it: 256 MiB of RGB.
PIXEL_LIMIT = 89_478_485

# Pillow reads the whole of a WebP to open it; other headers are small. Some readers go byte by byte, so each read
# counts as at least _MIN_READ_BYTES.
_MAX_READ_BYTES = 16 << 20
_MIN_READ_BYTES = 512

# Pillow's readers that may see untrusted bytes. The others are many, rare, and have had many security holes.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")

# How an encoding ends; a PNG with the CRC of its last chunk, IEND.
_ENDS = {"jpeg": b"\xff\xd9", "png": b"\xae\x42\x60\x82"}

# Pillow's readers raise these on bad bytes; its own errors derive from them.
PILLOW_ERRORS = (
    ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, SyntaxError, TypeError, ValueError,
    struct.error,
)  # fmt: skip

_MAX_WAITING_IMAGES = 64  # images that Pixels keeps in memory


def probe(head: bytes, length: int, more: More) -> ImageFacts:
    """Return the facts of an image of `length` bytes that begins with `head`; `problem` says what is wrong with it.

    `more(offset, n)` returns bytes behind `head`; 4,096 bytes of head are enough for most images. Bad bytes never
    raise. Errors of `more` are passed on: a failing disk does not make a bad image.
    """
    if length <= 0:
        return _no_facts("empty")
    image_facts = facts(head, length, more) or _by_pillow(head[:length], length, more)
    if image_facts.problem is None and (image_facts.width or 0) * (image_facts.height or 0) > PIXEL_LIMIT:
        return image_facts._replace(problem="too_many_pixels")
    return image_facts


def why_undecodable(data: bytes) -> str:
    """Return why Pillow cannot decode all pixels of an image, in words; "" if it can."""
    try:
        with warnings.catch_warnings(action="ignore"), image(data) as opened:
            opened.load()
    except FormatError as error:
        return str(error)
    except PILLOW_ERRORS as error:
        return f"found {len(data):,} bytes that Pillow does not decode in full ({error}), expected a whole image"
    return ""


def ends_whole(tail: bytes, encoding: str = "jpeg") -> bool:
    """Return True if an image that ends with these four or more bytes ends as its encoding requires.

    Some trainers rewrite a JPEG that does not end with FF D9, so such a file should be copied and not linked.
    """
    return tail.endswith(_ENDS.get(encoding, b""))


def image(data: bytes) -> Image.Image:
    """Return an image as Pillow opens it; its pixels are decoded when they are first used.

    Raises:
        FormatError: The bytes are no image of FORMATS, or one of more than PIXEL_LIMIT pixels. Its code is one of
            PROBLEMS.
    """
    from PIL import Image

    problem = probe(data[:4096], len(data), reader_of(data)).problem
    cause: Exception | None = None
    if problem is None:
        try:
            return Image.open(io.BytesIO(data), formats=FORMATS)
        except PILLOW_ERRORS as error:
            cause = error
    code = problem or "damaged"
    message = f"No image: found {len(data):,} bytes that begin {data[:12]!r}: {PROBLEMS[code]}; expected a whole JPEG."
    raise FormatError(message, code=code) from cause


def rgb(data: bytes, *, at_least: tuple[int, int] | None = None) -> Image.Image:
    """Return an image decoded to RGB, as torchvision's loader does: the EXIF orientation is not applied.

    Args:
        data: The bytes of the image.
        at_least: The decoder of JPEG may scale the image down by 2, 4 or 8, to no less than this width and height.

    Raises:
        FormatError: As `image`, or the pixels cannot be decoded.
    """
    opened = image(data)
    try:
        if at_least is not None:
            opened.draft(None, at_least)
        return opened.convert("RGB")
    except PILLOW_ERRORS as error:
        message = f"No image: found {len(data):,} bytes whose pixels cannot be decoded ({error}); expected a whole "
        raise FormatError(message + f"{opened.format} of {opened.width} x {opened.height}.", code="damaged") from error


class Pixels:
    """Decodes images in full, in threads, and collects what is wrong with them."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor()
        self._waiting: list[tuple[str, bytes]] = []
        self._wrong: list[str] = []
        self.decoded = 0

    def add(self, name: str, data: bytes) -> None:
        """Add an image."""
        self._waiting.append((name, data))
        if len(self._waiting) >= _MAX_WAITING_IMAGES:
            self._decode()

    def finish(self) -> list[str]:
        """Return one sentence for each image that cannot be decoded."""
        self._decode()
        self._pool.shutdown()
        return self._wrong

    def _decode(self) -> None:
        reasons = self._pool.map(why_undecodable, [data for _, data in self._waiting])
        for (name, _), reason in zip(self._waiting, reasons, strict=True):
            if reason:
                self._wrong.append(f"{name}: {reason}")
            else:
                self.decoded += 1
        self._waiting = []


def _no_facts(problem: str, encoding: str | None = None) -> ImageFacts:
    return ImageFacts(None, None, None, encoding, None, problem)


def _by_pillow(head: bytes, length: int, more: More) -> ImageFacts:
    """Return the facts of an image that is neither JPEG nor PNG."""
    file = _LazyFile(head, length, more)
    start = file.read(HEAD_BYTES)
    encoding = encoding_of(start)
    if encoding is None:
        return _no_facts("gzipped" if start.startswith(GZIP_MAGIC) else "not_an_image")
    from PIL import Image

    image_facts = _no_facts("damaged", encoding)
    try:
        with warnings.catch_warnings(action="ignore"):
            opened = Image.open(cast("IO[bytes]", file), formats=(encoding.upper(),))
            image_facts = ImageFacts(opened.width, opened.height, opened.mode, encoding, None, None)
            orientation = opened.getexif().get(ORIENTATION)
    except Image.DecompressionBombError:
        return image_facts._replace(problem="too_many_pixels")
    except PILLOW_ERRORS:
        if file.failure is not None:
            raise file.failure from None
        return image_facts if image_facts.problem is None else image_facts._replace(problem=file.shortage or "damaged")
    if orientation is None or encoding == "tiff":
        return image_facts
    valid = isinstance(orientation, int) and 0 <= orientation < 1 << 15
    return image_facts._replace(orientation=orientation if valid else -1)


class _LazyFile:
    """An image as a file that reads what Pillow asks for, up to a limit of bytes.

    `failure` is what reading raised, to distinguish it from Pillow's errors. `shortage` is the problem of an image
    whose bytes ended, or were too many, before Pillow had read enough.
    """

    def __init__(self, head: bytes, length: int, more: More):
        self._head, self._length, self._more = head, length, more
        self._place = 0
        self._left = _MAX_READ_BYTES
        self.failure: Exception | None = None
        self.shortage: str | None = None

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = (0, self._place, self._length)[whence]
        self._place = max(start + offset, 0)
        return self._place

    def read(self, n: int = -1) -> bytes:
        present = max(self._length - self._place, 0)
        if not 0 <= n <= present:
            self.shortage = self.shortage or "cut_short"
            n = present
        if max(n, _MIN_READ_BYTES) > self._left:
            self.shortage, n = "header_too_long", 0
        self._left -= max(n, _MIN_READ_BYTES)
        data = self._head[self._place : self._place + n]
        if len(data) < n:
            try:
                data = self._more(self._place, n)
            except (OSError, ImagenetToolsError) as error:
                self.failure = error
                raise
        self._place += len(data)
        return data
