"""Make the sample ImageNet in data/sample: a small version of every form that the publishers use, with drawn pictures.

    ILSVRC2012_img_train.tar              a tar of class tars, each flat: nXXXXXXXX_<int>.JPEG
    ILSVRC2012_img_val.tar                flat, ILSVRC2012_val_%08d.JPEG, not sorted
    ILSVRC2012_img_test_v10102019.tar     test/ILSVRC2012_test_%08d.JPEG
    ILSVRC2012_devkit_t12.tar.gz          the ground truth of the 50,000 validation images, in ILSVRC ids
    ILSVRC2012_bbox_train_v2.tar.gz       nXXXXXXXX/nXXXXXXXX_<int>.xml, for half of the training images
    ILSVRC2012_bbox_val_v3.tgz            val/ILSVRC2012_val_%08d.xml
    LOC_train_solution.csv  LOC_val_solution.csv  LOC_synset_mapping.txt      the same in Kaggle's form

ODD_IMAGES, ODD_XML and data/README.md list what is odd on purpose. The same Pillow and zlib give the same bytes: every
drawing depends on its image id alone, and no time, user or host is written.
"""

from __future__ import annotations

import argparse
import gzip
import io
import tarfile
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

from drawings import SITTERS, Box, picture
from PIL import Image

from imagenet_tools.catalogue import labels
from imagenet_tools.wordnet import wordnet

TRAIN_PER_CLASS = 10
VAL_PER_CLASS = 4
TEST_IMAGES = 5
SIZES = [(120, 90), (96, 72), (90, 120), (128, 96), (112, 84), (100, 100), (125, 83)]
ORIENTATION = 0x0112  # the EXIF tag

# Compresses bytes with gzip, without name and time in the header.
zipped = partial(gzip.compress, compresslevel=9, mtime=0)

# (class, place among its training images): the oddity of the bytes.
ODD_IMAGES = {
    ("n01531178", 4): "png",  # a PNG that is called .JPEG
    ("n02088364", 2): "no end",  # without its last two bytes, FF D9
    ("n02106662", 0): "turned",  # stored on its side, EXIF orientation 6
    ("n02123045", 0): "progressive",
    ("n04146614", 0): "cmyk",
    ("n04356056", 2): "gray",
}
# (class, place among its training images): the oddity of the annotation. Only even places have one.
ODD_XML = {
    ("n02085620", 2): "unnamed",  # <filename>%s</filename>
    ("n02085620", 4): "word",  # <name> is a word, not a wnid
    ("n02086079", 0): "word",
    ("n02088364", 4): "shown larger",  # the stated size, and the box in it, are not the image's
    ("n02099601", 0): "beyond",  # the box reaches over the left and the right edge
    ("n02099601", 4): "swapped",  # xmin > xmax
    ("n02106662", 6): "stray",  # a second box, wholly outside the image
    ("n03126707", 2): "empty",  # no object
}
ABSENT_IMAGE = "n01558993"  # the class of an annotation whose image is not there


class Picture(NamedTuple):
    """An image of the sample: its bytes, the size of its stored raster in pixels, and a box for each object."""

    image_id: str
    wnid: str
    data: bytes
    size: tuple[int, int]
    boxes: list[Box]


class Annotation(NamedTuple):
    """The content of an XML file: the stated size in pixels, and boxes with the name of their object."""

    image_id: str
    wnid: str
    folder: str
    filename: str
    name: str
    size: tuple[int, int]
    boxes: list[Box]


def draw(image_id: str, wnid: str, odd: str = "") -> Picture:
    """Draw an image, encoded by its oddity (ODD_IMAGES)."""
    rng = Random(image_id)
    size = rng.choice(SIZES)
    things = 2 if not odd and rng.random() < 0.2 else 1
    image, boxes = picture(SITTERS[wnid], rng, size=size, n=things)
    options: dict[str, object] = {"format": "JPEG", "quality": 85}
    if odd == "png":
        options = {"format": "PNG", "optimize": True}
    elif odd == "gray":
        image = image.convert("L")
    elif odd == "cmyk":
        image = image.convert("CMYK")
    elif odd == "progressive":
        options["progressive"] = True
    elif odd == "turned":
        image = image.transpose(Image.Transpose.ROTATE_90)  # anticlockwise; the tag turns it back
        boxes = [(top, size[0] - 1 - right, bottom, size[0] - 1 - left) for left, top, right, bottom in boxes]
        exif = Image.Exif()
        exif[ORIENTATION] = 6
        options["exif"] = exif
    written = io.BytesIO()
    image.save(written, **options)
    data = written.getvalue()
    return Picture(image_id, wnid, data[:-2] if odd == "no end" else data, image.size, boxes)


