"""Read the samples of a tar as WebDataset stores them: consecutive members with the same key.

    n01440764_10026.cls     the key ends at the first dot of the name; the rest is the field
    n01440764_10026.jpg
    n01440764_10026.json

Images are located and not read; the small texts beside them, class number and JSON, are read. In a tar made from a
folder without --sort=name, the members of a key are scattered. Loaders cannot read such a tar; here its samples are
put together.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from imagenet_tools.containers import tar, tar_header
from imagenet_tools.errors import FormatError
from imagenet_tools.images.image_rows import HEAD, is_image_name
from imagenet_tools.images.jpeg import reader_at
from imagenet_tools.images.probe import probe
from imagenet_tools.wordnet.wnid import is_wnid, keeps_imagenet_name, without_label

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imagenet_tools.images.jpeg import More

# How much of a tar is searched for signs that the members of a key are scattered.
_CHECKED_SAMPLES = 64
_TAIL_BYTES = 1 << 16

_MAX_TEXT_BYTES = 1 << 20
_NUMBER = re.compile(rb"-?\d{1,9}")

# Codes that samples() and a sample may report, for the table problems.
PROBLEMS = {
    "no_name": "a sample whose key and filename are none of ImageNet's names; it is not indexed",
    "no_image": "a sample without an image",
    "second_image": "a further image in a sample; the first is kept",
    "json_unread": "a .json that is no object, or is too large for one sample's",
    "label_unread": "a .cls that is no number, or a number that is no class; the name's class is kept",
    "stray_file": "a member that is no file",
}


@dataclass
class Sample:
    """The members of a tar that have the same key."""

    key: str
    image: tar.Member | None = None
    head: bytes = b""  # first bytes of the image
    fields: list[str] = field(default_factory=list)  # other members
    texts: set[str] = field(default_factory=set)  # "cls" and "json", if they were read
    number: int | None = None  # content of the .cls
    problems: list[tuple[str, str]] = field(default_factory=list)  # (code, reason)
    facts: dict[str, Any] = field(default_factory=dict)  # content of the JSON
    apart: bool = False  # its members are scattered
    size_before: str = ""  # its size before it was resized, in words; set by first_samples() only

    @property
    def exported(self) -> bool:
        """Return True if an export of this project wrote it: its JSON identifies the image and its class."""
        values = [self.facts.get(name) for name in ("dataset", "image_id", "photo", "wnid")]
        return all(isinstance(value, str) for value in values) and is_wnid(self.facts["wnid"])

    @property
    def stem_and_wnid(self) -> tuple[str, str | None] | None:
        """Return (the image's stem in ImageNet's spelling, the class appended to it); None if nothing names it."""
        if self.exported:
            return self.facts["image_id"], None
        for name in (self.key, self.facts.get("filename"), self.facts.get("image_id")):
            if isinstance(name, str):
                stem, appended_wnid = without_label(re.sub(r"\.[A-Za-z]+\Z", "", name.rpartition("/")[2]))
                if keeps_imagenet_name(stem):
                    return stem, appended_wnid
        return None

    @property
    def wnid(self) -> str | None:
        """Return the class that the JSON states as a wnid, as timm's `class_name` does."""
        values = (self.facts.get(name) for name in ("wnid", "class_name", "synset"))
        return next((value for value in values if isinstance(value, str) and is_wnid(value)), None)

    @property
    def labels(self) -> list[int]:
        """Return the class numbers of the .cls and the JSON, without repeats; none for an export of this project.

        The numbers of an export count its own classes, and its JSON states the class.
        """
        if self.exported:
            return []
        numbers = (self.number, self.facts.get("label"))
        return list(dict.fromkeys(number for number in numbers if isinstance(number, int)))

    def resized(self, width: int | None, height: int | None) -> str:
        """Return the image's size before it was resized, in words, if the JSON states another size; else ""."""
        if self.exported:
            return "another number of" if self.facts.get("resized") is True else ""
        original = self.facts.get("orig_width"), self.facts.get("orig_height")
        stated = self.facts.get("width"), self.facts.get("height")
        if all(isinstance(side, int) for side in original):
            return f"{original[0]} x {original[1]}"
        if width and height and all(isinstance(side, int) for side in stated) and stated != (width, height):
            return f"{stated[0]} x {stated[1]}"
        return ""


def first_samples(path: Path, n: int) -> list[Sample]:
    """Return the first n samples of a tar; none if it is no tar, or one of images alone."""
    if not tar.is_tar(path):
        return []
    seen: list[Sample] = []
    # The samples before a break identify the form. The scan reports the break.
    with path.open("rb", buffering=0) as file, contextlib.suppress(FormatError):
        for sample in islice(samples(file.fileno(), path.name), n):
            if image := sample.image:
                facts = probe(sample.head, image.size, reader_at(file.fileno(), image.offset))
                sample.size_before = sample.resized(facts.width, facts.height)
            seen.append(sample)
    return seen if any(sample.image and sample.texts for sample in seen) else []


