"""Whether two images of an export would have one name: told by hashes of the names, eight bytes an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imagenet_tools.errors import ExportError

if TYPE_CHECKING:
    import numpy.typing as npt

    from imagenet_tools.selection.selection import Selection

# SQL: a name that a file may have; names that differ in case alone are one where they are looked for.
STEM_SQL = "replace(image_id, '/', '_')"

_AT_ONCE = 1_000_000  # images whose names are held at once, where some are alike


def check_stems(chosen: Selection, *, within: str) -> None:
    """ExportError where two images would have one name within a folder, the value of `within`, which is SQL.

    File systems may not tell upper from lower case.
    """
    hashed = f"hash({within}, lower({STEM_SQL}))"
    hashes = _hashes(chosen, hashed)
    hashes.sort()
    if not (hashes[1:] == hashes[:-1]).any():
        return
    parts = len(hashes) // _AT_ONCE + 1
    alike = []
    for part in range(parts):
        alike += chosen.run(
            f"""SELECT min({STEM_SQL}), list(dataset || '/' || image_id ORDER BY dataset, image_id)[:2] FROM made
                WHERE left_out IS NULL AND {hashed} % {parts} = {part}
                GROUP BY {within}, lower({STEM_SQL}) HAVING count(*) > 1 ORDER BY ALL LIMIT 1"""
        ).fetchall()
    for name, ids in sorted(alike)[:1]:
        message = f"{' and '.join(ids)} would both be {name}. Choose one data set: --dataset NAME."
        raise ExportError(message)


def _hashes(chosen: Selection, hashed: str) -> npt.NDArray[np.uint64]:
    """The hash of each chosen image's name."""
    found = np.empty(sum(n for counted in chosen.counts().values() for n in counted.values()), np.uint64)
    n = 0
    for batch in chosen.read(f"SELECT {hashed} AS hashed FROM made WHERE left_out IS NULL"):
        found[n : n + len(batch)] = np.from_dlpack(batch.column(0))
        n += len(batch)
    return found[:n]
