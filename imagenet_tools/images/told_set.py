"""Old name of images.detection, until its importers are renamed."""

from imagenet_tools.images.detection import (
    SORT_TINY,
    TINY,
    TINY_BOXES,
    TINY_LISTS,
    TINY_RELEASED,
    are_tiny,
    folder_names,
    set_of,
)

__all__ = ["SORT_TINY", "TINY", "TINY_BOXES", "TINY_LISTS", "TINY_RELEASED", "are_tiny", "folder_names", "set_of"]