def samples(fd: int, label: str) -> Iterator[Sample]:
    """Yield the samples of an open tar, in its order.

    Raises:
        FormatError: The tar is damaged. Raised after the samples before the break; the text begins with `label`.
    """
    return _grouped(fd, label, scattered=_are_scattered(fd))


def _grouped(fd: int, label: str, *, scattered: bool) -> Iterator[Sample]:
    """Yield samples: with `scattered` all members of a key, otherwise members of a key that follow each other."""
    held: dict[str, Sample] = {}  # all samples if they are scattered, otherwise the last one
    fault: FormatError | None = None
    try:
        for member, head in tar.walk_ahead(fd, ahead=0 if scattered else HEAD):
            if member.kind == "dir":
                continue
            key, ext = _key(member.name)
            if not scattered and held and key not in held:
                yield held.popitem()[1]
            _put(held.setdefault(key, Sample(key, apart=scattered)), fd, member, head, ext)
    except FormatError as error:
        fault = error
    for sample in held.values():
        if scattered and sample.image is not None:
            sample.head = os.pread(fd, min(HEAD, sample.image.size), sample.image.offset)
        # If the archive breaks before a sample's image, only the break is reported.
        if fault is None or sample.image is not None:
            yield sample
    if fault is not None:
        raise FormatError(f"{label}: {fault}", code=fault.code, member=fault.member)


def _are_scattered(fd: int) -> bool:
    """Return True if a key comes back after another one, so that the members of a sample are scattered.

    All headers must be read to know. This is done only if the first samples or the end of the tar give a sign: a text
    without an image, or an image without texts and texts at the end. A tar of images alone, or in order, has neither.
    """
    first: list[Sample] = []
    with contextlib.suppress(FormatError):
        first.extend(islice(_grouped(fd, "", scattered=False), _CHECKED_SAMPLES))
    lone_texts = any(sample.texts and not sample.image for sample in first)
    lone_images = any(sample.image and not sample.texts for sample in first)
    if not lone_texts and not (lone_images and ends_in_texts(reader_at(fd, 0), os.fstat(fd).st_size)):
        return False
    seen: set[str] = set()
    last = ""
    with contextlib.suppress(FormatError):
        for member in tar.walk(fd):
            key = _key(member.name)[0]
            if member.kind != "dir" and key != last:
                if key in seen:
                    return True
                seen.add(key)
                last = key
    return False


def ends_in_texts(read: More, size: int) -> bool:
    """Return True if the last 64 KiB of a tar hold the header of a .cls or .json; read(offset, n) returns its bytes."""
    end = size // tar_header.BLOCK * tar_header.BLOCK
    tail = read(max(end - _TAIL_BYTES, 0), min(_TAIL_BYTES, end))
    blocks = (tail[at : at + tar_header.BLOCK] for at in range(0, len(tail), tar_header.BLOCK))
    suffixes = (b".cls", b".json")
    return any(block[:100].rstrip(b"\0").endswith(suffixes) and tar_header.is_header(block) for block in blocks)


def _key(name: str) -> tuple[str, str]:
    """Return the key and the field of a member: the key ends at the first dot behind the folders."""
    above, slash, last = name.rpartition("/")
    stem, _, ext = last.partition(".")
    return (above + slash + stem if stem else name), ext.lower()


def _put(sample: Sample, fd: int, member: tar.Member, head: bytes, ext: str) -> None:
    """Put a member into its sample."""
    if member.kind != "file":
        sample.problems.append(("stray_file", f"a {member.kind}, no part of a sample"))
    elif ext in {"cls", "json"}:
        if member.size > _MAX_TEXT_BYTES:
            code = "label_unread" if ext == "cls" else "json_unread"
            sample.problems.append((code, f"a .{ext} of {member.size:,} bytes; at most {_MAX_TEXT_BYTES:,} are read"))
        else:
            _read_text(sample, ext, head if len(head) == member.size else os.pread(fd, member.size, member.offset))
    elif not is_image_name(member.name):
        sample.fields.append(ext)
    elif sample.image is None:
        sample.image, sample.head = member, head
    else:
        sample.problems.append(("second_image", f"{member.name} is beside {sample.image.name}, which is kept"))


def _read_text(sample: Sample, ext: str, text: bytes) -> None:
    """Read the class number of a .cls, or the facts of a .json."""
    sample.texts.add(ext)
    if ext == "cls":
        if _NUMBER.fullmatch(text.strip()):
            sample.number = int(text)
        else:
            sample.problems.append(("label_unread", f"the .cls is {text.strip()[:40]!r}; expected a number"))
        return
    facts: object = None
    with contextlib.suppress(ValueError, RecursionError):
        facts = json.loads(text)
    if isinstance(facts, dict):
        sample.facts = facts
    else:
        sample.problems.append(("json_unread", f"the .json is {text[:40]!r}; expected an object"))
