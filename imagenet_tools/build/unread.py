"""What is no ImageNet, and why it is not read: named by its content, with what to do next."""

from __future__ import annotations

import os
import re
import shlex
from contextlib import suppress
from typing import TYPE_CHECKING

from imagenet_tools.build.own_exports import exports_in
from imagenet_tools.containers import zip_directory
from imagenet_tools.errors import FormatError
from imagenet_tools.images.image_rows import is_image_name
from imagenet_tools.wordnet.wnid import SPLIT_FOLDERS, keeps_imagenet_name, told_by_path, wnid_of_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# First bytes of a file that tell what it is; an HTML page may begin with a comment, and its title comes later.
_HEAD_BYTES = 4096

# What compressed files begin with, their name, and the command that unpacks one.
_COMPRESSED = (
    (re.compile(rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)"), "bzip2", "bunzip2"),
    (re.compile(rb"\xfd7zXZ\0"), "xz", "unxz"),
    (re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), "zstd", "zstd -d"),
)
_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html|head)\b",
    re.IGNORECASE | re.DOTALL,
)
_TITLE = re.compile(rb"<title[^>]*>\s*(.*?)\s*</title>", re.IGNORECASE | re.DOTALL)
_LFS = re.compile(rb"version https://git-lfs\.github\.com/spec/v\d+\r?\n(?:.*\n)*?size (\d{1,19})\r?\n")

_EMPTY = "an empty file"

# Files and folders that are looked at in a folder, to say what it holds.
_LOOKED_AT = 64
_NAMED = 3
_TITLE_CHARACTERS = 60


def unread_file(path: Path) -> str:
    """Return what a file is, by its first bytes, and what to do; "" for one of which there is nothing to say."""
    with suppress(OSError):
        if not path.is_file():
            return ""  # to open a pipe would wait for ever
        with path.open("rb") as file:
            return _of_bytes(path, file.read(_HEAD_BYTES))
    return ""


def _of_bytes(path: Path, head: bytes) -> str:
    quoted = shlex.quote(str(path))
    if not head:
        return f"{_EMPTY}: copy or download it again"
    if found := _LFS.match(head):
        size = int(found[1])
        return f"a Git LFS pointer to {size:,} bytes, not the file itself: fetch it with `git lfs pull`"
    if _HTML.match(head):
        titled = _TITLE.search(head)
        text = " ".join(titled[1].decode(errors="replace").split()) if titled else ""
        text = "".join(letter for letter in text if letter.isprintable())[:_TITLE_CHARACTERS]
        title = f" titled '{text}'" if text else ""
        return f"an HTML page{title}, not the file that was asked for: log in where it came from, and download it again"
    for beginning, name, command in _COMPRESSED:
        if beginning.match(head):
            return f"compressed by {name}: unpack it once with `{command} {quoted}`, and index what comes out"
    if head.startswith(zip_directory.MAGICS):
        return _of_zip(path)
    return ""


def _of_zip(path: Path) -> str:
    """Return what a zip holds that no form reads, or why it cannot be listed."""
    try:
        names = [member.name for member in zip_directory.first_members(path, 1)]
    except FormatError as error:
        return f"a zip that is broken: {str(error).rstrip('.')}"
    if not names:
        return "an empty zip"
    return (
        f"a zip in which nothing of ImageNet was found, {names[0]!r} first: unpack it once with "
        f"`unzip {shlex.quote(str(path))}`, and index what comes out"
    )


def unread_folder(path: Path) -> str:
    """Return what a folder in which nothing of ImageNet was found is, and what to do; "" where nothing is to be said.

    Exports of this program; class folders whose names tell no class; files that are not what they are called.
    """
    below = [path, *(path / entry.name for entry in sorted(_entries(path), key=lambda one: one.name) if entry.is_dir())]
    exports = next((found for folder in below if (found := exports_in(folder))), [])
    if exports:
        one = exports[0]
        if one.folder == path:
            return f"{one.title}, in which no images are found: index the sources that it was made from"
        names = ", ".join(found.folder.relative_to(path).as_posix() for found in exports)
        return f"a folder with exports that imagenet-tools made ({names}): name one of them, such as {one.folder}"
    for folder in (path, *(path / name for name in SPLIT_FOLDERS)):
        if folder.is_dir() and (what := _unnamed_classes(folder)):
            return what
    named = [(file, what) for file in _files_in(path) if (what := unread_file(file))]
    # An empty file is often meant to be empty, and says least.
    for file, what in sorted(named, key=lambda one: one[1].startswith(_EMPTY)):
        return f"a folder with {file.relative_to(path)}, which is {what}"
    return ""


def _unnamed_classes(folder: Path) -> str:
    """Return what is said of class folders that are called by numbers or words, whose images' names tell no class."""
    names = sorted(entry.name for entry in _entries(folder) if entry.is_dir() and not entry.name.startswith("."))
    images = {}  # the first image of each folder that may be a class
    for name in names[:_LOOKED_AT]:
        first = next((one.name for one in _entries(folder / name) if is_image_name(one.name)), None)
        if first is not None and name not in SPLIT_FOLDERS and not wnid_of_folder(name):
            images[name] = first
    named_otherwise = [name for name, image in images.items() if not keeps_imagenet_name(told_by_path(image).stem)]
    if len(images) < 2 or not named_otherwise:  # one folder of images is no set of classes
        return ""
    sample = f"{named_otherwise[0]}/{images[named_otherwise[0]]}"
    if all(name.isdecimal() for name in images):
        called, shown = "numbers", sorted(images, key=int)[:_NAMED]
        why = "A number means a class only in a known order, and nothing here tells which"
        ask = "`imagenet-tools classes show ilsvrc2012` lists the 1,000 by number, in the order of PyTorch and timm"
    else:
        called, shown = "words", list(images)[:_NAMED]
        why = "A word may mean several classes, and nothing here tells which"
        ask = f"`imagenet-tools find {shlex.quote(shown[0])}` lists the classes that a word may mean"
    more = " ..." if len(names) > _NAMED else ""
    return (
        f"a folder of class folders called by {called} ({', '.join(shown)}{more}), with images such as {sample}. "
        f"{why}. Rename each folder to its wnid: {ask}"
    )


def _files_in(path: Path) -> Iterator[Path]:
    """Yield some files of a folder, and some of each folder in it, by name."""
    entries = sorted(_entries(path), key=lambda entry: entry.name)[:_LOOKED_AT]
    yield from (path / entry.name for entry in entries if entry.is_file())
    for entry in entries:
        if entry.is_dir():
            inside = sorted(_entries(path / entry.name), key=lambda one: one.name)[:_NAMED]
            yield from (path / entry.name / one.name for one in inside if one.is_file())


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield what lies in a folder; nothing of one that cannot be looked into."""
    with suppress(OSError), os.scandir(folder) as entries:
        yield from entries
