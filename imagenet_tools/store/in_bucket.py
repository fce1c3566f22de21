"""An index in a bucket: the copy on this machine that is read, and the upload of one that was built here.

A file of an index is named after its bytes, but for the manifest and the table sources, which are compared by ETag. The
manifest is written last, so that an index in a bucket is complete as soon as it can be seen.
"""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from imagenet_tools.errors import NoIndexError, SourceError
from imagenet_tools.storage.buckets import Remote, copy_of, in_flight, is_remote, url_of
from imagenet_tools.storage.files import lock, write_whole
from imagenet_tools.store.layout import MANIFEST, read_manifest, remove_unlisted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagenet_tools.store.layout import FileEntry, Manifest

_ETAGS = ".etags.json"  # in a copy: the ETag of each file that is compared


def local_copy(index: Path) -> Path:
    """Return the folder of an index; of one in a bucket, that of its copy, which is brought up to date.

    An index that has not changed costs two requests.

    Raises:
        NoIndexError: There is no index at the URL.
        SourceError: The bucket cannot be read.
    """
    if not is_remote(index):
        return index
    with _locked_copy(index) as folder:
        copy(index, folder)
    return folder


def file_copy(path: Path) -> Path:
    """Return the copy of a file in a bucket, alone in its folder and brought up to date by one request.

    Raises:
        SourceError: There is no such file, or the bucket cannot be read.
    """
    with _locked_copy(path) as folder:
        folder.mkdir(exist_ok=True)
        etags = _read_etags(folder)
        try:
            etag = Remote(str(path)).download(folder / path.name, etags.get(path.name))
        except FileNotFoundError:
            raise SourceError(f"{url_of(path)} does not exist. Expected a file of a source.") from None
        if etag is not None:
            write_whole(folder / _ETAGS, json.dumps({path.name: etag}).encode(), replace=True)
    return folder / path.name


@contextmanager
def _locked_copy(path: Path) -> Iterator[Path]:
    """Hold the lock of the folder with the copy of what is in a bucket."""
    folder = copy_of(path)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with lock(folder.with_name(f"{folder.name}.lock"), waits=True):
        yield folder


def _read_etags(folder: Path) -> dict[str, str]:
    """Return the ETags of the files that a folder has copies of."""
    file = folder / _ETAGS
    etags: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    return etags


def copy(index: Path, folder: Path) -> str:
    """Copy an index from a bucket into a folder, without the files that are there already.

    Returns:
        The ETag of its manifest.

    Raises:
        NoIndexError: There is no index at the URL.
        SourceError: The bucket cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    etags = _read_etags(folder)
    old: Manifest | None = None
    with suppress(NoIndexError):  # there is no copy yet, or one of an index of another version
        old = read_manifest(folder)
    try:
        etag = Remote(str(index / MANIFEST)).download(folder / MANIFEST, etags.get(MANIFEST) if old else None)
    except FileNotFoundError:
        message = f"No index at {url_of(index)}: found no {MANIFEST}. Expected the URL that `build-index -o` wrote to."
        raise NoIndexError(message) from None
    if etag is not None:
        etags[MANIFEST] = etag
        if old is not None:
            remove_unlisted(folder, old)  # the generation before stays for those who read it

    def get(entry: FileEntry) -> None:
        path = folder / entry.file
        path.parent.mkdir(exist_ok=True)
        etag = Remote(str(index / entry.file)).download(path, etags.get(entry.file))
        if etag is not None and not entry.sha256:
            etags[entry.file] = etag

    entries = read_manifest(folder).entries
    try:
        in_flight(partial(get, entry) for entry in entries if not (entry.sha256 and (folder / entry.file).exists()))
    except FileNotFoundError as error:
        message = f"{url_of(index)} has no file {error}, which its {MANIFEST} names. Build it again, with --fresh."
        raise NoIndexError(message) from None
    write_whole(folder / _ETAGS, json.dumps(etags).encode(), replace=True)
    return etags[MANIFEST]


def upload(folder: Path, index: Path, etag: str | None) -> None:
    """Copy an index into a bucket, without the files that are there already; its manifest last.

    Files that neither this index nor the one before names are removed.

    Args:
        folder: The index on this machine.
        index: Its place in the bucket.
        etag: The ETag of the manifest that this index replaces; None if there was none.

    Raises:
        ExistsError: Another build has written the manifest since.
        ImagenetToolsError: The bucket cannot be written.
    """
    there = Remote(str(index)).files()
    entries = read_manifest(folder).entries
    new = [entry for entry in entries if not entry.sha256 or there.get(entry.file) != entry.bytes]
    in_flight(partial(Remote(str(index / entry.file)).write, folder / entry.file) for entry in new)
    before = Remote(str(index / MANIFEST)).read_all() if etag else None
    Remote(str(index / MANIFEST)).create((folder / MANIFEST).read_bytes(), etag=etag)
    kept = {entry.file for entry in entries} | {MANIFEST}
    if before is not None:
        tables = json.loads(before[0])["tables"].values()
        kept |= {entry["file"] for files in tables for entry in files}
    Remote(str(index)).remove(sorted(there.keys() - kept))
