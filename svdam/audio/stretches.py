"""A stretch of a file, read as a file of its own.

Some recordings are several files in one, or have a header that is wrong. libsndfile reads them
through such stretches, without a copy on the disk.
"""

import io
import os
from pathlib import Path
from typing import BinaryIO, cast


def open_stretch(path: Path, start: int, end: int | None = None, header: bytes = b"") -> BinaryIO:
    """Opens a stretch of a file for reading.

    Args:
        path: The file.
        start: Its first byte.
        end: The byte after its last; the end of the file if left out.
        header: Bytes to read before it.
    """
    # BufferedReader takes any raw stream, and is what open() itself returns.
    return cast(BinaryIO, io.BufferedReader(_Stretch(path, start, end, header), 1 << 16))


class _Stretch(io.RawIOBase):
    def __init__(self, path: Path, start: int, end: int | None, header: bytes):
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115
        self._start, self._header, self._place = start, header, 0
        file_end = os.fstat(self._file.fileno()).st_size
        self._length = len(header) + min(end or file_end, file_end) - start

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._length}[whence]
        self._place = max(0, base + offset)
        return self._place

    def readinto(self, buffer) -> int:
        place, size = self._place, max(0, min(len(buffer), self._length - self._place))
        if place < len(self._header):
            content = self._header[place : place + size]
        else:
            self._file.seek(self._start + place - len(self._header))
            content = self._file.read(size)
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
