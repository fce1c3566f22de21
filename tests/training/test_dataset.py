"""A split as a data set to train on: held to the files that Python's tarfile extracts, read by Pillow."""

import io
import multiprocessing
import os
import pickle
import random
import resource
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageOps

import imagenet_tools
from imagenet_tools.errors import SourceError, UsageError
from imagenet_tools.index import Index
from imagenet_tools.training.dataset import Dataset
from tests.conftest import Extracted
from tests.drawn import lies_in
from tests.forms import hf_imagefolder as imagefolder_form
from tests.forms import hf_parquet as parquet_form
from tests.forms import tfrecord as tfrecord_form
from tests.forms import webdataset as webdataset_form
from tests.forms import whole
from tests.parameters import short_list
from tests.waiting import PATIENCE

# The image of the sample whose last bytes are missing: its header is whole, and Pillow does not decode it.
CUT = "n02088364_19183"


def folder_samples(root: Path) -> list[tuple[Path, int]]:
    """(file, class index) as torchvision documents ImageFolder: sorted folders are classes, sorted files in each."""
    classes = sorted(entry.name for entry in root.iterdir())
    return [(file, label) for label, name in enumerate(classes) for file in sorted((root / name).iterdir())]


def pillow(file: Path | io.BytesIO) -> Image.Image:
    """What torchvision's default loader does."""
    with Image.open(file) as image:
        return image.convert("RGB")


def same(a: Image.Image, b: Image.Image) -> bool:
    return a.mode == b.mode and a.size == b.size and a.tobytes() == b.tobytes()


@pytest.fixture(scope="module")
def train(index: Index) -> Dataset:
    return index.select().dataset("train")


# ---- ImageFolder's face


def test_it_is_what_the_extracted_class_folders_are(train: Dataset, extracted: Extracted) -> None:
    expected = folder_samples(extracted.train)
    wnids = sorted(path.name for path in extracted.train.iterdir())
    assert (train.classes, train.class_to_idx) == (wnids, {wnid: n for n, wnid in enumerate(wnids)})
    assert len(train) == len(expected) == 130
    assert train.targets == [label for _, label in expected]
    assert [(Path(path).name, label) for path, label in train.samples] == [(file.name, n) for file, n in expected]
    for n, (file, label) in enumerate(expected):
        if file.stem == CUT:
            continue
        image, number = train[n]
        assert label == number
        assert same(image, pillow(file)), file


def test_val_has_the_classes_of_train_and_none_of_its_images(index: Index, train: Dataset) -> None:
    val = index.select().dataset("val")
    assert (len(val), val.classes, val.class_to_idx) == (52, train.classes, train.class_to_idx)
    assert not {path for path, _ in val.samples} & {path for path, _ in train.samples}
    assert all("ILSVRC2012_img_val.tar" in path for path, _ in val.samples)


def test_a_list_gives_the_order_and_a_class_without_images_keeps_its_place(index: Index) -> None:
    listed = ["n04356056", "n00007846", "n02085620"]
    chosen = index.select(classes=listed).dataset("train")
    assert chosen.classes == listed
    assert dict(Counter(chosen.targets)) == {0: 10, 2: 10}
    assert all(Path(path).name.startswith(listed[label]) for path, label in chosen.samples)
    assert chosen.names == ["sunglasses", "person", "Chihuahua"]


def test_names_differ_where_two_classes_share_a_word(train: Dataset) -> None:
    assert len({name.casefold() for name in train.names}) == 13
    assert sum(name.startswith("crane (") for name in train.names) == 2


