"""Pickles of arrays are read without being run: what they hold is pickle's own reading, and all else is refused."""

import io
import os
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagenet_tools.containers import array_pickles
from imagenet_tools.containers.array_pickles import Array
from imagenet_tools.errors import FormatError
from tests.forms.arrays import dumps2


def read(data: bytes, tmp_path: Path) -> array_pickles.Pickled:
    (tmp_path / "x").write_bytes(data)
    with (tmp_path / "x").open("rb") as file:
        return array_pickles.read(file.fileno())


def content(data: bytes, found: object) -> object:
    """An array that was found, with its values."""
    if not isinstance(found, Array):
        return found
    values = np.frombuffer(data[found.values.offset :][: found.values.length], found.dtype)
    return values.reshape(found.shape, order="F" if found.fortran else "C")


DICTIONARY: dict[str, Any] = {
    "labels": [0, 255, 256, 65535, 65536, 2**31 - 1, -5, 2**40],
    "filenames": ["a.png", "b" * 300, "é ☃"],
    "data": np.arange(5 * 3072, dtype=np.uint32).astype(np.uint8).reshape(5, 3072),
    "mean": np.linspace(0, 255, 3072),
    "small": np.arange(6, dtype=np.int64),
    "columns": np.asfortranarray(np.arange(12, dtype=np.int32).reshape(3, 4)),
    "none": None,
    "flag": True,
    "share": 0.5,
    "pair": (1, "x"),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_dictionary_is_what_pickle_reads(protocol: int, tmp_path: Path) -> None:
    # By protocol 2, Python 3 writes bytes as a text that a function encodes: as Python 2 does, they are bytes.
    data = dumps2(DICTIONARY | {"filenames": ["a.png"]}) if protocol == 2 else pickle.dumps(DICTIONARY, protocol)
    theirs = pickle.loads(data, encoding="latin1")
    found = read(data, tmp_path)
    assert not found.fault
    assert list(found.values) == list(theirs)
    for key, value in theirs.items():
        ours = content(data, found.values[key])
        assert np.array_equal(ours, value) and getattr(ours, "dtype", None) == getattr(value, "dtype", None), key  # type: ignore[arg-type]


class Runs:
    """An object whose pickle makes a file where it is loaded."""

    def __init__(self, place: Path):
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.place),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_runs_a_program_is_refused_and_not_run(protocol: int, tmp_path: Path) -> None:
    place = tmp_path / "run"
    for hostile in (Runs(place), {"data": Runs(place)}, {"labels": [1, Runs(place)]}):
        data = pickle.dumps(hostile, protocol)
        with pytest.raises(FormatError, match=r"Found .* Expected a dictionary of arrays") as caught:
            read(data, tmp_path)
        assert caught.value.code == "pickle_refused"
        assert not place.exists()
    pickle.loads(pickle.dumps(Runs(place), protocol))
    assert place.is_dir()  # so it would have run


@pytest.mark.parametrize(
    "code",
    [
        b"cos\nsystem\n(S'true'\ntR.",  # protocol 0
        b"\x80\x02cos\nsystem\nU\x04true\x85R.",
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.",
        b"\x80\x02(inumpy\nndarray\n.",  # INST
        b"\x80\x02cnumpy\nndarray\n)\x81.",  # NEWOBJ
        b"\x80\x02U\x04dataP0\n.",  # a persistent id
        b"\x80\x02\x82\x01.",  # an extension
        b"\x80\x02}2.",  # DUP
        b"\x80\x02cnumpy.core.multiarray\nscalar\n.",
        b"\x80\x02cnumpy\nndarray.__init__\n.",
        b"\x80\x02cnumpy\ndtype\n(U\x02O8tR}b.",
        b"\x80\x02]U\x01a.",
        b"\x80\x02K\x01.",
        b"\x80\x02}K\x01K\x02s.",
        b"\x80\x05\x8b\xff\xff\xff\x7f.",  # LONG4 of two gigabytes
    ],
)
def test_other_opcodes_and_names_are_refused(code: bytes, tmp_path: Path) -> None:
    with pytest.raises(FormatError) as caught:
        read(code, tmp_path)
    assert caught.value.code in ("pickle_refused", "pickle_damaged")


def test_an_array_of_objects_is_refused(tmp_path: Path) -> None:
    data = pickle.dumps({"data": np.array([np.zeros(3), np.zeros(4)], object)}, 3)
    with pytest.raises(FormatError, match="an array of objects"):
        read(data, tmp_path)


def test_a_file_of_nothing_but_values_does_not_take_all_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_pickles, "_MAX_VALUES", 1000)
    with pytest.raises(FormatError, match="more than 1,000 values"):
        read(b"\x80\x02](" + 2000 * b"K\x01" + b"e.", tmp_path)


def test_of_a_pickle_that_is_cut_within_its_array_the_rest_is_read(tmp_path: Path) -> None:
    before = {"labels": [1, 2, 3], "data": DICTIONARY["data"], "filenames": ["a"]}
    for whole in (dumps2(before), pickle.dumps(before, 3)):
        start = whole.index(DICTIONARY["data"].tobytes())
        found = read(whole[: start + 7000], tmp_path)
        assert "ends at byte" in found.fault
        assert found.values["labels"] == [1, 2, 3]
        assert found.values["data"].values == (start, 7000)
        for end in (start - 1, start - 40, 5, 0, len(whole) - 1):
            with pytest.raises(FormatError) as caught:
                read(whole[:end], tmp_path)
            assert caught.value.code == "pickle_damaged"


@given(change=st.data())
@settings(max_examples=60, deadline=None)
def test_bytes_that_change_are_read_or_refused(change: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    whole = bytearray(pickle.dumps({"labels": [1, 2], "data": np.zeros((2, 30), np.uint8), "name": "x"}, 3))
    for _ in range(change.draw(st.integers(1, 4))):
        whole[change.draw(st.integers(0, len(whole) - 1))] = change.draw(st.integers(0, 255))
    try:
        read(bytes(whole), tmp_path_factory.mktemp("x"))
    except FormatError as error:
        assert error.code in ("pickle_refused", "pickle_damaged")


@given(data=st.binary(max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    try:
        read(b"\x80\x02" + data, tmp_path_factory.mktemp("x"))
    except FormatError as error:
        assert error.code in ("pickle_refused", "pickle_damaged")


def test_the_generator_writes_the_opcodes_of_python_2() -> None:
    """CIFAR's files begin so: SHORT_BINSTRING keys, and one BINSTRING for the array."""
    codes = [
        opcode.name for opcode, *_ in pickletools.genops(io.BytesIO(dumps2(DICTIONARY | {"filenames": ["a.png"]})))
    ]
    assert not {"BINUNICODE", "SHORT_BINBYTES", "BINBYTES"} & set(codes)
    assert {"SHORT_BINSTRING", "BINSTRING", "GLOBAL", "REDUCE", "BUILD"} <= set(codes)
