"""The whole of ImageNet as image-net.org gave and gives it: class tars in a tar, in a folder, in one gzip stream."""

import gzip
import io
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

# Classes of the whole that are beyond the 1,000: organism, person, dog, Genet the writer, and one of the 1,000.
CLASSES = ("n00004475", "n00007846", "n02084071", "n10994097", "n02123045")

Images = Mapping[str, Mapping[str, bytes]]  # by wnid and stem


def images(data: Iterable[bytes], *, classes: Iterable[str] = CLASSES, each: int = 4) -> dict[str, dict[str, bytes]]:
    """Images by class and stem, numbered as ImageNet numbers them: not from 0, and with gaps."""
    pictures = iter(sorted(data))
    return {wnid: {f"{wnid}_{7 + 1013 * n}": next(pictures) for n in range(each)} for wnid in classes}


def flat(images: Images) -> dict[str, bytes]:
    """The images by stem."""
    return {stem: data for inside in images.values() for stem, data in inside.items()}


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a file to a tar, with the owner and the time of the real ones."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.uname, info.mtime = len(data), 0o644, "imagenet", 1_318_000_000
    archive.addfile(info, io.BytesIO(data))


def class_tar(inside: Mapping[str, bytes], *, wrapped: Iterable[str] = ()) -> bytes:
    """A class's tar; the stems in `wrapped` are gzip of the image, as a few members of fall 2011 are."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for stem, data in inside.items():
            add(archive, f"{stem}.JPEG", gzip.compress(data) if stem in wrapped else data)
    return out.getvalue()


def fall11_whole(path: Path, images: Images, *, wrapped: Iterable[str] = (), gzipped: Iterable[str] = ()) -> Path:
    """fall11_whole.tar: the class tars of `gzipped` wnids are in gzip themselves."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for wnid, inside in images.items():
            data = class_tar(inside, wrapped=wrapped)
            add(archive, f"{wnid}.tar", gzip.compress(data) if wnid in gzipped else data)
    return path


def winter21_folder(path: Path, images: Images) -> Path:
    """winter21_whole/, a class tar each, as they are fetched one by one."""
    path.mkdir(parents=True)
    for wnid, inside in images.items():
        (path / f"{wnid}.tar").write_bytes(class_tar(inside))
    return path


def winter21_whole(path: Path, images: Images, *, wrapped: Iterable[str] = ()) -> Path:
    """winter21_whole.tar.gz: one gzip stream, as GNU tar and gzip write it."""
    plain = fall11_whole(path.with_suffix(".plain"), images, wrapped=wrapped)
    with path.open("wb") as out:
        subprocess.run(["gzip", "-n", "-c", str(plain)], stdout=out, check=True)
    plain.unlink()
    return path


def tree(folder: Path, images: Images) -> Path:
    """A class folder each, as the archives unpack."""
    for wnid, inside in images.items():
        (folder / wnid).mkdir(parents=True)
        for stem, data in inside.items():
            (folder / wnid / f"{stem}.JPEG").write_bytes(data)
    return folder


def imagenet21k_resized(home: Path, images: Images) -> Path:
    """imagenet21k_resized/ as its archive unpacks: of each class the first two by name in val; the last class small."""
    root = home / "imagenet21k_resized"
    *split, small = images
    tree(root / "imagenet21k_train", {wnid: dict(sorted(images[wnid].items())[2:]) for wnid in split})
    tree(root / "imagenet21k_val", {wnid: dict(sorted(images[wnid].items())[:2]) for wnid in split})
    tree(root / "imagenet21k_small_classes", {small: images[small]})
    return root


def pack(path: Path, folder: Path) -> Path:
    """A folder as GNU tar packs it, folders as members too; in gzip where the name says so."""
    options = ["-czf"] if path.suffix in (".gz", ".tgz") else ["-cf"]
    subprocess.run(["tar", *options, str(path), "-C", str(folder.parent), folder.name], check=True)
    return path
