"""Reading .npz archives from others without trusting them.

Nothing is unpickled, and nothing is allocated before headers and sizes agree: a small file that
claims to hold terabytes is refused by what it claims.
"""

import math
import os
import warnings
import zipfile
from typing import IO

import numpy as np
from numpy.lib import format as npy

from svdam.core.archives import checked_members, damage_named, opened_archive
from svdam.core.files import atomic_write
from svdam.core.validation import InputError, one_line, quoted_list

MAX_BYTES = 1 << 31


def read_npz(path: str | os.PathLike, max_bytes: int = MAX_BYTES) -> dict[str, np.ndarray]:
    """Reads all arrays of an .npz archive.

    Args:
        path: The archive.
        max_bytes: Limit for all arrays together, uncompressed.

    Returns:
        The arrays by name, in the archive's order.

    Raises:
        InputError: If the file is missing, no archive, cut short, damaged, too large, or holds
            something that is no plain array.
    """
    with opened_archive(path, ".npz archive") as archive:
        members = _checked_members(archive, path, max_bytes)
        return {name: _read_member(archive, info, path) for name, info in members.items()}


def read_kept(path: str | os.PathLike) -> dict[str, np.ndarray] | None:
    """Reads arrays that a run kept to go on from; None if they are not there.

    Damaged ones are removed, with a warning: they are computed again.
    """
    if not os.path.exists(path):
        return None
    try:
        return read_npz(path)
    except InputError as error:
        warnings.warn(f"{error}; it is computed again", stacklevel=2)
        os.unlink(path)
        return None


def write_npz(path: str | os.PathLike, arrays: dict[str, np.ndarray]) -> None:
    """Writes arrays as an uncompressed .npz archive, atomically; any name is allowed."""
    with (
        atomic_write(path, "wb") as stream,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive,
    ):
        for name, array in arrays.items():
            # A fixed date: equal arrays give equal files.
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            with archive.open(info, "w", force_zip64=array.nbytes >= 1 << 30) as member:
                npy.write_array(member, np.asarray(array, order="C"), allow_pickle=False)


def _checked_members(
    archive: zipfile.ZipFile, path: str | os.PathLike, max_bytes: int
) -> dict[str, zipfile.ZipInfo]:
    members = checked_members(archive, path, max_bytes)
    foreign = [name for name in members if not name.endswith(".npy")]
    if foreign:
        raise InputError(f"{path}: holds {quoted_list(foreign, 3)}, expected arrays (.npy) only")
    return {name.removesuffix(".npy"): info for name, info in members.items()}


def _read_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: str | os.PathLike
) -> np.ndarray:
    place = f"{path}: array {info.filename.removesuffix('.npy')!r}"
    with damage_named(place), archive.open(info) as stream:
        shape, is_fortran, dtype = _read_header(stream, place)
        expected = math.prod(shape) * dtype.itemsize
        if info.file_size - stream.tell() != expected:
            raise InputError(
                f"{place} declares shape {shape} and dtype {dtype}, {expected} bytes, but "
                f"has {info.file_size - stream.tell()}"
            )
        content = stream.read(expected)
        # Reading past the end makes zipfile compare the checksum, also of an empty array.
        if len(content) != expected or stream.read(1):
            raise InputError(f"{place} is truncated")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if is_fortran else "C")
    return array.copy()  # Writeable, aligned, in C order where it can be.


def _read_header(stream: IO[bytes], place: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    try:
        version = npy.read_magic(stream)
        if version == (1, 0):
            header = npy.read_array_header_1_0(stream)
        elif version == (2, 0):
            header = npy.read_array_header_2_0(stream)
        else:
            raise ValueError(f"npy format version {version}")
    except ValueError as error:
        raise InputError(f"{place} has no readable header ({one_line(error)})") from error
    if header[2].hasobject:
        raise InputError(
            f"{place} holds Python objects, which would run code when read; "
            "save it as a plain array of numbers"
        )
    return header
