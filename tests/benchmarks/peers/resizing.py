"""What others do to make images of 224 pixels on the short side, in two processes, encoded again and written."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from tests.benchmarks import timed

_SHORT, _QUALITY = 224, 90
Resize = Callable[[str, str], None]


def _pillow(source: str, dest: str, decoded: int = _SHORT) -> None:
    from PIL import Image

    with Image.open(source) as image:
        size = _scaled(*image.size)
        image.draft("RGB", (decoded, decoded))
        image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(dest, "JPEG", quality=_QUALITY)


def _opencv(source: str, dest: str) -> None:
    import cv2

    cv2.setNumThreads(1)
    image = cv2.imread(source)
    small = cv2.resize(image, _scaled(image.shape[1], image.shape[0]), interpolation=cv2.INTER_AREA)
    cv2.imwrite(dest, small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])


def _simplejpeg(source: str, dest: str) -> None:
    import cv2
    import simplejpeg

    cv2.setNumThreads(1)
    data = Path(source).read_bytes()
    image = simplejpeg.decode_jpeg(data, min_height=_SHORT, min_width=_SHORT)
    small = cv2.resize(image, _scaled(image.shape[1], image.shape[0]), interpolation=cv2.INTER_AREA)
    Path(dest).write_bytes(simplejpeg.encode_jpeg(small, quality=_QUALITY, colorsubsampling="420"))


def _pyvips(source: str, dest: str) -> None:
    import pyvips

    header = pyvips.Image.new_from_file(source)
    width, height = _scaled(header.width, header.height)
    pyvips.Image.thumbnail(source, width, height=height, size="force").jpegsave(dest, Q=_QUALITY)


def _scaled(width: int, height: int) -> tuple[int, int]:
    scale = _SHORT / min(width, height)
    return max(round(width * scale), _SHORT), max(round(height * scale), _SHORT)


def _class(resize: Resize, dest: str, folder: str) -> int:
    n = 0
    where = Path(dest, os.path.basename(folder))  # noqa: PTH119
    where.mkdir(parents=True)
    for entry in os.scandir(folder):
        resize(entry.path, str(where / entry.name.replace(".JPEG", ".jpg")))
        n += 1
    return n


def _all(resize: Resize, root: str, dest: str) -> Callable[[], int]:
    folders = [entry.path for entry in os.scandir(root)]

    def work() -> int:
        with ProcessPoolExecutor(2) as pool:
            return sum(pool.map(partial(_class, resize, dest), folders))

    return work


def pillow(root: str, dest: str) -> Callable[[], int]:
    """Pillow's scaled decoding and resize."""
    return _all(_pillow, root, dest)


def pillow_twice(root: str, dest: str) -> Callable[[], int]:
    """Pillow, where scaled decoding leaves at least twice the pixels a side, as in ours: equal work."""
    return _all(partial(_pillow, decoded=2 * _SHORT), root, dest)


def opencv(root: str, dest: str) -> Callable[[], int]:
    """OpenCV alone."""
    return _all(_opencv, root, dest)


def simplejpeg(root: str, dest: str) -> Callable[[], int]:
    """simplejpeg's scaled decoding, OpenCV's resize."""
    return _all(_simplejpeg, root, dest)


def pyvips(root: str, dest: str) -> Callable[[], int]:
    """libvips' thumbnail."""
    os.environ["VIPS_CONCURRENCY"] = "1"
    return _all(_pyvips, root, dest)


if __name__ == "__main__":
    timed.run(globals(), __name__)
