"""The options of an export: check them, and say what they do to the size and the bytes of an image.

The table of the options, with their defaults and help, is in selection.words: EXPORT has a Word for each.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from imagenet_tools.errors import UsageError
from imagenet_tools.selection.words import EXPORT, ExportOptions, ExportWords

if TYPE_CHECKING:
    from imagenet_tools.images.transform import Change
    from imagenet_tools.selection.words import Word

__all__ = [
    "EXPORT",
    "REPAIRS",
    "ExportOptions",
    "Options",
    "StoredFacts",
    "make_options",
    "parse_size",
    "with_export_options",
]

REPAIRS = {
    "cmyk": "CMYK, which many loaders show in wrong colours or refuse: RGB, encoded anew",
    "png": "not a JPEG, though it is called so: RGB, encoded as JPEG",
    "eoi": "a JPEG without its last two bytes FF D9: they are put behind it, the rest is untouched",
    "exif": "stored turned, its EXIF orientation says how: its pixels are turned, encoded anew, its EXIF block dropped",
}

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|KIB|MIB|GIB)?", re.IGNORECASE | re.ASCII)
_UNIT_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}

_MAX_RESIZE_PIXELS = 8192

# A JPEG of quality 90 has about this many bytes a pixel at the sizes that models are trained on. The estimate doubles
# for every ten steps of quality.
_BYTES_PER_PIXEL = 0.35

_Function = TypeVar("_Function", bound=Callable[..., object])


@dataclass(frozen=True)
class Options(ExportWords):
    """The options of an export. UsageError: a value is not allowed, or not together with another."""

    def __post_init__(self) -> None:
        for word in EXPORT:
            value, choices = getattr(self, word.keyword), word.kind.split("|")
            if len(choices) > 1 and value not in choices:
                raise UsageError(f"{word.flag} {value}: expected one of {', '.join(choices)}.")
        if unknown := sorted(set(self.repair) - set(REPAIRS)):
            raise UsageError(f"--repair {unknown[0]}: expected some of {', '.join(REPAIRS)}.")
        if self.min_box < 0:
            raise UsageError(f"--min-box {self.min_box}: expected a whole number of pixels from 0 on.")
        if not 1 <= self.quality <= 100:
            raise UsageError(f"--quality {self.quality}: expected 1 to 100.")
        if self.shard_size is not None and self.shard_size < 1:
            raise UsageError(f"--shard-size {self.shard_size}: expected bytes above 0.")
        self._check_resize()
        for text in self.field:
            if not all(text.partition("=")):
                raise UsageError(f"--field {text}: expected KEY=COLUMN.")
        keys = [key for key, _ in self.fields]
        if repeated := sorted({key for key in keys if keys.count(key) > 1}):
            raise UsageError(f"--field {repeated[0]}=: expected each key once.")

    def _check_resize(self) -> None:
        if self.resize is None:
            if self.crop != "none":
                raise UsageError(f"--crop {self.crop}: expected --resize N beside it.")
            if self.fit != "short":
                raise UsageError(f"--fit {self.fit}: expected --resize N beside it.")
            return
        if not 1 <= self.resize <= _MAX_RESIZE_PIXELS:
            raise UsageError(f"--resize {self.resize}: expected 1 to {_MAX_RESIZE_PIXELS:,} pixels.")
        if self.crop != "none" and self.fit != "short":
            raise UsageError(f"--fit {self.fit} --crop center: expected --fit short, which leaves something to cut.")

    @property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """Return (key, column) of each field."""
        return tuple((key, column) for key, _, column in (text.partition("=") for text in self.field))

    @property
    def changes(self) -> bool:
        """Return True if any option can change the bytes of an image: resize or repair."""
        return self.resize is not None or bool(self.repair)

    @property
    def square(self) -> bool:
        """Return True if the middle square of each image is cut out."""
        return self.crop == "center"

    def words(self) -> dict[str, object]:
        """Return what a recipe holds: the options that are not at their default, without --link.

        --link changes no byte. A file of names is written without its folder, so that an export names no machine.
        """
        shared = replace(self, names=self.names.rpartition("/")[2])
        values = {option.name: (getattr(shared, option.name), option.default) for option in fields(self)}
        return {
            word.key: list(value) if isinstance(value, tuple) else value
            for word in EXPORT
            for value, default in (values[word.keyword],)
            if word.keyword != "link" and value != default
        }

    def size_sql(self) -> tuple[str, str]:
        """Return SQL of (width, height), in pixels, of an exported image before it is turned, from width and height."""
        if self.resize is None:
            return "width", "height"
        if self.square or self.fit == "exact":
            return f"{self.resize}::INTEGER", f"{self.resize}::INTEGER"
        side = "least(width, height)" if self.fit == "short" else "greatest(width, height)"
        width, height = (
            f"greatest(1, round({edge} * {self.resize} / {side}))::INTEGER" for edge in ("width", "height")
        )
        return width, height

    def bytes_sql(self) -> str:
        """Return SQL of the bytes of an exported image: its length, or an estimate if it is resized."""
        if self.resize is None:
            return "length"
        width, height = self.size_sql()
        rate = _BYTES_PER_PIXEL * 2 ** ((self.quality - 90) / 10)
        unchanged = f"encoding = 'jpeg' AND {width} = width AND {height} = height"
        return f"CASE WHEN {unchanged} THEN length ELSE ({width} * {height} * {rate:.4f})::BIGINT END"

    def change(self, facts: StoredFacts, size: tuple[int, int]) -> tuple[Change | None, tuple[str, ...]]:
        """Return the change of an image, None for none, and the rules of --repair that ask for it.

        Args:
            facts: The image as it is stored.
            size: Width and height in pixels as size_sql() gives them.
        """
        from imagenet_tools.images.transform import Change

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
    """Columns of `images` that decide whether an image is changed."""

    width: int
    height: int
    mode: str
    encoding: str
    orientation: int | None


def make_options(words: Mapping[str, object]) -> Options:
    """Return the options of Python keywords or flags; None stands for the default. UsageError: a value is wrong."""
    unknown = sorted(words.keys() - {option.name for option in fields(Options)})
    if unknown:
        expected = ", ".join(option.name for option in fields(Options))
        raise TypeError(f"{unknown[0]!r} is no option of an export. Expected {expected}.")
    values = {key: value for key, value in words.items() if value is not None}
    for key in ("repair", "field"):
        value = values.get(key, ())
        texts = [value] if isinstance(value, str) else [str(text) for text in value]  # type: ignore[attr-defined]
        if key == "repair":
            texts = [rule.strip() for text in texts for rule in text.split(",")]
        values[key] = tuple(dict.fromkeys(filter(None, texts)))
    if isinstance(size := values.get("shard_size"), str):
        values["shard_size"] = parse_size(size)
    return Options(**values)  # type: ignore[arg-type]


def parse_size(text: str, flag: str = "--shard-size") -> int:
    """Return bytes: 500MB is 500,000,000 and 512MiB is 536,870,912. UsageError: the text is no size."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{flag} {text}: expected a size such as 500MB, 1GB or 512MiB.")
    return int(float(match[1]) * _UNIT_BYTES[(match[2] or "B").upper()])


def with_export_options(function: _Function) -> _Function:
    """Show each option in the signature and in the docstring of a function that takes **ExportOptions."""
    kinds = {name: kind.__forward_arg__ for name, kind in ExportOptions.__annotations__.items()}
    options = [
        inspect.Parameter(
            option.name, inspect.Parameter.KEYWORD_ONLY, default=option.default, annotation=kinds[option.name]
        )
        for option in fields(Options)
    ]
    signature = inspect.signature(function)
    own = [parameter for parameter in signature.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD]
    function.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    lines = [f"    {word.keyword}: {_sentence(word)}" for word in EXPORT]
    function.__doc__ = "\n".join((inspect.cleandoc(function.__doc__ or ""), "", "Options:", *lines))
    return function


def _sentence(word: Word) -> str:
    choices = f" One of {word.kind.replace('|', ', ')}." if "|" in word.kind else ""
    return f"{word.help[0].upper()}{word.help[1:]}.{choices}"
