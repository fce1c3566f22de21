"""A CSV table of images for each split: what each image is, and where its bytes are, in an archive or not.

    root/train.csv          dataset,image_id,photo,wnid,class_index,split,official_split,source,file,member,offset,
                            length,position,compression,width,height,mode,encoding,orientation
                            a line of column names, then one line for each image, in UTF-8; an empty cell is null

The lock, recipe and manifest of an export are at its root, beside classes.json: see exports.manifest.

Files are relative to the root of their source. The columns mean the same as in the table images of the index:
`imagenet-tools query --schema` explains them. class_index counts the classes of classes.json. --shuffle orders the
lines.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from imagenet_tools.exports.job import Job
from imagenet_tools.exports.writer import ReadBack, Writes
from imagenet_tools.formats._shared import listing
from imagenet_tools.formats._shared.contract import no_hazards

WRITES = Writes(ordered=True, holds_bytes=False)

hazards = no_hazards
open_shard = listing.no_sink


def finish(job: Job) -> None:
    """Write the table of each split."""
    for split in job.plan.splits:
        job.write(f"{split}.csv", _text(job, split))


def _text(job: Job, split: str) -> Iterator[bytes]:
    yield _lines([listing.COLUMNS])
    for values, _ in job.columns(split):
        columns = listing.image_columns(values)
        yield _lines(zip(*(columns[name] for name in listing.COLUMNS), strict=True))


def _lines(rows: Iterable[Iterable[object]]) -> bytes:
    cells = list(rows)
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
        out = io.StringIO()
        csv.writer(out, quoting=quoting, lineterminator="\n").writerows(cells)
        if "\r" not in out.getvalue():  # in a name, it ends a row for readers unless it is quoted
            break
    return out.getvalue().encode(errors="surrogatepass")


def read_back(root: Path) -> Iterator[ReadBack]:
    """Yield the images of the tables."""
    for path in sorted(root.glob("*.csv")):
        with path.open(encoding="utf-8", errors="surrogatepass", newline="") as file:
            for row in csv.DictReader(file):
                yield ReadBack(row["image_id"].replace("/", "_"), path.stem, int(row["class_index"]), None, None)
