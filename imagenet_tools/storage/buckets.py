"""Files in buckets and on web servers, read by byte ranges through obstore.

A source that was moved into a bucket keeps its place in the index: a URL has a form that is an absolute path, so that
no other module needs to know of it. `s3://bucket/key` is /s3:/bucket/key. Credentials are never part of it; obstore
takes them from the environment (AWS_ACCESS_KEY_ID, GOOGLE_SERVICE_ACCOUNT, AZURE_STORAGE_ACCOUNT_KEY ...).
"""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenet_tools.errors import SourceError, UsageError

if TYPE_CHECKING:
    from concurrent.futures import Future

SCHEMES = ("s3", "gs", "az", "http", "https")

# Requests in flight of one process: at 20 ms a request, a thousand and more images a second.
IN_FLIGHT = 48

_URL = re.compile(rf"({'|'.join(SCHEMES)})://([^/?#]+)(?:/([^?#]*))?")
_ONE_SLASH = re.compile(rf"\A({'|'.join(SCHEMES)}):/(?!/)")  # a URL that was made a Path
_PATH = re.compile(rf"/({'|'.join(SCHEMES)}):/([^/]+)(?:/(.*))?", re.DOTALL)


def place_of(text: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a file or folder; of a URL, the form that is a path.

    Raises:
        UsageError: A URL of another scheme, or with a user, a password, a query or a fragment.
    """
    url = _ONE_SLASH.sub(r"\1://", os.fspath(text))
    if "://" not in url:
        return Path(os.path.abspath(url))  # noqa: PTH100 - resolve() would follow links
    match = _URL.fullmatch(url)
    if not match or "@" in match[2]:
        shown = re.sub(r"//[^/@]*@|[?#].*", lambda part: "//...@" if part[0].startswith("//") else "", url)
        schemes = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        message = f"{shown}: expected a URL of {schemes} without a user, a password or a query; keys are taken from "
        raise UsageError(f"{message}the environment.")
    return Path(f"/{match[1]}:/{match[2]}", (match[3] or "").strip("/"))


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Return True if a path is that of a URL."""
    return _PATH.match(os.fspath(path)) is not None


def url_of(path: str | os.PathLike[str]) -> str:
    """Return the URL of a path that place_of() made; other paths as they are."""
    match = _PATH.fullmatch(os.fspath(path))
    return f"{match[1]}://{match[2]}/{match[3] or ''}" if match else os.fspath(path)


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

    def size(self) -> int:
        """Return the size in bytes."""
        return self.status()[0]

    def status(self) -> tuple[int, int]:
        """Return the size in bytes and the time of the last change, nanoseconds since 1970."""
        facts = self._ask("head", self._key)
        return int(facts["size"]), int(facts["last_modified"].timestamp()) * 1_000_000_000

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on, or those that there are."""
        return bytes(self._ask("get_range", self._key, start=offset, length=length)) if length else b""

    def _ask(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        try:
            import obstore
        except ModuleNotFoundError as error:
            message = (
                f"{self.url}: reading from buckets needs obstore. Install it: pip install 'imagenet-tools[bucket]'."
            )
            raise UsageError(message) from error
        try:
            return getattr(_store(self._bucket, os.getpid()), method)(*arguments, **keywords)
        except FileNotFoundError:
            message = f"Found no file {self.url}, expected a source that was indexed. Say where it is with --root."
            raise SourceError(message) from None
        except (obstore.exceptions.BaseError, OSError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            message = f"{self.url} cannot be read: {reason}. What is finished is kept; run the same command to go on."
            raise SourceError(message) from error


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
