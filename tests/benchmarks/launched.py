"""Starts a command, waits for it, and writes down what it cost, as JSON.

    python -I -S launched.py REPORT COMMAND...

It is small, and does nothing else: until a new process runs its program, the kernel takes the memory of the one that
started it for its own, and so would tell of the benchmark's where it should tell of the command's.
"""

import contextlib
import ctypes
import json
import os
import subprocess
import sys
import time

# Processes that outlive their parent, such as a fork server, become children of this one, and are waited for.
PR_SET_CHILD_SUBREAPER = 36
with contextlib.suppress(OSError, AttributeError):
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
began = time.monotonic()
child = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(child.pid, 0)
cost = {"wall": time.monotonic() - began, "code": os.waitstatus_to_exitcode(status)}
child.returncode = cost["code"]
usages = [usage]
with contextlib.suppress(ChildProcessError):
    while True:
        usages.append(os.wait4(-1, 0)[2])
cost["cpu"] = sum(usage.ru_utime + usage.ru_stime for usage in usages)
cost["largest"] = max(usage.ru_maxrss for usage in usages) * 1024
cost["disk"] = sum(usage.ru_inblock for usage in usages) * 512
with open(sys.argv[1], "w") as report:  # noqa: PTH123  nothing is imported that is not needed
    json.dump(cost, report)
