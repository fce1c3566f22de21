"""The package works where Linux's own calls are missing, as on macOS, and names them in one module alone."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from imagenet_tools import system
from tests.cli.conftest import COMMAND
from tests.waiting import PATIENCE

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGE = CHECKOUT / "imagenet_tools"

# What is asked of Linux, and is not on macOS, or is another thing there.
FOREIGN = re.compile(
    r"""\bos\.(?:sched_\w+|posix_f\w+|copy_file_range|splice|sendfile|preadv\w*|pwritev\w*|memfd_create|eventfd\w*
        |pidfd_open|getxattr|setxattr|O_TMPFILE|O_DIRECT|O_PATH|O_NOATIME|O_LARGEFILE|get_blocking|sysconf)\b
        |\bresource\.(?:prlimit|RLIMIT_AS)\b|["'/]/?(?:proc|sys)/|prctl|FICLONE|fcntl\.ioctl|CDLL\(None""",
    re.VERBOSE,
)

# Takes the names away before anything is imported. Calls of the C library are missing too, and so is /proc.
MISSING = """
import builtins, ctypes, errno, fcntl, io, os, pathlib, resource

for name in ("sched_getaffinity", "sched_setaffinity", "posix_fadvise", "posix_fallocate", "copy_file_range", "splice",
             "sendfile", "preadv", "pwritev", "memfd_create", "eventfd", "pidfd_open", "getxattr", "O_TMPFILE",
             "O_DIRECT", "O_PATH", "O_NOATIME"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("RLIMIT_AS", "prlimit"):
    if hasattr(resource, name):
        delattr(resource, name)

def ioctl(*given):
    raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
fcntl.ioctl = ioctl

def sysconf(name, asked=os.sysconf):
    if name == "SC_PHYS_PAGES":
        raise ValueError("unrecognized configuration name")
    return asked(name)
os.sysconf = sysconf

class CDLL(ctypes.CDLL):
    def __getattr__(self, name):
        if name in ("prctl", "sync_file_range", "syncfs", "renameat2"):
            raise AttributeError(name)
        return super().__getattr__(name)
ctypes.CDLL = CDLL

def missing(path):
    return str(path).startswith(("/proc", "/sys"))
def opened(path, *given, opened=io.open, **words):
    if missing(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return opened(path, *given, **words)
io.open = builtins.open = opened
def exists(self, asked=pathlib.Path.exists, **words):
    return not missing(self) and asked(self, **words)
pathlib.Path.exists = exists
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, str]:
    """The environment of a process on another system."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "sitecustomize.py").write_text(MISSING)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IMAGENET_")}
    return kept | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "other"), str(CHECKOUT)])}


def test_no_module_but_one_names_what_linux_alone_has() -> None:
    found = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if FOREIGN.search(path.read_text())}
    assert found == {"system.py"}


def test_the_names_are_taken_away(elsewhere: dict[str, str]) -> None:
    asked = (
        "import os, resource, imagenet_tools.system as s;"
        "print(hasattr(os, 'sched_getaffinity'), hasattr(os, 'preadv'), s.libc('prctl'), s.libc('strlen') is not None,"
        "s.address_space(), s.limit_address_space(1, 1), s.memory(), s.seconds_in_line(), s.has_ended('0'),"
        "s.cores() > 0)"
    )
    done = subprocess.run([sys.executable, "-c", asked], env=elsewhere, capture_output=True, check=True, text=True)
    expected = f"False False None True (-1, -1) False {8 << 30} 0.0 False True"
    assert done.stdout.strip() == expected


@pytest.mark.long
def test_the_steps_of_make_demo_succeed_without_them(elsewhere: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "demo", str(tmp_path / "demo"), "--json"],
        env=elsewhere,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout)["steps"]
    assert [step["exit_code"] for step in steps] == [0, 3] + [0] * 8
    for name in ("dogs", "dogs-yolo"):
        checked = subprocess.run(
            [*COMMAND, "check", str(tmp_path / "demo" / name), "-i", str(tmp_path / "demo" / "imagenet.index")],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_read_without_preadv_gives_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(range(200)))
    with (tmp_path / "a").open("rb") as file:
        for read in (system.preadv, system._preadv):
            room = bytearray(60)
            assert [read(file.fileno(), (memoryview(room)[:50],), 7), room[:50]] == [50, bytearray(range(7, 57))]
            assert read(file.fileno(), (memoryview(room),), 190) == 10
            assert read(file.fileno(), (memoryview(room),), 500) == 0
