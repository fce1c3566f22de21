"""Say what a file or folder that no form reads is, by its content, and what the user can do next."""

from __future__ import annotations

import os
import re
import shlex
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from imagenet_tools.build.named_folders import guess
from imagenet_tools.build.own_exports import exports_in
from imagenet_tools.containers import tar, tar_header, zip_directory
from imagenet_tools.containers.payload import encoding_of
from imagenet_tools.errors import FormatError
from imagenet_tools.images.class_folders import is_folder
from imagenet_tools.images.image_rows import is_image_name
from imagenet_tools.text import count_of
from imagenet_tools.wordnet.wnid import SPLIT_FOLDERS, keeps_imagenet_name, path_facts, wnid_of_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# First bytes of a file that are looked at. An HTML page may begin with a comment, and its title comes later.
_HEAD_BYTES = 4096

# The first bytes of compressed files, the name of the compression, and the command that unpacks one.
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

# A part of a name by which a file may belong to ImageNet.
_IMAGENET_NAME = re.compile(r"n\d{8}|ilsvrc|imagenet", re.IGNORECASE)
_NO_NAME = "no name is a wnid or one of ImageNet's"
_TO_CLASS_FOLDERS = "put the images of each class in a folder called by its wnid, such as"

_MAX_ENTRIES = 64  # files and folders of a folder, or members of an archive, that are looked at
_MAX_NAMED = 3  # files and folders that a message names
_MAX_TITLE_CHARACTERS = 60


def unread_file(path: Path) -> str:
    """Return what a file is, by its first bytes, and what to do; "" for a file of no known kind."""
    return _image(path) or _no_image(path)


def _image(path: Path) -> str:
    """Return what to do with a single image; "" for another file."""
    head = _head(path)
    encoding = encoding_of(head) if head else None
    if encoding is None:
        return ""
    folder = f"n02085620/{path.name}"
    return (
        f"one {encoding.upper()} image by itself: put it in a folder called by its wnid, such as {folder}, and index "
        "the folder around that one"
    )


def _head(path: Path) -> bytes | None:
    """Return the first bytes of a file; None if it cannot be read or is none."""
    try:
        if not path.is_file():  # opening a pipe would block
            return None
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError:
        return None


def _no_image(path: Path) -> str:
    """Return what a file that is no image is, and what to do; "" for a file of no known kind."""
    head = _head(path)
    if head is None:
        return ""
    if not head:
        return f"{_EMPTY}: copy or download it again"
    if pointer := _LFS.match(head):
        return f"a Git LFS pointer to {int(pointer[1]):,} bytes, not the file itself: fetch it with `git lfs pull`"
    if _HTML.match(head):
        element = _TITLE.search(head)
        text = " ".join(element[1].decode(errors="replace").split()) if element else ""
        text = "".join(letter for letter in text if letter.isprintable())[:_MAX_TITLE_CHARACTERS]
        title = f" titled '{text}'" if text else ""
        return f"an HTML page{title}, not the file that was asked for: log in where it came from, and download it again"
    quoted = shlex.quote(str(path))
    for pattern, name, command in _COMPRESSED:
        if pattern.match(head):
            return f"compressed by {name}: unpack it once with `{command} {quoted}`, and index what comes out"
    return _unread_archive(path, head)


def _unread_archive(path: Path, head: bytes) -> str:
    """Return what a zip, a tar or a gzip file is, and what to do; "" for another file."""
    quoted = shlex.quote(str(path))
    try:
        if head.startswith(zip_directory.MAGICS):
            names = [member.name for member, _ in zip_directory.first_members(path, _MAX_ENTRIES)]
            return _archive("a zip", names, zip_directory.unzip_command(path))
        if tar.is_gzip(path):
            try:
                return _archive("a compressed tar", _names_in_tar(path), f"gunzip {quoted}")
            except FormatError as error:
                if error.code.startswith("gzip"):
                    return f"a gzip file that is broken: {str(error).rstrip('.')}"
                return f"a gzip file that holds no tar: unpack it once with `gunzip {quoted}`, and index what comes out"
        if tar.is_tar(path):
            return _archive("a tar", _names_in_tar(path), f"tar -xf {quoted}")
        return "an empty tar" if len(head) >= tar_header.BLOCK and not any(head) else ""
    except FormatError as error:
        kind = "zip" if head.startswith(zip_directory.MAGICS) else "tar"
        return f"a {kind} that is broken: {str(error).rstrip('.')}"
    except OSError:
        return ""


def _names_in_tar(path: Path) -> list[str]:
    return [member.name for member in islice(tar.members(path), _MAX_ENTRIES) if member.kind != "dir"]


def _archive(kind: str, names: list[str], command: str) -> str:
    """Return what an archive with these first members is, and how to unpack it if a name may be one of ImageNet's."""
    if not names:
        return kind.replace("a ", "an empty ")
    images = [name for name in names if is_image_name(name)]
    n = f"{_MAX_ENTRIES} or more images" if len(images) == _MAX_ENTRIES else count_of(len(images), "image")
    content = f"{kind} of {n}, {images[0]} first" if images else f"{kind} of files, {names[0]} first"
    if any(map(_IMAGENET_NAME.search, names)):
        return f"{content}: unpack it once with `{command}`, and index what comes out"
    advice = f": {_TO_CLASS_FOLDERS} n02085620/{images[0].rpartition('/')[2]}" if images else ""
    return f"{content}; {_NO_NAME}{advice}"


