"""TFRecords are walked by their framing, and Examples by their fields: no value is lost, and no damage is silent."""

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagenet_tools.containers import tfrecords
from imagenet_tools.errors import FormatError
from tests.examples import examples
from tests.forms import tfrecord as form

NAMES = st.text("abc/_xyz", max_size=12)
VALUES = st.one_of(
    st.lists(st.binary(max_size=6000), max_size=3),
    st.lists(st.floats(width=32, allow_nan=False), max_size=5),
    st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=5),
)


def walked(path: Path) -> tuple[list[tfrecords.Record], str]:
    """The records before a fault, and its code."""
    found: list[tfrecords.Record] = []
    with path.open("rb") as file:
        try:
            for record in tfrecords.walk(file.fileno(), path.name):
                found.append(record)
        except FormatError as error:
            return found, error.code
    return found, ""


@given(st.binary(max_size=64))
def test_the_checksum_of_a_length_is_googles_masked_as_tensorflow_does(data: bytes) -> None:
    assert tfrecords.masked_crc32c(data).to_bytes(4, "little") == form.masked(data)


@examples(20, many=100)
@given(st.dictionaries(NAMES, VALUES, max_size=8), st.booleans())
def test_every_value_of_an_example_is_found(tmp_path_factory, features, packed) -> None:
    path = tmp_path_factory.mktemp("example") / "x"
    path.write_bytes(form.record(b"") + form.record(form.example(features, packed=packed)))
    with path.open("rb") as file:
        fd = file.fileno()
        empty, record = tfrecords.walk(fd, "x")
        assert tfrecords.features(fd, empty, "x") == ({}, {}, {})
        found = tfrecords.features(fd, record, "x")
        wanted = tfrecords.features(fd, record, "x", wanted={name for name in features if len(name) > 4})
        there = {name: [os.pread(fd, n, at) for at, n in places] for name, places in found.bytes.items()}
    for name, values in features.items():
        if values and isinstance(values[0], bytes):
            assert there[name] == values
        elif values and isinstance(values[0], float):
            assert found.floats[name] == values
        else:
            assert found.ints[name] == values
        assert any(name in kind for kind in wanted) == (len(name) > 4)
    assert len(there) + len(found.floats) + len(found.ints) == len(features)


@pytest.mark.parametrize("cut", range(1, 120, 7))
def test_a_file_that_ends_inside_a_record_keeps_those_before(cut: int, tmp_path: Path) -> None:
    records = [form.record(bytes(n)) for n in (40, 50, 60)]
    whole = b"".join(records)
    (tmp_path / "x").write_bytes(whole[:-cut])
    found, code = walked(tmp_path / "x")
    ends = [sum(map(len, records[: n + 1])) for n in range(3)]
    assert len(found) == sum(end <= len(whole) - cut for end in ends)
    assert code == ("" if len(whole) - cut in ends else "tfrecord_truncated")


@examples(20, many=100)
@given(st.integers(0, 11), st.integers(1, 255))
def test_no_length_that_was_changed_is_believed(place: int, by: int) -> None:
    whole = bytearray(form.record(bytes(40)) + form.record(bytes(50)))
    whole[56 + place] ^= by
    path = Path(f"/proc/self/fd/{os.memfd_create('x')}")
    path.write_bytes(whole)
    found, code = walked(path)
    os.close(int(path.name))
    assert (len(found), code) == (1, "tfrecord_damaged")


@examples(60, many=300)
@given(st.binary(max_size=200), st.data())
def test_what_is_no_example_is_an_error_of_ours_or_nothing(junk: bytes, data: st.DataObject) -> None:
    good = form.example({"image": [b"x" * 40], "label": [3], "box": [0.5]})
    place = data.draw(st.integers(0, len(good)))
    for bad in (junk, good[:place] + junk + good[place:], good[:place], struct.pack("<Q", 1 << 63) + junk):
        path = Path(f"/proc/self/fd/{os.memfd_create('x')}")
        path.write_bytes(bad)
        fd = int(path.name)
        try:
            tfrecords.features(fd, tfrecords.Record(0, len(bad), bad[: data.draw(st.integers(0, 60))]), "x")
        except FormatError as error:
            assert error.code == "example_damaged"
        finally:
            os.close(fd)


def test_an_image_in_an_example_is_passed_over_and_not_read(tmp_path: Path) -> None:
    def bytes_read() -> int:
        return int(Path("/proc/self/io").read_text().split()[1])

    features: dict[str, form.Values] = {"a": [1], "image": [bytes(5_000_000)], "z": [b"last"]}
    (tmp_path / "x").write_bytes(form.record(form.example(features)))
    before = bytes_read()
    with (tmp_path / "x").open("rb", buffering=0) as file:
        [record] = tfrecords.walk(file.fileno(), "x")
        found = tfrecords.features(file.fileno(), record, "x")
    assert bytes_read() - before < 50_000
    assert [place.length for place in found.bytes["image"]] == [5_000_000]


def test_equal_values_that_differ_as_bytes_are_written_as_they_are() -> None:
    heads = [
        tfrecords.example_head({"x": values}, "image", 0)
        for values in (tfrecords.Floats((0.0,)), tfrecords.Floats((-0.0,)), tfrecords.Floats(()), [1], [], b"1")
        for _ in range(2)
    ]
    assert heads[0::2] == heads[1::2]
    assert len(set(heads)) == 6
