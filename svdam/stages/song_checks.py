"""What `prepare_data` checks of a data set's songs as a whole."""

import sys
from collections.abc import Mapping, Sequence

from svdam.core.validation import InputError, quoted_list
from svdam.data.shards import FinishedRecord
from svdam.datasets.sources import SPLITS, SkippedSong, SourceListing, SourceSong


def check_songs(
    listing: SourceListing,
    records: Mapping[str, FinishedRecord],
    skipped: Sequence[SkippedSong],
    place: str,
    strict: bool,
    all_splits: bool,
) -> None:
    """Reports songs that cannot be used, splits without a song, and recordings in several splits.

    Args:
        listing: The songs of the data set.
        records: The records that were made, by song.
        skipped: The other songs.
        place: What messages call the data set.
        strict: Whether a song that cannot be used is an error.
        all_splits: Whether each split should have a song.

    Raises:
        InputError: If no song could be used, or none of the listed ones of the split ``train``; or
            if a song could not and ``strict`` is set.
    """
    for song in skipped:
        print(f"skipped: {' '.join(song.reason.split())}", file=sys.stderr)
    listed = [song.split for song in listing.songs] + [song.split for song in listing.skipped]
    if skipped and strict:
        raise InputError(
            f"--strict: {len(skipped)} of {len(listed)} songs cannot be used; "
            f"the first: {skipped[0].reason}"
        )
    splits = {song.split for song in listing.songs if song.id in records}
    has_training_songs = "train" in listed
    if not splits or (has_training_songs and "train" not in splits):
        for_what = " for the split 'train'" if has_training_songs else ""
        first = f"; the first that was skipped: {skipped[0].reason}" if skipped else ""
        raise InputError(
            f"{place}: no song{for_what} can be used (of {len(listed)} songs listed){first}"
        )
    for split in SPLITS:
        if split not in splits and all_splits:
            print(f"warning: no song in the split {split!r}", file=sys.stderr)
    _warn_of_equal_recordings([song for song in listing.songs if song.id in records], records)


def _warn_of_equal_recordings(
    songs: Sequence[SourceSong], records: Mapping[str, FinishedRecord]
) -> None:
    """Names recordings that are in several splits: they would be tested on what was learnt.

    Equal are those with the same log-mel, whatever their formats, tags and names.
    """
    first: dict[tuple, SourceSong] = {}
    pairs = []
    for song in songs:
        features = records[song.id].record.features
        sound = tuple(features[name] for name in ("num_frames", "crc32", "mean", "squares"))
        other = first.setdefault(sound, song)
        if other.split != song.split:
            pairs.append(f"{other.id} ({other.split}) and {song.id} ({song.split})")
    if pairs:
        print(
            "warning: the same recording is in several splits, so scores will be too good: "
            + quoted_list(pairs, 3),
            file=sys.stderr,
        )
