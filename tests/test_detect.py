"""`detect` names every form rightly: form, data set, splits, what it holds, label space, order and base."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import imagenet_tools
from imagenet_tools import api
from imagenet_tools.catalogue import lists
from imagenet_tools.units import Detection
from tests.conftest import Extracted
from tests.forms import (
    annotations,
    hf_imagefolder,
    hf_parquet,
    imagenet_c,
    imagenet_v2,
    kaggle,
    small,
    tfrecord,
    tiny,
    webdataset,
    whole,
    zips,
)
from tests.forms.det_tree import Det, write_2014, write_tree
from tests.forms.dogs import Dogs
from tests.forms.readers import SAMPLES


class Made(NamedTuple):
    """What the forms are made of, and where."""

    home: Path
    extracted: Extracted
    sample: Path

    @property
    def data(self) -> dict[str, bytes]:
        return self.extracted.data

    @property
    def words(self) -> list[str]:
        return hf_parquet.words(self.sample)

    def classes(self) -> dict[str, dict[str, bytes]]:
        return whole.images(self.data.values())

    def samples_of(self, name: str) -> list[webdataset.Sample]:
        """Training samples as timm's, numbered by a published list."""
        order = list(lists.get(name).wnids)
        stems = [stem for stem in self.data if stem[:9] in order]
        return [webdataset.sample_22k(stem, self.data[stem], order=order) for stem in webdataset.shuffled(stems)]


def _boxes_of_the_whole() -> dict[str, dict[str, str]]:
    stems = {"n00007846": "n00007846_6247", "n06470073": "n00141669_6790"}
    return {wnid: {stem: annotations.xml(stem, wnid, [(wnid, (1, 2, 30, 40))])} for wnid, stem in stems.items()}


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _imagefolder_table(made: Made, kind: str) -> Path:
    stems = [stem for stem in made.data if stem.startswith("n")]
    order = sorted({stem[:9] for stem in stems})
    rows: list[dict[str, object]] = [
        {"file_name": f"{stem}.JPEG", "stem": stem, "wnid": stem[:9], "label": order.index(stem[:9])} for stem in stems
    ]
    return hf_imagefolder.write_table(made.home, made.data, rows, kind)


def _imagenette(made: Made) -> Path:
    stem = "ILSVRC2012_val_00000020"
    images = {"n01440764": {stem: made.data[stem]}}
    return small.imagenette(made.home, images, images)


def _tiny(made: Made) -> Path:
    images = list(made.data.values())
    train = {f"{wnid}_0": data for wnid, data in zip(tiny.WNIDS, images, strict=False)}
    return tiny.write(made.home, train, {"val_0": (images[3], tiny.WNIDS[0], (0, 0, 9, 9))})


