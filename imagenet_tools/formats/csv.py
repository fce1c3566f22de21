"""A table of images in CSV, a file a split: what each is, and where its bytes lie, in an archive or not.

    root/train.csv          dataset,image_id,photo,wnid,class_index,split,official_split,source,file,member,offset,
                            length,position,compression,width,height,mode,encoding,orientation
                            a line an image, in UTF-8, after a line of names; nothing stands for null

Files are relative to the root of their source. The columns mean what they mean in the table images of the index:
`imagenet-tools query --schema` explains them. class_index counts the classes of classes.json. --shuffle orders lines.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from imagenet_tools.exports.writer import Origin, ReadBack, Writes
from imagenet_tools.formats._shared import listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.exports.writer import Row, Shard

WRITES = Writes(
    keeps=("image_id", "wnid", "split", "length", "width", "height", "mode", "encoding", "orientation"),
    ordered=True,
    holds_bytes=False,
)

_WHAT = ("dataset", "image_id", "photo", "wnid", "class_index", "split", "official_split")
_RASTER = ("width", "height", "mode", "encoding", "orientation")


def hazards(plan: Plan) -> Iterator[str]:
    """Nothing can go wrong with a table."""
    return iter(())


def open_shard(job: Job, shard: Shard) -> listing.ListSink:
    """The lines of a shard's images."""
    return listing.ListSink(_values)


def _values(row: Row) -> list[Any]:
    return [getattr(row, name) for name in _WHAT] + [*row.origin] + [getattr(row, name) for name in _RASTER]


def finish(job: Job) -> None:
    """The table of each split."""
    for split in job.plan.splits:
        job.write(f"{split}.csv", _text(job, split))


def _text(job: Job, split: str) -> Iterator[bytes]:
    yield _lines([[*_WHAT, *Origin._fields, *_RASTER]])
    for rows in listing.listed(job, split):
        yield _lines(rows)


def _lines(rows: Iterable[list[Any]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode(errors="surrogatepass")


def read_back(root: Path) -> Iterator[ReadBack]:
    """The images of the tables."""
    for path in sorted(root.glob("*.csv")):
        with path.open(encoding="utf-8", errors="surrogatepass", newline="") as file:
            for one in csv.DictReader(file):
                yield ReadBack(one["image_id"].replace("/", "_"), path.stem, int(one["class_index"]), None, None)
