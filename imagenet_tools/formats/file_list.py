"""File lists of DALI, Caffe and PaddleClas: lines `path label` that point to images in their original places.

    root/train.txt          n01440764/n01440764_10026.JPEG 0
    root/val.txt            one list for each split; labels are the class indices of classes.json

The lock, recipe and manifest of an export are at its root, beside classes.json: see exports.manifest.

Paths are relative to the root of the indexed source, or to the folder above all sources of a split: DALI's file_root,
Caffe's ROOTFOLDER. The label follows the last space, so paths may contain spaces. No line ends with a space. Images in
archives have no path, and are refused. --shuffle orders the lines.
"""

from __future__ import annotations

from imagenet_tools.exports.writer import Writes
from imagenet_tools.formats._shared.listing import PathLists, no_sink

WRITES = Writes(ordered=True, holds_bytes=False)

_LISTS = PathLists("{split}.txt")

hazards = _LISTS.hazards
open_shard = no_sink
finish = _LISTS.write
read_back = _LISTS.read_back
