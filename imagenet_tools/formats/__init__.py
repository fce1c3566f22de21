"""One module a format, named as the format: its reader beside its writer.

A module reads when it offers what `imagenet_tools.units.Reader` lists, and is a target of exports when it offers what
`imagenet_tools.exports.writer` lists: that module's docstring is the whole contract of a writer. The smallest target is
three constants' worth of layout and

    def open_shard(job, shard):
        return FilePerImage(job, lambda row: f"{row.split}/{row.name}")

tests/exports/test_contract.py runs over every module here that has `open_shard`, tests/formats/test_reader_contract.py
over every one that has `scan`, with nothing to be registered.
"""

from __future__ import annotations

import pkgutil


def names() -> list[str]:
    """Return the names of all formats, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
