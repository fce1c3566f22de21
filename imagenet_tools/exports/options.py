"""The options of an export: check them, and say what they do to the size and the bytes of an image.

The table of the options, with their defaults and help, is in selection.words: EXPORT has a Word for each.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeVar

from imagenet_tools.errors import UsageError
from imagenet_tools.selection.words import EXPORT, ExportOptions, ExportWords, Word

if TYPE_CHECKING:
    from imagenet_tools.exports.writer import Writes

FILES = ("names", "layout")  # options whose value may be the path of a file

_REPAIRS = ("cmyk", "png", "eoi", "exif")

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
        if unknown := sorted(set(self.repair) - set(_REPAIRS)):
            raise UsageError(f"--repair {unknown[0]}: expected some of {', '.join(_REPAIRS)}.")
        for text in self.field:
            if not all(text.partition("=")):
                raise UsageError(f"--field {text}: expected KEY=COLUMN.")
        keys = [key for key, _ in self.fields]
        if repeated := sorted({key for key in keys if keys.count(key) > 1}):
            raise UsageError(f"--field {repeated[0]}=: expected each key once.")
        resize = self.resize
        for is_wrong, flags, expected in (
            (self.min_box < 0, f"--min-box {self.min_box}", "a whole number of pixels from 0 on"),
            (not 1 <= self.quality <= 100, f"--quality {self.quality}", "1 to 100"),
            (self.shard_size is not None and self.shard_size < 1, f"--shard-size {self.shard_size}", "bytes above 0"),
            (self.nested and self.names not in ("", "wnid"), f"--names {self.names}", "wnid beside --layout"),
            (resize is None and self.square, f"--crop {self.crop}", "--resize N beside it"),
            (resize is None and self.fit != "short", f"--fit {self.fit}", "--resize N beside it"),
            (
                resize is not None and not 1 <= resize <= _MAX_RESIZE_PIXELS,
                f"--resize {resize}",
                f"1 to {_MAX_RESIZE_PIXELS:,} pixels",
            ),
            (
                self.square and self.fit != "short",
                f"--fit {self.fit} --crop center",
                "--fit short, which leaves something to cut",
            ),
        ):
            if is_wrong:
                raise UsageError(f"{flags}: expected {expected}.")

    @property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """Return the key and the column of each field."""
        return tuple((key, column) for key, _, column in (text.partition("=") for text in self.field))

    @property
    def changes(self) -> bool:
        """Return True if any option can change the bytes of an image: resize or repair."""
        return self.resize is not None or bool(self.repair)

    @property
    def nested(self) -> bool:
        """Return True if class folders are nested."""
        return self.layout != "flat"

    @property
    def square(self) -> bool:
        """Return True if the middle square of each image is cut out."""
        return self.crop == "center"

    def words(self) -> dict[str, object]:
        """Return what a recipe holds: the options that are not at their default, without --link.

        --link changes no byte. A file of names is written without its folder, so that an export names no machine.
        """
        files = {option: getattr(self, option).rpartition("/")[2] for option in FILES}
        values = {**vars(self), **files}
        return {
            option.name: list(value) if isinstance(value := values[option.name], tuple) else value
            for option in fields(self)
            if option.name != "link" and values[option.name] != option.default
        }

    def size_sql(self) -> tuple[str, str]:
        """Return SQL of (width, height), in pixels, of an exported image before it is turned, from width and height."""
        if self.resize is None:
            return "width", "height"
        if self.square or self.fit == "exact":
            return f"{self.resize}::INTEGER", f"{self.resize}::INTEGER"
        side = "least(width, height)" if self.fit == "short" else "greatest(width, height)"
        scaled = "greatest(1, round({} * {} / {}))::INTEGER"
        return scaled.format("width", self.resize, side), scaled.format("height", self.resize, side)

    def bytes_sql(self, writes: Writes) -> str:
        """Return SQL of the bytes of an image in a target: its length, an estimate, or those of each new image."""
        if writes.remade_bytes:
            share = self.side**2 / writes.sides[0] ** 2 if writes.sides and self.side else 1
            return str(int(writes.remade_bytes * share))
        if self.resize is None:
            return "length"
        width, height = self.size_sql()
        rate = _BYTES_PER_PIXEL * 2 ** ((self.quality - 90) / 10)
        unchanged = f"encoding = 'jpeg' AND {width} = width AND {height} = height"
        return f"CASE WHEN {unchanged} THEN length ELSE ({width} * {height} * {rate:.4f})::BIGINT END"


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
    *parameters, _ = signature.parameters.values()  # the last one is **options
    function.__signature__ = signature.replace(parameters=[*parameters, *options])  # type: ignore[attr-defined]
    lines = [f"    {word.keyword}: {_sentence(word)}" for word in EXPORT]
    function.__doc__ = "\n".join((inspect.cleandoc(function.__doc__ or ""), "", "Options:", *lines))
    return function


def _sentence(word: Word) -> str:
    choices = f" One of {word.kind.replace('|', ', ')}." if "|" in word.kind else ""
    return word.sentence + choices
