"""One module or folder for each format, named after it: the reader beside the writer.

A module is a reader if it has `scan`; `imagenet_tools.units.Reader` lists all that a reader offers. It is a target of
exports if it has `open_shard`; the docstring of `imagenet_tools.exports.writer` is the whole contract of a writer.
Nothing registers a module. The smallest target is READS or WRITES, a few defaults of `_shared.contract`, and

    def open_shard(job, shard):
        return FilePerImage(job, lambda row: f"{row.split}/{row.name}")

tests/formats/example/example_format.py is a complete small format. tests/exports/test_contract.py runs over every
target, tests/formats/test_reader_contract.py over every reader.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from pathlib import Path

from imagenet_tools.errors import UsageError
from imagenet_tools.text import did_you_mean

# A module that has open_shard defines it, sets it, or imports it, on one line or on several in brackets.
_OPENS_SHARDS = re.compile(
    r"^(?:def open_shard\(|open_shard = |from .*\bopen_shard\b|from \S+ import \([^)]*\bopen_shard\b)", re.MULTILINE
)


def names() -> list[str]:
    """Return the names of all formats, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def first_sentence(docstring: str) -> str:
    """Return the first sentence of a docstring, on one line and without the full stop."""
    return " ".join(re.split(r"\.(?=\s|$)", docstring, maxsplit=1)[0].split())


@functools.cache
def targets() -> dict[str, str]:
    """Return what each target of exports writes, in a sentence, by name.

    The text of the modules is searched: they import pyarrow and numpy, for which no help should wait.
    """
    texts = {}
    for name in names():
        module = Path(__file__).with_name(f"{name}.py")
        texts[name] = (module if module.exists() else module.with_suffix("") / "__init__.py").read_text("utf-8")
    return {name: first_sentence(text[3:]) for name, text in texts.items() if _OPENS_SHARDS.search(text)}


def parse_targets(to: str) -> list[str]:
    """Return the targets in a text such as "yolo,coco".

    Raises:
        UsageError: A target is unknown.
    """
    wanted = list(dict.fromkeys(name.strip() for name in to.split(",")))
    for target in wanted:
        # The target itself is imported, as it will be used; the others are parsed for the error.
        if target not in names() or not hasattr(importlib.import_module(f"{__name__}.{target}"), "open_shard"):
            known = ", ".join(targets())
            text = f"'{target}' is no target: expected one of {known}. {did_you_mean(target, targets())}"
            raise UsageError(text.rstrip())
    return wanted
