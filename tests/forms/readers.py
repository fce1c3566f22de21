"""One small sample for each reader of imagenet_tools.formats, for tests/formats/test_reader_contract.py."""

import shutil
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from imagenet_tools.catalogue import labels, lists
from tests.forms import (
    annotations,
    arrays,
    coco,
    dogs,
    few_shot,
    hf_imagefolder,
    hf_parquet,
    imagenet_c,
    imagenet_v2,
    kaggle,
    small,
    tfrecord,
    tiny,
    vid,
    webdataset,
    whole,
    zips,
)
from tests.forms.annotations import write_files
from tests.forms.det_tree import Det, write_tree
from tests.forms.thousand import drawn

WNIDS = ("n02085620", "n02086079")
Data = Mapping[str, bytes]


@cache
def images() -> Data:
    """Twelve training images of two breeds, six validation images and a test image."""
    stems = [f"{wnid}_{7 + 1013 * n}" for wnid in WNIDS for n in range(6)]
    stems += [f"ILSVRC2012_val_{n:08d}" for n in (3, 20, 199, 2000, 2001, 49999)] + ["ILSVRC2012_test_00000007"]
    return {stem: drawn(n) for n, stem in enumerate(stems)}


@cache
def many() -> Data:
    """More of each, as the detection task's tree takes them."""
    stems = [f"{wnid}_{n}" for wnid in ("n02085620", "n01531178") for n in range(2)]
    stems += [f"ILSVRC2012_val_{n:08d}" for n in range(1, 22)] + [f"ILSVRC2012_test_{n:08d}" for n in (1, 2)]
    return {stem: drawn(n) for n, stem in enumerate(stems)}


def of_split(split: str) -> Data:
    return {stem: data for stem, data in images().items() if hf_parquet.split_of(stem) == split}


def by_class() -> whole.Images:
    return {wnid: {stem: data for stem, data in images().items() if stem.startswith(wnid)} for wnid in WNIDS}


def _box_xml(home: Path, sample: Path) -> Path:
    texts: dict[str, bytes | str] = {
        f"train/{stem[:9]}/{stem}.xml": annotations.xml(
            stem, stem[:9], [(stem[:9], (1, 2, 9, 9))], database="ILSVRC_2012"
        )
        for stem in of_split("train")
    }
    return write_files(home, texts)


def _coco(home: Path, sample: Path) -> Path:
    """The training images as COCO's 000000000001.jpg and so on, with a dog and a person in each."""
    photos = [
        coco.Photo(n, "train2017", data, (24, 20), [coco.Box("dog", (1, 2, 9, 9)), coco.Box("person", (0.5, 1, 3, 4))])
        for n, data in enumerate(of_split("train").values(), 1)
    ]
    return coco.write(home, {"annotations/instances_train2017.json": ("coco80", photos)})


def _cifar(home: Path, sample: Path) -> Path:
    return arrays.cifar10(home)


def _devkit(home: Path, sample: Path) -> Path:
    shutil.unpack_archive(sample / "ILSVRC2012_devkit_t12.tar.gz", home)
    return home


def _downsampled(home: Path, sample: Path) -> Path:
    return arrays.downsampled_npz(home)


def _downsampled_pickles(home: Path, sample: Path) -> Path:
    return arrays.downsampled_pickles(home)


def _example_format(home: Path, sample: Path) -> Path:
    """Packs of the example that CONTRIBUTING points to: tests/formats/example/example_format.py."""
    packs = {
        f"{split}-00000.pack": b"".join(
            f"{stem}\t{stem[:9] if split == 'train' else WNIDS[0]}\t0\t{len(data)}\n".encode() + data
            for stem, data in of_split(split).items()
        )
        for split in ("train",)
    }
    return write_files(home / "packs", packs)


def _flat_folder(home: Path, sample: Path) -> Path:
    return write_files(home / "val", {f"{stem}.JPEG": data for stem, data in of_split("val").items()})


def _hf_imagefolder(home: Path, sample: Path) -> Path:
    rows: list[dict[str, object]] = [
        {"file_name": f"{place}/{stem}.JPEG", "stem": stem, "wnid": stem[:9]}
        for place, stem in zip(("a", "b", "b/c", ".") * 3, of_split("train"), strict=True)
    ]
    hf_imagefolder.write_table(home, images(), rows)
    return write_files(home, {"b/n02086079_9.JPEG": drawn(77), "d/n02086079_10.JPEG": drawn(78)})


def _hf_parquet(home: Path, sample: Path) -> Path:
    return hf_parquet.write(home, images(), None, per_shard=3)


def _ilsvrc_det(home: Path, sample: Path) -> Path:
    return write_tree(home, Det(many()))


def _ilsvrc_vid(home: Path, sample: Path) -> Path:
    return vid.write(
        home, [*of_split("train").values()], {name: [(vid.DOG, (1, 2, 40, 50))] for name in vid.frame_ids()}
    )


def _image_folder(home: Path, sample: Path) -> Path:
    return whole.tree(home / "train", by_class())


def _image_tar_gz(home: Path, sample: Path) -> Path:
    return whole.winter21_whole(home / "winter21_whole.tar.gz", by_class())


def _image_tars(home: Path, sample: Path) -> Path:
    return whole.fall11_whole(home / "fall11_whole.tar", by_class())


