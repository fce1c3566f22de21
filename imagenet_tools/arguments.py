"""Checks of the arguments of public functions against their annotations, with an error of one sentence."""

from __future__ import annotations

import functools
import os
import re
import reprlib
from collections.abc import Callable, Collection, Iterable, Mapping
from numbers import Integral, Real
from typing import ParamSpec, Protocol, TypeVar

from imagenet_tools.errors import UsageError

_P = ParamSpec("_P")
_R = TypeVar("_R")
_Class = TypeVar("_Class", bound=type)

_NAMES = {
    "str": "a text",
    "Path": "a path",
    "Literal": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "True or False",
    "Iterable": "a list",
    "Sequence": "a list",
    "Mapping": "a mapping",
    "How": "a text",
    "Progress": "a function",
    "Callable": "a function",
    "Frame": "a table of pandas, polars or Arrow",
    "Executor": "an executor",
    "Selection": "a selection, as open_index().select() makes it",
    "Index": "an index, as open_index() opens it",
    "ClassList": "a class list, as classes() gives it",
}


class Frame(Protocol):
    """A table in memory: a DataFrame of pandas or polars, an Arrow table, or anything else with Arrow's C stream."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return a capsule with the record batches."""


def is_frame(value: object) -> bool:
    """Return True if a value is a Frame."""
    return hasattr(value, "__arrow_c_stream__")


_CO_VARARGS = 0x04  # inspect.CO_VARARGS, without importing inspect

# An alternative of an annotation, between its outermost '|'.
_ALTERNATIVE = re.compile(r"(?:[^|\[]|\[(?:[^\[\]]|\[[^\]]*\])*\])+")


def checked(function: Callable[_P, _R], meanings: Mapping[str, str] | None = None) -> Callable[_P, _R]:
    """Return the function with its arguments checked against its annotations, which are text.

    Args:
        function: A function with annotations.
        meanings: What an argument means, by name, for the error.

    Raises:
        UsageError: From the function returned: an argument is of another type.
    """
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    has_star_args = code.co_flags & _CO_VARARGS
    star_args = code.co_varnames[code.co_argcount + code.co_kwonlyargcount] if has_star_args else ""
    kinds = _kinds(function)

    @functools.wraps(function)
    def call(*args: _P.args, **keywords: _P.kwargs) -> _R:
        more = [(star_args, value) for value in args[len(names) :]]
        for name, value in (*zip(names, args, strict=False), *more, *keywords.items()):
            if name in kinds and not fits(value, kinds[name]):
                raise UsageError(_message(name, value, kinds[name], (meanings or {}).get(name, "")))
        return function(*args, **keywords)

    return call


def _kinds(function: Callable[..., object]) -> dict[str, str]:
    """Return the annotations of the arguments by name; of `**options: Unpack[Kind]` those of the TypedDict Kind."""
    kinds: dict[str, str] = {}
    for name, kind in function.__annotations__.items():
        if kind.startswith("Unpack["):
            kinds |= keyword_types(function.__globals__[kind[len("Unpack[") : -1]])
        elif name != "return":
            kinds[name] = kind
    return kinds


def keyword_types(typed_dict: type) -> dict[str, str]:
    """Return the annotations of a TypedDict, which are text, by key."""
    return {key: kind.__forward_arg__ for key, kind in typed_dict.__annotations__.items()}


def checked_methods(kind: _Class) -> _Class:
    """Return the class with the arguments of its public methods checked: see checked."""
    for name, method in list(vars(kind).items()):
        if not name.startswith("_") and isinstance(method, type(checked)):
            setattr(kind, name, checked(method))
    return kind


def fits(value: object, kind: str) -> bool:
    """Return True if a value has one of the types of an annotation, such as `str | Iterable[str] | None`."""
    parts = [part.strip() for part in _ALTERNATIVE.findall(kind)]
    if isinstance(value, str) and "Path" in parts:
        return "\0" not in value
    return any(_fits(value, *part.removesuffix("]").partition("[")[::2]) for part in parts)


def _fits(value: object, outer: str, inner: str) -> bool:
    if outer in ("object", "Any"):
        return True
    if outer == "None":
        return value is None
    if outer in ("Iterable", "Sequence"):
        is_list = isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))
        return is_list and (not isinstance(value, Collection) or all(fits(item, inner) for item in value))
    if outer == "Mapping":
        return isinstance(value, Mapping) and all(
            isinstance(key, str) and fits(item, inner.partition(", ")[2]) for key, item in value.items()
        )
    if outer in ("Callable", "Progress"):
        return callable(value)
    if outer == "Frame":
        return is_frame(value)
    if outer == "Executor":
        return hasattr(value, "map")
    plain: dict[str, type] = {
        "str": str,
        "Literal": str,
        "How": str,
        "Path": os.PathLike,
        "int": Integral,
        "float": Real,
    }
    if outer in plain:
        return isinstance(value, plain[outer]) and not isinstance(value, bool)
    return outer in {base.__name__ for base in type(value).__mro__}


def _message(name: str, value: object, kind: str, meaning: str) -> str:
    outer = [part.strip().partition("[")[0] for part in _ALTERNATIVE.findall(kind)]
    expected = " or ".join(dict.fromkeys(_NAMES.get(part, f"a {part}") for part in outer if part != "None"))
    found = f"{reprlib.repr(value)} ({type(value).__name__})"
    explanation = f": {meaning}" if meaning else ""
    return f"{name}: found {found}; expected {expected}{explanation}."
