"""The command line as a process: the console script, and `python -m imagenet_tools`."""

from __future__ import annotations

import os
import signal
from contextlib import suppress


def main() -> None:
    """Run the command line, and exit with its code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # The imports below take 0.1 s, and Ctrl-C among them would print a traceback.
        signal.signal(signal.SIGINT, _end)
    from imagenet_tools import cli

    cli.main()


def _end(*_: object) -> None:
    """End at once: no work has begun."""
    with suppress(OSError):
        os.write(2, b"Interrupted.\n")
    os._exit(130)


if __name__ == "__main__":
    main()