Make = Callable[[Made], Path]
FORMS: dict[str, Make] = {
    "fall11_whole.tar": lambda made: whole.fall11_whole(made.home / "fall11_whole.tar", made.classes()),
    "winter21_whole/": lambda made: whole.winter21_folder(made.home / "winter21_whole", made.classes()),
    "winter21_whole.tar.gz": lambda made: whole.winter21_whole(made.home / "winter21_whole.tar.gz", made.classes()),
    "class folders of the whole": lambda made: whole.tree(made.home / "pictures", made.classes()),
    "imagenet21k_resized/": lambda made: whole.imagenet21k_resized(made.home, made.classes()),
    "imagenet21k_resized.tar.gz": lambda made: whole.pack(
        made.home / "imagenet21k_resized.tar.gz", whole.imagenet21k_resized(made.home, made.classes())
    ),
    "imagenette2-160.tgz": _imagenette,
    "noisy_imagenette.csv": lambda made: _written(
        made.home / "noisy_imagenette.csv",
        small.noisy_labels({"train/n01440764/n01440764_10026.JPEG": ("n01440764", "n02102040")}).encode(),
    ),
    "train_images_0.tar.gz": lambda made: small.hub_archive(
        made.home / "train_images_0.tar.gz",
        {stem: data for stem, data in made.data.items() if stem.startswith("n")},
        {stem: stem[:9] for stem in made.data},
    ),
    "bboxes_annotations.tar.gz": lambda made: _written(
        made.home / "bboxes_annotations.tar.gz", annotations.bboxes_annotations(_boxes_of_the_whole())
    ),
    "Annotation/": lambda made: annotations.write_files(
        made.home,
        {f"Annotation/{wnid}/{s}.xml": text for wnid, own in _boxes_of_the_whole().items() for s, text in own.items()},
    ),
    "ILSVRC/ of DET": lambda made: write_tree(made.home, Det(made.data)),
    "the archives of DET": lambda made: write_2014(made.home, Det(made.data)),
    "Stanford Dogs, unpacked": lambda made: Dogs(made.data).write_folders(made.home),
    "Stanford Dogs, tars": lambda made: Dogs(made.data).write_tars(made.home),
    "Tiny-ImageNet, unpacked": _tiny,
    "ImageNet-C": lambda made: imagenet_c.write(
        made.home, {stem: data for stem, data in made.data.items() if stem.startswith("ILSVRC2012_val")}
    ),
    "ObjectNet": lambda made: annotations.write_files(
        made.home / "objectnet-1.0", {"images/alarm_clock/0.png": next(iter(made.data.values()))}
    ),
    "ImageNetV2": lambda made: imagenet_v2.write(made.home, {2: list(made.data.values())[:2]}),
    "Kaggle's tree": lambda made: kaggle.write(made.home, made.data, made.sample),
    "Kaggle's archive": lambda made: kaggle.write_archive(made.home / "kaggle.tar.gz", made.data, made.sample),
    "imagenet-1k of the hub": lambda made: hf_parquet.write(made.home, made.data, made.words),
    "imagefolder of words": lambda made: hf_imagefolder.write_words(made.home, made.data, made.words),
    "imagefolder, metadata.csv": lambda made: _imagefolder_table(made, "csv"),
    "imagefolder, metadata.jsonl": lambda made: _imagefolder_table(made, "jsonl"),
    "imagenet-1k-wds": lambda made: webdataset.write_1k(made.home, made.data),
    "imagenet-12k-wds": lambda made: webdataset.write(
        made.home, "imagenet12k", {"train": made.samples_of("imagenet12k")}, shards={"train": 2}
    ),
    "imagenet-22k-wds": lambda made: webdataset.write(
        made.home, "imagenet22k", {"train": made.samples_of("fall11")}, shards={"train": 2}
    ),
    "classic TFRecords": lambda made: tfrecord.write_classic(
        made.home, made.data, {stem: [(0.1, 0.1, 0.5, 0.5)] for stem in made.data if stem.startswith("n")}
    ),
    "TensorFlow Datasets": lambda made: tfrecord.write_tfds(made.home, made.data),
    **{
        name: lambda made, name=name: made.sample / name  # type: ignore[misc]
        for name in (
            "ILSVRC2012_img_train.tar",
            "ILSVRC2012_img_val.tar",
            "ILSVRC2012_img_test_v10102019.tar",
            "ILSVRC2012_devkit_t12.tar.gz",
            "ILSVRC2012_bbox_train_v2.tar.gz",
            "ILSVRC2012_bbox_val_v3.tgz",
            "LOC_train_solution.csv",
            "LOC_val_solution.csv",
        )
    },
    "class folders in a zip": lambda made: zips.write(
        made.home / "a.zip", whole.images(made.data.values(), classes=small.CLASSES, each=2)
    ),
    **{
        f"the sample of {form}": lambda made, form=form: SAMPLES[form](made.home / form, made.sample)
        for form in (
            "cifar",
            "coco",
            "downsampled",
            "ilsvrc_vid",
            "label_tables",
            "mini_imagenet",
            "mini_imagenet_cache",
            "tiered_imagenet",
        )
    },
    "ImageNet-Hard": lambda made: hf_parquet.write_hard(
        made.home / "validation-00000-of-00001.parquet", [(next(iter(made.data.values())), [0], ["tench"])]
    ),
    "class folders of train": lambda made: made.extracted.train,
    "train/ and no val/": lambda made: made.extracted.train.parent,
    "a folder of class tars": lambda made: made.extracted.class_tars,
    "a class tar": lambda made: made.extracted.class_tars / "n02123045.tar",
    "val/": lambda made: made.extracted.val,
    "val/ and test/": lambda made: made.extracted.val.parent,
    "the sample": lambda made: made.sample,
}


def _told(found: Detection) -> str:
    labels = found.labels
    space = labels.space if labels else "no labels"
    numbers = f" by {labels.order} from {labels.base}" if labels and labels.base is not None else ""
    splits, holds = "+".join(found.splits) or "no split", "+".join(found.holds) or "nothing read"
    return f"{found.form}: {found.dataset} {splits}, {holds}, {space}{numbers}"


