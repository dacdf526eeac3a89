"""Audio files to samples: mono, at the front end's sample rate.

libsndfile (through soundfile) reads WAV, FLAC, OGG Vorbis and Opus, and MP3, without any program
installed beside it; soxr resamples, as librosa does by default. Files at the front end's own rate
are not resampled at all.
"""

import os
from pathlib import Path

import numpy as np

from svdam.core.config import FRONT_END
from svdam.core.validation import InputError, one_line

_MAX_RATE = 768_000  # Of any real recording; beyond it a header is damaged.
_BLOCK_SAMPLES = 1 << 20
# Formats with a length in the header may still end a little early: encoder padding, a cut tag.
_MISSING_TOLERANCE = 0.01


def load_audio(path: str | os.PathLike, sample_rate: int = FRONT_END.sample_rate) -> np.ndarray:
    """Loads a recording.

    Args:
        path: A WAV, FLAC, OGG or MP3 file.
        sample_rate: Rate of the result in Hz.

    Returns:
        (samples,) float32, the mean of the channels.

    Raises:
        InputError: If the file is missing, empty, no audio, cut short, or holds no finite sound.
    """
    path = Path(path)
    _refuse_unreadable(path)
    samples, native_rate = _decode(path)
    if not np.isfinite(samples).all():
        raise InputError(f"{path}: holds samples that are not finite")
    if native_rate != sample_rate:
        import soxr

        samples = soxr.resample(samples, native_rate, sample_rate, quality="HQ")
    return np.ascontiguousarray(samples, np.float32)


def _refuse_unreadable(path: Path) -> None:
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected an audio file")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes)")


def _decode(path: Path) -> tuple[np.ndarray, int]:
    """Returns (mono float32 samples, rate in Hz), block by block to bound the memory."""
    import soundfile

    try:
        with soundfile.SoundFile(path) as audio:
            rate, declared = audio.samplerate, audio.frames
            if not 1 <= rate <= _MAX_RATE or audio.channels < 1:
                raise InputError(
                    f"{path}: header says {rate} Hz and {audio.channels} channels: is damaged"
                )
            blocks = []
            while True:
                block = audio.read(_BLOCK_SAMPLES, dtype="float32", always_2d=True)
                if not len(block):
                    break
                blocks.append(block.mean(axis=1, dtype=np.float32))
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError, OSError) as error:
        if isinstance(error, InputError):
            raise
        reason = one_line(error).replace(f"Error opening {str(path)!r}: ", "")
        raise InputError(
            f"{path}: is no audio file that can be read ({reason}); "
            "expected WAV, FLAC, OGG or MP3 (convert others, for example with ffmpeg)"
        ) from error
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    if not len(samples):
        raise InputError(f"{path}: holds no samples")
    # A damaged stream ends early without an error; the declared length tells.
    if declared - len(samples) > _MISSING_TOLERANCE * declared:
        raise InputError(
            f"{path}: is cut short or damaged: {len(samples) / rate:.2f} s could be decoded of "
            f"{declared / rate:.2f} s that its header declares"
        )
    return samples, rate
