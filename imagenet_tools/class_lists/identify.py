"""What a file of classes or of labels is: told by identify_classes for the one, by identify_labels for the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagenet_tools.class_lists import identify_classes, identify_labels, user_files

if TYPE_CHECKING:
    from pathlib import Path

    from imagenet_tools.class_lists.identify_classes import ClassesFound
    from imagenet_tools.class_lists.identify_labels import LabelsFound


def identify(path: str | Path) -> ClassesFound | LabelsFound:
    """Which published list a file of classes equals, or in which order and base a file of labels counts classes.

    UsageError: the file is neither; imagenet_tools.class_lists.user_files draws what it may be.
    """
    given = user_files.read(path)
    if isinstance(given, user_files.Classes):
        return identify_classes.find(given)
    return identify_labels.find(given)
