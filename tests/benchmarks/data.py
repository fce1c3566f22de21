"""The data of the benchmarks: made once below a folder, and found there again."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

import imagenet_tools
from imagenet_tools.catalogue import labels
from tests import nltk_corpus
from tests.benchmarks import full_imagenet
from tests.benchmarks.photographs import stock

HERE = Path(__file__).parent

# Of ImageNet's photographs: most are 500 pixels on the long side, some are a camera's own.
_SIZES = ((500, 375), (500, 375), (500, 375), (375, 500), (500, 333), (640, 480), (1024, 768), (1600, 1200))
_MIDDLE = (400, 350)  # of some 55 KB
# As in ImageNet's own tars: Python's default would give each member a pax header, which no published tar has.
_FORMAT = tarfile.GNU_FORMAT
_FEW = ((10, 50), (100, 100))  # classes and images a class of the sets that show fixed costs


class Data(NamedTuple):
    """What contests run on."""

    many: Path  # train/<wnid>/*.JPEG, small, with headers of many shapes
    n_many: int  # images there
    many_index: Path
    few: dict[int, Path]  # the number of images -> train/<wnid>/*.JPEG, small, for fixed costs
    few_indexes: dict[int, Path]
    class_tars: Path  # a folder of class tars, with the images of the first classes of `many`
    n_class_tars: int  # images there
    folders: Path  # train/<wnid>/*.JPEG of some 55 KB
    n_folders: int  # images there
    folders_index: Path
    nested: Path  # the same images in a tar of class tars
    nested_index: Path
    photos: Path  # train/<wnid>/*.JPEG of ImageNet's many sizes
    photos_index: Path
    voc: Path  # JPEGImages, Annotations, ImageSets: some of the images of folders, with a box each
    n_voc: int  # images there
    voc_index: Path
    detection: Path  # yolo and coco, exports of them
    whole: Path  # fall11_whole.tar of small images
    boxes: Path  # bboxes_annotations.tar.gz
    n_boxed: int  # XML files there
    index: Path  # of whole and boxes
    wordnet: Path | None  # data of NLTK with its corpus wordnet, where there is a dict
    limits: Path  # limits.c, compiled


def size(*, classes: int, per_class: int, small: int, every: int) -> int:
    """Bytes that the data of these sizes take, and an export of them."""
    return classes * (per_class * 3 * 60_000 + small * 2 * 4096) + full_imagenet.whole_size(every) + 10**9


def make(folder: Path, *, classes: int, per_class: int, small: int, every: int, n_boxed: int) -> Data:
    """Class folders of `classes` x `per_class` images, or x `small` small ones, and every n-th class of ImageNet."""
    many = folder / f"small-{classes}x{small}" / "train"
    _once(many, lambda path: _class_folders(path, classes, small, [one.data for one in stock()]))
    tree = folder / f"tree-{classes}x{per_class}"
    few_sets = {n * m: folder / f"small-{n}x{m}" / "train" for n, m in _FEW}
    for (n, m), path in zip(_FEW, few_sets.values(), strict=True):
        _once(path, lambda path, n=n, m=m: _class_folders(path, n, m, [image.data for image in stock()]))  # type: ignore[misc]
    tarred = max(1, classes * 6 // 10)
    class_tars = folder / f"class-tars-{tarred}x{small}"
    _once(class_tars, lambda path: _class_tars(many, path, tarred))
    train, nested = tree / "train", folder / f"nested-{classes}x{per_class}" / "ILSVRC2012_img_train.tar"
    few, n_photos, n_each = max(1, classes // 10), min(per_class, 100), min(per_class, 50)
    photos, voc = folder / f"photos-{few}x{n_photos}" / "train", folder / f"voc-{few}x{n_each}"
    _once(train, lambda path: _class_folders(path, classes, per_class, _photographs((_MIDDLE,))))
    _once(nested, lambda path: _nested(train, path))
    _once(photos, lambda path: _class_folders(path, few, n_photos, _photographs(_SIZES)))
    _once(voc, lambda path: _voc(train, path, few, n_each))
    voc_index = _index(voc.with_suffix(".index"), voc / "JPEGImages", voc / "Annotations")
    detection = folder / f"detection-{few}x{n_each}"
    _once(detection, lambda path: _export(voc_index, path))
    sets = folder / f"every-{every}-{n_boxed}"
    whole = full_imagenet.make(sets, every=every, n_boxed=n_boxed)
    boxes = sets / full_imagenet.BOXES
    return Data(
        many,
        classes * small,
        _index(many.parent.with_suffix(".index"), many.parent),
        few_sets,
        {n: _index(path.parent.with_suffix(".index"), path.parent) for n, path in few_sets.items()},
        class_tars,
        tarred * small,
        train,
        classes * per_class,
        _index(tree.with_suffix(".index"), tree),
        nested,
        _index(nested.parent.with_suffix(".index"), nested),
        photos,
        _index(photos.parent.with_suffix(".index"), photos.parent),
        voc,
        few * n_each,
        voc_index,
        detection,
        whole,
        boxes,
        full_imagenet.n_annotations(full_imagenet.layout(every), n_boxed),
        _index(sets / "whole.index", whole, boxes),
        _wordnet(folder / "nltk_data"),
        compiled(folder),
    )


def compiled(folder: Path) -> Path:
    """Compile limits.c to a program, which is returned, and latency.c to a library beside it."""
    library = folder / "latency.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(HERE / "latency.c"), "-ldl"], check=True)
    program = folder / "limits"
    subprocess.run(["cc", "-O2", "-pthread", "-o", str(program), str(HERE / "limits.c")], check=True)
    return program


def _once(path: Path, make_at: Callable[[Path], None]) -> None:
    """Make a folder or a file where it is not, whole or not at all."""
    if path.exists():
        return
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.unlink(missing_ok=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    make_at(partial)
    partial.rename(path)


def _index(index: Path, *sources: Path) -> Path:
    """An index as today's code writes it: of all that lies here, it alone is never found again from an earlier run."""
    shutil.rmtree(index, ignore_errors=True)
    imagenet_tools.build_index(sources, index)
    return index


