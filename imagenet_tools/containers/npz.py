r"""Find the arrays of an npz, a zip of .npy files as numpy.savez writes it, without reading their values.

    data.npy    "\x93NUMPY", the version, the length of the header, the header, and the values
                {'descr': '|u1', 'fortran_order': False, 'shape': (50000, 3072), }
    labels.npy ...

The values of an array are a byte range, if numpy.savez wrote it. numpy.savez_compressed leaves none. Source of the
layout: numpy.lib.format.
"""

from __future__ import annotations

import io
import os
from pathlib import PurePosixPath

from imagenet_tools.containers import zip_directory
from imagenet_tools.containers.array_pickles import Array, ByteRange
from imagenet_tools.errors import FormatError

PROBLEMS = {
    "npz_damaged": "an npz without its list of members, or with a broken one: nothing of it is indexed",
    "npz_member": "a member of an npz that is compressed or no array: nothing of the file is indexed",
}

_HEADER_BYTES = 1 << 12  # numpy writes 128 for an array without named fields


def read(fd: int) -> dict[str, Array]:
    """Return the arrays of an open npz by name.

    Raises:
        FormatError: npz_damaged: the zip is cut or damaged. npz_member: a member is compressed, or is no array.
    """
    try:
        return _read(fd)
    except FormatError as error:
        if error.code == "npz_member":
            raise
        raise FormatError(str(error), code="npz_damaged") from error


def _read(fd: int) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    for member, fault, head in zip_directory.walk(fd, ahead=_HEADER_BYTES):
        if fault:
            message = (
                f"{member.name}: {fault.partition(';')[0]}. Expected a stored array, as numpy.savez writes it: "
                "np.savez(NEW, **np.load(OLD))."
            )
            raise FormatError(message, code="npz_member", member=member.name)
        arrays[PurePosixPath(member.name).stem] = _array(member.name, member.offset, member.size, head)
    return arrays


def _array(name: str, offset: int, size: int, head: bytes) -> Array:
    from numpy.lib import format as npy

    header = io.BytesIO(head)
    try:
        version = npy.read_magic(header)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read_header(header)
    except ValueError as error:
        message = f"{name}: found bytes that begin {head[:8]!r} ({error}); expected an array as numpy.save writes it."
        raise FormatError(message, code="npz_member", member=name) from error
    return Array(dtype.str, shape, ByteRange(offset + header.tell(), size - header.tell()), fortran)


def read_values(fd: int, values: ByteRange) -> bytes:
    """Return the bytes of an array of an open file, which may be large; fewer if the file is cut."""
    return os.pread(fd, values.length, values.offset)
