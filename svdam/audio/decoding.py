"""Audio files to samples: mono, at the front end's sample rate.

libsndfile (through soundfile) reads WAV, FLAC, OGG Vorbis and Opus, and MP3, without any program
installed beside it; soxr resamples, as librosa does by default. Files at the front end's own rate
are not resampled at all.

Everything is done block by block, and gives the same samples whatever the size of the blocks, so
that a recording of many hours needs no more memory than a short one.
"""

import itertools
import math
import operator
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from svdam.audio import mpeg, ogg, riff
from svdam.core.config import FRONT_END
from svdam.core.validation import InputError, one_line

MIN_RATE, MAX_RATE = 1000, 768_000  # Of any real recording; outside, a header is damaged.
_BLOCK_VALUES = 1 << 18  # Samples of all channels together: 1 MB, which stays in the cache.
# Formats with a length in the header may still end a little early: encoder padding, a cut tag.
MISSING_TOLERANCE = 0.01
_UNKNOWN_LENGTH = 2**63 - 1  # libsndfile's, of a FLAC stream that was written without looking back.


def load_audio(path: str | os.PathLike, sample_rate: int = FRONT_END.sample_rate) -> np.ndarray:
    """Loads a recording.

    Args:
        path: A WAV, FLAC, OGG or MP3 file.
        sample_rate: Rate of the result in Hz.

    Returns:
        (samples,) float32, the mean of the channels.

    Raises:
        InputError: If the file is missing, empty, no audio, cut short, or holds no finite sound.

    Example:
        >>> import numpy as np, soundfile
        >>> soundfile.write("tone.wav", 0.5 * np.sin(np.arange(44100) / 20), 44100)
        >>> load_audio("tone.wav").shape  # One second, resampled.
        (22050,)
    """
    return np.concatenate(list(audio_blocks(path, sample_rate)))


def audio_blocks(
    path: str | os.PathLike, sample_rate: int = FRONT_END.sample_rate
) -> Iterator[np.ndarray]:
    """Reads a recording block by block: together, the blocks are what `load_audio` returns.

    Args:
        path: A WAV, FLAC, OGG or MP3 file.
        sample_rate: Rate of the blocks in Hz.

    Yields:
        (samples,) float32, at least one block.

    Raises:
        InputError: As `load_audio`; some of the reasons show only after the last block.
    """
    path = Path(path)
    _refuse_unreadable(path)
    import soundfile

    try:
        for rate, blocks in itertools.groupby(_blocks_at_rates(path), operator.itemgetter(0)):
            yield from resampled((block for _, block in blocks), rate, sample_rate)
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError, OSError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "error_string", "") or one_line(error)
        if "File does not exist" in reason:  # How libsndfile's MP3 part says it; the file is there.
            reason = "Format not recognised."
        raise InputError(
            f"{path}: is not a readable audio file ({reason}); "
            "expected WAV, FLAC, OGG or MP3 (convert other formats, e.g. with ffmpeg)"
        ) from error


def mono(samples: np.ndarray) -> np.ndarray:
    """The mean of the channels: (samples, channels) float32 becomes (samples,) float32."""
    if samples.shape[1] == 1:
        return samples[:, 0]
    # Column by column: NumPy's mean over a short last axis takes ten times as long.
    total = samples[:, 0] + samples[:, 1]
    for channel in range(2, samples.shape[1]):
        total += samples[:, channel]
    total /= np.float32(samples.shape[1])
    return total


def resampled(
    blocks: Iterable[np.ndarray], native_rate: int, sample_rate: int
) -> Iterator[np.ndarray]:
    """Resamples consecutive blocks by soxr's HQ, librosa's default.

    The streamed form gives the very samples of the one-shot form.

    Args:
        blocks: (samples,) float32 each.
        native_rate: Their rate in Hz.
        sample_rate: Rate of the result in Hz.
    """
    if native_rate == sample_rate:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(native_rate, sample_rate, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _refuse_unreadable(path: Path) -> None:
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected an audio file")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes)")


def rewritten_streams(path: Path) -> Iterator[BinaryIO]:
    """Yields what libsndfile must read instead of a file to hear all of it.

    Returns:
        Nothing for most files. Otherwise streams that together are the recording: the parts of
        joined files, FLAC out of Ogg, files with a header that says how long they are.
    """
    with open(path, "rb") as file:
        magic = file.read(4)
    if magic in riff.MAGIC:
        yield from riff.streams(path)
    elif magic == ogg.MAGIC:
        yield from ogg.streams(path)
    else:
        with _open_without_seeking(os.fsencode(path)) as audio:  # A name need not be Unicode.
            guess = audio.frames if audio.format == "MP3" else None
        if guess is not None:
            yield from mpeg.streams(path, guess)


def _parts(path: Path) -> Iterator:
    """The open parts of a recording, one after the other; most have one, the file itself."""
    part = None
    for part in rewritten_streams(path):
        with _open_without_seeking(part) as audio:
            yield audio
    if part is None:
        with _open_without_seeking(os.fsencode(path)) as audio:
            yield audio


def _open_without_seeking(file: bytes | BinaryIO):
    """Opens a file to be read from the start to the end.

    soundfile seeks after each block, to where it is already. In an MP3 that loses the state of the
    decoder: the first samples of each block come out wrong.
    """
    import soundfile

    class Stream(soundfile.SoundFile):
        def seekable(self) -> bool:
            return False

    return Stream(file)


def _blocks_at_rates(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """(rate in Hz, block) through all parts, whose rates may differ."""
    for audio in _parts(path):
        if not MIN_RATE <= audio.samplerate <= MAX_RATE or audio.channels < 1:
            raise InputError(
                f"{path}: header says {audio.samplerate} Hz and {audio.channels} channels: "
                "is damaged"
            )
        for block in _mono_blocks(audio, path):
            yield audio.samplerate, block


def _mono_blocks(audio, path: Path) -> Iterator[np.ndarray]:
    """Decodes up to the end, and compares what came with the length that the header declares."""
    declared, rate, found = audio.frames, audio.samplerate, 0
    if declared >= _UNKNOWN_LENGTH:
        declared = 0
    block_samples = max(_BLOCK_VALUES // audio.channels, 1)
    # Others may declare a little less than there is. FLAC's decoder takes what comes after the last
    # sample, as tags do, for a damaged stream.
    last = declared if audio.format == "FLAC" and declared else math.inf
    while found < last:
        count = min(block_samples, last - found)
        block = mono(audio.read(count, dtype="float32", always_2d=True))
        if not len(block):
            break
        if not np.isfinite(block).all():
            raise InputError(f"{path}: holds samples that are not finite")
        found += len(block)
        yield block
    if not found:
        raise InputError(f"{path}: holds no samples")
    # A damaged stream ends early without an error; the declared length tells.
    if declared - found > MISSING_TOLERANCE * declared:
        raise InputError(
            f"{path}: is truncated or damaged: only {found / rate:.2f} s could be decoded "
            f"of the {declared / rate:.2f} s that its header declares"
        )
