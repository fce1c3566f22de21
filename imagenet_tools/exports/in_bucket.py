"""An export in a bucket: its pieces are uploaded as they are finished, and its manifest last.

    s3://bucket/dogs/.work/export.json      what it depends on; created before anything else, so that two exports do
                                            not mix
    s3://bucket/dogs/.work/done/12.json     the record of a piece whose files are uploaded
    s3://bucket/dogs/...                    its files
    s3://bucket/dogs/manifest.json          the mark of a complete export; .work is removed then

On this machine, the export is made as in exports.run, but a piece is there only until it is uploaded. An export that
was interrupted goes on from any machine.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.errors import ExistsError, ExportError
from imagenet_tools.exports.manifest import MANIFEST
from imagenet_tools.storage.buckets import Remote, in_flight, url_of
from imagenet_tools.storage.files import write_whole
from imagenet_tools.text import count_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imagenet_tools.exports.job import Job
    from imagenet_tools.exports.plan import Plan
    from imagenet_tools.exports.writer import SinkOutput


def refuse(plans: Sequence[Plan], dest: Path, claim: str) -> None:
    """Refuse a place in a bucket that is taken, and targets with a file for each image.

    Raises:
        ExistsError: There is an export, or files that are not half of one: of those, one is called `claim`.
        ExportError: A target has a file for each image.
    """
    for plan in plans:
        if plan.writes.files_per_image:
            raise ExportError(
                f"{url_of(dest)}: {plan.target} has a file for each image, and a bucket is slow with a million. "
                "Name a target with shards, such as webdataset, or export to a folder and copy that."
            )
    there = Remote(str(dest)).files()
    if there and claim not in there:  # with it, an export is taken up again that was not finished, or not tidied up
        found = "a complete export" if MANIFEST in there else count_of(len(there), "file")
        message = f"{url_of(dest)} exists: found {found}, expected nothing there. Name another target, or remove it."
        raise ExistsError(message)


def claim(path: Path, text: str) -> None:
    """Create the file that says what an export depends on. Raise ExistsError if another one has claimed the place."""
    try:
        Remote(str(path)).create(text.encode())
    except ExistsError as error:
        place = url_of(path.parent.parent)
        message = f"{place} is half of another export. Remove it if nobody needs it, or name another place."
        raise ExistsError(message) from error


def fetch_records(there: Path, here: Path) -> None:
    """Copy the records of pieces that other machines have finished."""

    def fetch(name: str) -> None:
        record, _ = Remote(str(there / name)).read_all()
        write_whole(here / name, record, replace=True, fsync=False)

    in_flight(partial(fetch, name) for name in Remote(str(there)).files() if not (here / name).exists())


def upload(jobs: Sequence[Job], outputs: Mapping[str, SinkOutput]) -> None:
    """Upload the files of a finished piece, and remove them here; no target with a file for each image is here."""
    for job in jobs:
        for name in outputs[job.plan.target].files:
            Remote(f"{job.bucket}/{name}").write(job.out / name)
            (job.out / name).unlink()


def finish(jobs: Sequence[Job], dest: Path, work: str) -> None:
    """Upload the files that describe an export, then its manifest, and remove the folder `work`."""
    in_flight(partial(Remote(f"{job.bucket}/{name}").write, job.out / name) for job in jobs for name in job.wrote)
    for job in jobs:
        Remote(f"{job.bucket}/{MANIFEST}").create((job.out / MANIFEST).read_bytes())
    folder = Remote(str(dest / work))
    names = sorted(folder.files())  # export.json is the last
    folder.remove(names[:-1])
    folder.remove(names[-1:])
