"""FMA (Defferrard et al., 2017): a hundred thousand tracks, chosen by genre, subset and split.

``fma_metadata/tracks.csv`` has three header rows: a group, a name within the group, and the name of
the index. The columns used are (track, genre_top), (set, subset) and (set, split). The audio lies
in ``fma_<subset>/<first three digits>/<six digits>.mp3``. A subset holds the smaller ones: small is
part of medium, medium of large; large and full hold all tracks, as clips of 30 s and whole.
"""

import contextlib
import csv
from collections.abc import Iterator
from typing import NamedTuple

from svdam.core import storage
from svdam.core.validation import InputError, quoted_list
from svdam.datasets.sources import (
    SkippedSong,
    SourceListing,
    SourceSong,
    require_folder,
    require_songs,
)

SUBSETS = ("small", "medium", "large", "full")
FMA_SPLITS = {"training": "train", "validation": "valid", "test": "test"}
LAYOUT = "a folder with fma_metadata/tracks.csv and fma_<subset>/"
_COLUMNS = {
    "genre": ("track", "genre_top"),
    "subset": ("set", "subset"),
    "split": ("set", "split"),
}


class Track(NamedTuple):
    """A row of ``tracks.csv``."""

    number: int
    genre: str
    subset: str
    split: str
    line: int


def list_fma(
    data_dir: str | None,
    genre: str = "Pop",
    subset: str = "full",
    splits: tuple[str, ...] = tuple(FMA_SPLITS),
    all_train: bool = False,
) -> SourceListing:
    """Lists tracks of FMA.

    Args:
        data_dir: Folder or URL with ``fma_metadata`` and ``fma_<subset>``.
        genre: Top genre, as ``Pop``; ``all`` takes every track, also those without one.
        subset: One of `SUBSETS`.
        splits: FMA's splits to take, of ``training``, ``validation``, ``test``.
        all_train: Puts every track into our split ``train``, as for a GAN that uses them all.

    Raises:
        InputError: If the table is missing or has other columns, or nothing fits the choice.
    """
    data_dir = require_folder(data_dir, LAYOUT)
    rows = list(read_tracks(storage.join(data_dir, "fma_metadata", "tracks.csv")))
    tracks = [row for row in rows if isinstance(row, Track)]
    skipped = [row for row in rows if isinstance(row, SkippedSong)]
    genres = sorted({track.genre for track in tracks if track.genre})
    if genre != "all" and genre not in genres:
        raise InputError(
            f"--fma_genre: found {genre!r}, expected 'all' or one of {quoted_list(genres, 30)}"
        )
    smaller = SUBSETS[: SUBSETS.index(subset) + 1]
    chosen = [
        track
        for track in tracks
        if (track.split in splits or track.split not in FMA_SPLITS)
        and (genre == "all" or track.genre == genre)
        and (subset == "full" or track.subset in smaller)
    ]
    listing = _find_audio(chosen, data_dir, subset, all_train)
    return require_songs(
        SourceListing(listing.songs, skipped + listing.skipped),
        f"{data_dir}: genre {genre}, subset {subset}",
    )


def _find_audio(tracks: list[Track], data_dir: str, subset: str, all_train: bool) -> SourceListing:
    """Finds the tracks' audio files; one listing per folder, not one look-up per track."""
    root = storage.join(data_dir, f"fma_{subset}")
    songs, skipped = [], []
    present: dict[str, set[str]] = {}
    for track in tracks:
        digits = f"{track.number:06d}"
        folder, name = digits[:3], f"{digits}.mp3"
        if folder not in present:
            present[folder] = set(storage.list_names(storage.join(root, folder)))
        split = "train" if all_train else FMA_SPLITS.get(track.split, "")
        if track.split not in FMA_SPLITS:
            reason = (
                f"tracks.csv:{track.line}: found split {track.split!r}, expected one of "
                f"{quoted_list(list(FMA_SPLITS))}"
            )
            skipped.append(SkippedSong(f"{folder}/{name}", split, reason))
        elif name in present[folder]:
            audio = storage.join(root, folder, name)
            source = f"fma_{subset}/{folder}/{name}"
            songs.append(SourceSong(f"{folder}/{name}", split, audio, source))
        else:
            reason = f"tracks.csv:{track.line}: fma_{subset}/{folder}/{name} does not exist"
            skipped.append(SkippedSong(f"{folder}/{name}", split, reason))
    return SourceListing(songs, skipped)


def read_tracks(path: str) -> Iterator[Track | SkippedSong]:
    """Reads ``tracks.csv`` as published, row by row.

    Yields:
        Each track; a SkippedSong for a row that is none.

    Raises:
        InputError: If the file is missing, is no CSV, or has other columns, naming the line.
    """
    if not storage.exists(path):
        raise InputError(f"{path}: does not exist; --data_dir must be {LAYOUT}")
    csv.field_size_limit(1 << 24)  # Some tracks come with essays.
    with contextlib.ExitStack() as stack:
        local = stack.enter_context(storage.local_copy(path))
        stream = stack.enter_context(open(local, encoding="utf-8-sig", newline=""))
        reader = csv.reader(stream)
        try:
            columns = _column_numbers(reader, path)
            for row in reader:
                if row:
                    yield _parse_row(row, columns, reader.line_num)
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(
                f"{path}:{reader.line_num}: is not a CSV file in UTF-8 ({error})"
            ) from error


def _column_numbers(reader: Iterator[list[str]], path: str) -> dict[str, int]:
    groups, names, index = (next(reader, []) for _ in range(3))
    if index[:1] != ["track_id"]:
        raise InputError(
            f"{path}:3: expected FMA's third header row, which starts with 'track_id'; "
            f"found {index[:1]}"
        )
    pairs = list(zip(groups, names, strict=False))
    for column in _COLUMNS.values():
        if column not in pairs:
            raise InputError(f"{path}:1: has no column ({column[0]}, {column[1]})")
    return {key: pairs.index(column) for key, column in _COLUMNS.items()}


def _parse_row(row: list[str], columns: dict[str, int], line: int) -> Track | SkippedSong:
    if not row[0].isascii() or not row[0].isdigit() or len(row) <= max(columns.values()):
        reason = f"tracks.csv:{line}: is not a track: found {row[:1]} and {len(row)} fields"
        return SkippedSong(f"tracks.csv:{line}", "", reason)
    values = {key: row[number].strip() for key, number in columns.items()}
    return Track(int(row[0]), values["genre"], values["subset"], values["split"], line)