def unread_folder(path: Path) -> str:
    """Return what a folder without ImageNet is, and what to do; "" for a folder of no known kind.

    Known are exports of this program, class folders whose names give no class, and files of another kind than their
    name says.
    """
    folders = [path, *(path / entry.name for entry in _entries(path) if is_folder(entry))]
    exports = next((exports for folder in folders if (exports := exports_in(folder))), [])
    if exports:
        first = exports[0]
        if first.folder == path:
            return f"{first.title}, in which no images are found: index the sources that it was made from"
        names = ", ".join(export.folder.relative_to(path).as_posix() for export in exports)
        return f"a folder with exports that imagenet-tools made ({names}): name one of them, such as {first.folder}"
    for folder in (path, *(path / name for name in SPLIT_FOLDERS)):
        if folder.is_dir() and (reason := _unnamed_classes(folder)):
            return reason
    reasons = [(file, reason) for file in _some_files(path) if (reason := _no_image(file))]
    if not reasons:
        return _images_in(path)
    # An empty file says least, and is often meant to be empty.
    file, reason = min(reasons, key=lambda pair: pair[1].startswith(_EMPTY))
    return f"a folder with {file.relative_to(path)}, which is {reason}"


def _unnamed_classes(folder: Path) -> str:
    """Return what to do with class folders named by numbers or words, whose images' names give no class."""
    names = [entry.name for entry in _entries(folder) if is_folder(entry) and not entry.name.startswith(".")]
    first_images = {}  # by folder that may be a class
    for name in names[:_MAX_ENTRIES]:
        image = next((entry.name for entry in _listed(folder / name) if is_image_name(entry.name)), None)
        if image is not None and name not in SPLIT_FOLDERS and not wnid_of_folder(name):
            first_images[name] = image
    unnamed = (name for name, image in first_images.items() if not keeps_imagenet_name(path_facts(image).stem))
    sample = next(unnamed, None)
    if len(first_images) < 2 or sample is None:  # one folder of images is no set of classes
        return ""
    if all(name.isdecimal() for name in first_images):
        kind, shown = "numbers", sorted(first_images, key=int)[:_MAX_NAMED]
        why = "A number means a class only in a known order, and nothing here tells which"
        advice = "`imagenet-tools classes show ilsvrc2012` lists the 1,000 by number, in the order of PyTorch and timm"
    else:
        kind, shown = "words", list(first_images)[:_MAX_NAMED]
        why = "A word may mean several classes, and nothing here tells which"
        advice = f"`imagenet-tools find {shlex.quote(shown[0])}` lists the classes that a word may mean"
    more = " ..." if len(names) > _MAX_NAMED else ""
    listed = guess(list(first_images))
    likely = f", perhaps --class-names {listed}" if listed else ""
    return (
        f"a folder of class folders called by {kind} ({', '.join(shown)}{more}), with images such as "
        f"{sample}/{first_images[sample]}. {why}. Say it with --class-names FILE|LIST{likely}, or rename "
        f"each folder to its wnid: {advice}"
    )


def _images_in(path: Path) -> str:
    """Return what to do with the images of the first folder that has some; "" if names may be ImageNet's."""
    folders = [path]
    for folder in folders:  # grows: breadth first, and at most _MAX_ENTRIES folders, for links may go round
        entries = _entries(folder)
        images = [entry.name for entry in entries if is_image_name(entry.name)]
        if images:
            place = folder.relative_to(path).as_posix()
            if any(map(_IMAGENET_NAME.search, [place, *images])):
                return ""
            inside = "" if folder == path else f" in {place}/"
            return (
                f"a folder with {count_of(len(images), 'image')}{inside}, {images[0]} first; {_NO_NAME}: "
                f"{_TO_CLASS_FOLDERS} n02085620/{images[0]} (`imagenet-tools find dog` lists wnids)"
            )
        below = [folder / entry.name for entry in entries if is_folder(entry)]
        folders += below[: _MAX_ENTRIES - len(folders)]
    return ""


def _some_files(path: Path) -> list[Path]:
    """Return some files of a folder, then some of each folder in it, sorted by name."""
    entries = _entries(path)[:_MAX_ENTRIES]
    files = [path / entry.name for entry in entries]
    for folder in filter(is_folder, entries):
        files += [path / folder.name / entry.name for entry in _entries(path / folder.name)[:_MAX_NAMED]]
    return [file for file in files if file.is_file()]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder, sorted by name."""
    return sorted(_listed(folder), key=lambda entry: entry.name)


def _listed(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the entries of a folder in the order of the disk; none of a folder that cannot be opened."""
    with suppress(OSError), os.scandir(folder) as entries:
        yield from entries
