"""The name of a data set that is called after its folder or its shards."""

from __future__ import annotations

import re


def own_name(wanted: str) -> str:
    """Return a name as data sets have it: lower-case letters, digits, '.', '_' and '-'."""
    return re.sub(r"[^a-z0-9._-]+", "-", wanted.lower()).lstrip("._-") or "imagenet"
