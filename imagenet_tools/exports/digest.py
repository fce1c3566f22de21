"""One digest over the many files of an export that hold one image each, in whatever order they are met."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from imagenet_tools.exports.writer import ImageFile
from imagenet_tools.images.image_rows import is_image_name

_BITS = 256

# What a line holds, as the manifest says it. Labels are small, so their bytes are in it always; those of images with
# --hash alone. Exports made before that said NAMES_ALONE.
ALL_BYTES = "path, size, sha256"
LABEL_BYTES = "path, size, and sha256 where the name is not that of an image"
NAMES_ALONE = "path, size"


def has_bytes(said: str, path: str) -> bool:
    """Return True if the line of a file holds the SHA-256 of its bytes, in a digest of which `said` is said."""
    return said == ALL_BYTES or (said == LABEL_BYTES and not is_image_name(path.rpartition("/")[2]))


class Digest:
    """The sum, modulo 2**256, of the SHA-256 of a line a file: `path<TAB>size`, and `<TAB>sha256` where it is known.

    A sum does not ask for an order: workers and walks of folders may meet the files in any.
    """

    def __init__(self) -> None:
        self.files, self.bytes, self._sum = 0, 0, 0

    def add(self, files: Iterable[ImageFile]) -> None:
        """Take files into it."""
        for path, size, sha256 in files:
            line = f"{path}\t{size}\t{sha256}" if sha256 else f"{path}\t{size}"
            digest = hashlib.sha256(line.encode(errors="surrogateescape")).digest()
            self._sum += int.from_bytes(digest, "big")
            self.files += 1
            self.bytes += size

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        return f"{self._sum % (1 << _BITS):064x}"