# Form: data set, splits, what indexing reads there, whose classes they are, and what numbers mean.
TOLD = {
    "the sample of cifar": [
        "cifar: cifar10 train+test, images, cifar10 by label from 0",
    ],
    "the sample of coco": [
        "coco: coco train, images+boxes+labels, wordnet",
    ],
    "the sample of downsampled": [
        "downsampled: imagenet32 train+val, images, ilsvrc2012 by ilsvrc_id from 1",
    ],
    "the sample of ilsvrc_vid": [
        "ilsvrc_vid: ilsvrc-vid train+val, images, no labels",
        "ilsvrc_vid: ilsvrc-vid train+val, boxes+labels, wordnet",
    ],
    "the sample of label_tables": [
        "label_tables: ilsvrc2012 no split, labels, ilsvrc2012 by wnid from 0",
    ],
    "the sample of mini_imagenet": [
        "mini_imagenet: mini-imagenet train+val, images, mini-imagenet",
    ],
    "the sample of mini_imagenet_cache": [
        "mini_imagenet_cache: mini-imagenet train+val+test, images, mini-imagenet",
    ],
    "ImageNet-Hard": [
        "hf_parquet: imagenet-hard test, images+labels, ilsvrc2012 by wnid from 0",
    ],
    "the sample of tiered_imagenet": [
        "tiered_imagenet: tieredimagenet train+val+test, images, tieredimagenet",
    ],
    "fall11_whole.tar": [
        "image_tars: fall11 no split, images, fall11",
    ],
    "winter21_whole/": [
        "image_tars: winter21 no split, images, winter21",
    ],
    "winter21_whole.tar.gz": [
        "image_tar_gz: winter21 no split, images, winter21",
    ],
    "class folders of the whole": [
        "image_folder: imagenet21k no split, images, imagenet21k",
    ],
    "imagenet21k_resized/": [
        "imagenet21k_p: imagenet21k-p-winter21 train+val, images, imagenet21k-p-winter21",
    ],
    "imagenet21k_resized.tar.gz": [
        "image_tar_gz: imagenet21k-p-winter21 train+val, images, imagenet21k-p-winter21",
    ],
    "imagenette2-160.tgz": [
        "image_tar_gz: imagenette2-160 train+val, images, imagenette2-160",
    ],
    "noisy_imagenette.csv": [
        "noisy_labels: imagenette train+val, labels, imagenette",
    ],
    "train_images_0.tar.gz": [
        "image_tar_gz: ilsvrc2012 train, images, ilsvrc2012",
    ],
    "bboxes_annotations.tar.gz": [
        "box_xml: imagenet21k no split, boxes, wordnet",
    ],
    "Annotation/": [
        "box_xml: imagenet21k no split, boxes, wordnet",
    ],
    "ILSVRC/ of DET": [
        "ilsvrc_det: ilsvrc-det train+val+test, images, wordnet",
        "ilsvrc_det: ilsvrc-det train+val, boxes+labels, wordnet",
        "ilsvrc_det: ilsvrc-det train, labels, ilsvrc-det by det_id from 1",
    ],
    "the archives of DET": [
        "ilsvrc_det: ilsvrc-det val, boxes+labels, wordnet",
        "ilsvrc_det: ilsvrc-det test, images, no labels",
        "ilsvrc_det: ilsvrc-det val, images, no labels",
        "ilsvrc_det: ilsvrc-det train, boxes+labels, wordnet",
        "ilsvrc_det: ilsvrc-det train, images, wordnet",
        "ilsvrc_det: ilsvrc-det train, labels, ilsvrc-det by det_id from 1",
    ],
    "Stanford Dogs, unpacked": [
        "stanford_dogs: stanford-dogs train+test, images, wordnet",
        "stanford_dogs: stanford-dogs train+test, boxes, wordnet",
    ],
    "Stanford Dogs, tars": [
        "stanford_dogs: stanford-dogs train+test, boxes, wordnet",
        "stanford_dogs: stanford-dogs train+test, images, wordnet",
    ],
    "Tiny-ImageNet, unpacked": [
        "tiny_imagenet: tiny-imagenet-200 train+val+test, images+boxes, tiny-imagenet-200",
    ],
    "ImageNet-C": [
        "imagenet_c: imagenet-c val, images, ilsvrc2012",
    ],
    "ObjectNet": [
        "listed_folders: objectnet test, images+labels, ilsvrc2012",
    ],
    "ImageNetV2": [
        "imagenet_v2: imagenetv2-matched-frequency test, images, ilsvrc2012 by wnid from 0",
    ],
    "Kaggle's tree": [
        "box_xml: ilsvrc2012 train, boxes, ilsvrc2012",
        "box_xml: ilsvrc2012 val, boxes, ilsvrc2012",
        "kaggle_tree: ilsvrc2012 train+val+test, images, ilsvrc2012",
        "loc_csv: ilsvrc2012 train, boxes+labels, ilsvrc2012",
        "loc_csv: ilsvrc2012 val, boxes+labels, ilsvrc2012",
    ],
    "Kaggle's archive": [
        "kaggle_tree: ilsvrc2012 no split, images+boxes, ilsvrc2012",
    ],
    "imagenet-1k of the hub": [
        "hf_parquet: ilsvrc2012 train+val+test, images, ilsvrc2012 by wnid from 0",
    ],
    "imagefolder of words": [
        "hf_imagefolder: ilsvrc2012 train+val, images, wordnet",
    ],
    "imagefolder, metadata.csv": [
        "hf_imagefolder: ilsvrc2012 no split, images, wordnet",
    ],
    "imagefolder, metadata.jsonl": [
        "hf_imagefolder: ilsvrc2012 no split, images, wordnet",
    ],
    "imagenet-1k-wds": [
        "webdataset: ilsvrc2012 train+val, images, ilsvrc2012 by wnid from 0",
    ],
    "imagenet-12k-wds": [
        "webdataset: imagenet12k-wds train, images, imagenet12k by wnid from 0",
    ],
    "imagenet-22k-wds": [
        "webdataset: imagenet22k-wds train, images, fall11 by wnid from 0",
    ],
    "classic TFRecords": [
        "tfrecord: ilsvrc2012 train+val, images+boxes, ilsvrc2012 by wnid from 1",
    ],
    "TensorFlow Datasets": [
        "tfrecord: ilsvrc2012 train+val+test, images, ilsvrc2012 by wnid from 0",
    ],
    "ILSVRC2012_img_train.tar": [
        "image_tars: ilsvrc2012 train, images, ilsvrc2012",
    ],
    "ILSVRC2012_img_val.tar": [
        "image_tars: ilsvrc2012 val, images, ilsvrc2012",
    ],
    "ILSVRC2012_img_test_v10102019.tar": [
        "image_tars: ilsvrc2012 test, images, no labels",
    ],
    "ILSVRC2012_devkit_t12.tar.gz": [
        "devkit: ilsvrc2012 val, labels, ilsvrc2012 by ilsvrc_id from 1",
    ],
    "ILSVRC2012_bbox_train_v2.tar.gz": [
        "box_xml: ilsvrc2012 train, boxes, ilsvrc2012",
    ],
    "ILSVRC2012_bbox_val_v3.tgz": [
        "box_xml: ilsvrc2012 val, boxes, ilsvrc2012",
    ],
    "LOC_train_solution.csv": [
        "loc_csv: ilsvrc2012 train, boxes+labels, ilsvrc2012",
    ],
    "LOC_val_solution.csv": [
        "loc_csv: ilsvrc2012 val, boxes+labels, ilsvrc2012",
    ],
    "class folders in a zip": [
        "zip: ilsvrc2012 train, images, ilsvrc2012",
    ],
    "class folders of train": [
        "image_folder: ilsvrc2012 train, images, ilsvrc2012",
    ],
    "train/ and no val/": [
        "image_folder: ilsvrc2012 train, images, ilsvrc2012",
    ],
    "a folder of class tars": [
        "image_tars: ilsvrc2012 train, images, ilsvrc2012",
    ],
    "a class tar": [
        "image_tars: ilsvrc2012 train, images, ilsvrc2012",
    ],
    "val/": [
        "flat_folder: ilsvrc2012 val, images, ilsvrc2012",
    ],
    "val/ and test/": [
        "flat_folder: ilsvrc2012 val, images, ilsvrc2012",
        "flat_folder: ilsvrc2012 test, images, no labels",
    ],
    "the sample": [
        "box_xml: ilsvrc2012 train, boxes, ilsvrc2012",
        "box_xml: ilsvrc2012 val, boxes, ilsvrc2012",
        "devkit: ilsvrc2012 val, labels, ilsvrc2012 by ilsvrc_id from 1",
        "image_tars: ilsvrc2012 test, images, no labels",
        "image_tars: ilsvrc2012 train, images, ilsvrc2012",
        "image_tars: ilsvrc2012 val, images, ilsvrc2012",
        "loc_csv: ilsvrc2012 train, boxes+labels, ilsvrc2012",
        "loc_csv: ilsvrc2012 val, boxes+labels, ilsvrc2012",
    ],
}


@pytest.mark.parametrize("form", FORMS)
def test_detect_names_every_form(form: str, extracted: Extracted, sample: Path, tmp_path: Path) -> None:
    path = FORMS[form](Made(tmp_path, extracted, sample))
    found = imagenet_tools.detect(path)
    assert [_told(one) for one in found.found] == TOLD[form]
    assert found.unrecognised == ""
    for one in found.found:
        assert one.evidence
        assert all("--dataset " in reading for reading in one.readings)


def test_every_form_that_reads_is_among_them_with_all_that_it_says_it_holds() -> None:
    found: dict[str, set[str]] = {}
    for one in (one for told in TOLD.values() for one in told):
        form, _, said = one.partition(": ")
        found.setdefault(form, set()).update(said.split(", ")[1].split("+"))
    assert {form: held - {"nothing read"} for form, held in found.items()} == {
        name: set(reader.READS.holds) for name, reader in api._readers().items()
    }
