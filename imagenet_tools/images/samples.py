"""Samples in a tar, as WebDataset has them: the members of one key, which follow each other, and what they say.

    n01440764_10026.cls     the key goes up to the first dot of the name; the rest is the field
    n01440764_10026.jpg
    n01440764_10026.json

An image is placed and not read; the small texts beside it, the class number and the JSON, are. A tar made of a folder
without --sort=name has the members of a key apart; loaders cannot read it, and here its samples are put together.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from imagenet_tools.catalogue import labels
from imagenet_tools.containers import tar, tar_header
from imagenet_tools.errors import FormatError
from imagenet_tools.images.image_rows import is_image_name
from imagenet_tools.images.probe import probe
from imagenet_tools.wordnet.wnid import is_wnid, keeps_imagenet_name, without_label, wnid_of_stem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Samples that are looked at to tell whether the members of a key lie apart, and bytes of the tar's end.
_LOOKED_AT, _TAIL = 64, 1 << 16

# The first bytes of a member that come with its header, and the most that are read of a text.
_HEAD, _LARGEST = 4096, 1 << 20

# What samples() and a sample may report, for the table problems.
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
    """The members of a tar that have one key; `problems` are (code, reason)."""

    key: str
    image: tar.Member | None = None
    head: bytes = b""  # the image's first bytes
    fields: list[str] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)  # what the JSON says
    apart: bool = False  # its members do not follow each other

    @property
    def exported(self) -> bool:
        """Whether an export of this project wrote it: its JSON says which image it is, and of which class."""
        told = (self.facts.get(name) for name in ("dataset", "image_id", "photo", "wnid"))
        return all(isinstance(text, str) for text in told) and is_wnid(self.facts["wnid"])

    @property
    def told(self) -> tuple[str, str | None] | None:
        """(the image's stem as ImageNet spells it, the class put behind it); None where nothing names it so."""
        if self.exported:
            return self.facts["image_id"], None
        for name in (self.key, self.facts.get("filename"), self.facts.get("image_id")):
            if isinstance(name, str):
                stem, put = without_label(re.sub(r"\.[A-Za-z]+\Z", "", name.rpartition("/")[2]))
                if keeps_imagenet_name(stem):
                    return stem, put
        return None

    @property
    def wnid(self) -> str | None:
        """The class that the JSON says in so many letters, as timm's `class_name` does."""
        said = (self.facts.get(name) for name in ("wnid", "class_name", "synset"))
        return next((text for text in said if isinstance(text, str) and is_wnid(text)), None)

    @property
    def labels(self) -> list[int]:
        """The class numbers beside the image, each once: the .cls, and the JSON's label; none of an export's.

        They count in the order of the export's own classes, and the JSON says the class.
        """
        if self.exported:
            return []
        text = self.texts.get("cls", b"").strip()
        found = [int(text)] if re.fullmatch(rb"-?\d{1,9}", text) else []
        if isinstance(self.facts.get("label"), int):
            found.append(self.facts["label"])
        return list(dict.fromkeys(found))

    def resized(self, width: int | None, height: int | None) -> str:
        """What the JSON says of the image's size before, where its own is another, in words; else ""."""
        if self.exported:
            return "another number of" if self.facts.get("resized") is True else ""
        before = self.facts.get("orig_width"), self.facts.get("orig_height")
        stated = self.facts.get("width"), self.facts.get("height")
        if all(isinstance(side, int) for side in before):
            return f"{before[0]} x {before[1]}"
        if width and height and all(isinstance(side, int) for side in stated) and stated != (width, height):
            return f"{stated[0]} x {stated[1]}"
        return ""


class Seen(NamedTuple):
    """A sample as it is looked at to tell what a shard holds."""

    sample: Sample
    stem: str  # as ImageNet spells it; "" where nothing names it so
    wnid: str | None  # the class that the stem tells
    before: str  # the size that the image had before it was resized, in words; "" where it was not


def first_samples(path: Path, n: int) -> list[Seen]:
    """The first samples of a tar; none where it is no tar, or one of images alone."""
    if not tar.is_tar(path):
        return []
    found: list[Seen] = []
    # What comes before a break tells the form; the scan reports the break.
    with path.open("rb", buffering=0) as file, contextlib.suppress(FormatError):
        for sample in islice(samples(file.fileno(), path.name), n):
            stem = sample.told[0] if sample.told else ""
            wnid = wnid_of_stem(stem) or labels.validation_wnid(stem)
            found.append(Seen(sample, stem, wnid, _before(sample, file.fileno())))
    return found if any(one.sample.image and one.sample.texts for one in found) else []


def _before(sample: Sample, fd: int) -> str:
    image = sample.image
    if image is None:
        return ""
    facts = probe(sample.head, image.size, lambda offset, n: os.pread(fd, n, image.offset + offset))
    return sample.resized(facts.width, facts.height)


def samples(fd: int, label: str) -> Iterator[Sample]:
    """The samples of an open tar, in its order; FormatError after the last that is whole before a fault."""
    return _gathered(fd, label) if _lie_apart(fd) else _in_order(fd, label)


def _lie_apart(fd: int) -> bool:
    """Return True if some key comes back after another one, so that the members of a sample do not lie together.

    All headers are read to know it, but only where the first samples or the end of the tar speak for it: a text without
    an image, or images without texts before texts at the end. An archive of images alone, or one in order, has neither.
    """
    first: list[Sample] = []
    with contextlib.suppress(FormatError):
        first.extend(islice(_in_order(fd, ""), _LOOKED_AT))
    lone_texts = any(one.texts and not one.image for one in first)
    lone_images = any(one.image and not one.texts for one in first)
    if not lone_texts and not (lone_images and ends_in_texts(fd)):
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


def ends_in_texts(fd: int) -> bool:
    """Return True if there is the header of a .cls or .json in the last 64 KiB of a tar."""
    end = os.fstat(fd).st_size // tar_header.BLOCK * tar_header.BLOCK
    tail = os.pread(fd, _TAIL, max(end - _TAIL, 0))
    blocks = (tail[at : at + tar_header.BLOCK] for at in range(0, len(tail), tar_header.BLOCK))
    suffixes = (b".cls", b".json")
    return any(one[:100].rstrip(b"\0").endswith(suffixes) and tar_header.is_header(one) for one in blocks)


def _key(name: str) -> tuple[str, str]:
    """Return the key and the field of a member: the key goes up to the first dot behind the folders."""
    above, slash, last = name.rpartition("/")
    stem, _, ext = last.partition(".")
    return (above + slash + stem if stem else name), ext.lower()


def _gathered(fd: int, label: str) -> Iterator[Sample]:
    """The samples of a tar in which the members of a key lie apart, by their first members: all are held."""
    found: dict[str, Sample] = {}
    fault: FormatError | None = None
    try:
        for member in tar.walk(fd):
            key, ext = _key(member.name)
            if member.kind != "dir":
                _put(found.setdefault(key, Sample(key, apart=True)), fd, member, b"", ext)
    except FormatError as error:
        fault = error
    for sample in found.values():
        if sample.image is not None:
            sample.head = os.pread(fd, min(_HEAD, sample.image.size), sample.image.offset)
        if fault is None or sample.image is not None:
            yield _read(sample)
    if fault is not None:
        raise FormatError(f"{label}: {fault}", code=fault.code, member=fault.member)


def _in_order(fd: int, label: str) -> Iterator[Sample]:
    """The samples of a tar in which the members of a key follow each other, one held at a time."""
    sample: Sample | None = None
    fault: FormatError | None = None
    try:
        for member, head in tar.walk_ahead(fd, ahead=_HEAD):
            if member.kind == "dir":
                continue
            key, ext = _key(member.name)
            if sample is None or sample.key != key:
                if sample is not None:
                    yield _read(sample)
                sample = Sample(key)
            _put(sample, fd, member, head, ext)
    except FormatError as error:
        fault = error
    # Of a sample that a fault cuts before its image there is nothing to say beside the fault.
    if sample is not None and (fault is None or sample.image is not None):
        yield _read(sample)
    if fault is not None:
        raise FormatError(f"{label}: {fault}", code=fault.code, member=fault.member)


def _put(sample: Sample, fd: int, member: tar.Member, head: bytes, ext: str) -> None:
    """Put a member into its sample."""
    if member.kind != "file":
        sample.problems.append(("stray_file", f"a {member.kind}, no part of a sample"))
    elif ext in {"cls", "json"}:
        if member.size > _LARGEST:
            code = "label_unread" if ext == "cls" else "json_unread"
            sample.problems.append((code, f"a .{ext} of {member.size:,} bytes; at most {_LARGEST:,} are read"))
        else:
            sample.texts[ext] = head if len(head) == member.size else os.pread(fd, member.size, member.offset)
    elif is_image_name(member.name.rpartition("/")[2]):
        if sample.image is None:
            sample.image, sample.head = member, head
        else:
            sample.problems.append(("second_image", f"{member.name} stands beside {sample.image.name}, which is kept"))
    else:
        sample.fields.append(ext)


def _read(sample: Sample) -> Sample:
    """The sample with its JSON read, and with what is wrong with its texts."""
    text = sample.texts.get("cls", b"").strip()
    if "cls" in sample.texts and not re.fullmatch(rb"-?\d{1,9}", text):
        sample.problems.append(("label_unread", f"the .cls is {text[:40]!r}; expected a number"))
    if "json" in sample.texts:
        found: object = None
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(sample.texts["json"])
        if isinstance(found, dict):
            sample.facts = found
        else:
            sample.problems.append(("json_unread", f"the .json is {sample.texts['json'][:40]!r}; expected an object"))
    return sample
