"""Tar archives read by headers alone, held against GNU tar and Python's tarfile as writers and readers."""

import gzip
import io
import os
import random
import shutil
import struct
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagenet_tools.containers import tar
from imagenet_tools.containers.tar import Member
from imagenet_tools.errors import FormatError
from tests.parameters import short_list

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
SIZES = (0, 1, 511, 512, 513, 5000, 100_000)
quick = settings(deadline=None, max_examples=60)


def payload_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def made(members: dict[str, bytes], form: int = tarfile.USTAR_FORMAT) -> bytes:
    """A tar of these files as tarfile writes it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def header(name: bytes = b"a.JPEG", *, size: bytes = b"00000000000\0", kind: bytes = b"0") -> bytes:
    """A ustar header with any bytes for a size, its checksum right."""
    block = bytearray(512)
    block[: len(name)] = name
    block[124:136] = size
    block[156:157] = kind
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def extra(kind: bytes, data: bytes, *, stated: int | None = None) -> bytes:
    """A long name or a set of pax records, as a member comes after it."""
    size = b"%011o\0" % (len(data) if stated is None else stated)
    return header(b"extra", size=size, kind=kind) + data + bytes(-len(data) % 512)


def record(key: bytes, value: bytes) -> bytes:
    length = next(n for n in range(1, 10**8) if n == len(b"%d %s=%s\n" % (n, key, value)))
    return b"%d %s=%s\n" % (length, key, value)


END = bytes(1024)


@pytest.fixture
def archive(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(data: bytes) -> Path:
        path = tmp_path / "archive.tar"
        path.write_bytes(data)
        return path

    return write


def drained(members: Iterator[Member]) -> tuple[list[Member], str | None]:
    """The members, and the code of the error after them."""
    found: list[Member] = []
    try:
        for member in members:
            found.append(member)
    except FormatError as error:
        return found, error.code
    return found, None


def walked(path: Path) -> tuple[list[Member], str | None]:
    return drained(tar.walk(path))


def names(found: list[Member]) -> list[str]:
    return [member.name for member in found]


@pytest.mark.parametrize("form", FORMATS)
def test_members_lie_where_tarfile_says(archive: Callable[[bytes], Path], form: str) -> None:
    members = {f"n01440764/n01440764_{size}.JPEG": payload_of(size) for size in SIZES}
    members |= {"d/" * 40 + "ustar_prefix.JPEG": b"prefix", "kraków_potter's_wheel.JPEG": b"utf-8"}
    if form != "ustar":
        members |= {f"{'x' * n}.JPEG": b"%d" % n for n in (99, 100, 101, 255, 256, 512, 10_000)}
    path = archive(made(members, FORMATS[form]))
    with tarfile.open(path) as known:
        expected = [Member(one.name, one.offset_data, one.size, "file") for one in known]
    assert walked(path) == (expected, None)
    assert names(expected) == list(members)


@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar here")
@pytest.mark.parametrize("form", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_members_of_gnu_tar_read_back_as_their_files(tmp_path: Path, form: str) -> None:
    home = tmp_path / "train" / "n01440764"
    home.mkdir(parents=True)
    for size in SIZES:
        (home / f"n01440764_{size}.JPEG").write_bytes(payload_of(size))
    if form not in {"v7", "ustar"}:
        (home / ("long" * 50 + ".JPEG")).write_bytes(b"long")
    path = tmp_path / "train.tar"
    subprocess.run(["tar", f"--format={form}", "-C", tmp_path, "-cf", path, "train"], check=True)
    found, code = walked(path)
    assert code is None
    assert names([member for member in found if member.kind == "dir"]) == ["train/", "train/n01440764/"]
    files = [member for member in found if member.kind == "file"]
    assert sorted(names(files)) == sorted(f"train/n01440764/{one.name}" for one in home.iterdir())
    data = path.read_bytes()
    for member in files:
        assert data[member.offset : member.offset + member.size] == (tmp_path / member.name).read_bytes()


@quick
@given(sizes=st.lists(st.integers(0, 3000), max_size=12), ahead=st.sampled_from([1, 100, 512, 4096, 20_000]))
def test_the_head_of_a_payload_comes_with_its_member(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], ahead: int
) -> None:
    path = tmp_path_factory.mktemp("tar") / "a.tar"
    members = {f"{n}.JPEG": payload_of(size) for n, size in enumerate(sizes)}
    path.write_bytes(made(members))
    found = list(tar.walk_ahead(path, ahead=ahead))
    assert {member.name: head for member, head in found} == {name: data[:ahead] for name, data in members.items()}
    assert [member for member, _ in found] == list(tar.walk(path))


@pytest.mark.parametrize("form", FORMATS)
def test_a_member_costs_one_read_also_with_a_pax_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=FORMATS[form]) as written:
        for n in range(50):
            info = tarfile.TarInfo(f"{n}.JPEG")
            info.size, info.mtime = 20_000, 1.5
            written.addfile(info, io.BytesIO(payload_of(20_000)))
    reads: list[int] = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *arguments: [reads.append(arguments[1]), pread(*arguments)][1])
    heads = [head for _, head in tar.walk_ahead(path, ahead=4096)]
    assert heads == [payload_of(20_000)[:4096]] * 50
    assert len(reads) <= 50 + 4  # the first two reads of a header, and the end


def test_a_tar_inside_a_tar_is_walked_by_its_bounds(archive: Callable[[bytes], Path]) -> None:
    inner = {f"n0144076{n}.tar": made({f"n0144076{n}_{i}.JPEG": payload_of(i) for i in range(5)}) for n in range(3)}
    path = archive(made(inner))
    whole = path.read_bytes()
    with path.open("rb") as file:
        for outer in tar.walk(file.fileno()):
            found = list(tar.walk(file.fileno(), start=outer.offset, end=outer.offset + outer.size))
            assert names(found) == [f"{outer.name[:9]}_{i}.JPEG" for i in range(5)]
            assert [whole[one.offset : one.offset + one.size] for one in found] == [payload_of(i) for i in range(5)]
        assert file.tell() == 0


@pytest.mark.parametrize("step", short_list([1, 13], 13))
def test_a_tar_cut_at_any_byte_keeps_every_whole_member_and_says_that_it_is_cut(tmp_path: Path, step: int) -> None:
    data = made({f"n{i}.JPEG": payload_of(i * 60) for i in range(20)})
    path = tmp_path / "cut.tar"
    path.write_bytes(data)
    everything = list(tar.walk(path))
    end = everything[-1].offset + everything[-1].size
    end += -end % 512 + 1024
    with path.open("r+b") as file:
        for cut in range(len(data) - 1, -1, -step):
            file.truncate(cut)
            found, code = drained(tar.walk(file.fileno()))
            assert found == [one for one in everything if one.offset + one.size <= cut]
            assert code == (None if cut >= end else "tar_truncated")


def test_a_flipped_header_byte_is_found_and_costs_no_member_before_it(tmp_path: Path) -> None:
    data = made({f"n{i}.JPEG": payload_of(600) for i in range(3)}, tarfile.GNU_FORMAT)
    path = tmp_path / "flipped.tar"
    path.write_bytes(data)
    everything = list(tar.walk(path))
    start = everything[1].offset - 512
    undetected = []
    with path.open("r+b") as file:
        for place in range(start, start + 512):
            for mask in (0x01, 0x80, 0xFF):
                os.pwrite(file.fileno(), bytes([data[place] ^ mask]), place)
                found, code = drained(tar.walk(file.fileno()))
                if code is None:
                    undetected.append(place - start)
                    assert found == everything
                else:
                    assert (found, code) == (everything[:1], "tar_damaged")
                os.pwrite(file.fileno(), data[place : place + 1], place)
    # The two bytes that end the checksum's digits say nothing.
    assert set(undetected) <= {154, 155}


@pytest.mark.parametrize("value", [-512, -1, -(1 << 40), -(1 << 94)])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_negative_size_ends_the_walk(archive: Callable[[bytes], Path], value: int, position: int) -> None:
    size = ((1 << 96) + value).to_bytes(12, "big")
    blocks = [header(b"good%d" % n) for n in range(3)]
    blocks[position] = header(b"bad", size=size)
    assert walked(archive(b"".join(blocks) + END)) == (
        [Member(f"good{n}", 512 * (n + 1), 0, "file") for n in range(position)],
        "tar_damaged",
    )


@pytest.mark.parametrize("value", [1025, 10**18, (1 << 63) - 1, 1 << 63, 1 << 87])
def test_a_size_beyond_the_end_is_a_cut(archive: Callable[[bytes], Path], value: int) -> None:
    size = b"\x80" + value.to_bytes(11, "big") if value > 8**11 else b"%011o\0" % value
    path = archive(header(b"good") + header(b"huge", size=size) + END)
    with pytest.raises(FormatError, match=r"'huge'.* expected the [0-9,]+ that its header states") as caught:
        list(tar.walk(path))
    assert (caught.value.code, caught.value.member) == ("tar_truncated", "huge")
    assert f"{value:,}" in str(caught.value)


@pytest.mark.parametrize(
    "size", [b"0000000001x\0", b"00000000019 ", b"-0000000001\0", b"0_000000001\0", b"+0000000001\0"]
)
def test_a_size_that_is_no_octal_number_is_refused(archive: Callable[[bytes], Path], size: bytes) -> None:
    assert walked(archive(header(size=size) + END)) == ([], "tar_damaged")


@pytest.mark.parametrize("size", [b"         14 ", b"14\0garbage!!", b"000000000014", b" 14\0\0\0\0\0\0\0\0\0"])
def test_sizes_are_read_in_every_spelling_that_writers_use(archive: Callable[[bytes], Path], size: bytes) -> None:
    assert walked(archive(header(size=size) + bytes(512) + END)) == ([Member("a.JPEG", 512, 12, "file")], None)


def test_a_member_beyond_8_gib_and_what_follows_are_found_without_reading_it(tmp_path: Path) -> None:
    path, size = tmp_path / "large.tar", 9 << 30
    with path.open("wb") as file:
        file.write(header(b"large", size=b"\x80" + size.to_bytes(11, "big")))
        file.seek(size, os.SEEK_CUR)
        file.write(header(b"after") + END)
    expected = [Member("large", 512, size, "file"), Member("after", size + 1024, 0, "file")]
    assert walked(path) == (expected, None)


def test_pax_records_of_a_member_go_before_those_of_all(archive: Callable[[bytes], Path]) -> None:
    data = (
        extra(b"g", record(b"path", b"common") + record(b"comment", b"c"))
        + (header(b"one"))
        + extra(b"x", record(b"path", b"own") + record(b"size", b"3"))
        + (header(b"two", size=b"00000000000\0") + b"abc".ljust(512, b"\0"))
        + header(b"three")
    )
    found = list(tar.walk(archive(data + END)))
    assert [(one.name, one.size) for one in found] == [("common", 0), ("own", 3), ("common", 0)]


@pytest.mark.parametrize(
    "records",
    [b"nonsense", b"5 a=b", b"99 path=x\n", b"0 a=b\n", b"8 path=x!", b"-3 a=b\n", record(b"size", b"-1"),
     record(b"size", b"1e3"), record(b"size", b"1" * 30), b"12 a=b\n", b"123456789 a=b\n"],
)  # fmt: skip
def test_pax_records_that_are_none_are_refused(archive: Callable[[bytes], Path], records: bytes) -> None:
    data = header(b"good") + extra(b"x", records) + header(b"next") + END
    assert walked(archive(data)) == ([Member("good", 512, 0, "file")], "tar_damaged")


def test_a_name_of_a_mebibyte_is_read_and_a_longer_one_refused(archive: Callable[[bytes], Path]) -> None:
    for kind in (b"L", b"x", b"K", b"g", b"X"):
        found, code = walked(archive(header(b"good") + extra(kind, b"", stated=8 << 30) + END))
        assert (names(found), code) == (["good"], "tar_damaged")
    name = b"n" * (1 << 20)
    assert names(list(tar.walk(archive(extra(b"L", name) + header() + END)))) == [name.decode()]
    assert walked(archive(extra(b"L", name + b"n") + header() + END)) == ([], "tar_damaged")


def test_three_thousand_chained_pax_headers_are_read(archive: Callable[[bytes], Path]) -> None:
    chain = b"".join(extra(b"x", record(b"path", b"n%d" % n)) for n in range(3000))
    assert names(list(tar.walk(archive(chain + header() + END)))) == ["n2999"]


def test_a_long_name_without_a_member_is_a_fault(archive: Callable[[bytes], Path]) -> None:
    assert walked(archive(header(b"good") + extra(b"L", b"name\0") + END))[1] == "tar_damaged"


@pytest.mark.parametrize(
    ("tail", "code"),
    [
        (b"", "tar_truncated"),
        (bytes(512), "tar_truncated"),
        (bytes(1023), "tar_truncated"),
        (bytes(1024), None),
        (bytes(1025), None),
        (bytes(3 << 20), None),
        (bytes(512) + header(b"behind") + END, "tar_trailing_data"),
        (END + header(b"behind") + END, "tar_trailing_data"),
        (END + made({"joined": b"x"}), "tar_trailing_data"),
        (bytes(3 << 20) + b"x", "tar_trailing_data"),
        (END + b"\0\0x", "tar_trailing_data"),
        (b"PK\3\4" + bytes(508) + END, "tar_damaged"),
    ],
)
def test_an_archive_ends_with_two_blocks_of_zeros_and_zeros_alone_follow(
    archive: Callable[[bytes], Path], tail: bytes, code: str | None
) -> None:
    assert walked(archive(header(b"good") + tail)) == ([Member("good", 512, 0, "file")], code)


def test_a_gibibyte_of_zeros_behind_the_end_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "zeros.tar"
    path.write_bytes(header(b"good") + END)
    os.truncate(path, 1 << 40)
    assert walked(path)[1] == "tar_trailing_data"


def test_kinds_are_told_and_what_has_no_payload_has_no_size(archive: Callable[[bytes], Path]) -> None:
    kinds = {b"0": "file", b"\0": "file", b"7": "file", b"1": "link", b"2": "symlink", b"3": "device", b"4": "device"}
    kinds |= {b"5": "dir", b"6": "fifo", b"V": "other", b"Z": "other", b"S": "sparse"}
    data = b"".join(header(kind.hex().encode(), kind=kind) for kind in kinds)
    assert {one.name: one.kind for one in tar.walk(archive(data + END))} == {k.hex(): v for k, v in kinds.items()}
    stated = header(b"folder/", size=b"00000010000\0", kind=b"5") + header(b"old/", kind=b"\0") + header(b"next")
    assert [(one.name, one.size, one.kind) for one in tar.walk(archive(stated + END))] == [
        ("folder/", 0, "dir"), ("old/", 0, "dir"), ("next", 0, "file")
    ]  # fmt: skip


@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar here")
@pytest.mark.parametrize("form", ["gnu", "posix", "oldgnu"])
def test_sparse_members_are_named_and_what_follows_is_found(tmp_path: Path, form: str) -> None:
    with (tmp_path / "holes.JPEG").open("wb") as file:
        for place in range(0, 4 << 20, 1 << 16):
            file.seek(place)
            file.write(b"x" * 4096)
    (tmp_path / "plain.JPEG").write_bytes(b"plain")
    path = tmp_path / "sparse.tar"
    subprocess.run(
        ["tar", f"--format={form}", "--sparse", "-C", tmp_path, "-cf", path, "holes.JPEG", "plain.JPEG"], check=True
    )
    found = list(tar.walk(path))
    assert [(one.name, one.kind) for one in found] == [("holes.JPEG", "sparse"), ("plain.JPEG", "file")]
    assert path.read_bytes()[found[1].offset :][:5] == b"plain"


def test_the_name_of_a_sparse_member_is_the_real_one(archive: Callable[[bytes], Path]) -> None:
    said = [record(b"GNU.sparse.major", b"1"), record(b"GNU.sparse.name", b"real"), record(b"path", b"made up")]
    for records in (said, said[::-1]):
        (member,) = tar.walk(archive(extra(b"x", b"".join(records)) + header(b"made up") + END))
        assert (member.name, member.kind) == ("real", "sparse")


def test_times_in_the_header_of_gnu_tar_are_no_prefix_of_the_name(archive: Callable[[bytes], Path]) -> None:
    block = bytearray(header(b"n.JPEG"))
    block[257:265] = b"ustar  \0"
    block[345:357] = b"14712345670\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    assert names(list(tar.walk(archive(bytes(block) + END)))) == ["n.JPEG"]


@pytest.mark.parametrize(
    "name", ["../up", "/etc/absolute", "C:\\drive", "line\nbreak", "right\u202eto left", "-rf", "a/./b", "b\\x41"]
)
def test_a_name_is_told_as_it_is(archive: Callable[[bytes], Path], name: str) -> None:
    assert names(list(tar.walk(archive(header(name.encode()) + END)))) == [name]


def test_a_name_that_is_no_utf_8_can_be_stored_as_text(archive: Callable[[bytes], Path]) -> None:
    (member,) = tar.walk(archive(header(b"caf\xe9.JPEG") + END))
    assert member.name == "caf\\xe9.JPEG"
    assert member.name.encode()


def test_a_checksum_of_signed_bytes_is_taken(archive: Callable[[bytes], Path]) -> None:
    block = bytearray(header(b"\xe9\xe9\xe9"))
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % (sum(block) - 3 * 256)
    assert len(list(tar.walk(archive(bytes(block) + END)))) == 1


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FormatError, match="no regular file"):
        list(tar.walk(tmp_path / "pipe"))
    assert not tar.is_tar(tmp_path / "pipe")
    assert not tar.is_gzip(tmp_path)


def test_what_an_archive_is_shows_in_its_bytes_and_not_in_its_name(tmp_path: Path) -> None:
    data = made({"a": b"a"})
    (tmp_path / "a.jpg").write_bytes(data)
    (tmp_path / "b.tar").write_bytes(gzip.compress(data))
    (tmp_path / "c.tar").write_bytes(bytes(10_240))
    (tmp_path / "d.tar").write_bytes(b"\xff\xd8\xff" * 1000)
    assert [tar.is_tar(tmp_path / name) for name in ("a.jpg", "b.tar", "c.tar", "d.tar")] == [True, False, False, False]
    assert [tar.is_gzip(tmp_path / name) for name in ("a.jpg", "b.tar")] == [False, True]
    for name in ("a.jpg", "b.tar"):
        with tar.open_stream(tmp_path / name) as file:
            assert [(member.name, payload) for member, payload, _ in tar.stream(file)] == [("a", b"a")]


@quick
@given(
    data=st.binary(max_size=3000), flips=st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), max_size=8)
)
def test_any_bytes_end_in_members_or_a_format_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, flips: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.tar"
    mixed = bytearray(made({"a" * 150: b"a" * 700, "b": b"", "c": b"c" * 512}, tarfile.PAX_FORMAT) + data)
    for place, value in flips:
        mixed[place % len(mixed)] = value
    for content in (data, bytes(mixed)):
        path.write_bytes(content)
        for member in walked(path)[0]:
            assert member.offset + member.size <= len(content)


# ---- streams


def streamed(source: Path | bytes, cap: int = 64 << 20) -> tuple[list[tuple[str, bytes | None]], str | None]:
    found: list[tuple[str, bytes | None]] = []
    try:
        with tar.open_stream(source) as file:
            for member, payload, _ in tar.stream(file, cap=cap):
                found.append((member.name, payload))
    except FormatError as error:
        return found, error.code
    return found, None


def test_a_stream_gives_every_member_with_its_payload() -> None:
    members = {f"val/ILSVRC2012_val_{size:08}.xml": payload_of(size) for size in SIZES}
    for form in FORMATS.values():
        data = made(members, form)
        assert streamed(data) == (list(members.items()), None)
        assert streamed(gzip.compress(data)) == (list(members.items()), None)
        two = gzip.compress(data[:2000]) + gzip.compress(data[2000:])
        assert streamed(two) == (list(members.items()), None)


def test_a_member_larger_than_the_cap_has_no_payload_and_the_others_have() -> None:
    data = gzip.compress(made({"a": b"a" * 10, "b": b"b" * 3000, "c": b"c" * 11}))
    assert streamed(data, cap=100)[0] == [("a", b"a" * 10), ("b", None), ("c", b"c" * 11)]


def test_a_gzip_cut_at_any_byte_keeps_every_member_that_is_whole() -> None:
    members = {f"n{i}.xml": payload_of(300 + i) for i in range(12)}
    data = made(members)
    packed = gzip.compress(data)
    everything = list(members.items())
    with tarfile.open(fileobj=io.BytesIO(data)) as known:
        ends = [one.offset_data + one.size for one in known]
    for cut in range(2, len(packed)):
        there = len(zlib.decompressobj(wbits=31).decompress(packed[:cut]))
        whole = sum(end <= there for end in ends)
        assert streamed(packed[:cut]) == (everything[:whole], "gzip_truncated")


def test_a_flipped_byte_of_a_gzip_is_found() -> None:
    members = {f"n{i}.xml": payload_of(300) for i in range(3)}
    packed = gzip.compress(made(members), mtime=0)
    for place in range(0, len(packed), 3):
        if 3 <= place < 10:  # flags that say what else stands in the header, the time, the system
            continue
        found, code = streamed(packed[:place] + bytes([packed[place] ^ 0xFF]) + packed[place + 1 :])
        assert code is not None
        if place >= 10:
            assert len(found) <= 3


def test_a_stream_of_a_plain_tar_that_is_cut_says_so() -> None:
    data = made({"a": b"a" * 600, "b": b"b" * 600})
    assert streamed(data[:2000]) == ([("a", b"a" * 600)], "tar_truncated")
    assert streamed(data[:2100] + struct.pack("512x")) == ([("a", b"a" * 600)], "tar_truncated")
