"""From one song's files to its record: decode, log-mel, labels, statistics, one Example.

A record is a ``tf.train.Example`` with these features, in this order:

=============  ======  =================================================================
format         int     `RECORD_FORMAT`
id, source     text    name of the song; audio file relative to the data set's folder
fingerprint    text    hash of all that the record depends on, see `song_fingerprint`
audio_sha256   text    hash of the audio file
duration       float   seconds
num_frames     int     frames of the log-mel spectrogram
dtype          text    ``float32`` or ``float16``, little-endian
mean, squares  bytes   `BandStatistics` of the song, (mels,) float64
crc32          int     zlib's checksum of the bytes of log_mel
labels_crc32   int     the same of labels
has_labels     int     0 or 1
labels         bytes   (num_frames,) uint8, 1 where somebody sings; empty without labels
log_mel        bytes   (num_frames, mels), row by row
=============  ======  =================================================================
"""

import dataclasses
import hashlib
import json
import zlib

import numpy as np

from svdam.audio.decoding import load_audio
from svdam.audio.log_mel import log_mel_spectrogram
from svdam.core.config import FRONT_END, FrontEnd
from svdam.core.validation import InputError
from svdam.data import storage
from svdam.data.labels import frame_labels, parse_labels
from svdam.data.statistics import band_statistics
from svdam.data.tfrecord import EncodedExample, encode_example, write_record

RECORD_FORMAT = 1
DTYPES = {"float32": "<f4", "float16": "<f2"}
FEATURES = (
    *("format", "id", "source", "fingerprint", "audio_sha256", "duration", "num_frames", "dtype"),
    *("mean", "squares", "crc32", "labels_crc32", "has_labels", "labels", "log_mel"),
)


@dataclasses.dataclass(frozen=True)
class SongTask:
    """What a worker needs to know to make one song's record.

    Attributes:
        id: Name of the song.
        audio: Path or URL of the audio file.
        source: Audio file relative to the data set's folder.
        labels: Path or URL of the label file, or None.
        dtype: ``float32`` or ``float16``.
        piece: Where the record goes, as a file of its own.
    """

    id: str
    audio: str
    source: str
    labels: str | None
    dtype: str
    piece: str


def prepare_song(task: SongTask, front_end: FrontEnd = FRONT_END) -> EncodedExample:
    """Makes the record of one song.

    Raises:
        InputError: If the audio or the labels cannot be used, naming the file.
    """
    labels_content = storage.read_bytes(task.labels) if task.labels else None
    segments = parse_labels(labels_content, task.labels) if task.labels else None
    with storage.local_copy(task.audio) as path:
        audio_sha256 = file_sha256(str(path))
        try:
            samples = load_audio(path)
        except InputError as error:
            raise InputError(str(error).replace(str(path), task.audio)) from error
    duration_secs = len(samples) / front_end.sample_rate
    log_mel = log_mel_spectrogram(samples).astype(DTYPES[task.dtype])
    del samples
    num_frames = len(log_mel)
    if num_frames < front_end.excerpt_frames:
        raise InputError(
            f"{task.audio}: is too short: {duration_secs:.2f} s give {num_frames} frames, expected "
            f"at least {front_end.excerpt_frames} frames, one excerpt"
        )
    labels = b""
    if segments is not None:
        labels = frame_labels(segments, num_frames, front_end).astype(np.uint8).tobytes()
    statistics = band_statistics(log_mel)
    return encode_example(
        {
            "format": RECORD_FORMAT,
            "id": task.id,
            "source": task.source,
            "fingerprint": song_fingerprint(audio_sha256, labels_content, task.dtype, front_end),
            "audio_sha256": audio_sha256,
            "duration": duration_secs,
            "num_frames": num_frames,
            "dtype": task.dtype,
            "mean": statistics.mean.astype("<f8").tobytes(),
            "squares": statistics.squares.astype("<f8").tobytes(),
            "crc32": zlib.crc32(log_mel),
            "labels_crc32": zlib.crc32(labels),
            "has_labels": int(segments is not None),
            "labels": labels,
            "log_mel": memoryview(log_mel),
        }
    )


def write_piece(task: SongTask, example: EncodedExample) -> None:
    """Writes a song's record as a TFRecord file of its own."""
    with storage.writing(task.piece) as stream:
        write_record(stream, example.parts, example.length)


def song_fingerprint(
    audio_sha256: str, labels_content: bytes | None, dtype: str, front_end: FrontEnd
) -> str:
    """Hash of everything that a song's record is made from, but its name."""
    labels = None if labels_content is None else hashlib.sha256(labels_content).hexdigest()
    facts = [RECORD_FORMAT, dataclasses.asdict(front_end), dtype, audio_sha256, labels]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def file_sha256(path: str) -> str:
    """SHA-256 of a file's content, local or remote."""
    with storage.open_for_reading(path) as stream:
        if not storage.is_remote(path):
            return hashlib.file_digest(stream, "sha256").hexdigest()
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()
