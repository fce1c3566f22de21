"""A static copy of the pages of some synsets: a folder that opens from the disk, without a server.

DIR/index.html              the synsets
    n02085620.html          a page for each synset, with its first images
    image-123.html          a page for each image that they show
    thumbnail-123.jpg  full-123.jpg
    style.css  icon.svg
"""

from __future__ import annotations

import re
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.errors import FormatError
from imagenet_tools.explorer import synset_page, views
from imagenet_tools.explorer.addresses import Address
from imagenet_tools.explorer.rendering import as_file
from imagenet_tools.storage.files import fsync_folder, publish_folder, refuse_taken
from imagenet_tools.wordnet import wordnet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from imagenet_tools.explorer.pages import Pages

_LINK = re.compile(r'(<a\b[^>]*?)\shref="([^"]*)"')
_SCRIPTS = re.compile(r"\s*<script\b[^>]*></script>|<meta name=\"htmx-config\"[^>]*>|<form\b.*?</form>", re.DOTALL)
_STATIC = ("style.css", "icon.svg")


def write(pages: Pages, folder: Path, wnids: Iterable[str], static: Path) -> int:
    """Write the copy as a new folder, and return the number of images that could not be shown.

    Args:
        pages: The pages of the website.
        folder: A path where nothing is.
        wnids: The synsets.
        static: The folder of the style sheet.

    Raises:
        ExistsError: Something is at `folder`.
    """
    refuse_taken(str(folder))
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.partial")
    partial.mkdir(parents=True)
    try:
        n_problems = _write(pages, partial, list(dict.fromkeys(wnids)), static)
        fsync_folder(partial)
        publish_folder(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return n_problems


def _write(pages: Pages, folder: Path, wnids: list[str], static: Path) -> int:
    for name in _STATIC:
        shutil.copyfile(static / name, folder / name)
    documents: dict[str, str] = {}
    numbers: dict[int, None] = {}
    for wnid in wnids:
        address = Address(f"/synset/{wnid}", {"boxes_drawn": "1"})
        view = synset_page.synset(pages.site, address, wnid)
        documents[f"{wnid}.html"] = pages.html(view, address, wordnet.row_of(wnid))
        numbers |= dict.fromkeys(image["number"] for image in view.data["shown"])
        (folder / f"{wnid}.json").write_bytes(as_file(".json", *view.rows, view.data))
        (folder / f"{wnid}.csv").write_bytes(as_file(".csv", *view.rows, view.data))
    for number in numbers:
        view = views.image(pages.site, number)
        documents[f"image-{number}.html"] = pages.html(view, Address(f"/image/{number}", {}), tree=False)
    files = {f"/synset/{wnid}": f"{wnid}.html" for wnid in wnids}
    files |= {f"/synset/{wnid}{suffix}": f"{wnid}{suffix}" for wnid in wnids for suffix in (".json", ".csv")}
    files |= {f"/image/{number}": f"image-{number}.html" for number in numbers} | {"/": "index.html"}
    for name, text in documents.items():
        (folder / name).write_text(_local(text, files), encoding="utf-8")
    index = pages.templates.get_template("copy.html").render(wnids=wnids, address=Address("/", {}), tree=None)
    (folder / "index.html").write_text(_local(index, files), encoding="utf-8")
    n_problems = 0
    for number in numbers:
        for size, fit in (("thumbnail", 256), ("full", None)):
            try:
                data = pages.picture(number, fit=fit, drawn=True)
            except FormatError:
                n_problems += size == "full"
            else:
                (folder / f"{size}-{number}.jpg").write_bytes(data)
    return n_problems


def _local(text: str, files: Mapping[str, str]) -> str:
    """Return a page whose links and pictures are files of the copy; other links become plain text."""

    def link(match: re.Match[str]) -> str:
        path, _, part = match[2].replace("&amp;", "&").partition("#")
        path = path.partition("?")[0]
        if not path and part:
            return match[0]
        return f'{match[1]} href="{files[path]}"' if path in files else match[1]

    text = _LINK.sub(link, _SCRIPTS.sub("", text))
    text = re.sub(r'src="/image/(\d+)/(thumbnail|full)[^"]*"', r'src="\2-\1.jpg"', text)
    return text.replace('href="/static/', 'href="')
