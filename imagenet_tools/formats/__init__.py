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

import pkgutil


def names() -> list[str]:
    """Return the names of all formats, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
