"""The options of an export, checked: what they are, and what they do to the size of an image."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from imagenet_tools.errors import UsageError
from imagenet_tools.images.transform import Change
from imagenet_tools.selection.words import EXPORT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from imagenet_tools.storage.links import How

REPAIRS = {
    "cmyk": "CMYK, which many loaders show in wrong colours or refuse: RGB, encoded anew",
    "png": "not a JPEG, though it is called so: RGB, encoded as JPEG",
    "eoi": "a JPEG without its last two bytes FF D9: they are put behind it, the rest is untouched",
    "exif": "stored turned, its EXIF orientation says how: its pixels are turned, encoded anew, its EXIF block dropped",
}

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|KIB|MIB|GIB)?", re.IGNORECASE | re.ASCII)
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}

# A JPEG of quality 90 takes about so many bytes a pixel at the sizes that models are trained on, and twice as many
# for every ten steps of quality more.
_BYTES_A_PIXEL = 0.35


@dataclass(frozen=True)
class Options:
    """The options of an export; see words.EXPORT."""

    link: How = "auto"
    names: str = ""
    unboxed: str = "skip"
    bad_boxes: str = "clip"
    min_box: int = 0  # pixels of the exported image
    resize: int | None = None  # pixels
    fit: str = "short"
    crop: str = "none"
    quality: int = 90
    repair: tuple[str, ...] = ()
    field: tuple[str, ...] = ()  # KEY=COLUMN
    shard_size: int | None = None  # bytes; None: what the target has
    shuffle: str = "none"
    side_files: bool = False
    hash: bool = False
    meta_bin: bool = False

    def __post_init__(self) -> None:
        for word in EXPORT:
            value, choices = getattr(self, word.keyword), word.kind.split("|")
            if len(choices) > 1 and value not in choices:
                message = f"{word.flag} {value}: expected one of {', '.join(choices)}."
                raise UsageError(message)
        _refuse(sorted(set(self.repair) - set(REPAIRS)), f"--repair {{}}: expected some of {', '.join(REPAIRS)}.")
        _refuse([n for n in (self.min_box,) if n < 0], "--min-box {}: expected a whole number of pixels from 0 on.")
        _refuse([n for n in (self.quality,) if not 1 <= n <= 100], "--quality {}: expected 1 to 100.")
        if self.resize is None:
            _refuse([self.crop] * (self.crop != "none"), "--crop {}: expected --resize N beside it.")
            _refuse([self.fit] * (self.fit != "short"), "--fit {}: expected --resize N beside it.")
        else:
            _refuse([n for n in (self.resize,) if not 1 <= n <= 8192], "--resize {}: expected 1 to 8,192 pixels.")
            _refuse(
                [self.fit] * (self.crop != "none" and self.fit != "short"),
                "--fit {} --crop center: expected --fit short, which leaves something to cut.",
            )
        _refuse([n for n in (self.shard_size,) if n is not None and n < 1], "--shard-size {}: expected bytes above 0.")
        _refuse([text for text in self.field if not all(text.partition("="))], "--field {}: expected KEY=COLUMN.")
        keys = [key for key, _ in self.fields]
        _refuse(sorted({key for key in keys if keys.count(key) > 1}), "--field {}=: expected each key once.")

    @property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """(key, column) of each field."""
        return tuple((key, column) for key, _, column in (text.partition("=") for text in self.field))

    @property
    def changes(self) -> bool:
        """Whether images may be encoded anew."""
        return self.resize is not None or bool(self.repair)

    @property
    def square(self) -> bool:
        """Whether the middle square of each image is cut out."""
        return self.crop == "center"

    def words(self) -> dict[str, object]:
        """What a recipe holds: the options that say something about the bytes, where they were given."""
        plain = Options()
        # A file of names is named without its folder, so that no machine shows.
        named = replace(self, names=self.names.rpartition("/")[2])
        return {
            word.key: list(value) if isinstance(value, tuple) else value
            for word in EXPORT
            if word.keyword != "link" and (value := getattr(named, word.keyword)) != getattr(plain, word.keyword)
        }

    # ---- what becomes of an image

    def size_sql(self) -> tuple[str, str]:
        """SQL: (width, height) in pixels that an image gets, before it is turned, from its width and height."""
        if self.resize is None:
            return "width", "height"
        if self.square or self.fit == "exact":
            return f"{self.resize}::INTEGER", f"{self.resize}::INTEGER"
        side = "least(width, height)" if self.fit == "short" else "greatest(width, height)"
        width, height = (f"greatest(1, round({one} * {self.resize} / {side}))::INTEGER" for one in ("width", "height"))
        return width, height

    def bytes_sql(self) -> str:
        """SQL: about how many bytes an image will have; its length where it is not resized."""
        if self.resize is None:
            return "length"
        width, height = self.size_sql()
        rate = _BYTES_A_PIXEL * 2 ** ((self.quality - 90) / 10)
        same = f"encoding = 'jpeg' AND {width} = width AND {height} = height"
        return f"CASE WHEN {same} THEN length ELSE ({width} * {height} * {rate:.4f})::BIGINT END"

    def change(self, facts: StoredFacts, size: tuple[int, int]) -> tuple[Change | None, tuple[str, ...]]:
        """(what is to be done to an image, None for nothing; the rules of --repair that made it so)."""
        rules = []
        if "cmyk" in self.repair and facts.mode == "CMYK":
            rules.append("cmyk")
        if "png" in self.repair and facts.encoding != "jpeg":
            rules.append("png")
        turned = "exif" in self.repair and facts.orientation is not None and 2 <= facts.orientation <= 8
        if turned:
            rules.append("exif")
        resized = self.resize is not None and (size != (facts.width, facts.height) or facts.encoding != "jpeg")
        if not (rules or resized):
            return None, ()
        orientation = facts.orientation if turned else None
        rgb = "cmyk" in self.repair or "png" in rules
        return Change(*size, self.square, rgb, orientation, self.quality), tuple(rules)


class StoredFacts(NamedTuple):
    """What an index says of an image."""

    width: int
    height: int
    mode: str
    encoding: str
    orientation: int | None


def _refuse(wrong: Iterable[object], message: str) -> None:
    for value in wrong:
        raise UsageError(message.format(value))


def make_options(said: Mapping[str, object]) -> Options:
    """Options from what a caller said: texts and lists as the command line gives them. UsageError: what is wrong."""
    values = {key: value for key, value in said.items() if value is not None}
    for key in ("repair", "field"):
        given = values.get(key, ())
        texts = [given] if isinstance(given, str) else [str(one) for one in given]  # type: ignore[attr-defined]
        cut = [part.strip() for text in texts for part in text.split(",")] if key == "repair" else texts
        values[key] = tuple(dict.fromkeys(filter(None, cut)))
    if isinstance(size := values.get("shard_size"), str):
        values["shard_size"] = parse_size(size)
    return Options(**values)  # type: ignore[arg-type]


def parse_size(text: str, flag: str = "--shard-size") -> int:
    """Bytes: 500MB is 500,000,000, 512MiB is 536,870,912. UsageError for anything else."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        message = f"{flag} {text}: expected a size such as 500MB, 1GB or 512MiB."
        raise UsageError(message)
    return int(float(found[1]) * _UNITS[(found[2] or "B").upper()])
