"""Old name of images.detection, until its importers are renamed."""

from imagenet_tools.images.detection import (
    SEEN,
    VALIDATION_LABELS,
    first_class,
    of_class_tars,
    of_images,
)

__all__ = ["SEEN", "VALIDATION_LABELS", "first_class", "of_class_tars", "of_images"]