def test_targets_and_samples_do_what_lists_do(train: Dataset) -> None:
    targets, samples = list(train.targets), list(train.samples)
    assert train.targets == targets
    assert train.samples == samples
    assert train.samples != samples[1:]
    assert train.targets[-1] == targets[-1] == 12
    assert train.targets[3:99:7] == targets[3:99:7]
    assert train.samples[:5] == samples[:5]
    assert train.samples.index(samples[40]) == 40
    assert train.targets.count(5) == 10
    assert samples[7] in train.samples
    assert np.array(train.targets).tolist() == targets
    assert np.bincount(np.asarray(train.targets)).tolist() == [10] * 13
    assert type(train.targets[0]) is type(next(iter(train.targets))) is int
    assert pickle.loads(pickle.dumps(train.samples)) == samples
    with pytest.raises(IndexError):
        train.samples[130]


def test_transforms_are_called_and_can_be_set_later(index: Index) -> None:
    both = index.select().dataset("train", transform=lambda image: image.size, target_transform=lambda n: -n)
    assert both[129] == ((125, 83), -12)
    both.transform, both.target_transform = None, str
    assert isinstance(both[129][0], Image.Image)
    assert both[129][1] == "12"


def test_an_index_may_be_any_whole_number_and_one_too_high_ends(train: Dataset) -> None:
    last = train[129][0]
    assert all(same(train[index][0], last) for index in (-1, np.int64(129)))
    for wrong in (130, -131):
        with pytest.raises(IndexError, match="there are 130"):
            train[wrong]
    with pytest.raises(TypeError):
        train["0"]


# ---- every form of the same images


FORMS: list[Callable[[Extracted, Path, Path], Path]] = [
    lambda extracted, sample, home: sample / "ILSVRC2012_img_train.tar",
    lambda extracted, sample, home: extracted.class_tars,
    lambda extracted, sample, home: extracted.train.parent,
    lambda extracted, sample, home: parquet_form.write(home, extracted.data, parquet_form.words(sample)),
    lambda extracted, sample, home: webdataset_form.write_1k(home / "imagenet1k-wds", extracted.data),
    lambda extracted, sample, home: tfrecord_form.write_classic(home, extracted.data, {}),
    lambda extracted, sample, home: tfrecord_form.write_tfds(home, extracted.data),
    lambda extracted, sample, home: imagefolder_form.write_words(home, extracted.data, parquet_form.words(sample)),
]


@pytest.mark.parametrize("form", short_list(FORMS, *FORMS[1::4]))
def test_every_form_gives_the_same_data_set(
    form: Callable[[Extracted, Path, Path], Path], extracted: Extracted, sample: Path, tmp_path: Path
) -> None:
    imagenet_tools.build_index(form(extracted, sample, tmp_path), tmp_path / "x.index", workers=1)
    opened = imagenet_tools.open_index(tmp_path / "x.index")
    read = opened.select().dataset("train", fields=("image_id", "label", "bytes"))
    expected = [(file.stem, label, file.read_bytes()) for file, label in folder_samples(extracted.train)]
    assert list(read) == expected
    order = random.Random(3).sample(range(130), 130)
    assert read.__getitems__(order) == [expected[n] for n in order]
    with multiprocessing.get_context("fork").Pool(2, _hold, (read,)) as pool:  # what the parent keeps goes with them
        assert [data for _, data in pool.map(_bytes_of, order[:12], chunksize=1)] == [
            expected[n][2] for n in order[:12]
        ]


def test_streams_and_members_wrapped_in_gzip_are_read_in_any_order(extracted: Extracted, tmp_path: Path) -> None:
    images = whole.images(iter(sorted(extracted.data.values())), each=13)
    path = whole.winter21_whole(tmp_path / "winter21_whole.tar.gz", images)
    imagenet_tools.build_index(path, tmp_path / "x.index", workers=1)
    opened = imagenet_tools.open_index(tmp_path / "x.index")
    forms = {form for (form,) in opened.sql("SELECT DISTINCT compression FROM images").fetchall()}
    assert "tar.gz" in forms
    data = whole.flat(images)
    read = opened.select().dataset("train", fields=("image_id", "bytes"))
    assert len(read) == len(data) == 65
    for order in (range(65), random.Random(4).sample(range(65), 65)):
        assert all(data[image_id] == found for image_id, found in (read[n] for n in order))
    ids = [image_id for image_id, _ in read]
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(2, _hold, (read,)) as pool:
            assert [found for _, found in pool.map(_bytes_of, range(65), chunksize=4)] == [data[one] for one in ids]


