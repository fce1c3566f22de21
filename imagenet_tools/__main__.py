"""Run the command line: the console script `imagenet-tools`, and `python -m imagenet_tools`."""

from __future__ import annotations

# Not signal and contextlib: they take 15 ms to import, in which Ctrl-C would print a traceback.
import _signal  # type: ignore[import-not-found]
import gc
import os

# Objects that Python makes between two searches for garbage. Importing makes some 300,000, and nearly all of them stay:
# with Python's 700, the searches take 5 % of the CPU of a short command.
_OBJECTS_BETWEEN_SEARCHES = 100_000


def main() -> None:
    """Run the command line, and exit with its code."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        # The imports below take 0.1 s, in which Ctrl-C would print a traceback.
        _signal.signal(_signal.SIGINT, _end)
    gc.set_threshold(_OBJECTS_BETWEEN_SEARCHES)
    # A thread of OpenBLAS spins for 0.05 to 0.1 s when NumPy is imported, and no command multiplies large matrices.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from imagenet_tools import cli

    cli.main()


def _end(*_: object) -> None:
    """End at once: no work has started."""
    try:
        os.write(2, b"Interrupted.\n")
    finally:
        os._exit(130)


if __name__ == "__main__":
    main()
