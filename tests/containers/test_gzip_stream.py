"""A stream that is read once gives what is asked for, whatever the buffers below, and says where it broke."""

import gzip
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagenet_tools.containers.gzip_stream import Gunzip, forward
from imagenet_tools.errors import FormatError

WHOLE = bytes(n * 7 % 251 for n in range(5000))
steps = st.lists(st.tuples(st.integers(0, 900), st.integers(0, 900)), max_size=12)  # what is skipped, what is read


def opened(packed: bytes, buffer: int, *, unpacked: bool) -> io.BufferedReader:
    file = io.BytesIO(packed)
    return io.BufferedReader(Gunzip(fileobj=file) if unpacked else file, buffer)  # type: ignore[arg-type]


@settings(deadline=None)
@given(steps, st.sampled_from([1, 16, 512, 700, 8192]), st.booleans())
def test_reads_are_slices_of_the_whole(asked: list[tuple[int, int]], buffer: int, unpacked: bool) -> None:
    read = forward(opened(gzip.compress(WHOLE) if unpacked else WHOLE, buffer, unpacked=unpacked), "a stream")
    place = 0
    for skipped, n in asked:
        place += skipped
        assert read(place, n) == WHOLE[place : place + n]
        place = min(place + n, len(WHOLE))


@pytest.mark.parametrize("damage", ["cut", "flipped"])
@pytest.mark.parametrize("buffer", [16, 512, 8192])
def test_a_broken_stream_gives_what_stands_before_its_break(damage: str, buffer: int) -> None:
    packed = gzip.compress(WHOLE * 9, mtime=0)
    broken = packed[:-30] if damage == "cut" else packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:]
    read = forward(opened(broken, buffer, unpacked=True), "a stream")
    given, place = b"", 0
    with pytest.raises(FormatError, match=r"a stream: .* after [1-9][0-9,]* bytes") as caught:
        while piece := read(place, 10):
            given, place = given + piece, place + len(piece)
    assert caught.value.code == {"cut": "gzip_truncated", "flipped": "gzip_damaged"}[damage]
    assert given
    assert (WHOLE * 9).startswith(given)
    assert damage == "cut" or len(given) > len(WHOLE * 9) - 10


def test_a_stream_is_not_read_backwards() -> None:
    read = forward(opened(WHOLE, 512, unpacked=False), "a stream")
    read(100, 10)
    with pytest.raises(ValueError, match="byte 109 was asked for after byte 110"):
        read(109, 1)