def training_ids(wnid: str) -> list[str]:
    """Return ids of a class as the publisher has them: neither consecutive nor of one width, sorted as text."""
    return sorted(f"{wnid}_{n}" for n in Random(wnid).sample(range(1, 30_000), TRAIN_PER_CLASS))


def annotate(image: Picture, folder: str, odd: str = "") -> Annotation:
    """Return the annotation of an image, with its oddity (ODD_XML)."""
    width, height = image.size
    left, top, right, bottom = image.boxes[0]
    note = Annotation(image.image_id, image.wnid, folder, image.image_id, image.wnid, image.size, image.boxes)
    match odd:
        case "unnamed":
            note = note._replace(filename="%s")
        case "word":
            note = note._replace(name=wordnet.synset(image.wnid).lemmas[0])
        case "shown larger":
            shown = (500, round(500 * height / width))
            scaled = (left * 500 // width, top * 500 // width, -(-right * 500 // width), -(-bottom * 500 // width))
            note = note._replace(size=shown, boxes=[scaled])
        case "beyond":
            note = note._replace(boxes=[(-6, top, width + 8, bottom)])
        case "swapped":
            note = note._replace(boxes=[(right, top, left, bottom)])
        case "stray":
            note = note._replace(boxes=[*image.boxes, (width + 10, 5, width + 40, 30)])
        case "empty":
            note = note._replace(boxes=[])
    return note


def xml(note: Annotation) -> bytes:
    """Return an annotation file, indented with tabs as the publisher's are."""
    width, height = note.size
    head = (
        f"<annotation>\n\t<folder>{note.folder}</folder>\n\t<filename>{note.filename}</filename>\n"
        "\t<source>\n\t\t<database>ILSVRC_2012</database>\n\t</source>\n"
        f"\t<size>\n\t\t<width>{width}</width>\n\t\t<height>{height}</height>\n\t\t<depth>3</depth>\n\t</size>\n"
        "\t<segmented>0</segmented>\n"
    )
    objects = "".join(
        f"\t<object>\n\t\t<name>{note.name}</name>\n\t\t<pose>Unspecified</pose>\n"
        "\t\t<truncated>0</truncated>\n\t\t<difficult>0</difficult>\n"
        f"\t\t<bndbox>\n\t\t\t<xmin>{xmin}</xmin>\n\t\t\t<ymin>{ymin}</ymin>\n"
        f"\t\t\t<xmax>{xmax}</xmax>\n\t\t\t<ymax>{ymax}</ymax>\n\t\t</bndbox>\n\t</object>\n"
        for xmin, ymin, xmax, ymax in note.boxes
    )
    return f"{head}{objects}</annotation>\n".encode()


def solution(notes: Iterable[Annotation], seed: str) -> bytes:
    """Return Kaggle's CSV of the same numbers: rows in no order, a space after every box."""
    rows = [
        f"{note.image_id}," + "".join(f"{note.wnid} {' '.join(map(str, box))} " for box in note.boxes)
        for note in notes
        if note.boxes
    ]
    Random(seed).shuffle(rows)
    return "\n".join(["ImageId,PredictionString", *rows, ""]).encode()


def tar(members: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a tar of files and folders (names that end in '/'), without time, user or group of this machine."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name.rstrip("/"))
            if name.endswith("/"):
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return written.getvalue()


def folders(notes: Iterable[Annotation]) -> Iterator[tuple[str, bytes]]:
    """Yield the members of an annotation archive: each folder before its files."""
    seen = set()
    for note in notes:
        if note.folder not in seen:
            seen.add(note.folder)
            yield f"{note.folder}/", b""
        yield f"{note.folder}/{note.image_id}.xml", xml(note)


def train_pictures() -> dict[str, list[Picture]]:
    """Return the training images by class."""
    return {
        wnid: [draw(image_id, wnid, ODD_IMAGES.get((wnid, n), "")) for n, image_id in enumerate(training_ids(wnid))]
        for wnid in SITTERS
    }


def train_notes(train: dict[str, list[Picture]]) -> list[Annotation]:
    """Return the annotations of every second training image, and one whose image is not in the sample."""
    notes = [
        annotate(image, wnid, ODD_XML.get((wnid, n), ""))
        for wnid, images in train.items()
        for n, image in enumerate(images)
        if n % 2 == 0
    ]
    absent = annotate(draw(f"{ABSENT_IMAGE}_30001", ABSENT_IMAGE), ABSENT_IMAGE)
    return sorted([*notes, absent], key=lambda note: (note.folder, note.image_id))


def val_pictures() -> list[Picture]:
    """Return validation images, under the first numbers whose official label is one of the sample's classes."""
    left = dict.fromkeys(SITTERS, VAL_PER_CLASS)
    images = []
    for number, wnid in enumerate(labels.validation_wnids(), start=1):
        if left.get(wnid):
            left[wnid] -= 1
            images.append(draw(f"ILSVRC2012_val_{number:08d}", wnid))
    return images


def test_pictures() -> list[Picture]:
    """Return test images of any classes: their labels are not published."""
    ids = (f"ILSVRC2012_test_{number:08d}" for number in range(1, TEST_IMAGES + 1))
    return [draw(image_id, Random(f"{image_id}?").choice(list(SITTERS))) for image_id in ids]


DEVKIT_README = """The development kit of the sample ImageNet that imagenet-tools draws itself.

data/ILSVRC2012_validation_ground_truth.txt has 50,000 lines. Line N holds the ILSVRC2012_ID, 1 to 1000, of the
class of ILSVRC2012_val_N, N written with eight digits. These are the official labels; the sample's validation
images carry numbers whose label is the class that is drawn. The official kit holds data/meta.mat and more besides.
"""


def devkit() -> bytes:
    """Return the development kit: the ground truth without a final newline, as the publisher's, and our own readme."""
    ids = {wnid: n for n, wnid in enumerate(labels.ilsvrc2012_ids(), start=1)}
    truth = "\n".join(str(ids[wnid]) for wnid in labels.validation_wnids())
    top = "ILSVRC2012_devkit_t12/"
    return tar(
        [
            (top, b""),
            (f"{top}data/", b""),
            (f"{top}data/ILSVRC2012_validation_ground_truth.txt", truth.encode()),
            (f"{top}readme.txt", DEVKIT_README.encode()),
        ]
    )


def make(folder: Path) -> None:
    """Write every file of the sample into a folder, and print what was written."""
    train, val, test = train_pictures(), val_pictures(), test_pictures()
    notes, val_notes = train_notes(train), [annotate(image, "val") for image in val]
    class_tars = ((f"{w}.tar", tar((f"{i.image_id}.JPEG", i.data) for i in images)) for w, images in train.items())
    shuffled = Random("val").sample(val, len(val))
    mapping = (f"{w} {', '.join(wordnet.synset(w).lemmas).replace('_', ' ')}\n" for w in labels.ilsvrc2012_sorted())
    files = {
        "ILSVRC2012_img_train.tar": tar(class_tars),
        "ILSVRC2012_img_val.tar": tar((f"{image.image_id}.JPEG", image.data) for image in shuffled),
        "ILSVRC2012_img_test_v10102019.tar": tar(
            [("test/", b""), *((f"test/{image.image_id}.JPEG", image.data) for image in test)]
        ),
        "ILSVRC2012_devkit_t12.tar.gz": zipped(devkit()),
        "ILSVRC2012_bbox_train_v2.tar.gz": zipped(tar(folders(notes))),
        "ILSVRC2012_bbox_val_v3.tgz": zipped(tar(folders(val_notes))),
        "LOC_train_solution.csv": solution(notes, "train"),
        "LOC_val_solution.csv": solution(val_notes, "val"),
        "LOC_synset_mapping.txt": "".join(mapping).encode(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
        print(f"{len(data):>9,} B  {folder / name}")
    n_boxes = sum(len(note.boxes) for note in [*notes, *val_notes])
    print(
        f"{sum(map(len, train.values()))} train, {len(val)} val and {len(test)} test images of {len(train)} classes; "
        f"{n_boxes} boxes in {len(notes)} + {len(val_notes)} annotations; {sum(map(len, files.values())):,} B in all"
    )


def main() -> None:
    """Read the command line and make the sample."""
    parser = argparse.ArgumentParser(
        description="Draw the sample ImageNet.", epilog="example: python data/make_sample.py -o data/sample"
    )
    folder = Path(__file__).parent / "sample"
    parser.add_argument("-o", "--output", type=Path, default=folder, help="the folder (default: %(default)s)")
    make(parser.parse_args().output)


if __name__ == "__main__":
    main()
