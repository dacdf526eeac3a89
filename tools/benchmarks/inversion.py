"""Round trip of sounds: how close, and how fast, each way of inverting a log-mel spectrogram is.

    python tools/benchmarks/inversion.py RECORDING...

Takes four excerpts of 115 frames from each recording, inverts their log-mel spectrograms and
analyses the sounds again. These are the figures of docs/concepts.md.
"""

import sys
import time

import numpy as np

from svdam.audio.decoding import load_audio
from svdam.audio.inversion import (
    INVERSIONS,
    log_mels_to_audio,
    log_mels_to_magnitudes,
    round_trip_error_db,
)
from svdam.audio.log_mel import log_mel_spectrogram, magnitude_spectrogram
from svdam.core.config import FRONT_END

EXCERPTS = 4


def excerpts(path: str) -> list[np.ndarray]:
    """Evenly spaced log-mel excerpts of a recording."""
    log_mel = log_mel_spectrogram(load_audio(path))
    last = len(log_mel) - FRONT_END.excerpt_frames
    starts = [last * (place + 1) // (EXCERPTS + 1) for place in range(EXCERPTS)]
    return [log_mel[start : start + FRONT_END.excerpt_frames] for start in starts if last >= 0]


def spectral_convergence(samples: np.ndarray, magnitudes: np.ndarray) -> float:
    """Relative error of a sound's STFT magnitudes, at the level that fits best."""
    found = magnitude_spectrogram(samples).astype(float)
    found *= (found * magnitudes).sum() / (found * found).sum()
    return float(np.linalg.norm(found - magnitudes) / np.linalg.norm(magnitudes))


def main() -> None:
    """Prints a line for each way."""
    log_mels = np.stack([one for path in sys.argv[1:] for one in excerpts(path)])
    print(f"{len(log_mels)} excerpts; convergence, round trip in dB, seconds a sound")
    log_mels_to_audio(log_mels[:1, :9], 1, inversion="nnls")  # Loads what is loaded once.
    for inversion in INVERSIONS:
        magnitudes = log_mels_to_magnitudes(log_mels, inversion=inversion)
        for momentum in (0.0, 0.5, 0.9, 0.99):
            started = time.perf_counter()
            sounds = log_mels_to_audio(log_mels, inversion=inversion, momentum=momentum)
            seconds = (time.perf_counter() - started) / len(sounds)
            convergence = np.mean(
                [spectral_convergence(*pair) for pair in zip(sounds, magnitudes, strict=True)]
            )
            error = np.mean(
                [round_trip_error_db(*pair) for pair in zip(log_mels, sounds, strict=True)]
            )
            print(
                f"{inversion:>14}, momentum {momentum:<4}: {convergence:.3f}  {error:.2f} dB  "
                f"{seconds:.2f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
