"""What an export keeps of how it was chosen, so that it can be made again: its recipe and its lock.

recipe.toml     the words of the selection, and under [export.TARGET] the options
lock.toml       the lock of the images that are there, with the same recipe: see selection.lock
lock.parquet    their ids
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenet_tools.errors import ImagenetToolsError
from imagenet_tools.exports.writer import ImageFile
from imagenet_tools.images.image_rows import is_image_name
from imagenet_tools.selection import lock, recipe
from imagenet_tools.storage.files import whole

if TYPE_CHECKING:
    from imagenet_tools.exports.job import Job
    from imagenet_tools.selection.lock import Lock
    from imagenet_tools.selection.selection import Selection


RECIPE, LOCK, IDS = "recipe.toml", "lock.toml", "lock.parquet"


def write_kept(job: Job, left_out: Collection[str]) -> Lock:
    """Write recipe and lock of a finished target; `left_out` are the images that could not be decoded."""
    import tomli_w

    plan = job.plan
    name = plan.target  # not that of the folder, which says nothing of what is in it
    options = {"export": {plan.target: plan.options.words()}}
    content = {"format": recipe.FORMAT, "name": name, **recipe.tables(plan.selection), **options}
    job.write(RECIPE, tomli_w.dumps(content, indent=2).encode())
    with whole(job.out / IDS, replace=True, fsync=False) as out:
        made = lock.write_ids(plan.selection, out, name=name, without=left_out, classes=plan.classes)
    job.wrote.append(IDS)
    made = made._replace(ids=Path(IDS), recipe={**made.recipe, **options})
    job.write(LOCK, lock.text(made).encode())
    return made


def order_of(selection: Selection) -> str:
    """How the classes of a selection are numbered, also of a lock's: wnid, listed or ilsvrc-id."""
    said = recipe.tables(selection).get("classes", {})
    return str(said.get("order") or ("listed" if {"classes", "superclasses"} & set(said) else "wnid"))


def seed_of(selection: Selection) -> int:
    """The seed of a selection, also of a lock's: that of the words that made it."""
    return int(recipe.tables(selection).get("seed", 0))


def wrong(root: Path, classes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What is wrong with recipe and lock of an export whose classes.json has these classes."""
    counts: dict[str, dict[str, int]] = {}
    for one in sorted(classes, key=lambda row: str(row["wnid"])):
        for split, n in one["splits"].items():
            if n["images"]:
                counts.setdefault(split, {})[one["wnid"]] = n["images"]
    try:
        locked, table = lock.read(root / LOCK), recipe.load(root / RECIPE)
        recipe.parse(table, root / RECIPE)
        by_folder = json.loads((root / "classes.json").read_text(encoding="utf-8"))["order"] == "folder"
        found = [(one["wnid"], one["name"], one["folder"], one["display"]) for one in classes]
    except (ImagenetToolsError, ValueError, LookupError, TypeError, AttributeError) as error:
        yield f"{RECIPE} and {LOCK} cannot be read: {error}"
        return
    if locked.counts != counts:
        yield f"{LOCK} pins {locked.n_images:,} images of other splits or classes than classes.json counts"
    named = sorted(locked.named, key=lambda one: one.folder) if by_folder else locked.named
    if found != [(one.wnid, one.name, one.folder, one.display) for one in named]:
        yield f"{LOCK} has other classes than classes.json, in another order, or by other names"
    if {key: value for key, value in table.items() if key not in ("format", "name")} != locked.recipe:
        yield f"{RECIPE} is not the recipe that {LOCK} holds"


# ---- One digest over the many files of an export that hold one image each, in whatever order they are met.


_BITS = 256

# What a line holds, as the manifest says it. Labels are small, so their bytes are in it always; those of images with
# --hash alone. Exports made before that said NAMES_ALONE.
ALL_BYTES = "path, size, sha256"
LABEL_BYTES = "path, size, and sha256 where the name is not that of an image"
NAMES_ALONE = "path, size"


def has_bytes(said: str, path: str) -> bool:
    """Return True if the line of a file holds the SHA-256 of its bytes, in a digest of which `said` is said."""
    return said == ALL_BYTES or (said == LABEL_BYTES and not is_image_name(path.rpartition("/")[2]))


class Digest:
    """The sum, modulo 2**256, of the SHA-256 of a line a file: `path<TAB>size`, and `<TAB>sha256` where it is known.

    A sum does not ask for an order: workers and walks of folders may meet the files in any.
    """

    def __init__(self) -> None:
        self.files, self.bytes, self._sum = 0, 0, 0

    def add(self, files: Iterable[ImageFile]) -> None:
        """Take files into it."""
        for path, size, sha256 in files:
            line = f"{path}\t{size}\t{sha256}" if sha256 else f"{path}\t{size}"
            digest = hashlib.sha256(line.encode(errors="surrogateescape")).digest()
            self._sum += int.from_bytes(digest, "big")
            self.files += 1
            self.bytes += size

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        return f"{self._sum % (1 << _BITS):064x}"
