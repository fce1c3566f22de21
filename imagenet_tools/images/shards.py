"""Old name of images.detection, until its importers are renamed."""

from imagenet_tools.images.detection import (
    dataset_told,
    nameless,
    own_name,
    split_told,
    spread,
)

__all__ = ["dataset_told", "nameless", "own_name", "split_told", "spread"]
