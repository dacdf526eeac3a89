"""Local copies of songs whose records lie in an object store.

Training reads excerpts at random, hundreds a second. Over a network each would be a request of its
own, so a song is fetched whole when it is first touched, and kept in the cache folder under its
checksums: every later excerpt, run and process on this machine reads the copy. The copies take the
room of the records that were touched; they may be deleted at any time.
"""

import os
import shutil
import sys
import zlib
from pathlib import Path

from svdam.core import storage
from svdam.core.files import atomic_path
from svdam.core.validation import InputError
from svdam.data.song_entry import SongEntry

_SPARE_BYTES = 1 << 30  # Of the cache's disk, which other things need too.


class SongCopies:
    """Copies of the songs of one records folder.

    Args:
        root: URL of the folder that holds the shards.
        frame_bytes: Bytes of a frame of log-mel.
        label_bytes: Bytes of a frame's labels.
    """

    def __init__(self, root: str, frame_bytes: int, label_bytes: int = 1):
        self._root = root
        self._frame_bytes = frame_bytes
        self._label_bytes = label_bytes
        self._folder = storage.cache_folder() / "songs"
        self._checked: set[str] = set()
        self._has_room = True

    def locate(self, song: SongEntry, offset: int) -> tuple[str, int]:
        """Where a byte of a song is best read.

        Args:
            song: The song, which is fetched if there is no copy yet.
            offset: Place in its shard.

        Returns:
            (path, offset): in the copy, or in the shard itself where there is no room for copies.

        Raises:
            InputError: If the shard is missing, or does not hold what the manifest says.
        """
        path = self._folder / song.fingerprint[:2] / self._name(song)
        here = song.fingerprint in self._checked or self._is_intact(path, song)
        if not here and not self._fetch(path, song):
            return storage.join(self._root, song.shard), offset
        self._checked.add(song.fingerprint)
        # A copy holds the log-mel, then the labels.
        if 0 <= offset - song.labels_offset < self._labels_bytes(song):
            return str(path), offset - song.labels_offset + song.num_frames * self._frame_bytes
        return str(path), offset - song.offset

    def _name(self, song: SongEntry) -> str:
        return f"{song.fingerprint}-{song.crc32:08x}-{song.labels_crc32:08x}"

    def _is_intact(self, path: Path, song: SongEntry) -> bool:
        try:
            content = path.read_bytes()
        except OSError:
            return False
        return self._holds(content, song)

    def _holds(self, content: bytes, song: SongEntry) -> bool:
        log_mel_bytes = song.num_frames * self._frame_bytes
        return (
            len(content) == log_mel_bytes + self._labels_bytes(song)
            and zlib.crc32(content[:log_mel_bytes]) == song.crc32
            and zlib.crc32(content[log_mel_bytes:]) == song.labels_crc32
        )

    def _labels_bytes(self, song: SongEntry) -> int:
        return song.num_frames * self._label_bytes if song.has_labels else 0

    def _fetch(self, path: Path, song: SongEntry) -> bool:
        """Makes a copy; False if there is no room for it."""
        if not self._has_room:
            return False
        shard = storage.join(self._root, song.shard)
        content = storage.read_range(shard, song.offset, song.num_frames * self._frame_bytes)
        if song.has_labels:
            content += storage.read_range(shard, song.labels_offset, self._labels_bytes(song))
        if not self._holds(content, song):
            raise InputError(f"{shard}: does not have the manifest's checksum")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(path.parent).free < len(content) + _SPARE_BYTES:
                raise OSError("the disk is nearly full")
            with atomic_path(path) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            self._has_room = False
            print(
                f"warning: {self._folder}: cannot keep copies of songs "
                f"({error.strerror or error}); every excerpt is read from {self._root}, which is "
                "slow: set SVDAM_CACHE to a folder with more space",
                file=sys.stderr,
            )
            return False
        return True


def copies_for(
    root: str | os.PathLike, frame_bytes: int, label_bytes: int = 1
) -> SongCopies | None:
    """Copies for a folder that is not on this machine; None for one that is."""
    return SongCopies(str(root), frame_bytes, label_bytes) if storage.is_remote(root) else None