def test_files_of_odd_names_are_found(extracted: Extracted, tmp_path: Path) -> None:
    source = sorted(extracted.train.glob("*/*"))[0]
    names = ["n01531178_1.jpg", "n01531178_2.JPEG.JPEG", "n01531178_3's \\ b.JPEG", "n01531178_4.jpeg"]
    for name in names:
        (tmp_path / "t" / "n01531178").mkdir(parents=True, exist_ok=True)
        shutil.copy(source, tmp_path / "t" / "n01531178" / name)
    imagenet_tools.build_index(tmp_path / "t", tmp_path / "x.index", workers=1, dataset="odd")
    read = imagenet_tools.open_index(tmp_path / "x.index").select().dataset("train", fields="bytes")
    assert len(read) == len(names)
    assert sorted(path for path, _ in read.samples) == sorted(str(tmp_path / "t" / "n01531178" / n) for n in names)
    assert set(read) == {(source.read_bytes(),)}


# ---- pixels


def test_pixels_of_the_real_images_are_pillows(real: Path, tmp_path: Path) -> None:
    imagenet_tools.build_index([real / "ilsvrc2012_val", real / "class_samples"], tmp_path / "x.index", workers=1)
    read = imagenet_tools.open_index(tmp_path / "x.index").select().dataset("val")
    assert len(read) == 150
    for (image, _), (path, _) in zip(read, read.samples, strict=True):
        assert same(image, pillow(Path(path))), path


def test_the_exif_orientation_is_applied_by_a_loader_that_does_it(tmp_path: Path) -> None:
    folder = tmp_path / "t" / "n02085620"
    folder.mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = Image.frombytes("RGB", (40, 20), random.Random(5).randbytes(2400))
    noise.save(folder / "n02085620_1.JPEG", exif=exif)
    imagenet_tools.build_index(tmp_path / "t", tmp_path / "x.index", dataset="turned", workers=1)
    selection = imagenet_tools.open_index(tmp_path / "x.index").select()
    raw = selection.dataset("train")[0][0]
    assert raw.size == (40, 20)
    assert same(raw, pillow(folder / "n02085620_1.JPEG"))
    turned = selection.dataset("train", loader=upright)[0][0]
    assert turned.size == (20, 40)
    assert same(turned, raw.transpose(Image.Transpose.ROTATE_270))


def upright(data: bytes) -> Image.Image:
    return ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")


# ---- fields


def xml_boxes(path: Path) -> dict[str, list[tuple[float, ...]]]:
    """The boxes of an archive of annotations by stem, in pixels, sorted."""
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile():
                file = archive.extractfile(member)
                assert file is not None
                objects = ElementTree.fromstring(file.read()).iter("bndbox")
                edges = ("xmin", "ymin", "xmax", "ymax")
                found[Path(member.name).stem] = sorted(
                    tuple(float(one.findtext(e) or "") for e in edges) for one in objects
                )
    return found


def test_boxes_are_those_of_the_annotations_and_lie_round_what_is_drawn(index: Index, sample: Path) -> None:
    fields = ("image", "boxes", "boxes_normalised", "box_labels", "label", "image_id", "width", "height")
    val = index.select().dataset("val", fields=fields)
    truth = xml_boxes(sample / "ILSVRC2012_bbox_val_v3.tgz")
    odd = {row[0] for row in index.sql("SELECT image_id FROM boxes WHERE flags <> []").fetchall()}
    compared = 0
    for image, boxes, fractions, labels, label, image_id, width, height in val:
        assert boxes.shape == fractions.shape == (len(labels), 4)
        assert (boxes.dtype, fractions.dtype, labels.dtype) == (np.float32, np.float32, np.int64)
        assert set(labels.tolist()) == {label}
        assert image.size == (width, height)
        assert lies_in(image, fractions.tolist())
        assert np.allclose(boxes, fractions * [width, height, width, height], atol=1e-3)
        if image_id not in odd:
            assert np.allclose(sorted(boxes.tolist()), truth[image_id], atol=1e-4)
            compared += 1
    assert compared > 40


