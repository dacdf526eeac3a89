"""Ogg files (RFC 3533): chains of recordings, FLAC in Ogg, and serial numbers.

An Ogg file may hold one recording after the other, as those of Internet radio and those made by
joining files do; libsndfile reads the first. FLAC in Ogg it does not read at all, but what the
packets hold is a FLAC file (https://xiph.org/flac/ogg_mapping.html).

libsndfile draws a stream's serial number by the time of day, so that equal sounds become different
files; `with_serial_number` sets it afterwards.
"""

import mmap
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from svdam.audio.stretches import open_stretch

MAGIC = b"OggS"
_FIRST = 2  # Flag of a page that starts a stream.
_FLAC = b"\x7fFLAC"
_FLAC_HEADER = 9  # Bytes of the mapping's own ahead of FLAC's marker.
_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class _Page(NamedTuple):
    """A page: where it, its segment lengths, its content and the next page start; its header."""

    start: int
    lengths: int
    body: int
    end: int
    flags: int
    serial: bytes


def streams(path: Path) -> Iterator[BinaryIO]:
    """Yields each recording of a chain, and FLAC in Ogg as FLAC; nothing for any other file."""
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        links = _links(content)
        for link in links:
            if content[link[0].body : link[0].body + len(_FLAC)] == _FLAC:
                with tempfile.TemporaryFile() as flac:
                    _write_flac(content, link, cast(BinaryIO, flac))
                    flac.seek(0)
                    yield cast(BinaryIO, flac)
            elif len(links) > 1:
                with open_stretch(path, link[0].start, link[-1].end) as stream:
                    yield stream


def with_serial_number(content: bytes, number: int = 0) -> bytes:
    """An Ogg file of one stream, with another serial number in it.

    Args:
        content: The whole file.
        number: Below 2 ** 32.

    Returns:
        The file with that number and new checksums.
    """
    changed = bytearray(content)
    for page in _pages(content):
        changed[page.start + 14 : page.start + 18] = number.to_bytes(4, "little")
        changed[page.start + 22 : page.start + 26] = bytes(4)  # The checksum counts as 0 in itself.
        checksum = _checksum(bytes(changed[page.start : page.end]))
        changed[page.start + 22 : page.start + 26] = checksum.to_bytes(4, "little")
    return bytes(changed)


def _pages(content: bytes | mmap.mmap) -> Iterator[_Page]:
    """The pages of a file, stepping over what is none."""
    start = content.find(MAGIC)
    while 0 <= start <= len(content) - 27:
        lengths = start + 27
        body = lengths + content[start + 26]
        end = body + sum(content[lengths:body])
        yield _Page(start, lengths, body, end, content[start + 5], content[start + 14 : start + 18])
        start = content.find(MAGIC, end)


def _links(content: mmap.mmap) -> list[list[_Page]]:
    """The recordings of a chain: each starts with the first page of its streams."""
    links: list[list[_Page]] = []
    before = 0
    for page in _pages(content):
        if not links or (page.flags & _FIRST and not before & _FIRST):
            links.append([])
        links[-1].append(page)
        before = page.flags
    return links


def _write_flac(content: mmap.mmap, link: list[_Page], flac: BinaryIO) -> None:
    """Writes the packets of a link's first stream, without the mapping's own header."""
    flac.write(content[link[0].body + _FLAC_HEADER : link[0].end])
    for page in link[1:]:
        if page.serial == link[0].serial:
            flac.write(content[page.body : page.end])


def _checksum(page: bytes) -> int:
    """Ogg's CRC-32: zlib's polynomial, but bits the other way round, and nothing inverted."""
    ones = 0xFFFFFFFF
    reversed_crc = zlib.crc32(page.translate(_REVERSED_BITS), ones) ^ ones
    return int(f"{reversed_crc:032b}"[::-1], 2)
