"""Lists of images that a selection keeps or leaves out: published ones, files of ids, defects, the blacklist."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from imagenet_tools.errors import UsageError

_BLACKLIST = "ilsvrc2012-val-blacklist"
_SUFFIXES = (".jpeg", ".jpg", ".png", ".webp")
# What may precede a label: a column of a table, a file name, or anything before numbers or a wnid.
_ENDS = (
    re.compile(r"([^\t]+)\t"),
    re.compile(r"([^,]+),"),
    re.compile(r"(.+?\.(?:jpe?g|png|webp))\s", re.IGNORECASE),
    re.compile(r"(.*\S)(?:\s+(?:[-+]?\d+(?:\.\d+)?|n\d{8}))+$"),
)

Rows = list[tuple[object, ...]]

# Damaged, not what its name says, or of colours that loaders stumble over.
DEFECTS = "problem IS NOT NULL OR mode = 'CMYK' OR (encoding <> 'jpeg' AND coalesce(member, file) ILIKE '%.jp%g')"


class Line(NamedTuple):
    """A line of a list, and the ids that it may mean: the first one that is in the index counts."""

    text: str
    ids: tuple[str, ...]


class FoundIds(NamedTuple):
    """The images of a list that are in an index."""

    photos: set[str]  # by a stem, which names a photo in every release that keeps ImageNet's stems
    keys: set[str]  # by dataset/image_id
    unmatched: list[Line]


def absolute(flag: str, text: str, near: Path) -> str:
    """A word's value as it can be kept: a published name or a special one, or the absolute path of a file."""
    from imagenet_tools.catalogue import image_lists

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


def read(text: str) -> list[Line]:
    """Read the images of a published list, or of a file of ids: a line each, with or without folders and suffix.

    A line `n01440764_10026` or `train/n01440764/n01440764_10026.JPEG` names a photo; `ilsvrc2012/n01440764_10026` an
    image of that data set alone. A label behind the image, as in `n01440764/n01440764_10026.JPEG 0`, is no part of
    the id. '#' begins a comment. UsageError: the file has no ids, or is no text.
    """
    from imagenet_tools.catalogue import image_lists

    name = _BLACKLIST if text == "blacklist" else text
    if name in image_lists.names():
        return [Line(stem, (stem,)) for stem in image_lists.get(name).images]
    try:
        lines = Path(text).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{text}: it cannot be read as a text of ids, one a line: {error}.") from error
    found = [stripped for line in lines if (stripped := line.partition("#")[0].strip())]
    if not found:
        raise UsageError(f"{text}: found no ids. Expected one a line, such as n01440764_10026.")
    return [
        Line(line, tuple(dict.fromkeys(one for part in _without_label(line) for one in _ids(part)))) for line in found
    ]


def match(lines: Sequence[Line], datasets: Sequence[str], ask: Callable[[str, dict[str, object]], Rows]) -> FoundIds:
    """Find the images of a list among those of some data sets of an index; of a single data set also by its own ids."""
    values: dict[str, object] = {"_ids": sorted({one for line in lines for one in line.ids}), "_sets": list(datasets)}
    listed, within = "(SELECT unnest($_ids::VARCHAR[]))", "dataset IN (SELECT unnest($_sets::VARCHAR[]))"
    photos = {str(photo) for (photo,) in ask(f"SELECT photo FROM images WHERE photo IN {listed} AND {within}", values)}
    names = "image_id" if len(datasets) == 1 else "NULL"
    key = "dataset || '/' || image_id"
    rows = ask(
        f"SELECT {key}, {names} FROM images WHERE ({key} IN {listed} OR {names} IN {listed}) AND {within}", values
    )
    keys = {str(name): str(key) for key, own in rows for name in (key, own) if name is not None}
    found = FoundIds(set(), set(), [])
    for line in lines:
        one = next((one for one in line.ids if one in photos or one in keys), None)
        if one is None:
            found.unmatched.append(line)
        elif one in photos:
            found.photos.add(one)
        if one in keys:
            found.keys.add(keys[one])
    return found


def _without_label(line: str) -> Iterator[str]:
    """Yield what of a line may be the image: all of it, or all but the label behind it."""
    yield line
    for end in _ENDS:
        if found := end.match(line):
            yield found[1].strip()


def _ids(text: str) -> tuple[str, ...]:
    """Return the ids that a path may mean: its stem if releases share it, or the path without its suffix."""
    from imagenet_tools.wordnet.wnid import SPLIT_FOLDERS, is_wnid, keeps_imagenet_name, without_label

    path = text.replace("\\", "/").removeprefix("./")
    suffixed = path.lower().endswith(_SUFFIXES)
    path = path[: path.rfind(".")] if suffixed else path
    folder, _, name = path.rpartition("/")
    stem = without_label(name)[0]
    if not keeps_imagenet_name(stem):
        return (path,)
    # A path with a suffix is a file, whatever its folders are called. Without one, a data set may precede the id.
    if suffixed or not folder or "/" in folder:
        return (stem,)
    return (path, stem) if is_wnid(folder) or folder in SPLIT_FOLDERS else (path,)
