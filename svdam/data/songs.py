"""From one song's files to its record: decode, log-mel, labels, statistics, one Example.

A record is a ``tf.train.Example`` with these features, in this order:

=============  ======  =================================================================
format         int     `RECORD_FORMAT`
id, source     text    name of the song; audio file relative to the data set's folder
fingerprint    text    hash of all that the record depends on, see `song_fingerprint`
audio_sha256   text    hash of the audio file; of several, separated by blanks
duration       float   seconds
num_frames     int     frames of the log-mel spectrogram
dtype          text    ``float32`` or ``float16``, little-endian
mix            text    JSON list: the `Mix` of a song that was mixed; only of such songs
mean, squares  bytes   `BandStatistics` of the song, (mels,) float64
crc32          int     zlib's checksum of the bytes of log_mel
labels_crc32   int     the same of labels
has_labels     int     0 or 1
label_names    text    JSON list: names of the targets; only if they are not ``["sing"]``
labels         bytes   (num_frames, targets) uint8, 1 where it is heard; empty without labels
log_mel        bytes   (num_frames, mels), row by row
=============  ======  =================================================================
"""

import contextlib
import hashlib
import json
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from svdam.audio.decoding import audio_blocks
from svdam.audio.log_mel import log_mel_blocks
from svdam.core import storage
from svdam.core.config import FRONT_END, FrontEnd
from svdam.core.record_framing import FRAME_AFTER, FRAME_BEFORE, write_record
from svdam.core.validation import InputError
from svdam.data.mixing import load_mix
from svdam.data.statistics import BandStatistics, band_statistics, no_frames
from svdam.data.tfrecord import MAX_EXAMPLE_BYTES, EncodedExample, encode_example
from svdam.datasets.labels import SING, Target, frame_labels, parse_targets, shifted
from svdam.datasets.sources import Mix, SourceSong

RECORD_FORMAT = 1
DTYPES = {"float32": "<f4", "float16": "<f2"}
FEATURES = (
    *("format", "id", "source", "fingerprint", "audio_sha256", "duration", "num_frames", "dtype"),
    *("mean", "squares", "crc32", "labels_crc32", "has_labels", "labels", "log_mel"),
)


def prepare_song(song: SourceSong, dtype: str, front_end: FrontEnd = FRONT_END) -> EncodedExample:
    """Makes the record of one song.

    Args:
        song: The song.
        dtype: One of `DTYPES`, for the log-mel.
        front_end: Front-end settings.

    Raises:
        InputError: If the audio or the labels cannot be used, naming the file.
    """
    labels_content = segments = None
    if song.labels:
        labels_content = storage.read_bytes(song.labels)
        segments = parse_targets(labels_content, song.labels, song.targets)
    with contextlib.ExitStack() as copies:
        files = (song.audio, *song.others)
        paths = [copies.enter_context(storage.local_copy(file)) for file in files]
        audio_sha256 = " ".join(file_sha256(str(path)) for path in paths)
        with _named(dict(zip(paths, files, strict=True))):
            if song.mix:
                mixed = load_mix(paths, song.mix, front_end.sample_rate)
                segments = (
                    [mixed.sung]
                    if segments is None
                    else [shifted(one, -mixed.start_secs) for one in segments]
                )
                blocks = iter([mixed.samples])
            else:
                blocks = audio_blocks(paths[0], front_end.sample_rate)
            sound = _analyse(blocks, song.audio, dtype, front_end)
    num_frames = sound.statistics.num_frames
    duration_secs = sound.num_samples / front_end.sample_rate
    if num_frames < front_end.excerpt_frames:
        raise InputError(
            f"{song.audio}: is too short: {duration_secs:.2f} s give {num_frames} frames, expected "
            f"at least {front_end.excerpt_frames} frames, one excerpt"
        )
    fingerprint = song_fingerprint(
        audio_sha256, labels_content, song.mix, dtype, front_end, song.targets
    )
    labels, names = b"", {}
    if segments is not None:
        columns = [frame_labels(one, num_frames, front_end) for one in segments]
        labels = np.stack(columns, axis=1).astype(np.uint8).tobytes()
        if song.targets != (SING,):
            names["label_names"] = json.dumps([target.name for target in song.targets])
    return encode_example(
        {
            "format": RECORD_FORMAT,
            "id": song.id,
            "source": song.source,
            "fingerprint": fingerprint,
            "audio_sha256": audio_sha256,
            "duration": duration_secs,
            "num_frames": num_frames,
            "dtype": dtype,
            **({"mix": json.dumps(song.mix)} if song.mix else {}),
            "mean": sound.statistics.mean.astype("<f8").tobytes(),
            "squares": sound.statistics.squares.astype("<f8").tobytes(),
            "crc32": sound.crc32,
            "labels_crc32": zlib.crc32(labels),
            "has_labels": int(segments is not None),
            **names,
            "labels": labels,
            "log_mel": memoryview(sound.log_mel),
        }
    )


