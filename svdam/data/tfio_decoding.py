"""Decoding by tensorflow-io's native decoders, ``--decoder=tfio``.

They are the ones that a TensorFlow graph can hold. They trust their input: an empty OGG ends the
process, a FLAC file with a damaged header keeps it busy for ever, 32-bit integer WAV is read as
floating point, and samples that cannot be decoded are left out in silence. So libsndfile looks at
the header first, the decoder runs only in a worker process with a time limit (`song_worker`), and
what comes out is compared with the length that the header declares.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from svdam.audio.decoding import (
    MAX_RATE,
    MIN_RATE,
    MISSING_TOLERANCE,
    mono,
    resampled,
    rewritten_streams,
)
from svdam.audio.mpeg import counted_samples
from svdam.core.config import FRONT_END
from svdam.core.tensorflow_io import load_tensorflow_io
from svdam.core.validation import InputError, one_line

_BLOCK_SAMPLES = 1 << 16
_MAX_VALUES = 1 << 29  # Samples of all channels: the decoders hold a whole song, here 2 GB of it.


class _Decoder(NamedTuple):
    """An operation of tensorflow-io, its number type (None: float32), what stands for 0 and 1."""

    name: str
    dtype: str | None
    zero: int
    one: int


_INTEGERS = {
    "PCM_U8": ("uint8", 128, 128),
    "PCM_S8": ("uint8", 128, 128),
    "PCM_16": ("int16", 0, 1 << 15),
    "PCM_24": ("int32", 0, 1 << 31),
}
_DECODERS = {
    ("OGG", "VORBIS"): _Decoder("decode_vorbis", None, 0, 1),
    ("MP3", "MPEG_LAYER_III"): _Decoder("decode_mp3", None, 0, 1),
    ("WAV", "FLOAT"): _Decoder("decode_wav", "float32", 0, 1),
    **{("WAV", name): _Decoder("decode_wav", *values) for name, values in _INTEGERS.items()},
    **{("FLAC", name): _Decoder("decode_flac", *values) for name, values in _INTEGERS.items()},
}


def tfio_blocks(path: Path, sample_rate: int = FRONT_END.sample_rate) -> Iterator[np.ndarray]:
    """Decodes a recording as `svdam.audio.decoding.audio_blocks` does, by tensorflow-io.

    Call it only in a process that may die or hang.

    Args:
        path: A WAV, FLAC, OGG Vorbis or MP3 file.
        sample_rate: Rate of the blocks in Hz.

    Yields:
        (samples,) float32, mono.

    Raises:
        InputError: If the header is damaged, the format is none that these decoders read right, or
            the samples are not those that the header declares.
    """
    header = _checked_header(path)
    samples = _decode(path, _DECODERS[header.format.removesuffix("EX"), header.subtype])
    if samples.ndim != 2 or not samples.size:
        raise InputError(f"{path}: holds no samples")
    counted = counted_samples(path) if header.format == "MP3" else None
    declared = header.frames if counted is None else counted
    if abs(declared - len(samples)) > MISSING_TOLERANCE * declared + sample_rate / 10:
        raise InputError(
            f"{path}: is cut short or damaged: tensorflow-io decodes {len(samples)} samples of "
            f"{declared} that it has by its header"
        )
    if not np.isfinite(samples).all():
        raise InputError(f"{path}: holds samples that are not finite")

    def mono_blocks() -> Iterator[np.ndarray]:
        for start in range(0, len(samples), _BLOCK_SAMPLES):
            yield mono(samples[start : start + _BLOCK_SAMPLES])

    yield from resampled(mono_blocks(), header.samplerate, sample_rate)


def _checked_header(path: Path):
    """What libsndfile says of the file, if tensorflow-io may be tried on it."""
    import soundfile

    try:
        header = soundfile.info(str(path))
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError, OSError) as error:
        reason = getattr(error, "error_string", "") or one_line(error)
        raise InputError(f"{path}: header is damaged, or of no audio ({reason})") from error
    if (header.format.removesuffix("EX"), header.subtype) not in _DECODERS:
        raise InputError(
            f"{path}: is {header.format} with {header.subtype}, which --decoder=tfio does not "
            "read right; use --decoder=soundfile"
        )
    parts = sum(1 for _ in rewritten_streams(path))
    if parts > 1 or (parts and header.format != "MP3"):
        raise InputError(
            f"{path}: holds more than its header says, which --decoder=tfio does not read; use "
            "--decoder=soundfile"
        )
    if not MIN_RATE <= header.samplerate <= MAX_RATE or header.frames < 1:
        raise InputError(
            f"{path}: header says {header.samplerate} Hz and {header.frames} samples: is damaged"
        )
    if header.frames * header.channels > _MAX_VALUES:
        raise InputError(
            f"{path}: is too long for --decoder=tfio, which decodes songs as a whole; "
            "use --decoder=soundfile"
        )
    return header


def _decode(path: Path, decoder: _Decoder) -> np.ndarray:
    """(samples, channels) float32 between -1 and 1."""
    audio = load_tensorflow_io("--decoder=tfio").audio
    options = {} if decoder.dtype is None else {"dtype": decoder.dtype}
    import tensorflow as tf

    try:
        samples = getattr(audio, decoder.name)(path.read_bytes(), **options).numpy()
    except (tf.errors.OpError, UnicodeDecodeError) as error:
        reason = re.sub(r"{{.*?}} | \[Op:.*?\]", "", one_line(error))  # TensorFlow's own names.
        raise InputError(f"{path}: tensorflow-io cannot decode it ({reason})") from error
    samples = samples.astype(np.float32)
    samples -= np.float32(decoder.zero)
    samples /= np.float32(decoder.one)
    return samples
