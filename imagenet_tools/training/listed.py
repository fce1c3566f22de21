"""`targets` and `samples`: what looks like ImageFolder's lists, and is made of arrays when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

_Item = TypeVar("_Item")


class Listed(Sequence[_Item]):
    """A sequence of what `item` gives for each row, equal to a list of the same; its slices are lists.

    Where its items are numbers, `array` holds them as well, for those who want all at once, numpy among them.
    """

    def __init__(self, n: int, item: Callable[[int], _Item], array: npt.NDArray[Any] | None = None):
        self._rows, self._item, self._array = range(n), item, array

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> _Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[_Item]: ...
    def __getitem__(self, index: int | slice) -> _Item | list[_Item]:
        rows = self._rows[index]
        return [self._item(row) for row in rows] if isinstance(rows, range) else self._item(rows)

    def __iter__(self) -> Iterator[_Item]:
        return map(self._item, self._rows) if self._array is None else iter(self._array.tolist())

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if self._array is None:
            return np.array(list(self), dtype)
        return self._array.astype(np.int64 if dtype is None else dtype)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Listed, list)):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"[{', '.join([*map(repr, self[:3]), *(['...'] if len(self) > 3 else [])])}] ({len(self):,} in all)"
