"""A devkit's meta.mat is read without SciPy, and what is no such file is an error of this package."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagenet_tools.catalogue import labels
from imagenet_tools.containers.mat5 import read_structs
from imagenet_tools.errors import FormatError
from tests.examples import examples


def test_the_devkit_of_2012_lists_the_thousand_classes_and_860_above(real):
    rows = read_structs((real / "ilsvrc2012/meta.mat").read_bytes())
    assert [row["ILSVRC2012_ID"] for row in rows] == list(range(1, 1861))
    assert tuple(row["WNID"] for row in rows[:1000]) == labels.ilsvrc2012_ids()
    assert [row["WNID"] for row in rows[1000:1001]] == ["n00001740"]
    assert rows[0]["words"] == "kit fox, Vulpes macrotis"
    assert (rows[0]["num_children"], rows[0]["children"], rows[0]["num_train_images"]) == (0, None, 1300)


def test_the_devkit_of_2010_is_read_likewise(real):
    rows = read_structs((real / "oracles/ilsvrc2010_meta.mat").read_bytes())
    assert (len(rows), rows[-1]["ILSVRC2010_ID"], rows[-1]["WNID"]) == (1676, 1676, "n03280813")


@pytest.mark.parametrize("data", [b"", b"MATLAB 5.0 MAT-file".ljust(128), bytes(126) + b"IM", bytes(126) + b"IM\x0e"])
def test_what_is_no_such_file_is_a_format_error(data):
    with pytest.raises(FormatError, match="MATLAB"):
        read_structs(data)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_damaged_file_is_read_or_a_format_error(real, data):
    whole = (real / "ilsvrc2012/meta.mat").read_bytes()
    cut = data.draw(st.integers(100, len(whole)))
    place = data.draw(st.integers(100, len(whole) - 1))
    damaged = (whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :])[:cut]
    try:
        read_structs(damaged)
    except FormatError as error:
        assert error.code == "mat_damaged"


@examples(60, many=300)
@given(st.binary(max_size=300))
def test_any_bytes_behind_the_head_are_read_or_a_format_error(data):
    with contextlib.suppress(FormatError):
        read_structs(bytes(126) + b"IM" + data)
