"""Read the arrays, lists and texts of a pickle without running it: no function that it names is called.

CIFAR's batches and those of the downsampled ImageNets are pickles of one dictionary: numpy arrays, lists of numbers and
lists of texts. tieredImageNet's images are a pickle of a list of arrays. Python's own unpickler calls what a pickle
names, and holds the whole array. This reader knows the opcodes of protocols 2 to 5 that such pickles need. It refuses
any other opcode, and any name but those of numpy's arrays. An array is a byte range of the file: only its shape and
type are read.

    0x80 2  }  (  U 6 "labels"  ]  (  K 6  K 9 ...  e           a key, and a list of numbers
                  U 4 "data"    c numpy.core.multiarray _reconstruct ... R    an array, without its facts
                  (  K 1  J 10000  M 3072  0x86  <dtype>  0x89  T 30720000 <bytes>  t  b      and its facts
               u  .

Opcodes: pickletools of the standard library. The state of an array, (1, shape, dtype, Fortran order, bytes), and that
of a dtype: numpy's __setstate__.
"""

from __future__ import annotations

import io
import os
import pickletools
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from imagenet_tools.errors import FormatError
from imagenet_tools.text import count_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PROBLEMS = {
    "pickle_refused": "a pickle that holds more than arrays, lists, numbers and texts: it is not read",
    "pickle_damaged": "a pickle that ends too early, or breaks the rules of pickles",
}

# ImageNet64's batches have 128,123 labels each, and CIFAR-100 has 50,000 names. A file that holds nothing but values
# would otherwise take all memory.
_MAX_VALUES = 1 << 22
# tieredImageNet's list of 448,695 arrays takes 13 values an array.
_MAX_LIST_VALUES = 1 << 23
_MAX_TEXT_BYTES = 1 << 10  # longer bytes are not read: they are the values of an array

# Opcodes with a text or bytes, and the bytes that their length takes.
_STRINGS = {"U": 1, "T": 4, "X": 4, "\x8c": 1, "C": 1, "B": 4, "\x8e": 8, "\x96": 8}
_CONSTANTS = {"N": None, "\x88": True, "\x89": False}
_PUSHED = frozenset("JKMG\x8a")  # numbers
_TUPLES = {"\x85": 1, "\x86": 2, "\x87": 3}