def test_an_image_without_boxes_is_no_background_unless_it_is_asked_for(index: Index) -> None:
    boxed = {
        image_id
        for (image_id,) in index.sql("SELECT image_id FROM images WHERE n_boxes > 0 AND split = 'train'").fetchall()
    }
    skipped = index.select().dataset("train", fields=("image_id", "boxes"))
    assert {image_id for image_id, _ in skipped} == boxed
    assert skipped.left_out == {"unboxed": 130 - len(boxed)}
    assert all(len(boxes) for _, boxes in skipped)
    kept = index.select().dataset("train", fields=("image_id", "boxes"), unboxed="background")
    assert (len(kept), kept.left_out) == (130, {})
    assert {image_id for image_id, boxes in kept if len(boxes)} == boxed


def test_what_is_done_to_boxes_does_not_last(index: Index) -> None:
    read = index.select().dataset("val", fields=("boxes",))
    before = read[0][0].copy()
    read[0][0][:] = -1
    assert np.array_equal(read[0][0], before)


def test_columns_are_the_index_s_and_no_image_is_read_for_them(index: Index, tmp_path: Path) -> None:
    columns = ("wnid", "width", "orientation", "official_split", "split", "member", "hash32")
    read = index.select(split="a=0.5,b=0.5").dataset("a", fields=("image_id", *columns))
    rows = index.sql("SELECT image_id, wnid, width, orientation, split, 'a', member, hash32 FROM images").fetchall()
    assert set(read) < set(rows)
    moved = imagenet_tools.open_index(index.path, roots=dict.fromkeys(index.roots, tmp_path))
    assert moved.select().dataset("train", fields=("image_id",))[0] == ("n01531178_17189",)
    assert read.left_out["from"] == 52


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fields": ("image", "caption")}, "'caption'; expected some of image, label, bytes, boxes"),
        ({"problems": "drop"}, "'drop'; expected one of skip, keep"),
        ({"unboxed": "error"}, "'error'; expected one of skip, background"),
    ],
)
def test_an_unknown_word_is_answered_with_the_known_ones(index: Index, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        index.select().dataset("train", **options)


def test_a_split_without_images_is_an_error_that_names_those_with(index: Index) -> None:
    with pytest.raises(UsageError, match=r"'test'.*train \(50\), val \(20\)"):
        index.select(under="dog").dataset("test")


def test_an_image_without_a_label_is_in_no_split(sample: Path, tmp_path: Path) -> None:
    paths = [sample / name for name in ("ILSVRC2012_img_test_v10102019.tar", "ILSVRC2012_img_val.tar")]
    imagenet_tools.build_index(paths, tmp_path / "x.index", workers=1)
    selection = imagenet_tools.open_index(tmp_path / "x.index").select()
    assert len(selection.dataset("val")) == 52
    with pytest.raises(UsageError, match=r"val \(52\); left out: 5 unlabelled"):
        selection.dataset("test")


# ---- batches


def test_a_batch_is_the_items_in_the_order_asked_and_transformed_in_it(index: Index) -> None:
    dice = random.Random()
    read = index.select().dataset("train", loader=len, transform=lambda n: (n, dice.random()))
    order = [*random.Random(6).sample(range(130), 40), 5, 5, -1]
    dice.seed(7)
    one_by_one = [read[n] for n in order]
    dice.seed(7)
    assert read.__getitems__(order) == one_by_one


def test_a_batch_of_a_subclass_with_items_of_its_own_has_those(train: Dataset) -> None:
    class Named(Dataset):
        def __getitem__(self, index: Any) -> tuple[Any, ...]:
            return (*super().__getitem__(index), self.samples[index][0])

    named = Named(train._images, train.classes, split="train")
    assert named.__getitems__([3])[0][2] == train.samples[3][0]


# ---- processes and threads


_held: list[Dataset] = []


def _hold(read: Dataset) -> None:
    _held.append(read)


def _bytes_of(n: int) -> tuple[int, bytes]:
    return os.getpid(), _held[0].read(n)


@pytest.mark.parametrize("method", short_list(["fork", "spawn", "forkserver"], "fork", "spawn"))
def test_workers_read_what_the_parent_reads(method: str, index: Index, extracted: Extracted) -> None:
    read = index.select().dataset("train")
    expected = [file.read_bytes() for file, _ in folder_samples(extracted.train)]
    assert read.read(0) == expected[0]  # a descriptor is open before the workers start
    with multiprocessing.get_context(method).Pool(2, _hold, (read,)) as pool:
        found = pool.map(_bytes_of, range(130), chunksize=5)
    assert [data for _, data in found] == expected
    assert os.getpid() not in {process for process, _ in found}


def test_a_worker_forked_while_a_thread_reads_does_not_wait_for_ever(index: Index) -> None:
    read = index.select().dataset("train")
    expected = read.read(0)
    with read._descriptors()._lock, multiprocessing.get_context("fork").Pool(1, _hold, (read,)) as pool:
        assert pool.apply_async(_bytes_of, (0,)).get(timeout=PATIENCE)[1] == expected


def test_threads_read_one_data_set(index: Index, extracted: Extracted) -> None:
    read = index.select().dataset("train")
    expected = [file.read_bytes() for file, _ in folder_samples(extracted.train)]
    order = [n for seed in range(5) for n in random.Random(seed).sample(range(130), 130)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read.read, order)) == [expected[n] for n in order]


