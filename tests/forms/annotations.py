"""Annotations in XML, and archives of them, spelled to the tab as ImageNet publishes them."""

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

Edges = tuple[int, int, int, int]


def xml(
    stem: str,
    folder: str,
    objects: Iterable[tuple[str, Edges]],
    *,
    size: tuple[int, int] = (500, 375),
    database: str = "ImageNet database",
) -> str:
    """An annotation of the whole ImageNet, or of ILSVRC's classification task with its own database."""
    head = (
        f"<annotation>\n\t<folder>{folder}</folder>\n\t<filename>{stem}</filename>\n"
        f"\t<source>\n\t\t<database>{database}</database>\n\t</source>\n"
        f"\t<size>\n\t\t<width>{size[0]}</width>\n\t\t<height>{size[1]}</height>\n\t\t<depth>3</depth>\n\t</size>\n"
        "\t<segmented>0</segmented>\n"
    )
    return head + "".join(map(_full, objects)) + "</annotation>\n"


def _full(one: tuple[str, Edges]) -> str:
    name, (x1, y1, x2, y2) = one
    return (
        f"\t<object>\n\t\t<name>{name}</name>\n\t\t<pose>Unspecified</pose>\n\t\t<truncated>0</truncated>\n"
        "\t\t<difficult>0</difficult>\n\t\t<bndbox>\n"
        f"\t\t\t<xmin>{x1}</xmin>\n\t\t\t<ymin>{y1}</ymin>\n\t\t\t<xmax>{x2}</xmax>\n\t\t\t<ymax>{y2}</ymax>\n"
        "\t\t</bndbox>\n\t</object>\n"
    )


def det_xml(
    stem: str,
    folder: str,
    objects: Iterable[tuple[str, Edges]],
    *,
    size: tuple[int, int],
    year: int = 2013,
    subcategory: str = "",
) -> str:
    """An annotation of the detection task: no depth, no pose, xmax before ymin; a narrower class where there is one."""
    head = (
        f"<annotation>\n\t<folder>{folder}</folder>\n\t<filename>{stem}</filename>\n"
        f"\t<source>\n\t\t<database>ILSVRC_{year}</database>\n\t</source>\n"
        f"\t<size>\n\t\t<width>{size[0]}</width>\n\t\t<height>{size[1]}</height>\n\t</size>\n"
    )
    narrower = f"\t\t<subcategory>{subcategory}</subcategory>\n" if subcategory else ""
    body = "".join(
        f"\t<object>\n\t\t<name>{name}</name>\n{narrower}\t\t<bndbox>\n\t\t\t<xmin>{x1}</xmin>\n\t\t\t<xmax>{x2}</xmax>\n"
        f"\t\t\t<ymin>{y1}</ymin>\n\t\t\t<ymax>{y2}</ymax>\n\t\t</bndbox>\n\t</object>\n"
        for name, (x1, y1, x2, y2) in objects
    )
    return f"{head}{body}</annotation>"


def tar_of(files: Mapping[str, bytes | str], mode: str = "w:gz") -> bytes:
    """A tar as GNU tar makes it of a folder: the folders come before their files."""
    buffer, seen = io.BytesIO(), set[str]()
    with tarfile.open(fileobj=buffer, mode=mode, format=tarfile.GNU_FORMAT) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            parts = name.split("/")[:-1]
            for n in range(1, len(parts) + 1):
                folder = "/".join(parts[:n]) + "/"
                if folder not in seen:
                    seen.add(folder)
                    member = tarfile.TarInfo(folder)
                    member.type = tarfile.DIRTYPE
                    archive.addfile(member)
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def bboxes_annotations(classes: Mapping[str, Mapping[str, str]], mode: str = "w:gz") -> bytes:
    """image-net.org's archive of the boxes of the whole ImageNet: a tar.gz of a tar.gz a class."""
    inner = {
        f"{wnid}.tar.gz": tar_of({f"Annotation/{wnid}/{stem}.xml": text for stem, text in files.items()})
        for wnid, files in classes.items()
    }
    return tar_of(inner, mode)


def write_files(root: Path, files: Mapping[str, bytes | str]) -> Path:
    """The files below a folder."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root
