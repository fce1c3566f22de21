"""An image's facts and what is wrong with its bytes, from its header alone; the only user of Pillow for reading.

JPEG and PNG are read by `jpeg`. GIF, BMP, TIFF, WebP and PPM go through Pillow, each to the reader that its signature
names and to no other. A TIFF is told as Pillow gives it: turned already, and so without an orientation.
"""

from __future__ import annotations

import io
import struct
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, cast

from imagenet_tools.containers.payload import HEAD_BYTES, encoding_of
from imagenet_tools.errors import FormatError, ImagenetToolsError
from imagenet_tools.images.jpeg import Begun, ImageFacts, More, facts

if TYPE_CHECKING:
    from PIL import Image


# The codes of the column problem of the table images, and what each says.
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

# Pillow's own first limit, Image.MAX_IMAGE_PIXELS as shipped: 256 MiB of RGB.
PIXEL_LIMIT = 89_478_485

# Pillow reads the whole of a WebP to open it; other headers are small. A read counts as this many bytes at least, for
# some readers go byte by byte.
_READ_LIMIT, _READ_COST = 16 << 20, 512

# The readers that may see bytes from strangers, by Pillow's names; the others are many, rare, and have had many holes.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
_GZIP = b"\x1f\x8b"
_ORIENTATION = 0x0112
_ENDS = {"jpeg": b"\xff\xd9", "png": b"\xae\x42\x60\x82"}  # of a PNG, the CRC of its last chunk, IEND

# What Pillow's readers raise on bad bytes, beside its own errors, which derive from these.
PILLOW_ERRORS = (
    ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, SyntaxError, TypeError, ValueError,
    struct.error,
)  # fmt: skip


def probe(head: bytes, length: int, more: More, begun: Begun | None = None) -> ImageFacts:
    """The facts of an image of `length` bytes that begins with `head`; what is wrong with it is its `problem`.

    `more(offset, n)` is asked for the bytes from `offset` of the image that `head` does not hold. What it raises is
    passed on: a disk that fails is no bad image. Bad bytes never raise. 4,096 bytes of head are enough for most.
    A JPEG's header may have been `begun`.
    """
    if length <= 0:
        return _nothing("empty")
    found = facts(head, length, more, begun)
    if found is None:
        found = _by_pillow(head[:length], length, more)
    if found.problem is None and (found.width or 0) * (found.height or 0) > PIXEL_LIMIT:
        return found._replace(problem="too_many_pixels")
    return found


def why_undecodable(data: bytes) -> str:
    """Return why Pillow stops before the last pixel of an image, in words; "" if it decodes all of them."""
    try:
        with warnings.catch_warnings(action="ignore"), image(data) as opened:
            opened.load()
    except FormatError as error:
        return str(error)
    except PILLOW_ERRORS as error:
        return f"found {len(data):,} bytes that Pillow does not decode in full ({error}), expected a whole image"
    return ""


def ends_whole(tail: bytes, encoding: str = "jpeg") -> bool:
    """Whether an image that ends with these bytes, four at least, ends as its encoding must; true where none must.

    Some trainers write a JPEG anew that does not end with FF D9, so such a file is better copied than linked.
    """
    return tail.endswith(_ENDS.get(encoding, b""))


def image(data: bytes) -> Image.Image:
    """The image in these bytes, as Pillow opens it: its pixels are decoded when they are first asked for.

    Raises FormatError, its code one of PROBLEMS, where the bytes are no image of the known kinds, or one of more than
    PIXEL_LIMIT pixels.
    """
    from PIL import Image

    found = probe(data[:4096], len(data), lambda offset, n: data[offset : offset + n])
    cause: Exception | None = None
    if found.problem is None:
        try:
            return Image.open(io.BytesIO(data), formats=FORMATS)
        except PILLOW_ERRORS as error:
            cause = error
    code = found.problem or "damaged"
    message = f"No image: found {len(data):,} bytes that begin {data[:12]!r}: {PROBLEMS[code]}; expected a whole JPEG."
    raise FormatError(message, code=code) from cause