def _imagenet21k_p(home: Path, sample: Path) -> Path:
    return whole.imagenet21k_resized(home, by_class())


def _imagenet_c(home: Path, sample: Path) -> Path:
    return imagenet_c.write(home, {stem: data for stem, data in images().items() if "_val_" in stem})


def _imagenet_v2(home: Path, sample: Path) -> Path:
    wnids = labels.ilsvrc2012_sorted()
    train = {wnids.index(wnid): [*stems.values()] for wnid, stems in by_class().items()}
    return imagenet_v2.write(home, train)


def _listed_folders(home: Path, sample: Path) -> Path:
    folders = ("alarm_clock", "adhesive_tape")  # two classes of ILSVRC2012, and none, as the names would contradict one
    data = images().items()
    files = {f"images/{folders[n % 2]}/{stem}.png": one for n, (stem, one) in enumerate(data) if stem.startswith("n")}
    return write_files(home / "objectnet-1.0", files)


def _kaggle_tree(home: Path, sample: Path) -> Path:
    files = kaggle.files_of(images(), sample)
    return write_files(home, {name: data for name, data in files.items() if "/Annotations/" not in name})


def _label_tables(home: Path, sample: Path) -> Path:
    rows = [
        {"file_name": f"{stem}.JPEG", "class": 151} | {factor: n % 2 for n, factor in enumerate(small.FACTORS)}
        for stem in images()
    ]
    return (
        write_files(home, {"imagenet_x_val_multi_factor.jsonl": small.lines(rows)})
        / "imagenet_x_val_multi_factor.jsonl"
    )


def _loc_csv(home: Path, sample: Path) -> Path:
    return Path(shutil.copy(sample / "LOC_val_solution.csv", home))


def _mini_imagenet(home: Path, sample: Path) -> Path:
    return few_shot.ravi(home, {"train": {WNIDS[0]: by_class()[WNIDS[0]]}, "val": {WNIDS[1]: by_class()[WNIDS[1]]}})


def _mini_imagenet_cache(home: Path, sample: Path) -> Path:
    return few_shot.mini_cache(home)


def _noisy_labels(home: Path, sample: Path) -> Path:
    rows = {f"train/{stem[:9]}/{stem}.JPEG": (stem[:9], WNIDS[0]) for stem in of_split("train")}
    return write_files(home, {"noisy_imagewoof.csv": small.noisy_labels(rows)}) / "noisy_imagewoof.csv"


def _stanford_dogs(home: Path, sample: Path) -> Path:
    return dogs.Dogs(images()).write_folders(home)


def _tfrecord(home: Path, sample: Path) -> Path:
    return tfrecord.write_classic(home, images(), {stem: [(0.1, 0.2, 0.8, 0.9)] for stem in of_split("train")})


def _tiered_imagenet(home: Path, sample: Path) -> Path:
    return few_shot.tiered(home)


def _tiny_imagenet(home: Path, sample: Path) -> Path:
    train = {stem: data for stem, data in of_split("train").items() if stem.startswith(tiny.WNIDS[0])}
    return tiny.write(home, train, {"val_0": (drawn(1), tiny.WNIDS[1], (0, 1, 20, 30))})


def _webdataset(home: Path, sample: Path) -> Path:
    return webdataset.write_1k(home, images())


def _zip(home: Path, sample: Path) -> Path:
    return zips.write(home / "train.zip", by_class())


# Readers of arrays: the pixels and the class of each image of their samples, by image id.
PIXELS: dict[str, Callable[[], dict[str, tuple[arrays.Pixels, str]]]] = {
    "cifar": lambda: {
        f"{'test_batch' if k == 5 else f'data_batch_{k + 1}'}_{n}": (
            arrays.drawn(8 * k + n),
            lists.get("cifar10").categories[(8 * k + n) % 10].synsets[0],
        )
        for k in range(6)
        for n in range(8)
    },
    "downsampled": lambda: {
        f"{'val_data' if k == 10 else f'train_data_batch_{k + 1}'}_{n}": (
            arrays.drawn(6 * k + n),
            lists.get("ilsvrc2012-id").wnids[arrays.LABELS[6 * k + n] - 1],
        )
        for k in range(11)
        for n in range(6)
    },
    "mini_imagenet_cache": lambda: {
        f"mini-imagenet-cache-{split}_{place}": (arrays.drawn(n, few_shot.SIDE), wnids[place // 3])
        for split, wnids in few_shot.MINI.items()
        for place, n in enumerate(few_shot.mini_numbers(split))
    },
    "tiered_imagenet": lambda: {
        f"{split}_images_png_{place}": (arrays.drawn(n, few_shot.SIDE), wnid)
        for split in few_shot.TIERED
        for place, (n, wnid) in enumerate(few_shot.tiered_numbers(split))
    },
}

# Further samples of a reader, in another of its forms.
OTHER_SAMPLES = {"downsampled_pickles": "downsampled"}

# By the reader's name; made in an empty folder, where the sample of the project lies is said.
SAMPLES: dict[str, Callable[[Path, Path], Path]] = {
    name.removeprefix("_"): make
    for name, make in list(globals().items())
    if name.startswith("_") and getattr(make, "__module__", "") == __name__
}
