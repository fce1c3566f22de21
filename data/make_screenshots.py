"""Take the pictures of the explorer in README.md, of the drawn sample, into docs/images/: wide, on a phone, in dark.

    python data/make_screenshots.py

It needs Chromium. A page is photographed when its counts and pictures are there.
"""

import contextlib
import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image

import imagenet_tools as imt

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_QUALITY = 80  # of WebP
_PATIENCE_SECONDS = 120.0
_SETTLE_MS = 20_000  # of the page's own clock, which waits for what it loads


class Screenshot(NamedTuple):
    """A picture of a page: its name, the address, the size in CSS pixels, and flags of Chromium."""

    name: str
    path: str
    width: int
    height: int
    flags: tuple[str, ...] = ()


SCREENSHOTS = (
    Screenshot("explorer-wide", "/synset/n02084071?boxes_drawn=1", 1280, 900),
    Screenshot("explorer-phone", "/image/25", 390, 844),
    Screenshot("explorer-dark", "/synset/n00003553?level=11", 1280, 900, ("--force-dark-mode",)),
)


@contextlib.contextmanager
def website(index: Path) -> Iterator[tuple[str, str]]:
    """Yield the base of the address of the explorer of an index, and its token."""
    command = [sys.executable, "-m", "imagenet_tools", "explore", str(index), "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = process.stdout.readline().strip() if process.stdout else ""
        base, _, token = address.partition("/?token=")
        yield base, token
    finally:
        process.terminate()
        process.wait()


def with_token(address: str, token: str) -> str:
    """Return the address of a page that lets a new browser in."""
    return f"{address}{'&' if '?' in address else '?'}token={token}"


def wait_for(address: str, token: str) -> None:
    """Wait until a page has its counts, and each of its pictures was made once."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while "being counted" in (page := opener.open(with_token(address, token)).read().decode()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{address} is not counted after {_PATIENCE_SECONDS:g} s")
        time.sleep(0.2)
    base = "/".join(address.split("/")[:3])
    for path in re.findall(r'<img src="([^"]+)"', page):
        with contextlib.suppress(urllib.error.HTTPError):  # an image of the sample that is cut on purpose
            opener.open(base + path.replace("&amp;", "&")).read()


def take(browser: str, screenshot: Screenshot, base: str, token: str) -> Image.Image:
    """Return the picture of a page."""
    address = base + screenshot.path
    wait_for(address, token)
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "page.png")
        command = [
            browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *screenshot.flags,
            f"--user-data-dir={folder}/profile", f"--window-size={screenshot.width},{screenshot.height}",
            f"--virtual-time-budget={_SETTLE_MS}", f"--screenshot={picture}",
            with_token(address, token),
        ]  # fmt: skip
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return Image.open(io.BytesIO(picture.read_bytes())).convert("RGB")


def main() -> int:
    """Build the index of the sample, and take the pictures."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print(f"found none of {', '.join(BROWSERS)}; expected one, to photograph the explorer", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        sample = ROOT / "data" / "sample"
        index = Path(folder, "imagenet.index")
        imt.build_index(sorted(path for path in sample.iterdir() if path.name.startswith("ILSVRC")), index)
        with website(index) as (base, token):
            for screenshot in SCREENSHOTS:
                path = IMAGES / f"{screenshot.name}.webp"
                take(browser, screenshot, base, token).save(path, quality=_QUALITY, method=6)
                print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
