"""Round trip of sounds: how close, and how fast, each way of inverting a log-mel spectrogram is.

    python tools/benchmarks/inversion.py RECORDING...

Takes four excerpts of 115 frames from each recording, inverts their log-mel spectrograms and
analyses the sounds again. These are the figures of docs/concepts.md.
"""

import itertools
from collections.abc import Callable

import numpy as np
from measuring import Table, parser, report, take_turns

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
MOMENTA = (0.0, 0.5, 0.9, 0.99)


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
    """One row for each way."""
    flags = parser(__doc__, turns=1)
    flags.add_argument("audio", nargs="+", help="recordings")
    options = flags.parse_args()
    log_mels = np.stack([one for path in options.audio for one in excerpts(path)])
    sounds, table = {}, Table(f"{len(log_mels)} excerpts of 1.6 s")

    def inverting(inversion: str, momentum: float) -> Callable[[], int]:
        def invert() -> int:
            way = dict(inversion=inversion, momentum=momentum)
            sounds[inversion, momentum] = log_mels_to_audio(log_mels, **way)
            return len(log_mels)

        return invert

    log_mels_to_audio(log_mels[:1, :9], 1, inversion="nnls")  # Loads what is loaded once.
    ways = list(itertools.product(INVERSIONS, MOMENTA))
    costs = take_turns({way: inverting(*way) for way in ways}, options.turns, rehearse=False)
    magnitudes = {way: log_mels_to_magnitudes(log_mels, inversion=way) for way in INVERSIONS}
    for inversion, momentum in ways:
        found = sounds[inversion, momentum]
        convergence = map(spectral_convergence, found, magnitudes[inversion])
        errors = map(round_trip_error_db, log_mels, found)
        table.rows.append(
            {
                "inversion": inversion,
                "momentum": f"{momentum:g}",
                "spectral convergence": float(np.mean(list(convergence))),
                "round trip in dB": float(np.mean(list(errors))),
                "seconds a sound": float(np.median(costs[inversion, momentum][:, 0])),
            }
        )
    report("inversion", "From log-mel to sound and back", [table], options.output)


if __name__ == "__main__":
    main()
