"""How tests wait: for a condition, however loaded the machine is; PATIENCE ends only what would never end."""

import time
from collections.abc import Callable

# Seconds, far more than anything here takes: a test that waits so long has found something that hangs.
PATIENCE = 300


def until(holds: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Wait until a condition holds; False if it still does not after so many seconds."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
