"""JPEGs that take a decoder far more time or memory than their bytes suggest."""

import io

from PIL import Image


def jpeg(size: tuple[int, int], **options: object) -> bytes:
    """Return a JPEG of one colour."""
    Image.new("RGB", size, "#b0413e").save(out := io.BytesIO(), "JPEG", **options)
    return out.getvalue()


def with_scans(data: bytes, n: int) -> bytes:
    """Repeat the last scan of a progressive JPEG."""
    start = data.rindex(b"\xff\xda")
    return data[:start] + data[start:-2] * n + data[-2:]


def slow_jpeg(n: int) -> bytes:
    """Return a JPEG within the limits of scans and pixels that takes seconds to decode; `n` makes it another one."""
    data = with_scans(jpeg((9_000, 9_000), progressive=True), 80)
    return data[:2] + b"\xff\xfe\x00\x04" + n.to_bytes(2, "big") + data[2:]
