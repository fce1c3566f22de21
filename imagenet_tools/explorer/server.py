"""The server: it runs the website on loopback with its child processes, or writes a static copy of it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from imagenet_tools.errors import UsageError
from imagenet_tools.explorer import static_copy
from imagenet_tools.explorer.children import children
from imagenet_tools.explorer.gate import Gate
from imagenet_tools.explorer.pages import Pages, application
from imagenet_tools.explorer.rendering import HERE
from imagenet_tools.explorer.subsets import Exports

if TYPE_CHECKING:
    from imagenet_tools.explorer.views import Site

_PREPARE_AFTER_SECONDS = 1.0


def listen(port: int) -> socket.socket:
    """Return a socket on loopback; port 0 means a free one.

    Raises:
        UsageError: Another program listens on the port.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen()  # a browser that comes before the server runs waits, and is not refused
    except OSError as error:
        listening.close()
        raise UsageError(f"--port {port}: {error.strerror}. Expected a free port, or none for any.") from error
    return listening


@contextlib.contextmanager
def opened(site: Site) -> Iterator[Pages]:
    """Provide the pages of a site with the child processes that they need, which end when the block ends."""
    from imagenet_tools import formats

    exports = Exports(site.index.folder, site.index.roots, Path.cwd(), list(formats.targets()))
    with children(site.index) as (makers, questioners):
        try:
            yield Pages(site, makers, questioners, exports)
        finally:
            exports.stop()


def serve(site: Site, *, port: int, announce: Callable[[str], None]) -> None:
    """Run the website until the process is interrupted.

    Args:
        site: The index to show, and models.
        port: The port on loopback; 0 for a free one.
        announce: Is called with the address, which holds the token.
    """
    with listen(port) as listening, opened(site) as pages:
        number = listening.getsockname()[1]
        gate = Gate(application(pages), port=number)
        config = uvicorn.Config(gate, log_level="warning", access_log=False, ws="none", server_header=False,
                                lifespan="off")  # fmt: skip
        # The first page comes first: it needs nothing of this, which takes both cores for seconds.
        preparing = threading.Timer(_PREPARE_AFTER_SECONDS, _prepare, (pages,))
        preparing.daemon = True
        preparing.start()
        announce(f"http://127.0.0.1:{number}/?token={gate.token}")
        uvicorn.Server(config).run(sockets=[listening])


def copy(site: Site, folder: Path, wnids: list[str]) -> int:
    """Write a static copy of the pages of some synsets; see static_copy.write."""
    with opened(site) as pages:
        return static_copy.write(pages, folder, wnids, HERE / "static")


def _prepare(pages: Pages) -> None:
    with contextlib.suppress(Exception):  # a page meets the error again, and shows it
        pages.questioners.warm()
        pages.site.counts.prepare()
        _ = pages.site.levels
