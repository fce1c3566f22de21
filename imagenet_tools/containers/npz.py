r"""Find the arrays of an npz, a zip of .npy files as numpy writes it, without reading their values.

    data.npy    "\x93NUMPY", the version, the length of the header, the header, and the values
                {'descr': '|u1', 'fortran_order': False, 'shape': (50000, 3072), }
    labels.npy ...

The values of an array are a byte range of the file if numpy.savez wrote it. If numpy.savez_compressed did, they are a
range of the stream that the member inflates to. Source of the layout: numpy.lib.format.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from imagenet_tools.containers.array_pickles import Array, ByteRange
from imagenet_tools.errors import FormatError

PROBLEMS = {
    "npz_damaged": "an npz without its list of members, or with a broken one: nothing of it is indexed",
    "npz_member": "a member of an npz that is no array as numpy writes it: nothing of the file is indexed",
}

_HEADER_BYTES = 1 << 12  # numpy writes 128 for an array without named fields
_LOCAL = struct.Struct("<4s22x2H")  # a member's own header, before its name and extra fields
_CHUNK_BYTES = 1 << 20
_MAX_VALUES_BYTES = 1 << 27  # of an array that is read, such as that of labels


def read(fd: int) -> dict[str, Array]:
    """Return the arrays of an open npz by name.

    Raises:
        FormatError: npz_damaged: the zip is cut or damaged. npz_member: a member is no array as numpy writes it.
    """
    arrays: dict[str, Array] = {}
    size = os.fstat(fd).st_size
    with open(fd, "rb", closefd=False) as file:
        for info in _members(file):
            name = PurePosixPath(info.filename).stem
            head = os.pread(fd, _LOCAL.size, info.header_offset)
            magic, *lengths = _LOCAL.unpack(head) if len(head) == _LOCAL.size else (b"", 0, 0)
            start = info.header_offset + _LOCAL.size + sum(lengths)
            known = info.compress_type in (ZIP_STORED, ZIP_DEFLATED) and not info.flag_bits & 1
            if magic != b"PK\3\4" or start + info.compress_size > size or not known:
                message = f"{info.filename}: found a member of method {info.compress_type} that begins {magic!r}; "
                raise FormatError(message + "expected an array as numpy writes it.", code="npz_member")
            first = os.pread(fd, min(_HEADER_BYTES, info.compress_size), start)
            if info.compress_type == ZIP_STORED:
                arrays[name] = _array(info.filename, start, info.file_size, first)
            else:
                array = _array(info.filename, 0, info.file_size, _inflated(info.filename, first))
                arrays[name] = array._replace(deflated=ByteRange(start, info.compress_size))
    return arrays


def _members(file: io.BufferedReader) -> list[ZipInfo]:
    try:
        with ZipFile(file) as archive:
            return archive.infolist()
    except (BadZipFile, NotImplementedError, ValueError, OSError) as error:
        message = f"Found no whole zip ({error}); expected one that ends with the list of its members. Fetch it again."
        raise FormatError(message, code="npz_damaged") from error


def _inflated(name: str, data: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=-15).decompress(data, _HEADER_BYTES)
    except zlib.error as error:
        raise FormatError(f"{name}: found bytes that do not inflate ({error}).", code="npz_member") from error


def _array(name: str, start: int, size: int, head: bytes) -> Array:
    from numpy.lib import format as npy

    header = io.BytesIO(head)
    try:
        version = npy.read_magic(header)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read_header(header)
    except ValueError as error:
        message = f"{name}: found bytes that begin {head[:8]!r} ({error}); expected an array as numpy.save writes it."
        raise FormatError(message, code="npz_member") from error
    return Array(dtype.str, shape, ByteRange(start + header.tell(), size - header.tell()), fortran)


def read_values(fd: int, array: Array) -> bytes:
    """Return the bytes of an array of an open file, fewer if the file is cut.

    Raises:
        FormatError: npz_member: the bytes do not inflate, or are more than any list of labels or names has.
    """
    values, deflated = array.values, array.deflated
    if values.length > _MAX_VALUES_BYTES:
        message = f"Found an array of {values.length:,} bytes beside the images; expected labels or names."
        raise FormatError(message, code="npz_member")
    if deflated is None:
        return os.pread(fd, values.length, values.offset)
    try:
        engine = zlib.decompressobj(wbits=-15)
        data = engine.decompress(os.pread(fd, deflated.length, deflated.offset), values.offset + values.length)
    except zlib.error as error:
        raise FormatError(f"Found an array whose bytes do not inflate ({error}).", code="npz_member") from error
    return data[values.offset :]


def damage(fd: int, name: str) -> str:
    """Return what is wrong with an array of an open npz by its checksum, in words; "" if nothing is."""
    with open(fd, "rb", closefd=False) as file:
        try:
            with ZipFile(file) as archive, archive.open(f"{name}.npy") as member:
                while member.read(_CHUNK_BYTES):
                    pass
        except (BadZipFile, EOFError, KeyError, OSError, zlib.error) as error:
            return f"found the array {name} damaged ({error}); fetch the file again"
    return ""
