"""Addresses of views: what a page keeps when the user follows a link, and the parameters that it reads."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from urllib.parse import quote_plus, urlencode

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
        if not changes:
            return path + self._kept_query  # a tree of 150 synsets has as many links
        return self._spelled(path, self.kept(), changes)

    @functools.cached_property
    def _kept_query(self) -> str:
        return self._spelled("", self.kept(), {})

    def kept(self) -> dict[str, str]:
        """Return the parameters that links keep."""
        return {name: self.parameters[name] for name in _KEPT if name in self.parameters}

    def here(self, **changes: object) -> str:
        """Return the address of this view with some parameters changed; its page starts from the beginning."""
        kept = {name: value for name, value in self.parameters.items() if name != "page"}
        return self._spelled(self.path, kept, changes)

    def as_file(self, suffix: str) -> str:
        """Return the address of the rows of this view as a file: .json, .csv or .parquet."""
        return self._spelled(self.path + suffix, self.parameters, {})

    def listed(self, name: str) -> list[str]:
        """Return the values of a parameter that holds several with ',' between."""
        return [value.strip() for value in self.parameters.get(name, "").split(",") if value.strip()]

    def to_subset_with(self, wnid: str) -> str:
        """Return the address of the subset with one more synset."""
        return self._subset_with + wnid

    @functools.cached_property
    def _subset_with(self) -> str:
        others = {name: value for name, value in self.kept().items() if name != "under"}
        path = self._spelled("/subset", others, {})
        chosen = quote_plus("".join(f"{wnid}," for wnid in self.listed("under")), safe=",")
        return f"{path}{'&' if others else '?'}under={chosen}"

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
