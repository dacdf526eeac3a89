"""What `prepare_data` checks of a data set's songs as a whole."""

import sys
from collections.abc import Iterable, Mapping, Sequence

from svdam.core import storage
from svdam.core.validation import InputError, quoted_list
from svdam.data.shards import FinishedRecord
from svdam.datasets.label_files import JAMS_SUFFIX, read_events, require_jams
from svdam.datasets.labels import Target, is_positive
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


def require_labels_occur(songs: Iterable[SourceSong], labels: Sequence[str], flag: str) -> None:
    """Refuses labels that are in no label file, which would make everything negative.

    Reads label files until all labels have been seen, usually one. Files that cannot be read are
    left for `prepare_song` to report.

    Args:
        songs: The songs of the data set.
        labels: The labels to detect.
        flag: Name of the flag that names them, for messages.

    Raises:
        InputError: If the files hold other labels, or the package that reads them is missing.
    """
    missing = {Target(label, (label,)) for label in labels}
    others: set[str] = set()
    paths = [song.labels for song in songs if song.labels]
    for path in paths:
        if path.lower().endswith(JAMS_SUFFIX):
            require_jams(path)
            break
    for found in storage.in_threads(_labels_of_file, paths):
        missing = {
            target for target in missing if all(is_positive(one, target) is None for one in found)
        }
        others |= found
        if not missing:
            return
    if others:
        names = quoted_list(sorted(target.name for target in missing))
        raise InputError(
            f"--{flag}: no label file contains {names}; name one of those that they contain: "
            f"{quoted_list(sorted(others), 10)}"
        )


def _labels_of_file(path: str) -> set[str]:
    try:
        return {event.label for event in read_events(storage.read_bytes(path), path)}
    except InputError:
        return set()


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