def test_a_pickle_is_small_and_asks_for_no_index(sample: Path, tmp_path: Path) -> None:
    imagenet_tools.build_index(sample / "ILSVRC2012_img_train.tar", tmp_path / "x.index", workers=1)
    selection = imagenet_tools.open_index(tmp_path / "x.index").select()
    few, all_ = selection.dataset("train"), selection.under("dog").dataset("train")
    sizes = [len(pickle.dumps(one)) for one in (few, all_)]
    assert (sizes[0] - sizes[1]) / 80 < 60
    assert sizes[0] < 10_000
    few.read(0)
    shutil.rmtree(tmp_path / "x.index")
    again = pickle.loads(pickle.dumps(few))
    assert repr(again) == repr(few) == "Dataset: train; 130 images, 13 classes"
    assert again.read(0) == few.read(0)
    assert again.samples == list(few.samples)


# ---- descriptors


def open_files(name: str = "") -> list[str]:
    links = [entry for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return [target for link in links if name in (target := str(link.readlink()))]


def test_descriptors_are_kept_and_closed_with_the_data_set(index: Index, sample: Path, tmp_path: Path) -> None:
    tar = shutil.copy(sample / "ILSVRC2012_img_train.tar", tmp_path)
    read = imagenet_tools.open_index(index.path, roots=dict.fromkeys(index.roots, tmp_path)).select().dataset("train")
    assert not open_files(str(tar))
    for n in range(130):
        read.read(n)
    assert len(open_files(str(tar))) == 1
    read.close()
    assert not open_files(str(tar))
    read.read(0)
    assert len(open_files(str(tar))) == 1
    del read
    assert not open_files(str(tar))


@contextmanager
def few_descriptors(left: int) -> Iterator[None]:
    """Let this process open so many files more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def in_files(extracted: Extracted, tmp_path_factory: pytest.TempPathFactory) -> Index:
    path = tmp_path_factory.mktemp("files") / "x.index"
    imagenet_tools.build_index(extracted.train.parent, path, workers=1)
    return imagenet_tools.open_index(path)


def test_more_files_than_the_process_may_open_are_read(in_files: Index, extracted: Extracted) -> None:
    read = in_files.select().dataset("train")
    expected = [file.read_bytes() for file, _ in folder_samples(extracted.train)]
    with few_descriptors(20):
        assert [read.read(n) for n in range(130)] == expected
        assert len(open_files(str(extracted.train))) <= resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4


def test_where_others_opened_all_there_are_its_own_are_closed_first(in_files: Index, extracted: Extracted) -> None:
    read = in_files.select().dataset("train")
    expected = [file.read_bytes() for file, _ in folder_samples(extracted.train)]
    assert [read.read(n) for n in range(60)] == expected[:60]
    with few_descriptors(0):
        assert [read.read(n) for n in range(130)] == expected


# ---- what cannot be read


@pytest.fixture
def broken(extracted: Extracted, tmp_path: Path) -> tuple[Index, Path]:
    """Two classes in folders, of which one image is found to be none, and one is cut in its pixels unnoticed."""
    for wnid in ("n02085620", "n02086079"):
        shutil.copytree(extracted.train / wnid, tmp_path / "t" / "train" / wnid)
    first, second, *_ = sorted((tmp_path / "t" / "train" / "n02085620").iterdir())
    first.write_bytes(b"<html>not found</html>")
    second.write_bytes(second.read_bytes()[:-400])
    imagenet_tools.build_index(tmp_path / "t", tmp_path / "x.index", workers=1)
    return imagenet_tools.open_index(tmp_path / "x.index"), tmp_path / "t" / "train" / "n02085620"


def test_images_with_a_problem_are_left_out_and_counted_or_kept(broken: tuple[Index, Path]) -> None:
    selection = broken[0].select()
    read, kept = selection.dataset("train"), selection.dataset("train", problems="keep")
    assert (len(read), read.left_out) == (19, {"problem": 1})
    assert (len(kept), kept.left_out) == (20, {})
    with pytest.raises(SourceError, match="often a web page") as caught:
        kept[0]
    assert kept.samples[0][0] in str(caught.value)


def test_an_image_cut_in_its_pixels_is_named_with_what_to_do(broken: tuple[Index, Path]) -> None:
    read = broken[0].select().dataset("train")
    with pytest.raises(OSError, match="truncated"):
        pillow(Path(read.samples[0][0]))
    with pytest.raises(SourceError, match="truncated") as caught:
        read[0]
    path = Path(read.samples[0][0])
    for word in (f"ilsvrc2012/{path.stem}", str(path), "pixels cannot be decoded", f"\"image_id <> '{path.stem}'\""):
        assert word in str(caught.value)
    without = broken[0].select(where=f"image_id <> '{path.stem}'").dataset("train")
    assert [image.mode for image, _ in without] == ["RGB"] * 18


def _fails(n: int) -> str:
    _held[0].read(n)
    return ""


def test_a_source_that_is_cut_or_gone_is_named_by_the_worker_too(extracted: Extracted, tmp_path: Path) -> None:
    tar = shutil.copy(extracted.class_tars / "n02085620.tar", tmp_path / "n02085620.tar")
    imagenet_tools.build_index(tar, tmp_path / "x.index", workers=1)
    read = imagenet_tools.open_index(tmp_path / "x.index").select().dataset("train")
    os.truncate(tar, 4000)
    with multiprocessing.get_context("spawn").Pool(1, _hold, (read,)) as pool, pytest.raises(SourceError) as caught:
        pool.apply(_fails, (9,))
    path = read.samples[9][0]
    for word in (path, f"ilsvrc2012/{Path(path).stem}", "the source has changed", "Build the index again"):
        assert word in str(caught.value)
    tar.unlink()
    with pytest.raises(SourceError, match="--root NAME=PATH"):
        pickle.loads(pickle.dumps(read)).read(0)
