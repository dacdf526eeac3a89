"""Records of earlier runs that need not be made again."""

import sys
from collections.abc import Iterable

from svdam.core import storage
from svdam.core.front_end import FrontEnd
from svdam.core.progress import progress
from svdam.core.validation import InputError
from svdam.data import shards
from svdam.data.audio_checksums import AudioChecksums
from svdam.data.shards import FinishedRecord
from svdam.data.songs import song_fingerprint
from svdam.datasets.sources import SourceSong


def finished_records(
    songs: Iterable[SourceSong],
    root: str,
    dtype: str,
    front_end: FrontEnd,
    checksums: AudioChecksums,
) -> dict[str, FinishedRecord]:
    """Finds the records of earlier runs that still belong to their songs and are intact.

    Args:
        songs: The songs of the data set.
        root: The records folder.
        dtype: Number type of the log-mel.
        front_end: How the log-mel is computed.
        checksums: Checksums of the audio files.

    Returns:
        The records, by song; damaged files are named in warnings.
    """
    found, damaged = shards.find_records(root)
    for message in damaged:
        print(f"warning: {message}; its songs are prepared again", file=sys.stderr)

    def intact_record(song: SourceSong) -> FinishedRecord | None:
        """The song's record, if it has one of these settings and this audio."""
        try:
            labels = storage.read_bytes(song.labels) if song.labels else None
            audio = " ".join(checksums.of(file) for file in (song.audio, *song.others))
        except InputError:
            return None  # The worker will say what is wrong.
        fingerprint = song_fingerprint(audio, labels, song.mix, dtype, front_end, song.targets)
        for record in found[song.id]:
            same = record.text("fingerprint") == fingerprint
            if same and record.text("source") == song.source and shards.is_intact(record):
                return record
        return None

    known = [song for song in songs if song.id in found]
    if not known:
        return {}
    checked = progress(
        storage.in_threads(intact_record, known),
        total=len(known),
        description="checking records",
        unit="song",
    )
    return {song.id: record for song, record in zip(known, checked, strict=True) if record}
