"""A disk as NFS has it: a file that this process has open, and removes, stays in its folder until it is closed."""

import os
from pathlib import Path

import pytest


def keep_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let os.unlink() rename a file that is open or mapped to .nfs<inode>. Then os.close() removes it."""
    if not Path("/proc/self/maps").exists():
        pytest.skip("the system does not list the files that are mapped")
    unlink, close = os.unlink, os.close
    kept: dict[int, Path] = {}  # by inode

    def is_open(inode: int) -> bool:
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
            try:
                if os.fstat(int(name)).st_ino == inode:
                    return True
            except OSError:  # the descriptor of this listing
                continue
        lines = Path("/proc/self/maps").read_text().splitlines()
        return any(line.split(maxsplit=5)[4] == str(inode) for line in lines)

    def unlink_name(path: str | os.PathLike[str], *, dir_fd: int | None = None) -> None:
        inode = os.stat(path, dir_fd=dir_fd, follow_symlinks=False).st_ino
        if is_open(inode):
            place = Path(path) if dir_fd is None else Path(f"/proc/self/fd/{dir_fd}").readlink() / path
            kept[inode] = place.rename(place.with_name(f".nfs{inode}"))
        else:
            unlink(path, dir_fd=dir_fd)

    def close_file(fd: int) -> None:
        inode = os.fstat(fd).st_ino
        close(fd)
        if inode in kept and not is_open(inode):
            unlink(kept.pop(inode))

    monkeypatch.setattr(os, "unlink", unlink_name)
    monkeypatch.setattr(os, "close", close_file)
