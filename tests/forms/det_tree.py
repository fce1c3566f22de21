"""The tree of ILSVRC's detection task, as ILSVRC2015_DET.tar.gz unpacks, and the archives of 2013 and 2014."""

from collections.abc import Mapping
from pathlib import Path

from tests.forms.annotations import Edges, det_xml, tar_of, write_files

DOG, PERSON, BIRD, SNAKE = "n02084071", "n00007846", "n01503061", "n01726692"
DOG_NUMBER, BIRD_NUMBER, PERSON_NUMBER = 58, 26, 124  # of the lists train_<number>.txt

# The objects of each image, (class, xmin ymin xmax ymax), and the narrower class of the first where it is said.
Objects = dict[str, tuple[list[tuple[str, Edges]], str]]


class Det:
    """The images by their place below Data/DET, without suffix, with what is annotated in them."""

    def __init__(self, data: Mapping[str, bytes]):
        train = sorted(stem for stem in data if stem.startswith("n"))
        val = sorted(stem for stem in data if "_val_" in stem)
        test = sorted(stem for stem in data if "_test_" in stem)
        dog, bird = train_of(train, "n02085620"), train_of(train, "n01531178")
        self.images: dict[str, bytes] = {
            **{f"train/ILSVRC2013_train/{stem[:9]}/{stem}": data[stem] for stem in (*dog, *bird)},
            **{f"train/ILSVRC2013_train_extra0/ILSVRC2013_train_{n:08d}": data[val[n]] for n in (1, 2)},
            "train/ILSVRC2013_train_extra10/ILSVRC2013_train_00107420": data[val[3]],
            **{f"train/ILSVRC2014_train_0000/ILSVRC2014_train_{n:08d}": data[val[n]] for n in (4, 5, 6)},
            "train/ILSVRC2014_train_0006/ILSVRC2014_train_00060036": data[val[7]],
            **{f"val/{stem}": data[stem] for stem in val[:4]},
            **{f"val/ILSVRC2013_val_{n:08d}": data[val[10 + n]] for n in (1, 2)},
            **{f"test/{stem}": data[stem] for stem in test[:2]},
            "test/ILSVRC2015_test_00000001": data[val[20]],
        }
        # Every validation image has an annotation, with or without objects.
        self.objects: Objects = {place: ([], "") for place in self.images if place.startswith("val/")} | {
            f"train/ILSVRC2013_train/{dog[0][:9]}/{dog[0]}": (
                [(DOG, (1, 2, 40, 50)), (DOG, (9, 9, 60, 70))],
                "n02085620",
            ),
            "train/ILSVRC2014_train_0000/ILSVRC2014_train_00000004": ([(PERSON, (3, 4, 50, 60))], ""),
            f"val/{val[0]}": ([(BIRD, (1, 1, 30, 30)), (PERSON, (2, 2, 20, 20)), (BIRD, (5, 5, 40, 40))], ""),
            "val/ILSVRC2013_val_00000001": ([(DOG, (0, 0, 10, 10))], ""),
        }
        self.lists = {
            f"train_{DOG_NUMBER}.txt": [(place, 1) for place in self._train(dog[0])]
            + [(place, 0) for place in self._train(dog[1])]
            + [("ILSVRC2013_train_extra0/ILSVRC2013_train_00000001", -1)],
            f"train_{BIRD_NUMBER}.txt": [("ILSVRC2014_train_0000/ILSVRC2014_train_00000005", -1)],
        }

    def _train(self, stem: str) -> list[str]:
        return [f"ILSVRC2013_train/{stem[:9]}/{stem}"]

    def annotation(self, place: str) -> str:
        """The XML of an image."""
        objects, narrower = self.objects[place]
        stem, folder = place.rpartition("/")[2], place.rpartition("/")[0].rpartition("/")[2]
        return det_xml(stem, folder, objects, size=(100, 80), subcategory=narrower)


def train_of(stems: list[str], wnid: str) -> list[str]:
    """Two images of a class."""
    return [stem for stem in stems if stem.startswith(wnid)][:2]


def write_tree(root: Path, det: Det) -> Path:
    """ILSVRC/{Data,Annotations,ImageSets}/DET."""
    files: dict[str, bytes | str] = {f"Data/DET/{place}.JPEG": data for place, data in det.images.items()}
    files |= {f"Annotations/DET/{place}.xml": det.annotation(place) for place in det.objects}
    for name, pairs in det.lists.items():
        files[f"ImageSets/DET/{name}"] = "".join(f"{place} {label}\n" for place, label in pairs)
    for split in ("train", "val", "test"):
        places = [place.removeprefix(f"{split}/") for place in det.images if place.startswith(f"{split}/")]
        files[f"ImageSets/DET/{split}.txt"] = "".join(f"{place} {n}\n" for n, place in enumerate(sorted(places), 1))
    return write_files(root / "ILSVRC", files)


def write_2014(root: Path, det: Det) -> Path:
    """The archives of 2013 and 2014, the images unpacked, and the lists of their devkit."""
    files: dict[str, bytes | str] = {}
    for place, data in det.images.items():
        split, _, rest = place.partition("/")
        rest = rest.removeprefix("ILSVRC2013_train/").replace("ILSVRC2013_train_extra", "ILSVRC2013_DET_train_extra")
        folder = {"train": "ILSVRC2014_DET_train", "val": "ILSVRC2013_DET_val", "test": "ILSVRC2013_DET_test"}[split]
        files[f"{folder}/{rest}.JPEG"] = data
    boxes: dict[str, dict[str, bytes | str]] = {"train": {}, "val": {}}
    for place in det.objects:
        split, _, rest = place.partition("/")
        top = "" if split == "train" else "ILSVRC2013_DET_bbox_val/"
        boxes[split][f"{top}{rest.removeprefix('ILSVRC2013_train/')}.xml"] = det.annotation(place)
    files["ILSVRC2014_DET_bbox_train.tgz"] = tar_of(boxes["train"])
    files["ILSVRC2013_DET_bbox_val.tgz"] = tar_of(boxes["val"])
    for name, pairs in det.lists.items():
        number = name.removeprefix("train_")
        for label, kind in ((1, "pos"), (0, "part"), (-1, "neg")):
            lines = [place for place, own in pairs if own == label]
            short = [place.removeprefix("ILSVRC2013_train/").rpartition("extra0/")[2] for place in lines]
            files[f"ILSVRC2014_devkit/data/det_lists/train_{kind}_{number}"] = "".join(f"{one}\n" for one in short)
    return write_files(root, files)
