"""HDF5 files from others, looked at before their values are read.

The HDF5 library is native code: one flipped bit in a file can make it crash, ask for memory without
bound, or read on for ever. So what svdam writes carries a checksum of the whole file, in the block
at its start that HDF5 leaves to applications, and is compared with it before the library opens the
file. (The weights in a ``.keras`` file have the checksum of the zip archive.) Then whatever reaches
out of the file is refused: external and soft links, and data sets whose values are kept elsewhere.
"""

import contextlib
import hashlib
import io
import math
import os
from collections.abc import Iterator
from typing import Any

from svdam.core.validation import InputError, one_line

SEAL_BYTES = 512
"""Size of the block, for `h5py.File`'s ``userblock_size``."""

_SEAL = b"svdam sha256 "
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MAX_OBJECTS = 100_000
_MAX_DEPTH = 32
_DEFLATE_LIMIT = 1032  # No stream of zlib's unpacks to more than this multiple of its size.


def seal_hdf5(path: str | os.PathLike) -> None:
    """Writes the checksum of an HDF5 file into the block of `SEAL_BYTES` at its start."""
    with open(path, "r+b") as stream:
        seal = _seal(stream)
        stream.seek(0)
        stream.write(seal)


def check_hdf5(
    source: bytes | str | os.PathLike, place: str, max_bytes: int, sealed: bool = False
) -> int:
    """Refuses an HDF5 file that is damaged or hostile.

    Args:
        source: The file's content, or its path.
        place: How messages name it.
        max_bytes: Limit for all data sets together, unpacked.
        sealed: Whether it must have the checksum that `seal_hdf5` writes. One that has it is
            compared with it in any case.

    Returns:
        How many values its data sets hold together.

    Raises:
        InputError: If it is not HDF5, is too large, reaches out of itself, or differs from its
            checksum.
    """
    with _as_stream(source, place) as stream:
        start = stream.read(SEAL_BYTES)
        if not start.startswith(_SIGNATURE) and start != _seal(stream):
            raise InputError(f"{place} is damaged (its checksum differs), or not an HDF5 file")
        if sealed and start.startswith(_SIGNATURE):
            raise InputError(f"{place} has no checksum: it is not a file that svdam wrote")
        stream.seek(0)
        try:
            return _inspect(stream, max_bytes)
        except _RefusedError as error:
            raise InputError(f"{place} {error}") from error
        except Exception as error:  # Whatever h5py raises over a damaged file.
            raise InputError(
                f"{place} is damaged, or not an HDF5 file ({one_line(error)})"
            ) from error


@contextlib.contextmanager
def _as_stream(
    source: bytes | str | os.PathLike, place: str
) -> Iterator[io.BufferedReader | io.BytesIO]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    try:
        stream = open(source, "rb")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"{place} cannot be read ({error.strerror})") from error
    with stream:
        yield stream


def _seal(stream: Any) -> bytes:
    """The block that belongs at the start of a file."""
    stream.seek(SEAL_BYTES)
    digest = hashlib.file_digest(stream, "sha256").hexdigest()  # Of what is left.
    return (_SEAL + digest.encode() + b"\n").ljust(SEAL_BYTES, b"\0")


class _RefusedError(Exception):
    """The file holds what it must not."""


def _inspect(stream: Any, max_bytes: int) -> int:
    """Looks at every object; returns the number of values."""
    import h5py

    with h5py.File(stream, "r") as file:
        datasets = _collected(file, {}, depth=0)
        if sum(map(_declared_bytes, datasets)) > max_bytes:
            raise _RefusedError(
                f"declares more than {max_bytes / 1e6:.0f} MB of values, which is too large"
            )
        return sum(dataset.size or 0 for dataset in datasets)


def _collected(group: Any, known: dict[int, Any], depth: int) -> list[Any]:
    """The data sets below a group, each once, by its address in the file: links may form loops."""
    import h5py

    if depth > _MAX_DEPTH:
        raise _RefusedError(f"has groups more than {_MAX_DEPTH} deep")
    datasets = []
    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise _RefusedError(f"holds a link, {name[:80]!r}, which may point outside it")
        item = group[name]
        address = h5py.h5o.get_info(item.id).addr
        if address in known:
            continue
        known[address] = item
        if len(known) > _MAX_OBJECTS:
            raise _RefusedError(f"holds more than {_MAX_OBJECTS} objects")
        if isinstance(item, h5py.Group):
            datasets += _collected(item, known, depth + 1)
        elif isinstance(item, h5py.Dataset):
            datasets.append(item)
    return datasets


def _declared_bytes(dataset: Any) -> int:
    """Bytes that a data set's values take, if what is stored can hold them."""
    if dataset.external or dataset.is_virtual:
        raise _RefusedError(f"keeps values of {dataset.name[:80]!r} in other files")
    declared = math.prod(dataset.shape or ()) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    if declared > _DEFLATE_LIMIT * stored:
        raise _RefusedError(
            f"declares shape {dataset.shape} for {dataset.name[:80]!r}, but stores {stored} bytes "
            "of it"
        )
    return declared
