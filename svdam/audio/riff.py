"""WAV files whose header does not know how much sound follows it.

A recorder that was cut off leaves the sizes that it wrote at the start, usually 0, and so do
programs that write to a pipe. A WAV of more than 4 GB keeps the remainder of its size. libsndfile
reads up to the size in the header. Here what follows the sound is looked at: if it is not another
chunk, the sound goes on to the end of the file.

Source: the RIFF format (IBM and Microsoft, 1991), and EBU Tech 3306 for RF64.
"""

import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from svdam.audio.stretches import open_stretch
from svdam.core.validation import InputWarning

MAGIC = (b"RIFF", b"RF64")
_UNKNOWN = 0xFFFFFFFF  # As a size: see the ds64 chunk of RF64, or read to the end.
_TAGS = (b"TAG", b"ID3", b"APETAGEX")
_LARGEST_CHUNK = 1 << 26  # Ahead of the sound, a picture perhaps; beyond, a header is damaged.
_SMALLEST_SHARE = 0.01  # Of the declared sound; less behind it than that is not looked at.


def streams(path: Path) -> Iterator[BinaryIO]:
    """Yields the file with a right header if its own is wrong, else nothing.

    Warns:
        InputWarning: Saying what the header says, and what there is.
    """
    found = _find_sound(path)
    if found is None:
        return
    chunks, start, declared = found
    size = path.stat().st_size - start
    if size - declared <= _SMALLEST_SHARE * declared or _is_chunk(path, start + declared):
        return
    warnings.warn(
        f"{path}: its header says that {declared} bytes of sound follow, but there are {size}; "
        "it is read to its end",
        InputWarning,
        stacklevel=2,
    )
    # RF64, whose sizes have 64 bits. Its table: sizes of the file and the sound, samples, entries.
    table = struct.pack("<4sIQQQI", b"ds64", 28, 0, size, 0, 0)
    unknown = struct.pack("<I", _UNKNOWN)
    header = b"RF64" + unknown + b"WAVE" + table + chunks + b"data" + unknown
    with open_stretch(path, start, header=header) as stream:
        yield stream


def _find_sound(path: Path) -> tuple[bytes, int, int] | None:
    """The chunks ahead of the sound, where it starts, and its size as declared; None without."""
    chunks, large_size = b"", _UNKNOWN
    with open(path, "rb") as file:
        if file.read(12)[8:] != b"WAVE":
            return None
        while len(head := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", head)
            if name == b"data":
                return chunks, file.tell(), large_size if size == _UNKNOWN else size
            if size > _LARGEST_CHUNK:
                return None
            content = file.read(size + size % 2)
            if name == b"ds64":
                large_size = int.from_bytes(content[8:16], "little")
            else:
                chunks += head + content
    return None


def _is_chunk(path: Path, place: int) -> bool:
    """Whether a chunk, a tag or silence that was set aside starts at an offset, not sound."""
    length = path.stat().st_size
    with open(path, "rb") as file:
        file.seek(place + place % 2)
        head = file.read(4096)
    if head.startswith(_TAGS) or not any(head):
        return True
    is_name = len(head) >= 8 and all(32 <= byte < 127 for byte in head[:4])
    return is_name and place + 8 + int.from_bytes(head[4:8], "little") <= length