def rgb(data: bytes) -> Image.Image:
    """The image in these bytes, decoded to RGB as torchvision's loader does: the EXIF orientation is not applied.

    Raises FormatError as `image` does, and where the pixels cannot be decoded.
    """
    opened = image(data)
    try:
        return opened.convert("RGB")
    except PILLOW_ERRORS as error:
        message = f"No image: found {len(data):,} bytes whose pixels cannot be decoded ({error}); expected a whole "
        raise FormatError(message + f"{opened.format} of {opened.width} x {opened.height}.", code="damaged") from error


def _nothing(problem: str, encoding: str | None = None) -> ImageFacts:
    return ImageFacts(None, None, None, encoding, None, problem)


def _by_pillow(head: bytes, length: int, more: More) -> ImageFacts:
    file = _Lazy(head, length, more)
    start = file.read(HEAD_BYTES) or b""
    encoding = encoding_of(start)
    if encoding is None:
        return _nothing("gzipped" if start.startswith(_GZIP) else "not_an_image")
    from PIL import Image

    found = _nothing("damaged", encoding)
    try:
        with warnings.catch_warnings(action="ignore"):
            opened = Image.open(cast("IO[bytes]", file), formats=(encoding.upper(),))
            found = ImageFacts(opened.width, opened.height, opened.mode, encoding, None, None)
            written = opened.getexif().get(_ORIENTATION)
    except Image.DecompressionBombError:
        return found._replace(problem="too_many_pixels")
    except PILLOW_ERRORS:
        if file.failure is not None:
            raise file.failure from None
        return found if found.problem is None else found._replace(problem=file.shortage or "damaged")
    if written is not None and encoding != "tiff":  # Pillow turns a TIFF by itself, its size included
        plain = isinstance(written, int) and 0 <= written < 1 << 15
        found = found._replace(orientation=written if plain else -1)
    return found


class _Lazy(io.RawIOBase):
    """The bytes of an image as a file that reads what Pillow asks for, up to a limit.

    `failure` is what reading raised, to be told from what Pillow raises; `shortage` the problem of bytes that were
    asked for and were not to be had.
    """

    def __init__(self, head: bytes, length: int, more: More):
        self._head, self._length, self._more = head, length, more
        self._place, self._left = 0, _READ_LIMIT
        self.failure: Exception | None = None
        self.shortage: str | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._length}[whence]
        self._place = max(start + offset, 0)
        return self._place

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        n = max(min(len(buffer), self._length - self._place), 0)
        if n < len(buffer):
            self.shortage = self.shortage or "cut_short"
        if max(n, _READ_COST) > self._left:
            self.shortage, n = "header_too_long", 0
        self._left -= max(n, _READ_COST)
        data = self._head[self._place : self._place + n]
        if len(data) < n:
            try:
                data = self._more(self._place, n)
            except (OSError, ImagenetToolsError) as error:
                self.failure = error
                raise
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)


# ---- Decode images in full, many at a time: Pillow lets other threads run while it decodes.


_AT_ONCE = 64  # images whose bytes are in memory


class Pixels:
    """Takes the bytes of images, and keeps what is wrong with those that Pillow does not decode in full."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor()
        self._waiting: list[tuple[str, bytes]] = []
        self._wrong: list[str] = []
        self.decoded = 0

    def add(self, name: str, data: bytes) -> None:
        """Take an image."""
        self._waiting.append((name, data))
        if len(self._waiting) >= _AT_ONCE:
            self._decode()

    def finish(self) -> list[str]:
        """Return what is wrong, an image each."""
        self._decode()
        self._pool.shutdown()
        return self._wrong

    def _decode(self) -> None:
        names, data = zip(*self._waiting, strict=True) if self._waiting else ((), ())
        self._waiting = []
        for name, why in zip(names, self._pool.map(why_undecodable, data), strict=True):
            if why:
                self._wrong.append(f"{name}: {why}")
            self.decoded += not why
