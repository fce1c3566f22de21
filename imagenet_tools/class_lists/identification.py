"""What a file of classes or of labels is: told by class_orders for the one, by label_orders for the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagenet_tools.class_lists import class_orders, label_orders, list_files

if TYPE_CHECKING:
    from pathlib import Path

    from imagenet_tools.class_lists.class_orders import ClassesFound
    from imagenet_tools.class_lists.label_orders import LabelsFound


def identify(path: str | Path) -> ClassesFound | LabelsFound:
    """Which published list a file of classes equals, or in which order and base a file of labels counts classes.

    UsageError: the file is neither; imagenet_tools.class_lists.list_files draws what it may be.
    """
    given = list_files.read(path)
    if isinstance(given, list_files.Classes):
        return class_orders.find(given)
    return label_orders.find(given)
