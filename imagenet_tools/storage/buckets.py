"""Files in buckets and on web servers, read by byte ranges and written through obstore.

A source that was moved into a bucket keeps its place in the index: a URL has a form that is an absolute path, so that
no other module needs to know of it. `s3://bucket/key` is /s3:/bucket/key. Credentials are never part of it; obstore
takes them from the environment (AWS_ACCESS_KEY_ID, GOOGLE_SERVICE_ACCOUNT, AZURE_STORAGE_ACCOUNT_KEY ...).

Indexes, and files that are read whole, are read from copies, and outputs are made, in folders of this machine:

    $IMAGENET_CACHE, or ~/.cache/imagenet-tools
        read/s3/bucket/imagenet.index/      a copy of an index, compared by ETag each time it is opened
        read/s3/bucket/boxes.tar.gz/        a folder with the copy of a file of that name, compared likewise
        write/s3/bucket/shards.partial/     an export or an index that is not complete in the bucket
"""

from __future__ import annotations

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from imagenet_tools.errors import ExistsError, ImagenetToolsError, SourceError, UsageError
from imagenet_tools.storage.files import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Future

    from obstore import GetOptions

SCHEMES = ("s3", "gs", "az", "http", "https")

# Outputs are written to these; a web server takes none.
_WRITTEN = ("s3", "gs", "az")

# Requests in flight of one process: at 20 ms a request, a thousand and more images a second.
IN_FLIGHT = 48

# Bytes of a download that are in memory at a time.
_PART_BYTES = 8 << 20

# An answer that was cut, in the words of obstore's errors, and the pauses before it is asked for again.
_CUT = "response body"
_PAUSES_SECONDS = (0.1, 0.2, 0.4, 0.8)

# The address that obstore asks for keys if the environment has none, and the variables that a bucket's keys are in.
_NO_KEYS = "http://169.254."
_KEYS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for a public bucket",
    "gs": "GOOGLE_SERVICE_ACCOUNT, the file of the account, or GOOGLE_SKIP_SIGNATURE=true for a public bucket",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}

_Result = TypeVar("_Result")

_URL = re.compile(rf"({'|'.join(SCHEMES)})://([^/?#]+)(?:/([^?#]*))?")
_ONE_SLASH = re.compile(rf"\A({'|'.join(SCHEMES)}):/(?!/)")  # a URL that was made a Path
_PATH = re.compile(rf"/({'|'.join(SCHEMES)}):/([^/]+)(?:/(.*))?", re.DOTALL)


