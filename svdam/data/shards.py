"""Finished records in files: finding them again, packing them into shards, copying them.

While `prepare_data` runs, each song's record is a file of its own in ``unfinished/``, under the
name `piece_name`. Shards are then put together there by copying records as they are, moved into
place, and the manifest is written last. Whatever ends a run early, records that were finished are
found by walking over the files, and are used again if they still belong to the same audio and
labels and their checksums hold.
"""

import hashlib
import itertools
import json
import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, NamedTuple

import numpy as np

from svdam.core import storage
from svdam.core.record_framing import FRAME_AFTER, FRAME_BEFORE, crc32c, stored_form
from svdam.core.validation import InputError
from svdam.data.songs import DTYPES, FEATURES, RECORD_FORMAT, label_names_of
from svdam.data.statistics import BandStatistics
from svdam.data.tfrecord import ScannedRecord, scan_records

UNFINISHED = "unfinished"
SHARD_SUFFIX = ".tfrecord"
SKIPPED_SUFFIX = ".skipped"
CHECKSUM_SUFFIX = ".sha256"
_BLOCK_BYTES = 1 << 20


class FinishedRecord(NamedTuple):
    """A record in a file.

    Attributes:
        path: The file.
        record: Where it is in the file, and its small features.
    """

    path: str
    record: ScannedRecord

    @property
    def id(self) -> str:
        """Name of the song."""
        return self.text("id")

    def text(self, name: str) -> str:
        """A feature as text."""
        return self.record.features[name].decode("utf-8", "replace")

    def statistics(self) -> BandStatistics:
        """Statistics of the song's frames."""
        features = self.record.features
        return BandStatistics(
            features["num_frames"],
            np.frombuffer(features["mean"], "<f8"),
            np.frombuffer(features["squares"], "<f8"),
        )


class ShardPlan(NamedTuple):
    """A shard to be written: its file name and split, and its records in order."""

    name: str
    split: str
    records: list[FinishedRecord]


def piece_name(song_id: str) -> str:
    """File name, without suffix, of a song's own record in ``unfinished/``."""
    return f"song-{hashlib.sha256(song_id.encode()).hexdigest()[:32]}"


def piece_path(root: str, song_id: str) -> str:
    """Path of a song's own record."""
    return storage.join(root, UNFINISHED, piece_name(song_id) + SHARD_SUFFIX)


def set_aside_shards(root: str) -> None:
    """Renames shards that an earlier run left in ``unfinished/``.

    Their records are still good, but new shards of the same names must not replace them before all
    records have been copied.
    """
    folder = storage.join(root, UNFINISHED)
    names = storage.list_names(folder)
    taken = sum(name.startswith("kept-") for name in names)
    for name in names:
        if "-of-" in name and name.endswith(SHARD_SUFFIX) and not name.startswith("."):
            while f"kept-{taken}{SHARD_SUFFIX}" in names:
                taken += 1
            target = storage.join(folder, f"kept-{taken}{SHARD_SUFFIX}")
            storage.rename(storage.join(folder, name), target)
            taken += 1


def find_records(root: str) -> tuple[dict[str, list[FinishedRecord]], list[str]]:
    """Walks over all record files of a records folder, finished or not.

    Returns:
        (the records of each song's name, one line for each file that is damaged).
    """
    paths = [
        storage.join(folder, name)
        for folder in (root, storage.join(root, UNFINISHED))
        for name in storage.list_names(folder)
        if name.endswith(SHARD_SUFFIX) and not name.startswith(".")
    ]
    found: dict[str, list[FinishedRecord]] = {}
    damaged = []
    for records, message in storage.in_threads(_whole_records, paths):
        for record in records:
            found.setdefault(record.id, []).append(record)
        if message:
            damaged.append(message)
    return found, damaged


def _whole_records(path: str) -> tuple[list[FinishedRecord], str]:
    """The records of a file up to the first that is damaged, and what is wrong with that."""
    records = []
    try:
        for record in read_file(path):
            records.append(record)  # noqa: PERF402 (those before the damage are kept)
    except InputError as error:
        return records, str(error)
    return records, ""


def read_file(path: str) -> Iterator[FinishedRecord]:
    """The records of one file, without their log-mel.

    Raises:
        InputError: Naming the file, if it is damaged or another version's.
    """
    size = storage.size_and_time(path)[0]
    with storage.open_for_reading(path) as stream:
        try:
            for record in scan_records(stream, size, skip=("log_mel", "labels")):
                if record.features.get("format") != RECORD_FORMAT:
                    raise InputError("is damaged, or of another version of svdam")
                if not _is_consistent(record):
                    raise InputError(f"is damaged: a record at byte {record.start} is incomplete")
                yield FinishedRecord(path, record)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def is_intact(finished: FinishedRecord) -> bool:
    """Whether the record still has its checksum, TFRecord's own; reads it block by block."""
    start = finished.record.start + FRAME_BEFORE
    length = finished.record.length - FRAME_BEFORE - FRAME_AFTER
    checksum = 0
    with storage.open_for_reading(finished.path) as stream:
        for block in _blocks(stream, start, length):
            checksum = crc32c(block, checksum)
        return stream.read(FRAME_AFTER) == stored_form(checksum)


