"""A song as the manifest of the records lists it."""

import dataclasses

from svdam.datasets.sources import Mix


@dataclasses.dataclass(frozen=True, slots=True)
class SongEntry:
    """A song in the records.

    Attributes:
        id: Name of the song.
        split: ``train``, ``valid`` or ``test``.
        source: Audio file, relative to the data set's folder.
        duration_secs: Length of the recording.
        num_frames: Frames of its log-mel spectrogram.
        has_labels: Whether its frames are labelled.
        shard: File that holds it.
        offset: Where its log-mel starts in the shard, in bytes.
        crc32: zlib's checksum of the log-mel's bytes.
        labels_offset: Where its labels start in the shard.
        labels_crc32: zlib's checksum of the labels' bytes.
        fingerprint: Hash of all that the record was made from.
        mix: How it was mixed from ``source`` and other files; None if it was not.
    """

    id: str
    split: str
    source: str
    duration_secs: float
    num_frames: int
    has_labels: bool
    shard: str
    offset: int
    crc32: int
    labels_offset: int
    labels_crc32: int
    fingerprint: str
    mix: Mix | None = None