@contextlib.contextmanager
def _named(files: dict[Path, str]) -> Iterator[None]:
    """Lets errors and warnings about local copies of files name the files."""

    def renamed(message: str) -> str:
        for path, file in files.items():
            message = message.replace(str(path), file)
        return message

    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    except InputError as error:
        raise InputError(renamed(str(error))) from error
    for warning in caught:
        warnings.warn(renamed(str(warning.message)), warning.category, stacklevel=4)


class _Sound(NamedTuple):
    """What a recording's samples give."""

    num_samples: int
    log_mel: bytearray
    statistics: BandStatistics
    crc32: int


def _analyse(blocks: Iterator[np.ndarray], audio: str, dtype: str, front_end: FrontEnd) -> _Sound:
    """Goes once over the samples: only the log-mel spectrogram of the song is kept."""
    num_samples = checksum = 0
    statistics = no_frames(front_end.num_mels)
    log_mel = bytearray()  # Grows in place, where joining arrays would need twice the memory.

    def counted() -> Iterator[np.ndarray]:
        nonlocal num_samples
        for block in blocks:
            num_samples += len(block)
            yield block

    for frames in log_mel_blocks(counted(), front_end):
        stored = np.ascontiguousarray(frames, DTYPES[dtype])
        log_mel += stored.data.cast("B")
        checksum = zlib.crc32(stored.data, checksum)
        statistics = statistics.merge(band_statistics(stored))
        if len(log_mel) > MAX_EXAMPLE_BYTES:
            hours = num_samples / front_end.sample_rate / 3600
            raise InputError(
                f"{audio}: is too long: its first {hours:.1f} hours of log-mel fill the 2 GiB "
                "of a record; split it, or halve the space with --dtype=float16"
            )
    return _Sound(num_samples, log_mel, statistics, checksum)


def write_piece(path: str, example: EncodedExample) -> None:
    """Writes a song's record as a TFRecord file of its own, until a shard takes it."""
    num_bytes = FRAME_BEFORE + example.length + FRAME_AFTER
    with storage.writing(path, durable=False, num_bytes=num_bytes) as stream:
        write_record(stream, example.parts, example.length)


def song_fingerprint(
    audio_sha256: str,
    labels_content: bytes | None,
    mix: Mix | None,
    dtype: str,
    front_end: FrontEnd,
    targets: Sequence[Target] = (SING,),
) -> str:
    """Hash of everything that a song's record is made from, but its name."""
    labels = None if labels_content is None else hashlib.sha256(labels_content).hexdigest()
    facts = [RECORD_FORMAT, front_end.to_dict(), dtype, audio_sha256, labels]
    if mix:
        facts.append(mix)
    if tuple(targets) != (SING,) and (labels or mix):
        facts.append({"targets": targets})
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def label_names_of(features: Mapping[str, Any]) -> list[str]:
    """Names of the targets of a record, from its features or its manifest.

    Raises:
        ValueError: If they are not names.
    """
    names = features.get("label_names", [SING.name])
    names = json.loads(names) if isinstance(names, bytes) else names
    is_list = isinstance(names, list) and all(isinstance(name, str) and name for name in names)
    if not is_list or not names or len(set(names)) < len(names):
        raise ValueError(f"label_names {names!r}")
    return names


def file_sha256(path: str) -> str:
    """SHA-256 of a file's content, local or remote."""
    with storage.open_for_reading(path) as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()
