"""COCO's and LVIS's instances, written as their publishers do: one line of JSON, categories last, images beside."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from imagenet_tools.catalogue import lists
from imagenet_tools.wordnet import wordnet

URL = "http://images.cocodataset.org"


class Box(NamedTuple):
    """An annotation: the category's name, x, y, width and height in pixels, and whether it is of a crowd."""

    category: str
    bbox: tuple[float, float, float, float]
    crowd: bool = False


class Photo(NamedTuple):
    """An image: its number, its folder, its bytes and size, its boxes, and LVIS's categories about it."""

    number: int
    folder: str
    data: bytes
    size: tuple[int, int]
    boxes: Sequence[Box] = ()
    negative: Sequence[str] = ()
    not_exhaustive: Sequence[str] = ()

    @property
    def stem(self) -> str:
        """The name of the file."""
        return f"{self.number:012d}"


def categories(name: str) -> list[dict[str, Any]]:
    """The categories as the publisher's json has them: COCO's with a supercategory, LVIS's with a synset."""
    rows: list[dict[str, Any]] = []
    for each in lists.get(name).categories:
        if name == "coco80":
            rows.append({"supercategory": "thing", "id": each.number, "name": each.name})
            continue
        synset = wordnet.synset(each.synsets[0]).name if each.synsets else "stop_sign.n.01"
        counts = {"image_count": 1, "instance_count": 1, "frequency": "r", "def": "", "synonyms": [each.name]}
        rows.append({**counts, "synset": synset, "id": each.number, "name": each.name})
    return rows


def text(photos: Sequence[Photo], listed: str) -> str:
    """The json of some photos; those of LVIS have no file_name."""
    ids = {each["name"]: each["id"] for each in categories(listed)}
    images, annotations = [], []
    for photo in photos:
        name = f"{photo.stem}.jpg"
        width, height = photo.size
        image: dict[str, Any] = {"license": 1, "file_name": name, "coco_url": f"{URL}/{photo.folder}/{name}"}
        image |= {"height": height, "width": width, "date_captured": "2013-11-14 17:02:52", "id": photo.number}
        if listed == "lvis1203":
            del image["file_name"]
            image["neg_category_ids"] = [ids[each] for each in photo.negative]
            image["not_exhaustive_category_ids"] = [ids[each] for each in photo.not_exhaustive]
        images.append(image)
        for box in photo.boxes:
            x, y, w, h = box.bbox
            record = {"segmentation": [[x, y, x + w, y, x + w, y + h]], "area": w * h, "iscrowd": int(box.crowd)}
            if listed == "lvis1203":
                del record["iscrowd"]
            record |= {"image_id": photo.number, "bbox": [x, y, w, h], "category_id": ids[box.category]}
            annotations.append({**record, "id": len(annotations) + 1 + 1000 * photo.number})
    content = {"info": {"year": 2017, "version": "1.0"}, "licenses": [{"id": 1, "name": "a licence"}]}
    return json.dumps({**content, "images": images, "annotations": annotations, "categories": categories(listed)})


def write(home: Path, files: Mapping[str, tuple[str, Sequence[Photo]]]) -> Path:
    """Write the json of each file with the list of its categories, and the photos in their folders."""
    for name, (listed, photos) in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(photos, listed))
        for photo in photos:
            (home / photo.folder).mkdir(exist_ok=True)
            (home / photo.folder / f"{photo.stem}.jpg").write_bytes(photo.data)
    return home
