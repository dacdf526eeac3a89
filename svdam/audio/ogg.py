"""Ogg files that are the same whenever they are made.

An Ogg stream has a serial number in each of its pages (RFC 3533, Section 6). libsndfile draws it by
the time of day, so that equal sounds become different files; here it is set afterwards.
"""

import zlib

_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def with_serial_number(content: bytes, number: int = 0) -> bytes:
    """An Ogg file of one stream, with another serial number in it.

    Args:
        content: The whole file.
        number: Below 2 ** 32.

    Returns:
        The file with that number and new checksums.
    """
    pages, start = bytearray(content), 0
    while start < len(pages):
        lengths = start + 27  # Where the lengths of the page's segments are.
        body = lengths + pages[start + 26]
        end = body + sum(pages[lengths:body])
        pages[start + 14 : start + 18] = number.to_bytes(4, "little")
        pages[start + 22 : start + 26] = bytes(4)  # The checksum counts as 0 in itself.
        pages[start + 22 : start + 26] = _checksum(bytes(pages[start:end])).to_bytes(4, "little")
        start = end
    return bytes(pages)


def _checksum(page: bytes) -> int:
    """Ogg's CRC-32: zlib's polynomial, but bits the other way round, and nothing inverted."""
    ones = 0xFFFFFFFF
    reversed_crc = zlib.crc32(page.translate(_REVERSED_BITS), ones) ^ ones
    return int(f"{reversed_crc:032b}"[::-1], 2)
