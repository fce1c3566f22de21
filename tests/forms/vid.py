"""The tree of ILSVRC's videos (VID), as ILSVRC2015_VID.tar.gz unpacks: frames in snippets, and their annotations."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.forms.annotations import Edges, write_files

DOG, SNAKE = "n02084071", "n01726692"
SNIPPETS = {
    "train/ILSVRC2015_VID_train_0000/ILSVRC2015_train_00000000": 6,
    "train/ILSVRC2015_VID_train_0003/ILSVRC2015_train_01139000": 4,
    "val/ILSVRC2015_val_00000000": 2,
}


def frame_ids() -> list[str]:
    """The ids of all frames, in the order of the snippets."""
    return [f"{place.rpartition('/')[2]}/{n:06d}" for place, frames in SNIPPETS.items() for n in range(frames)]


def annotation(folder: str, name: str, objects: Sequence[tuple[str, Edges]]) -> str:
    """The XML of a frame: no depth, xmax before xmin, a track for each object."""
    head = (
        f"<annotation>\n\t<folder>{folder}</folder>\n\t<filename>{name}</filename>\n"
        "\t<source>\n\t\t<database>ILSVRC_2015</database>\n\t</source>\n"
        "\t<size>\n\t\t<width>100</width>\n\t\t<height>80</height>\n\t</size>\n"
    )
    body = "".join(
        f"\t<object>\n\t\t<trackid>{track}</trackid>\n\t\t<name>{wnid}</name>\n\t\t<bndbox>\n"
        f"\t\t\t<xmax>{x2}</xmax>\n\t\t\t<xmin>{x1}</xmin>\n\t\t\t<ymax>{y2}</ymax>\n\t\t\t<ymin>{y1}</ymin>\n"
        "\t\t</bndbox>\n\t\t<occluded>1</occluded>\n\t\t<generated>0</generated>\n\t</object>\n"
        for track, (wnid, (x1, y1, x2, y2)) in enumerate(objects)
    )
    return f"{head}{body}</annotation>\n"


def write(home: Path, images: Sequence[bytes], objects: Mapping[str, Sequence[tuple[str, Edges]]]) -> Path:
    """ILSVRC2015/{Data,Annotations,ImageSets}/VID, of as many images as the snippets have; objects by frame id."""
    files: dict[str, bytes | str] = {"ImageSets/VID/train_1.txt": f"{next(iter(SNIPPETS))[6:]} 1\n"}
    places = [f"{place}/{n:06d}" for place, frames in SNIPPETS.items() for n in range(frames)]
    for place, frame_id, data in zip(places, frame_ids(), images, strict=True):
        folder, _, name = place.partition("/")[2].rpartition("/")
        files[f"Data/VID/{place}.JPEG"] = data
        files[f"Annotations/VID/{place}.xml"] = annotation(folder, name, objects.get(frame_id, ()))
    return write_files(home / "ILSVRC2015", files)
