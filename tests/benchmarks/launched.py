"""Starts a command, waits for it, and writes down what it cost, as JSON.

    python -I -S launched.py REPORT COMMAND...

It is small, and does nothing else: until a new process runs its program, the kernel takes the memory of the one that
started it for its own, and so would tell of the benchmark's where it should tell of the command's.
"""

import json
import os
import subprocess
import sys
import time

began = time.monotonic()
child = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(child.pid, 0)
cost = {
    "wall": time.monotonic() - began,
    "cpu": usage.ru_utime + usage.ru_stime,
    "largest": usage.ru_maxrss * 1024,
    "disk": usage.ru_inblock * 512,
    "code": os.waitstatus_to_exitcode(status),
}
child.returncode = cost["code"]
with open(sys.argv[1], "w") as report:  # noqa: PTH123  nothing is imported that is not needed
    json.dump(cost, report)
