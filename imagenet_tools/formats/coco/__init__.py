"""COCO's instances in JSON: images in a folder for each split, and a file of their boxes; COCO, LVIS, and exports.

    root/annotations/instances_train2017.json, instances_val2017.json       COCO 2017; 2014 has ..._train2014.json
    root/train2017/000000000009.jpg                                         or images/train2017/
    root/lvis_v1_train.json, lvis_v1_val.json                               LVIS, beside COCO's folders or annotations/
        images          id, file_name or coco_url (http://.../train2017/000000000009.jpg), width, height;
                        LVIS: neg_category_ids, not_exhaustive_category_ids
        annotations     image_id, category_id, bbox: x, y, width and height in pixels from 0, iscrowd; others not read
        categories      id, name; LVIS: synset
    root/images/train/..., annotations/instances_train.json                 an export: see writer.py

An image has objects of many classes, so images.wnid is null, as in ILSVRC's detection task; an export names the class
of each image, and has it. The classes in an image are in the table labels: those of its boxes in label set `instances`,
LVIS's that are sure to be absent in `instances_negative`, those not all of whose objects are boxed in
`instances_not_exhaustive`. The class of a box is a synset: the category's wnid or synset, or that of the published list
(coco80, lvis1203) which has the category's id and name. A crowd has the flag `crowd`.

The split is in the name of the file. LVIS divides COCO's photos in another way: its images share their photo with
COCO's, and are a data set of their own. A further set of this form needs a list of its categories in data/lists.toml.
"""

from __future__ import annotations

from imagenet_tools.formats.coco.reader import detect, files, scan, units  # noqa: F401
from imagenet_tools.formats.coco.writer import WRITES, finish, hazards, load, open_shard, read_back  # noqa: F401
from imagenet_tools.units import Reads

READS = Reads(
    holds=("images", "boxes", "labels"),
    beside=frozenset(
        f"{kind}_{split}{year}.json"
        for kind in ("captions", "person_keypoints", "stuff", "panoptic")
        for split in ("train", "val")
        for year in (2014, 2017)
    ),
    problems={
        "json_damaged": "a COCO file that breaks off, or is none; the records before the break are kept",
        "coco_bad_record": "a record that lacks what it needs, such as an annotation of no image; it is left out",
        "category_without_synset": "a category that is no synset of WordNet 3.0; its boxes are kept without a class",
        "not_listed": "images in the folder that the file does not list; they are not indexed",
    },
)
