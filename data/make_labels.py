#!/usr/bin/env python3
"""Make the validation labels, imagenet_tools/tables/ilsvrc2012_validation/, from the devkit's ground truth.

    python data/make_labels.py ILSVRC2012_validation_ground_truth.txt

    490    the ILSVRC2012_ID of image 1, then of 2 ... 50,000

Nothing is written unless the file has the pinned SHA-256 of the file in the devkit t12.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import pyarrow as pa
from tables import pinned, write_columns

TRUTH_SHA256 = "323ca84ec5546dccc4dd11dbd2b3fc0094818728b5613f6089bd2f1428a04eaf"


def read_truth(data: bytes) -> list[int]:
    """Return the ILSVRC2012_ID of each validation image, in the order of the images: 50 of each class."""
    labels = [int(line) for line in data.decode("ascii").split()]
    if len(labels) != 50_000 or Counter(labels) != dict.fromkeys(range(1, 1001), 50):
        raise SystemExit(f"expected 50,000 labels, 50 of each id from 1 to 1,000, found {len(labels):,}")
    return labels


def main() -> None:
    """Read the argument, write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("truth", type=Path, help="ILSVRC2012_validation_ground_truth.txt")
    truth = read_truth(pinned(parser.parse_args().truth, TRUTH_SHA256))
    write_columns("ilsvrc2012_validation", {"ilsvrc_id": pa.array(truth, pa.int16())})


if __name__ == "__main__":
    main()
