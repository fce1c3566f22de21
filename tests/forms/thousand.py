"""The same 1,000 small images in every form of ILSVRC2012: folders, tars, and each hub's shards."""

import io
import tarfile
from pathlib import Path

from PIL import Image

from imagenet_tools.catalogue import labels
from tests.forms import hf_imagefolder, hf_parquet, tfrecord, webdataset
from tests.forms.small import hub_archive
from tests.forms.whole import add, class_tar

Data = dict[str, bytes]


def drawn(n: int) -> bytes:
    """A small JPEG, another for each number."""
    sink = io.BytesIO()
    image = Image.new("RGB", (24 + n % 7, 20 + n % 5), (n % 256, n // 4 % 256, 90))
    image.putpixel((n % 20, n // 20 % 20), (255, 255, 255))
    image.save(sink, "JPEG", quality=70 + n % 20)
    return sink.getvalue()


def data() -> Data:
    """700 training images of 100 classes, 250 validation and 50 test images."""
    wnids = labels.ilsvrc2012_sorted()
    stems = [f"{wnids[n % 100 * 10 + 3]}_{n * 37 + 5}" for n in range(700)]
    stems += [f"ILSVRC2012_val_{n * 199 + 1:08d}" for n in range(250)]
    stems += [f"ILSVRC2012_test_{n * 1999 + 1:08d}" for n in range(50)]
    made = {stem: drawn(n) for n, stem in enumerate(stems)}
    assert len(made) == len(set(made.values())) == 1000
    return made


def of(data: Data, split: str) -> Data:
    return {stem: image for stem, image in data.items() if hf_parquet.split_of(stem) == split}


def folders(home: Path, data: Data) -> list[Path]:
    for stem, image in data.items():
        split = hf_parquet.split_of(stem)
        folder = home / split / stem[:9] if split == "train" else home / split
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{stem}.JPEG").write_bytes(image)
    return [home]


def tars(home: Path, data: Data) -> list[Path]:
    classes: dict[str, Data] = {}
    for stem, image in of(data, "train").items():
        classes.setdefault(stem[:9], {})[stem] = image
    names = {"train": "ILSVRC2012_img_train", "val": "ILSVRC2012_img_val", "test": "ILSVRC2012_img_test_v10102019"}
    home.mkdir(parents=True)
    for split, name in names.items():
        with tarfile.open(home / f"{name}.tar", "w") as archive:
            if split == "train":
                for wnid, inside in classes.items():
                    add(archive, f"{wnid}.tar", class_tar(inside))
            else:
                for stem, image in of(data, split).items():
                    add(archive, f"{'test/' * (split == 'test')}{stem}.JPEG", image)
    return [home / f"{name}.tar" for name in names.values()]


def parquet(home: Path, data: Data) -> list[Path]:
    return [hf_parquet.write(home, data, None, per_shard=150)]


def before_parquet(home: Path, data: Data) -> list[Path]:
    home /= "data"
    home.mkdir(parents=True)
    (home.parent / "README.md").write_text("---")
    (home.parent / "classes.py").write_text("IMAGENET2012_CLASSES = {}")
    wnids = {stem: wnid for stem in data if (wnid := hf_parquet.wnid_of(stem))}
    train = list(of(data, "train").items())
    for number in range(2):
        hub_archive(home / f"train_images_{number}.tar.gz", dict(train[number::2]), wnids)
    for split in ("val", "test"):
        hub_archive(home / f"{split}_images.tar.gz", of(data, split), wnids)
    return [home.parent]


def wds(home: Path, data: Data) -> list[Path]:
    webdataset.write_1k(home, data)
    webdataset.write_shard(
        home / "imagenet1k-test-0.tar", [webdataset.sample_1k(*one) for one in of(data, "test").items()]
    )
    return [home]


def classic(home: Path, data: Data) -> list[Path]:
    return [tfrecord.write_classic(home, data, {})]


def tfds(home: Path, data: Data) -> list[Path]:
    return [tfrecord.write_tfds(home, data)]


def tables(home: Path, data: Data) -> list[Path]:
    order = labels.ilsvrc2012_sorted()
    for split, folder in (("train", "train"), ("val", "validation")):
        rows = [
            {"file_name": f"{stem}.JPEG", "stem": stem, "label": order.index(hf_parquet.wnid_of(stem) or "")}
            for stem in of(data, split)
        ]
        hf_imagefolder.write_table(home / folder, data, rows)
    return [home]


FORMS = [folders, tars, parquet, before_parquet, wds, classic, tfds, tables]
