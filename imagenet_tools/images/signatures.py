"""The first bytes that tell an image's encoding: bytes decide what an image is, never its name."""

from __future__ import annotations

import re

# Bytes of an image that tell its encoding.
HEAD_BYTES = 12

_SIGNATURE = re.compile(
    rb"(?P<jpeg>\xff\xd8(?:\xff|\Z))|(?P<png>\x89PNG\r\n\x1a\n)|(?P<gif>GIF8[79]a)|(?P<bmp>BM)"
    rb"|(?P<tiff>II[*+]\0|MM\0[*+])|(?P<webp>RIFF.{4}WEBP)|(?P<ppm>P[1-6]\s)",
    re.DOTALL,
).match


def encoding_of(head: bytes | memoryview) -> str | None:
    """Return the encoding of an image that begins with `head`, such as "jpeg"; None if it is no known image."""
    found = _SIGNATURE(head)
    return None if found is None else found.lastgroup
