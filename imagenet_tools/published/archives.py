"""The archives that were published of ImageNet: their names, sizes and sums, and which public lists of them are wrong.

Sums of train, val and the devkit: torchvision's imagenet.py, and TensorFlow Datasets' checksums for size and SHA-256.
The others: image-net.org's download pages, as torchvision's issue 1563 and mirrors quote them.
"""

from __future__ import annotations

from typing import NamedTuple


class Archive(NamedTuple):
    """An archive as published; an empty md5 where none was."""

    name: str
    md5: str
    size: int | None = None  # bytes; None where it was not published to the byte
    sha256: str = ""
    about: int | None = None  # bytes as the download pages round them, where that is all there is

    @property
    def stated(self) -> str:
        """The published size in words, or ""."""
        return f"{self.size:,}" if self.size is not None else f"about {self.about:,}" if self.about else ""

    def may_have(self, size: int) -> bool:
        """Whether a file of so many bytes may be it: of a rounded size, up to twice and down to half of it."""
        if self.size is not None:
            return size == self.size
        return self.about is None or self.about / 2 <= size <= self.about * 2


ARCHIVES = (
    Archive(
        "ILSVRC2012_img_train.tar",
        "1d675b47d978889d74fa0da5fadfb00e",
        147_897_477_120,
        "b08200a27a8e34218a0e58fde36b0fe8f73bc377f4acea2d91602057c3ca45bb",
    ),
    Archive("ILSVRC2012_img_train_t3.tar", "ccaf1013018ac1037801578038d370da", about=728_000_000),
    Archive(
        "ILSVRC2012_img_val.tar",
        "29b22e2961454d5413ddabcf34fc5622",
        6_744_924_160,
        "c7e06a6c0baccf06d8dbeb6577d71efff84673a5dbdd50633ab44f8ea0456ae0",
    ),
    Archive("ILSVRC2012_img_test_v10102019.tar", "e1b8681fff3d63731c599df9b4b6fc02", about=13_000_000_000),
    Archive("ILSVRC2012_img_test.tar", "fe64ceb247e473635708aed23ab6d839", about=13_000_000_000),
    Archive("ILSVRC2012_devkit_t12.tar.gz", "fa75699e90414af021442c21a62c3abf", about=2_500_000),
    Archive("ILSVRC2012_devkit_t3.tar.gz", "", about=22_000_000),
    Archive("ILSVRC2012_bbox_train_v2.tar.gz", "9271167e2176350e65cfe4e546f14b17", about=20_000_000),
    Archive("ILSVRC2012_bbox_train_dogs.tar.gz", "61ebd3cc0e4793899a841b6b27f3d6d8", about=1_000_000),
    Archive("ILSVRC2012_bbox_val_v3.tgz", "f4cd18b5ea29fe6bbea62ec9c20d80f0", about=2_200_000),
    Archive("ILSVRC2012_bbox_test_dogs.zip", "2dfdb2677fd9661585d17d5a5d027624", about=33_000_000),
    Archive("winter21_whole.tar.gz", "ab313ce03179fd803a401b02c651c0a2", about=1_100_000_000_000),
    Archive("imagenet21k_resized.tar.gz", "c314e95f17e357b3e9cbf0a18ef7ecd6"),
    Archive("tiny-imagenet-200.zip", "90528d7ca1a48142e341f4ef8d21d0de", 248_100_043),
    # The devkits of 2013 and later have the same list of labels, under their year.
    *(
        Archive(f"ILSVRC{year}_clsloc_validation_ground_truth.txt", "1cfce2418d86c664c2e10863eecd0aa3", 194_650)
        for year in range(2013, 2018)
    ),
)

BY_NAME = {archive.name: archive for archive in ARCHIVES}
BY_MD5 = {archive.md5: archive for archive in reversed(ARCHIVES) if archive.md5}

# Public lists, among them those of FlagPerf, give the sums of these two the wrong way round.
SWAPPED = ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_train_t3.tar")