def place_of(text: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a file or folder; of a URL, the form that is a path.

    Raises:
        UsageError: A URL of another scheme, or with a user, a password, a query, a fragment or "..".
    """
    url = _ONE_SLASH.sub(r"\1://", os.fspath(text))
    if "://" not in url:
        return Path(os.path.abspath(url))  # noqa: PTH100 - resolve() would follow links
    match = _URL.fullmatch(url)
    if not match or "@" in match[2] or ".." in url.split("/"):
        shown = re.sub(r"//[^/@]*@|[?#].*", lambda part: "//...@" if part[0].startswith("//") else "", url)
        schemes = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        message = f"{shown}: expected a URL of {schemes} without a user, a password, a query or '..'; keys are taken "
        raise UsageError(f"{message}from the environment.")
    return Path(f"/{match[1]}:/{match[2]}", (match[3] or "").strip("/"))


def path_of(text: str | os.PathLike[str]) -> Path:
    """Return a path as it is; of a URL, the form that is a path. Raise UsageError as place_of() does."""
    return place_of(text) if _ONE_SLASH.match(os.fspath(text)) or "://" in os.fspath(text) else Path(text)


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Return True if a path is that of a URL."""
    return _PATH.match(os.fspath(path)) is not None


def url_of(path: str | os.PathLike[str]) -> str:
    """Return the URL of a path that place_of() made; other paths as they are."""
    match = _PATH.fullmatch(os.fspath(path))
    return f"{match[1]}://{match[2]}/{match[3] or ''}" if match else os.fspath(path)


def exists(path: Path) -> bool:
    """Return True if there is a file or folder at a path, or a file at a URL."""
    return Remote(str(path)).etag() is not None if is_remote(path) else path.exists()


def copy_of(path: Path) -> Path:
    """Return the folder of this machine with the copy of a folder or a file in a bucket."""
    return _cache() / "read" / str(path).replace(":", "").lstrip("/")


def on_disk(path: Path) -> Path:
    """Return the path of this machine at which an output is made: the path itself, unless it is in a bucket.

    Raises:
        UsageError: It is on a web server.
    """
    match = _PATH.fullmatch(str(path))
    if not match:
        return path
    if match[1] not in _WRITTEN:
        expected = ", ".join(f"{scheme}://" for scheme in _WRITTEN)
        raise UsageError(f"{url_of(path)}: expected a folder or a URL of {expected}; web servers take no files.")
    return _cache() / "write" / str(path).replace(":", "").lstrip("/")


def _cache() -> Path:
    return Path(os.environ.get("IMAGENET_CACHE") or Path("~/.cache/imagenet-tools").expanduser()).absolute()


def refuse_url(path: str | os.PathLike[str], what: str) -> None:
    """Raise UsageError if a path is a URL, where `what` must be on a disk."""
    if _ONE_SLASH.match(os.fspath(path)) or "://" in os.fspath(path):
        url = url_of(place_of(path))
        raise UsageError(f"{url}: {what} is read from a disk, and found a URL. Copy it to a folder and name that.")


class Remote:
    """A file in a bucket. Threads may share it; a forked process makes its own connections."""

    def __init__(self, path: str):
        match = _PATH.fullmatch(path)
        if not match:
            raise ValueError(path)
        self.url = url_of(path)
        self._bucket, self._key = f"{match[1]}://{match[2]}", match[3] or ""
        try:
            import obstore  # noqa: F401
        except ModuleNotFoundError as error:
            message = f"{self.url}: buckets need obstore. Install it: pip install 'imagenet-tools[bucket]'."
            raise UsageError(message) from error

    def size(self) -> int:
        """Return the size in bytes."""
        return self.status()[0]

    def status(self) -> tuple[int, int]:
        """Return the size in bytes and the time of the last change, nanoseconds since 1970."""
        facts = self._ask("head", self._key)
        return int(facts["size"]), _time_ns(facts)

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on, or those that there are."""
        return bytes(self._ask("get_range", self._key, start=offset, length=length)) if length else b""

    def read_all(self) -> tuple[bytes, str]:
        """Return the bytes and the ETag. Raise FileNotFoundError if there is no such file."""
        import obstore

        def read() -> tuple[bytes, str]:
            answer = obstore.get(_store(self._bucket, os.getpid()), self._key)
            return bytes(answer.bytes()), answer.meta["e_tag"] or ""

        return self._try(read)

    def download(self, path: Path, etag: str | None) -> str | None:
        """Copy the file to a path, with the time of its last change, unless a copy with the ETag is there.

        Returns:
            The ETag of the copy, or None if it was not copied.

        Raises:
            FileNotFoundError: There is no such file.
        """
        import obstore

        options: GetOptions | None = {"if_none_match": etag} if etag and path.exists() else None

        def get() -> str:
            answer = obstore.get(_store(self._bucket, os.getpid()), self._key, options=options)
            with whole(path, replace=True) as file:
                for part in answer.stream(min_chunk_size=_PART_BYTES):
                    file.write(part)
                file.flush()
                mtime_ns = _time_ns(answer.meta)
                os.utime(file.fileno(), ns=(mtime_ns, mtime_ns))
            return answer.meta["e_tag"] or ""

        try:
            return self._try(get)
        except obstore.exceptions.NotModifiedError:
            return None

    def etag(self) -> str | None:
        """Return the ETag of the file, or None if there is none."""
        import obstore

        with suppress(FileNotFoundError):
            return self._try(lambda: obstore.head(_store(self._bucket, os.getpid()), self._key)["e_tag"] or "")
        return None

    def write(self, content: Path | bytes) -> None:
        """Write a file, or replace it; a large one in parts. It appears when all of it is there."""
        self._put(content, None)

    def create(self, content: bytes, *, etag: str | None = None) -> str:
        """Write a file that is not there yet, or that still has an ETag, and return its ETag.

        A file with this content is taken for ours: the answer to the first try may have been lost.

        Raises:
            ExistsError: The file is there, or has another ETag.
        """
        import obstore

        try:
            return self._put(content, {"e_tag": etag} if etag else "create")
        except (obstore.exceptions.AlreadyExistsError, obstore.exceptions.PreconditionError) as error:
            there = self.read_all()
            if there[0] == content:
                return there[1]
            found = "found another version" if etag else "found a file"
            expected = "the one that was read. Run the command again" if etag else "nothing there. Name another place"
            message = f"{self.url}: {found}, expected {expected}."
            raise ExistsError(message) from error

    def remove(self, names: Iterable[str]) -> None:
        """Remove files below this folder, by their paths in it."""
        import obstore

        keys = [f"{self._key}/{name}" for name in names]
        if keys:
            self._try(lambda: obstore.delete(_store(self._bucket, os.getpid()), keys), "removed")

    def files(self) -> dict[str, int]:
        """Return the size of each file below this folder, by its path in it."""
        import obstore

        def listed() -> dict[str, int]:
            batches = obstore.list(_store(self._bucket, os.getpid()), f"{self._key}/")
            return {row["path"].removeprefix(f"{self._key}/"): row["size"] for batch in batches for row in batch}

        return self._try(listed)

    def _put(self, content: Path | bytes, mode: Any) -> str:
        import obstore

        store = _store(self._bucket, os.getpid())
        return self._try(lambda: obstore.put(store, self._key, content, mode=mode)["e_tag"] or "", "written")

    def _ask(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        try:
            return self._try(lambda: getattr(_store(self._bucket, os.getpid()), method)(*arguments, **keywords))
        except FileNotFoundError:
            message = f"Found no file {self.url}, expected a source that was indexed. Say where it is with --root."
            raise SourceError(message) from None

    def _try(self, call: Callable[[], _Result], done: str = "read") -> _Result:
        """Return the result of a call. obstore repeats requests that fail, and this answers that were cut."""
        from obstore import exceptions

        try:
            for pause in _PAUSES_SECONDS:
                try:
                    return call()
                except exceptions.GenericError as error:
                    if _CUT not in str(error):
                        raise
                    time.sleep(pause)
            return call()
        except (
            FileNotFoundError,
            exceptions.AlreadyExistsError,
            exceptions.PreconditionError,
            exceptions.NotModifiedError,
        ):
            raise
        except (exceptions.BaseError, OSError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            advice = "What is finished is kept; run the same command to go on."
            refused = isinstance(error, (exceptions.UnauthenticatedError, exceptions.PermissionDeniedError))
            if (refused or _NO_KEYS in reason) and (keys := _KEYS.get(self.url.partition(":")[0])):
                advice = f"Keys are taken from the environment: {keys}."
            message = f"{self.url} cannot be {done}: {reason}. {advice}"
            raise (SourceError if done == "read" else ImagenetToolsError)(message) from error


def _time_ns(facts: Mapping[str, Any]) -> int:
    return int(facts["last_modified"].timestamp()) * 1_000_000_000


def in_flight(calls: Iterable[Callable[[], object]]) -> None:
    """Make calls, IN_FLIGHT at a time. Raise the error of the first that fails, when all have ended."""
    futures = [_threads(os.getpid()).submit(call) for call in calls]
    wait(futures)
    for future in futures:
        future.result()


@cache
def _store(bucket: str, _process: int) -> Any:
    from obstore.store import from_url

    options = {"allow_http": True} if bucket.startswith("http:") else None
    return from_url(bucket, client_options=options)  # type: ignore[arg-type]


def begin(remote: Remote, offset: int, length: int) -> Future[bytes]:
    """Begin to read a range."""
    return _threads(os.getpid()).submit(remote.read, offset, length)


@cache
def _threads(_process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(IN_FLIGHT)
