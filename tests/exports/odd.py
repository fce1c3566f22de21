"""A small data set in which everything is odd that breaks exporters, drawn here, with the truth about it written down.

train/<wnid>/<image>.JPEG   three classes      val/<wnid>/<image>.JPEG   two of them      test/   no labels
boxes/<wnid>/<image>.xml    boxes of some
"""

import io
from pathlib import Path
from random import Random
from typing import NamedTuple

from PIL import Image, ImageOps

from tests.forms.annotations import xml

TENCH, CRANE, SPANIEL = "n01440764", "n02012849", "n02102040"
Edges = tuple[int, int, int, int]


class Odd(NamedTuple):
    """An image: its bytes, where it belongs, its boxes in pixels of the raster as stored."""

    stem: str
    split: str
    wnid: str
    data: bytes
    size: tuple[int, int]
    orientation: int | None = None
    boxes: tuple[Edges, ...] | None = None  # None: no annotation


def _drawn(stem: str, size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    random = Random(stem)
    small = Image.frombytes("RGB", (8, 8), random.randbytes(192))
    return small.resize(size, Image.Resampling.BICUBIC).convert(mode)


def _bytes(image: Image.Image, form: str = "JPEG", orientation: int | None = None) -> bytes:
    out, exif = io.BytesIO(), Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    image.save(out, form, **({"exif": exif} if orientation is not None else {}))
    return out.getvalue()


def _one(
    stem: str,
    wnid: str = TENCH,
    split: str = "train",
    *,
    size: tuple[int, int] = (60, 40),
    mode: str = "RGB",
    form: str = "JPEG",
    orientation: int | None = None,
    boxes: tuple[Edges, ...] | None = ((6, 4, 30, 20),),
    cut: int | None = None,
) -> Odd:
    data = _bytes(_drawn(stem, size, mode), form, orientation)
    return Odd(stem, split, wnid, data[:cut], size, orientation, boxes)


ODD = (
    _one("n01440764_1"),
    _one("n01440764_2", boxes=None),
    _one("n01440764_3", boxes=()),
    _one("n01440764_4", mode="CMYK"),
    _one("n01440764_5", form="PNG"),
    _one("n01440764_6", mode="L", size=(33, 77)),
    *(_one(f"n01440764_1{tag}", orientation=tag) for tag in range(1, 9)),
    _one("n01440764_20", boxes=tuple((n, n, n + 12, n + 9) for n in range(23))),
    _one("n01440764_21", boxes=((-5, -5, 70, 50), (50, 10, 60, 40))),
    _one("n01440764_22", cut=-2),
    _one("n02012849_1", CRANE, boxes=((0, 0, 60, 40), (0, 0, 60, 40))),
    _one("n02012849_02", CRANE, size=(200, 150), boxes=((150, 10, 199, 149),)),
    _one("n02012849_a b.c-d'é", CRANE),
    _one("n02102040_1", SPANIEL),
    _one("n01440764_901", TENCH, "val"),
    _one("n01440764_902", TENCH, "val", orientation=6),
    _one("n02012849_903", CRANE, "val", boxes=None),
    _one("n02012849_904", CRANE, "val"),
)
UNLABELLED = "ILSVRC2012_test_00000001"


def make_odd(root: Path) -> Path:
    """The data set below a folder."""
    for one in ODD:
        folder = root / one.split / one.wnid
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{one.stem}.JPEG").write_bytes(one.data)
        if one.boxes is not None:
            folder = root / "boxes" / one.wnid
            folder.mkdir(parents=True, exist_ok=True)
            objects = [(one.wnid, edges) for edges in one.boxes]
            (folder / f"{one.stem}.xml").write_text(xml(one.stem, one.wnid, objects, size=one.size))
    (root / "test").mkdir()
    (root / "test" / f"{UNLABELLED}.JPEG").write_bytes(_bytes(_drawn(UNLABELLED, (50, 50))))
    return root


def sources(root: Path) -> list[Path]:
    """What to index; all of it is of one data set, ilsvrc2012."""
    return [root / name for name in ("train", "val", "test", "boxes")]


def edges_of(one: Odd, *, turned: bool) -> list[tuple[float, float, float, float]]:
    """The usable boxes of an image as fractions, each once; as Pillow shows it turned, or as stored.

    Worked out by pixels and not by the package: a mask of the box is turned by Pillow, and its extent taken.
    """
    found = set()
    for left, top, right, bottom in one.boxes or ():
        width, height = one.size
        box = (max(left, 0), max(top, 0), min(right, width), min(bottom, height))
        mask = Image.new("L", one.size)
        mask.paste(255, box)
        if turned and one.orientation is not None:
            mask.getexif()[0x0112] = one.orientation
            mask = ImageOps.exif_transpose(mask)
        extent = mask.getbbox()
        assert extent is not None
        w, h = mask.size
        found.add((extent[0] / w, extent[1] / h, extent[2] / w, extent[3] / h))
    return sorted(found)
