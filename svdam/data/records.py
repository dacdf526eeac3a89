"""Reading a records folder: songs' log-mel spectrograms and labels, whole or a few frames.

The manifest says where each song's log-mel lies in its shard, so that an excerpt is one small read
anywhere in a corpus of any size, and memory stays flat; from an object store, songs are copied to
this machine when they are first touched (see `song_copies`). Shards are compared with the manifest
by size when the folder is opened, and each song by checksum when it is first touched: what is
damaged, missing or swapped is named, never dropped.
"""

import functools
import json
import os
import shlex
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from svdam.core import storage
from svdam.core.config import FrontEnd
from svdam.core.files import require_inside
from svdam.core.runs import CONFIG_NAME, default_command_line, open_run
from svdam.core.validation import InputError, one_line
from svdam.data.manifest import MANIFEST_NAME, manifest_checksum, require_sound
from svdam.data.shards import stored_crc32
from svdam.data.song_copies import copies_for
from svdam.data.song_entry import SongEntry
from svdam.data.songs import DTYPES, label_names_of
from svdam.datasets.sources import Mix


class Records:
    """An open records folder. Safe to read from several threads.

    Attributes:
        folder: The records folder: a path or URL.
        manifest: Contents of its manifest.
        front_end: How the log-mel was computed.
        label_names: What is detected: the names of the targets, of which each frame has a label.
    """

    def __init__(self, folder: str | os.PathLike, manifest: dict[str, Any]):
        self.folder = folder
        self.manifest = manifest
        self.front_end = FrontEnd(**manifest["front_end"])
        self.label_names = tuple(label_names_of(manifest))
        self._root = str(manifest.get("storage") or folder)
        self._dtype = np.dtype(DTYPES[manifest["dtype"]])
        self._songs = [
            SongEntry(**{**song, "mix": Mix.from_json(song["mix"]) if "mix" in song else None})
            for song in manifest["songs"]
        ]
        self._verified: set[str] = set()
        self._copies = copies_for(self._root, self._frame_bytes, len(self.label_names))

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of what the records hold, wherever they lie."""
        return manifest_checksum(self.manifest)

    @property
    def mean(self) -> np.ndarray:
        """(mels,) float64, per band, of all frames of the split ``train``.

        Raises:
            InputError: If there are no such frames.
        """
        return self._band_statistic("mean")

    @property
    def std(self) -> np.ndarray:
        """(mels,) float64 standard deviation (ddof 1) of the same frames.

        Raises:
            InputError: If there are no such frames.
        """
        return self._band_statistic("std")

    def songs(self, split: str | None = None) -> list[SongEntry]:
        """The songs of one split, or all, in a fixed order.

        Raises:
            InputError: If there is no such split.
        """
        if split is None:
            return list(self._songs)
        if split not in self.manifest["counts"]:
            splits = ", ".join(self.manifest["counts"])
            raise InputError(f"--split: found {split!r}, expected one of {splits}")
        return [song for song in self._songs if song.split == split]

    def log_mel(self, song: SongEntry) -> np.ndarray:
        """The log-mel spectrogram of a whole song, (frames, mels) float32.

        Raises:
            InputError: Naming the shard, if it is missing or damaged.
        """
        content = self._read(song, song.offset, song.num_frames * self._frame_bytes)
        if zlib.crc32(content) != song.crc32:
            raise self._damaged(song, "its log-mel does not have the manifest's checksum")
        return self._as_frames(content)

    def frames(self, song: SongEntry, start: int, count: int) -> np.ndarray:
        """Some frames of a song, (count, mels) float32.

        The whole song is read once, the first time, to compare its checksum.

        Raises:
            InputError: Naming the shard, if it is missing or damaged.
        """
        if not 0 <= start <= start + count <= song.num_frames:
            raise IndexError(f"frames {start} to {start + count} of {song.num_frames}")
        self._verify(song)
        offset = song.offset + start * self._frame_bytes
        return self._as_frames(self._read(song, offset, count * self._frame_bytes))

    def labels(self, song: SongEntry) -> np.ndarray | None:
        """Whether each frame is positive, bool; None without labels.

        Returns:
            (frames,), or (frames, targets) if there are several.

        Raises:
            InputError: Naming the shard, if it is missing or damaged.
        """
        if not song.has_labels:
            return None
        num_targets = len(self.label_names)
        content = self._read(song, song.labels_offset, song.num_frames * num_targets)
        if zlib.crc32(content) != song.labels_crc32:
            raise self._damaged(song, "its labels do not have the manifest's checksum")
        labels = np.frombuffer(content, np.uint8).astype(bool)
        return labels if num_targets == 1 else labels.reshape(-1, num_targets)

    def label(self, song: SongEntry, frame: int) -> bool | list[bool]:
        """Whether one frame of a song with labels is positive; one value per target, if several.

        Raises:
            InputError: Naming the shard, if it is missing or damaged.
        """
        self._verify(song)
        num_targets = len(self.label_names)
        content = self._read(song, song.labels_offset + frame * num_targets, num_targets)
        return content != b"\0" if num_targets == 1 else [value != 0 for value in content]

    def _band_statistic(self, name: str) -> np.ndarray:
        if self.manifest[name] is None:
            raise InputError(
                f"--records: {self.folder} holds no song of the split 'train', so there are no "
                "mean and standard deviation of its mel bands; prepare a data set with training "
                "songs, or start from a classifier that has its own"
            )
        return np.array(self.manifest[name], np.float64)

    @property
    def _frame_bytes(self) -> int:
        return self.front_end.num_mels * self._dtype.itemsize

    def _as_frames(self, content: bytes) -> np.ndarray:
        frames = np.frombuffer(content, self._dtype).reshape(-1, self.front_end.num_mels)
        return frames.astype(np.float32)

    def _read(self, song: SongEntry, offset: int, length: int) -> bytes:
        try:
            path, offset = self._locate(song, offset)
            content = storage.read_range(path, offset, length)
        except InputError as error:
            raise InputError(f"{error}; {self._way_out()}") from error
        if len(content) < length:
            raise self._damaged(song, "the file is too short")
        return content

    def _locate(self, song: SongEntry, offset: int) -> tuple[str, int]:
        """(file, offset) from which a byte of a song is read: its shard, or a copy of the song."""
        if self._copies is not None:
            return self._copies.locate(song, offset)
        return storage.join(self._root, song.shard), offset

    def _verify(self, song: SongEntry) -> None:
        """Compares the checksums of a song that is touched for the first time."""
        if song.id in self._verified:
            return
        path = storage.join(self._root, song.shard)
        try:
            if self._copies is not None:  # They compare checksums themselves.
                self._copies.locate(song, song.offset)
                self._verified.add(song.id)
                return
            with storage.open_for_reading(path) as stream:
                length = song.num_frames * self._frame_bytes
                intact = stored_crc32(stream, song.offset, length) == song.crc32
                if song.has_labels:
                    num_bytes = song.num_frames * len(self.label_names)
                    found = stored_crc32(stream, song.labels_offset, num_bytes)
                    intact = intact and found == song.labels_crc32
        except InputError as error:
            raise InputError(f"{error}; {self._way_out()}") from error
        if not intact:
            raise self._damaged(song, "it does not have the manifest's checksum")
        self._verified.add(song.id)

    def check_shards(self) -> None:
        """Compares the sizes of all shards with the manifest.

        Raises:
            InputError: Naming the first shard that is missing or of another size.
        """
        for shard in self.manifest["shards"]:
            path = storage.join(self._root, shard["name"])
            if not storage.is_remote(path):
                require_inside(path, self._root)
            try:
                found = storage.size_and_time(path)[0]
            except InputError as error:
                raise InputError(f"{error}; {self._way_out()}") from error
            if found != shard["bytes"]:
                raise InputError(
                    f"{path}: is damaged: has {found} bytes, expected {shard['bytes']}; "
                    f"{self._way_out()}"
                )

    def _damaged(self, song: SongEntry, what: str) -> InputError:
        path = storage.join(self._root, song.shard)
        return InputError(f"{path}: song {song.id!r} is damaged: {what}; {self._way_out()}")

    def _way_out(self) -> str:
        flagfile = os.path.join(str(self.folder), "flags.cfg")
        if not os.path.exists(flagfile):
            return "fix it with prepare_data and the flags that were used"
        command = f"python -m svdam.prepare_data --flagfile={shlex.quote(flagfile)}"
        return f"fix it with: {command} --output={shlex.quote(str(self.folder))}"


def open_records(folder: str | os.PathLike, flag: str = "records") -> Records:
    """Opens a records folder that `prepare_data` wrote.

    Args:
        folder: The run folder, or the folder or URL that was its ``--storage``.
        flag: Name of the flag that named it, for messages.

    Raises:
        InputError: If it is missing, unfinished, of another kind or version, or a shard is missing
            or of another size.
    """
    if not storage.is_remote(folder):
        folder = Path(folder)
        has_manifest = (folder / MANIFEST_NAME).exists()
        if not has_manifest or (folder / CONFIG_NAME).exists():
            open_run(folder, "prepare_data", flag)
    path = storage.join(folder, MANIFEST_NAME)
    if not storage.exists(path):
        command = default_command_line("prepare_data", "runs/data")
        raise InputError(f"--{flag}: {path} does not exist; create it with: {command}")
    try:
        records = Records(folder, _read_manifest(path))
    except (TypeError, AttributeError) as error:
        raise InputError(f"{path}: is damaged ({one_line(error)})") from error
    records.check_shards()
    return records


def _read_manifest(path: str) -> dict[str, Any]:
    content = storage.read_bytes(path)
    try:
        manifest = json.loads(content)
        require_sound(manifest)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not valid JSON ({one_line(error)})") from error
    return manifest