# Names of numpy's arrays in the versions of numpy up to 1, and from 2 on.
_ARRAY = {f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")}
_FROM_BUFFER = {f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")}
_NAMES = frozenset({"numpy.ndarray", "numpy.dtype", *_ARRAY, *_FROM_BUFFER})


class ByteRange(NamedTuple):
    """Bytes of a file."""

    offset: int
    length: int


class Array(NamedTuple):
    """An array in a file.

    Attributes:
        dtype: numpy's name of the type of its values, such as |u1 or <i8.
        shape: Its shape.
        values: The byte range of its values. It may be shorter than the shape asks, if the file is cut.
        fortran: Whether the first index varies fastest.
        deflated: The compressed bytes of the file that `values` is a range of, once they are inflated; None: `values`
            is a range of the file.
    """

    dtype: str
    shape: tuple[int, ...]
    values: ByteRange
    fortran: bool = False
    deflated: ByteRange | None = None


class Pickled(NamedTuple):
    """The dictionary of a pickle: numbers, texts, lists and Arrays by key; and what is wrong with the file, or ""."""

    values: dict[str, Any]
    fault: str = ""


def read(fd: int) -> Pickled:
    """Return the dictionary in an open file; if the file ends within an array, what comes before the cut.

    Raises:
        FormatError: pickle_refused: the pickle holds anything else; pickle_damaged: it is cut or damaged.
    """
    values, fault = _run(fd, _MAX_VALUES, _Machine.cut_array)
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise _refused(f"Found a pickle of a {type(values).__name__}, expected a dictionary with texts as keys.")
    return Pickled(values, fault)


def read_list(fd: int) -> tuple[list[Array], str]:
    """Return the arrays of the list in an open file, those before a cut if there is one; and what is wrong, or "".

    Raises:
        FormatError: pickle_refused: the pickle holds anything else; pickle_damaged: it is damaged.
    """
    values, fault = _run(fd, _MAX_LIST_VALUES, _Machine.cut_list)
    whole = [_whole(value) for value in values] if isinstance(values, list) else []
    arrays = [array for array in whole if isinstance(array, Array)]
    if not isinstance(values, list) or len(arrays) < len(values):
        raise _refused(f"Found a pickle of a {type(values).__name__}, expected a list of arrays.")
    return arrays, fault


def _run(fd: int, max_values: int, cut: Callable[[_Machine], Any]) -> tuple[Any, str]:
    """Return the value of the pickle in an open file, or what `cut` finds before a cut; and what is wrong, or ""."""
    size = os.fstat(fd).st_size
    with open(fd, "rb", closefd=False) as file:
        file.seek(0)
        machine = _Machine(file, size, max_values)
        try:
            return machine.run(), ""
        except FormatError:
            raise
        except (EOFError, ValueError, LookupError, TypeError, AttributeError) as error:
            values = cut(machine)
            if values is None:
                message = f"The pickle breaks at byte {file.tell():,} ({error}); expected a whole one. Fetch it again."
                raise FormatError(message, code="pickle_damaged") from error
            return values, f"the pickle ends at byte {size:,}, within its array; fetch it again"


class _Name(str):
    """The name of a function or type, which is never called."""

    __slots__ = ()


class _Text(str):
    """A short text, or short bytes, with their place in the file: protocol 2 does not tell them apart."""

    place: ByteRange


class _DType:
    """A type of values that is being built."""

    def __init__(self, code: str):
        self.code = code
        self.order = "|"

    @property
    def name(self) -> str:
        order = {"=": "<" if sys.byteorder == "little" else ">"}.get(self.order, self.order)
        return f"{order}{self.code}"


class _Building:
    """An array whose facts come later."""

    __slots__ = ("array",)  # a list has 448,695 of them

    def __init__(self) -> None:
        self.array: Array | None = None


class _Machine:
    """The stack and the memo of a pickle."""

    def __init__(self, file: io.BufferedReader, size: int, max_values: int):
        self._file, self._size, self._max_values = file, size, max_values
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._n_values = 0
        self._steps: dict[str, Callable[[Any], None]] = {
            "(": lambda _: self._marks.append(len(self._stack)),
            "}": lambda _: self._push({}),
            "]": lambda _: self._push([]),
            ")": lambda _: self._push(()),
            "t": lambda _: self._push(tuple(self._popped())),
            "a": lambda _: self._append([self._stack.pop()]),
            "e": lambda _: self._append(self._popped()),
            "s": lambda _: self._set([self._stack.pop(-2), self._stack.pop()]),
            "u": lambda _: self._set(self._popped()),
            "c": lambda _: self._push(_known(self._global())),
            "\x93": lambda _: self._push(_known(".".join((str(self._stack.pop(-2)), str(self._stack.pop()))))),
            "R": lambda _: self._reduce(),
            "b": lambda _: self._build(),
            "\x94": lambda _: self._memo.setdefault(len(self._memo), self._stack[-1]),
            **dict.fromkeys("qr", lambda n: self._memo.__setitem__(n, self._stack[-1])),
            **dict.fromkeys("hj", lambda n: self._push(self._memo[n])),
            **dict.fromkeys(("\x80", "\x95"), lambda _: None),
        }

    def run(self) -> Any:
        """Return the value of the pickle."""
        while (code := self._file.read(1).decode("latin-1")) != ".":
            if not code:
                raise EOFError("its end is missing")
            if code in _STRINGS:
                self._push(self._string(_STRINGS[code]))
                continue
            opcode = pickletools.code2op.get(code)  # type: ignore[attr-defined]  # typeshed lacks it
            if opcode is None or not (code in self._steps or code in _CONSTANTS or code in _PUSHED or code in _TUPLES):
                name = opcode.name if opcode else repr(code)
                raise _refused(f"Found the opcode {name} at byte {self._file.tell() - 1:,}.")
            argument = opcode.arg.reader(self._file) if opcode.arg and code != "c" else None
            if code in self._steps:
                self._steps[code](argument)
            elif code in _TUPLES:
                start = len(self._stack) - _TUPLES[code]
                self._stack[start:] = [tuple(self._stack[start:])]
            else:
                self._push(_CONSTANTS.get(code, argument))
        value = self._stack.pop()
        return {key: _whole(entry) for key, entry in value.items()} if type(value) is dict else value

    def cut_array(self) -> dict[str, Any] | None:
        """Return what was read of a dictionary whose file ends within the values of an array; None for another cut."""
        try:
            if not isinstance(self._stack[-1], ByteRange):
                return None
            self._push(tuple(self._popped()))
            self._build()
            pairs = self._popped()
            return {key: _whole(value) for key, value in zip(pairs[::2], pairs[1::2], strict=True)}
        except (FormatError, LookupError, ValueError, TypeError, AttributeError):
            return None

    def cut_list(self) -> list[Any] | None:
        """Return the arrays of a list whose file ends within the values of one of them; None for another cut."""
        if not self._stack or type(self._stack[0]) is not list or not isinstance(self._stack[-1], ByteRange):
            return None
        waiting = (value for value in self._stack[1:] if isinstance(value, _Building) and value.array)
        return [*self._stack[0], *waiting]

    def _push(self, value: Any) -> None:
        self._n_values += 1
        if self._n_values > self._max_values:
            raise _refused(f"Found more than {self._max_values:,} values.")
        self._stack.append(value)

    def _popped(self) -> list[Any]:
        """Return what is above the last mark."""
        mark = self._marks.pop()
        values = self._stack[mark:]
        del self._stack[mark:]
        return values

    def _append(self, values: list[Any]) -> None:
        if type(self._stack[-1]) is not list:
            raise _refused("Found values that are appended to something that is no list.")
        self._stack[-1].extend(values)

    def _set(self, pairs: list[Any]) -> None:
        if type(self._stack[-1]) is not dict:
            raise _refused("Found keys that are set in something that is no dictionary.")
        self._stack[-1].update(zip(pairs[::2], pairs[1::2], strict=True))

    def _string(self, length_bytes: int) -> _Text | ByteRange:
        """Return a text or bytes; the place of long ones, which are not read."""
        prefix = self._file.read(length_bytes)
        if len(prefix) < length_bytes:
            raise EOFError("a length is cut")
        length, start = int.from_bytes(prefix, "little"), self._file.tell()
        values = ByteRange(start, max(0, min(length, self._size - start)))
        if length == values.length <= _MAX_TEXT_BYTES:
            text = _Text(self._file.read(length).decode(errors="surrogateescape"))
            text.place = values
            return text
        if values.length < length:
            self._stack.append(values)
            raise EOFError(f"{count_of(length - values.length, 'byte')} missing")
        self._file.seek(start + length)
        return values

    def _global(self) -> str:
        """Return a name that two lines give: the module, and the function or type in it."""
        lines = [self._file.readline(_MAX_TEXT_BYTES).decode(errors="replace") for _ in range(2)]
        return ".".join(line.rstrip("\n") for line in lines)

    def _reduce(self) -> None:
        """Replace a name and its arguments by what they stand for."""
        arguments, name = self._stack.pop(), self._stack.pop()
        if name == "numpy.dtype":
            value: Any = _DType(str(arguments[0]))
        elif name in _ARRAY:
            value = _Building()
        elif name in _FROM_BUFFER and arguments[3] in ("C", "F"):
            values, dtype, shape, order = arguments
            value = _array(dtype, shape, values, order == "F")
        else:
            raise _refused(f"Found a call of {str(name)!r}.")
        self._push(value)

    def _build(self) -> None:
        """Give a type or an array its facts."""
        state, target = self._stack.pop(), self._stack[-1]
        if isinstance(target, _DType):
            target.order = str(state[1])
        elif isinstance(target, _Building):
            _, shape, dtype, fortran, values = state
            target.array = _array(dtype, shape, values, fortran)
        else:
            raise _refused(f"Found the state of a {type(target).__name__}.")


def _known(name: str) -> _Name:
    if name not in _NAMES:
        raise _refused(f"Found the name {name!r}, which a pickle of arrays never has, and which was not called.")
    return _Name(name)


def _array(dtype: _DType, shape: Sequence[int], values: object, fortran: object) -> Array:
    place = values.place if isinstance(values, _Text) else values
    if not isinstance(place, ByteRange):
        raise _refused(f"Found an array of objects (type {dtype.name}), each an array by itself.")
    return Array(dtype.name, tuple(int(n) for n in shape), place, bool(fortran))


def _whole(value: Any) -> Any:
    """Return a value, or the array that it became."""
    return value.array if isinstance(value, _Building) else value


def _refused(message: str) -> FormatError:
    expected = "Expected a dictionary of arrays, lists, numbers and texts, or a list of arrays, of protocol 2 to 5."
    return FormatError(f"{message} {expected}", code="pickle_refused")