def _export(index: Path, dest: Path) -> None:
    imagenet_tools.export(imagenet_tools.open_index(index).select(split="train=0.9,val=0.1"), dest, to="yolo,coco")


def _wordnet(nltk_data: Path) -> Path | None:
    there = nltk_corpus.dict_dir()
    if not (there / "data.noun").is_file():
        return None
    _once(nltk_data, lambda path: nltk_corpus.make(there, path / "corpora" / "wordnet"))
    return nltk_data


def _class_folders(train: Path, classes: int, per_class: int, photographs: Sequence[bytes]) -> None:
    for wnid in labels.ilsvrc2012_sorted()[:classes]:
        (train / wnid).mkdir(parents=True)
        for n in range(per_class):
            (train / wnid / f"{wnid}_{n}.JPEG").write_bytes(photographs[(n + int(wnid[1:])) % len(photographs)])


def _class_tars(train: Path, dest: Path, classes: int) -> None:
    """Write a tar for each of the first classes, as an extracted ILSVRC2012_img_train.tar has them."""
    dest.mkdir()
    for folder in sorted(train.iterdir())[:classes]:
        with tarfile.open(dest / f"{folder.name}.tar", "w", format=_FORMAT) as tar:
            for file in sorted(folder.iterdir()):
                tar.add(file, file.name)


def _nested(train: Path, path: Path) -> None:
    """A tar of class tars, as ILSVRC2012_img_train.tar is."""
    with tarfile.open(path, "w", format=_FORMAT) as outer:
        for folder in sorted(train.iterdir()):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w", format=_FORMAT) as inner:
                for file in sorted(folder.iterdir()):
                    inner.add(file, file.name)
            info = tarfile.TarInfo(f"{folder.name}.tar")
            info.size = buffer.tell()
            buffer.seek(0)
            outer.addfile(info, buffer)


def _voc(train: Path, voc: Path, classes: int, per_class: int) -> None:
    """The images of some classes as Pascal VOC lays them out, with a box in each."""
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (voc / name).mkdir(parents=True)
    stems = []
    draw = np.random.default_rng(0)
    for folder in sorted(train.iterdir())[:classes]:
        for file in sorted(folder.iterdir())[:per_class]:
            shutil.copyfile(file, voc / "JPEGImages" / f"{file.stem}.jpg")  # as VOC calls them
            data = full_imagenet.annotation(file.stem, folder.name, *_MIDDLE, draw, "ILSVRC_2012")
            data = data.replace(b"</filename>", b".jpg</filename>")  # as VOC has it
            (voc / "Annotations" / f"{file.stem}.xml").write_bytes(data)
            stems.append(file.stem)
    (voc / "ImageSets" / "Main" / "train.txt").write_text("".join(f"{stem}\n" for stem in stems))
    wnids = sorted({stem.partition("_")[0] for stem in stems})  # which Datumaro asks for, where they are not VOC's own
    (voc / "labelmap.txt").write_text("# label:color_rgb:parts:actions\n" + "".join(f"{one}:::\n" for one in wnids))


def _photographs(sizes: tuple[tuple[int, int], ...]) -> list[bytes]:
    return [_photograph(seed, *sizes[seed % len(sizes)]) for seed in range(64)]


def _photograph(seed: int, width: int, height: int) -> bytes:
    """A JPEG of so many pixels, of some 55 KB for 400 x 350, as noise in smooth colours makes it."""
    draw = np.random.default_rng(seed)
    smooth = Image.fromarray(draw.integers(0, 256, (7, 8, 3)).astype(np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    grain = draw.normal(0, 14, (height, width, 3))
    pixels = np.clip(np.asarray(smooth) + grain, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=75)
    return buffer.getvalue()
