"""Zips of class folders, as people make them: stored by Python's zipfile or by Info-ZIP, and compressed ones."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

Images = Mapping[str, Mapping[str, bytes]]


def write(path: Path, images: Images, *, top: str = "train", method: int = zipfile.ZIP_STORED) -> Path:
    """<top>/<wnid>/<stem>.JPEG, by Python's zipfile, with the folders as members."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for wnid, inside in images.items():
            archive.writestr(f"{top}/{wnid}/", b"")
            for stem, data in inside.items():
                archive.writestr(f"{top}/{wnid}/{stem}.JPEG", data)
    return path


def write_folders(home: Path, images: Images, *, top: str = "train") -> Path:
    """The same as folders below `home`, for others to pack."""
    for wnid, inside in images.items():
        (home / top / wnid).mkdir(parents=True)
        for stem, data in inside.items():
            (home / top / wnid / f"{stem}.JPEG").write_bytes(data)
    return home / top
