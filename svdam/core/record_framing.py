"""The TFRecord format, which holds songs and TensorBoard's events, without TensorFlow.

A record is an 8-byte length, its masked CRC-32C, the data, and the data's masked CRC-32C.
"""

import struct
from collections.abc import Sequence
from typing import IO

import google_crc32c

FRAME_BEFORE, FRAME_AFTER = 12, 4  # Bytes around a record's data.
_CRC_CHUNK_BYTES = 1 << 20


def write_record(stream: IO[bytes], parts: Sequence[bytes | memoryview], length: int) -> None:
    """Writes one framed record, whose data are ``parts``."""
    head = struct.pack("<Q", length)
    stream.write(head + stored_form(crc32c(head)))
    checksum = 0
    for part in parts:
        stream.write(part)
        checksum = crc32c(part, checksum)
    stream.write(stored_form(checksum))


def stored_form(checksum: int) -> bytes:
    """A CRC-32C as it stands behind a record's data."""
    return struct.pack("<I", _masked(checksum))


def _masked(checksum: int) -> int:
    """TFRecord's mask, so that a checksum of data that hold checksums still works."""
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes | memoryview, checksum: int = 0) -> int:
    """CRC-32C (Castagnoli) of ``data``, going on from the ``checksum`` of what came before."""
    view = memoryview(data)
    for start in range(0, len(view), _CRC_CHUNK_BYTES):  # The library takes bytes, thus a copy.
        checksum = google_crc32c.extend(checksum, bytes(view[start : start + _CRC_CHUNK_BYTES]))
    return checksum