def _is_consistent(record: ScannedRecord) -> bool:
    """Whether a record has all features, of the right kinds and lengths."""
    found, places = record.features, record.places
    numbers = {"format", "num_frames", "crc32", "labels_crc32", "has_labels"}
    if not {**found, **places}.keys() >= set(FEATURES) or not (
        all(isinstance(found[name], int) for name in numbers)
        and isinstance(found["duration"], float)
        and all(name in places for name in set(FEATURES) - numbers - {"duration"})
    ):
        return False
    try:
        num_targets = len(label_names_of(found))
    except ValueError:
        return False
    dtype = DTYPES.get(found["dtype"].decode("utf-8", "replace"))
    num_frames, band_bytes = found["num_frames"], len(found["mean"])
    return (
        dtype is not None
        and math.isfinite(found["duration"])
        and len(found["squares"]) == band_bytes
        and band_bytes % 8 == 0 < band_bytes
        and places["log_mel"][1] == num_frames * band_bytes // 8 * np.dtype(dtype).itemsize
        and places["labels"][1] == (num_frames * num_targets if found["has_labels"] else 0)
    )


def stored_crc32(stream: IO[bytes], offset: int, length: int) -> int:
    """zlib's CRC-32 of a stretch of a file."""
    checksum = 0
    for block in _blocks(stream, offset, length):
        checksum = zlib.crc32(block, checksum)
    return checksum


def plan_shards(records: Iterable[tuple[str, FinishedRecord]], shard_bytes: int) -> list[ShardPlan]:
    """Packs records into shards: by split, ordered by name, of about equal size.

    Args:
        records: (split, record) pairs, in any order.
        shard_bytes: A split has so few shards that they are smaller than this, but for a record.
    """
    by_split: dict[str, list[FinishedRecord]] = {}
    for split, record in sorted(records, key=lambda item: (item[0], item[1].id)):
        by_split.setdefault(split, []).append(record)
    return [
        ShardPlan(f"{split}-{number:05d}-of-{len(shards):05d}{SHARD_SUFFIX}", split, shard)
        for split, found in by_split.items()
        for shards in [_equal_parts(found, shard_bytes)]
        for number, shard in enumerate(shards)
    ]


def _equal_parts(records: list[FinishedRecord], part_bytes: int) -> list[list[FinishedRecord]]:
    """Splits a list into few, about equal parts, each of at most ``part_bytes`` plus a record."""
    lengths = [found.record.length for found in records]
    total = sum(lengths)
    starts = np.cumsum(lengths) - lengths
    parts = starts // (total / math.ceil(total / part_bytes))
    cuts = np.flatnonzero(np.diff(parts)) + 1
    return [records[i:j] for i, j in itertools.pairwise([0, *cuts, len(records)])]


def is_in_place(plan: ShardPlan, root: str) -> bool:
    """Whether the shard exists and holds exactly the planned records."""
    path = storage.join(root, plan.name)
    expected = 0
    for finished in plan.records:
        if finished.path != path or finished.record.start != expected:
            return False
        expected += finished.record.length
    return storage.size_and_time(path)[0] == expected


def write_shard(target: str, stretches: Sequence[tuple[str, int, int]]) -> None:
    """Writes a shard by copying whole records; its SHA-256 goes into a file beside it.

    Args:
        target: The shard.
        stretches: (file, start, length) of each record.
    """
    digest = hashlib.sha256()
    num_bytes = sum(length for _, _, length in stretches)
    with storage.writing(target, num_bytes=num_bytes) as shard:
        for path, start, length in stretches:
            with storage.open_for_reading(path) as stream:
                for block in _blocks(stream, start, length):
                    digest.update(block)
                    shard.write(block)
    with storage.writing(target + CHECKSUM_SUFFIX) as stream:
        stream.write(digest.hexdigest().encode())


def remove_pieces(stretches: Sequence[tuple[str, int, int]], root: str) -> None:
    """Removes songs' own record files once a shard holds them."""
    own = storage.join(root, UNFINISHED, "song-")
    paths = [path for path, _, _ in stretches if path.startswith(own)]
    for _ in storage.in_threads(storage.remove, paths):
        pass


def write_skipped(root: str, song_id: str, reason: str) -> None:
    """Notes that a song could not be used."""
    path = storage.join(root, UNFINISHED, piece_name(song_id) + SKIPPED_SUFFIX)
    with storage.writing(path) as stream:
        stream.write(json.dumps({"id": song_id, "reason": reason}).encode())


def remove_attempts(song_ids: Iterable[str], root: str) -> None:
    """Removes records and notes of songs that an earlier attempt left: the next one decides."""
    for suffix in (SHARD_SUFFIX, SKIPPED_SUFFIX):
        for _ in storage.in_threads(storage.remove, _attempts(song_ids, root, suffix)):
            pass


def read_attempts(
    song_ids: Iterable[str], root: str
) -> tuple[dict[str, FinishedRecord], dict[str, str]]:
    """What became of songs that were worked on.

    Returns:
        (the records that they have in files of their own, the reasons of `write_skipped`).
    """
    pieces = storage.in_threads(_whole_records, _attempts(song_ids, root, SHARD_SUFFIX))
    notes = storage.in_threads(storage.read_bytes, _attempts(song_ids, root, SKIPPED_SUFFIX))
    return (
        {record.id: record for records, _ in pieces for record in records},
        {note["id"]: note["reason"] for note in map(json.loads, notes)},
    )


def _attempts(song_ids: Iterable[str], root: str, suffix: str) -> list[str]:
    """The songs' own files that there are, found by one look at the folder."""
    folder = storage.join(root, UNFINISHED)
    present = set(storage.list_names(folder))
    names = (piece_name(song_id) + suffix for song_id in song_ids)
    return [storage.join(folder, name) for name in names if name in present]


def _blocks(stream: IO[bytes], offset: int, length: int) -> Iterator[bytes]:
    stream.seek(offset)
    while length:
        block = stream.read(min(length, _BLOCK_BYTES))
        if not block:
            raise InputError(
                f"{getattr(stream, 'name', 'file')}: ends before byte {offset + length}"
            )
        length -= len(block)
        yield block
