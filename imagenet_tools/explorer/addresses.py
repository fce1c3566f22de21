"""Addresses of views: what a page keeps when the user follows a link, and the parameters that it reads."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from imagenet_tools.explorer import filters

# Parameters that links keep: they say what is counted, how it is shown, and which subset is being built.
SHOWN = ("level", "boxes_drawn", "by", "sort")
SUBSET = (
    "under", "without", "sets", "from", "where", "boxed", "resplit", "per_class", "min_images", "max_images", "limit",
    "nested", "seed",
)  # fmt: skip
_KEPT = (*filters.PARAMETERS, *SHOWN, *SUBSET)


class Address:
    """The address of a view, to make those of other views from.

    Example:
        >>> Address("/synset/n02084071", {"split": "train", "page": "3"}).to("/sql", split="val")
        '/sql?split=val'
    """

    def __init__(self, path: str, parameters: Mapping[str, str]) -> None:
        self.path = path
        self.parameters = {name: value for name, value in parameters.items() if value}

    def to(self, path: str, **changes: object) -> str:
        """Return the address of another view with the parameters that are kept, some of them changed."""
        kept = {name: self.parameters[name] for name in _KEPT if name in self.parameters}
        return self._spelled(path, kept, changes)

    def here(self, **changes: object) -> str:
        """Return the address of this view with some parameters changed; its page starts from the beginning."""
        kept = {name: value for name, value in self.parameters.items() if name != "page"}
        return self._spelled(self.path, kept, changes)

    def as_file(self, suffix: str) -> str:
        """Return the address of the rows of this view as a file: .json, .csv or .parquet."""
        return self._spelled(self.path + suffix, self.parameters, {})

    def listed(self, name: str) -> list[str]:
        """Return the values of a parameter that holds several with ',' between."""
        return [value for value in self.parameters.get(name, "").split(",") if value]

    def added(self, name: str, value: str) -> str:
        """Return a parameter's values with one more."""
        return ",".join(dict.fromkeys([*self.listed(name), value]))

    def removed(self, name: str, value: str) -> str:
        """Return a parameter's values without one."""
        return ",".join(other for other in self.listed(name) if other != value)

    @staticmethod
    def _spelled(path: str, kept: Mapping[str, str], changes: Mapping[str, object]) -> str:
        values = {**kept, **{name: str(value) for name, value in changes.items() if value is not None}}
        query = urlencode({name: value for name, value in values.items() if value}, safe=",/:")
        return f"{path}?{query}" if query else path
