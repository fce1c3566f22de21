"""Lists of images that a selection keeps or leaves out: published ones, files of ids, defects, the blacklist."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from imagenet_tools.errors import UsageError

_BLACKLIST = "ilsvrc2012-val-blacklist"
_SUFFIXES = (".jpeg", ".jpg", ".png", ".webp")

# Damaged, not what its name says, or of colours that loaders stumble over.
DEFECTS = "problem IS NOT NULL OR mode = 'CMYK' OR (encoding <> 'jpeg' AND coalesce(member, file) ILIKE '%.jp%g')"


class Ids(NamedTuple):
    """Images as a list names them."""

    photos: tuple[str, ...]  # by a stem, which names a photo in every release that keeps ImageNet's stems
    keys: tuple[str, ...]  # by dataset/image_id


def absolute(flag: str, text: str, near: Path) -> str:
    """A word's value as it can be kept: a published name or a special one, or the absolute path of a file."""
    from imagenet_tools.class_lists import image_lists

    special = ("defects", "blacklist") if flag == "--exclude" else ()
    if text in special or text in image_lists.names():
        return text
    if text.startswith("overlap:"):
        raise UsageError(
            f"{flag} {text}: no list of what is shared with {text[8:] or 'others'} is bundled. Give a FILE."
        )
    path = (near / Path(text).expanduser()).absolute()
    if not path.is_file():
        known = ", ".join((*special, *image_lists.names()))
        raise UsageError(f"{flag} {text}: no such list or file. Expected a file of ids, or one of {known}.")
    return str(path)


def read(text: str) -> Ids:
    """The images of a published list, or of a file of ids: a line each, with or without folders and suffix.

    A line `n01440764_10026` or `train/n01440764/n01440764_10026.JPEG` names a photo; `ilsvrc2012/n01440764_10026` an
    image of that data set alone. '#' begins a comment. UsageError: the file has no ids, or is no text.
    """
    from imagenet_tools.class_lists import image_lists

    name = _BLACKLIST if text == "blacklist" else text
    if name in image_lists.names():
        return Ids(image_lists.get(name).images, ())
    path = Path(text)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{text}: it cannot be read as a text of ids, one a line: {error}.") from error
    found = [line.partition("#")[0].strip() for line in lines]
    ids = [_id(line) for line in found if line]
    if not ids:
        raise UsageError(f"{text}: found no ids. Expected one a line, such as n01440764_10026.")
    return Ids(tuple(one for one in ids if "/" not in one), tuple(one for one in ids if "/" in one))


def _id(line: str) -> str:
    """An id: the stem where it is one that releases share, else the line without its suffix."""
    from imagenet_tools.wnid import keeps_imagenet_name, without_label

    path = line.split("\t", maxsplit=1)[0].split(",", maxsplit=1)[0].strip().replace("\\", "/")
    suffixed = path.lower().endswith(_SUFFIXES)
    path = path[: path.rfind(".")] if suffixed else path
    folder, _, name = path.rpartition("/")
    stem = without_label(name)[0]
    # With a suffix it is a file in folders, whatever these are called; without, a data set may stand before the id.
    return stem if keeps_imagenet_name(stem) and (suffixed or not folder or "/" in folder) else path
