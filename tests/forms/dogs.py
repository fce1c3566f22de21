"""Stanford Dogs as its archives unpack, with the split in MATLAB's files as MATLAB writes them, here by SciPy."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import scipy.io

from tests.forms.annotations import tar_of, write_files

BREEDS = {"n02085620": "Chihuahua", "n02086079": "Pekinese", "n02088364": "beagle"}


def annotation(stem: str, word: str, box: tuple[int, int, int, int], size: tuple[int, int]) -> str:
    """The XML of an image: no n in the folder, <segment>, the class as a word, and %s for a file name now and then."""
    name = "%s" if stem.endswith("1") else stem
    return (
        f"<annotation>\n\t<folder>{stem[1:9]}</folder>\n\t<filename>{name}</filename>\n"
        "\t<source>\n\t\t<database>ImageNet database</database>\n\t</source>\n"
        f"\t<size>\n\t\t<width>{size[0]}</width>\n\t\t<height>{size[1]}</height>\n\t\t<depth>3</depth>\n\t</size>\n"
        f"\t<segment>0</segment>\n\t<object>\n\t\t<name>{word}</name>\n\t\t<pose>Unspecified</pose>\n"
        "\t\t<truncated>0</truncated>\n\t\t<difficult>0</difficult>\n\t\t<bndbox>\n"
        f"\t\t\t<xmin>{box[0]}</xmin>\n\t\t\t<ymin>{box[1]}</ymin>\n\t\t\t<xmax>{box[2]}</xmax>\n"
        f"\t\t\t<ymax>{box[3]}</ymax>\n\t\t</bndbox>\n\t</object>\n</annotation>"
    )


def mat(stems: list[str]) -> bytes:
    """A list: file_list and annotation_list, n cells each, and labels from 1."""
    words = [f"{stem[:9]}-{BREEDS[stem[:9]]}" for stem in stems]
    numbers = [list(BREEDS).index(stem[:9]) + 1 for stem in stems]
    buffer = io.BytesIO()
    cells = {
        "file_list": [f"{word}/{stem}.jpg" for word, stem in zip(words, stems, strict=True)],
        "annotation_list": [f"{word}/{stem}" for word, stem in zip(words, stems, strict=True)],
    }
    columns = {name: np.array(texts, dtype=object).reshape(-1, 1) for name, texts in cells.items()}
    columns["labels"] = np.array(numbers, dtype=float).reshape(-1, 1)
    scipy.io.savemat(buffer, columns, do_compression=True)
    return buffer.getvalue()


class Dogs:
    """The files by their place, of the sample's dogs."""

    def __init__(self, data: Mapping[str, bytes]):
        self.stems = sorted(stem for stem in data if stem[:9] in BREEDS)
        self.images = {f"{self.place(stem)}.jpg": data[stem] for stem in self.stems}
        boxes = {stem: (1, 2 + n, 40 + n, 50) for n, stem in enumerate(self.stems)}
        self.annotations = {
            self.place(stem): annotation(stem, BREEDS[stem[:9]], boxes[stem], (90, 90)) for stem in self.stems
        }
        self.boxes = {stem: (stem[:9], float(boxes[stem][1])) for stem in self.stems}
        self.split = {stem: "train" if n % 3 else "test" for n, stem in enumerate(self.stems)}
        self.lists = {
            f"{name}_list.mat": mat([stem for stem in self.stems if name in ("file", self.split[stem])])
            for name in ("file", "train", "test")
        }

    def place(self, stem: str) -> str:
        """The folder of a breed and the name in it."""
        return f"{stem[:9]}-{BREEDS[stem[:9]]}/{stem}"

    def write_folders(self, root: Path, *, lists: bool = True) -> Path:
        """Images/, Annotation/ and the lists."""
        files: dict[str, bytes | str] = {f"Images/{place}": data for place, data in self.images.items()}
        files |= {f"Annotation/{place}": text for place, text in self.annotations.items()}
        return write_files(root, files | (self.lists if lists else {}))

    def write_tars(self, root: Path) -> Path:
        """images.tar, annotation.tar and lists.tar."""
        images = tar_of({f"Images/{place}": data for place, data in self.images.items()}, "w")
        boxes = tar_of({f"Annotation/{place}": text for place, text in self.annotations.items()}, "w")
        return write_files(root, {"images.tar": images, "annotation.tar": boxes, "lists.tar": tar_of(self.lists, "w")})
