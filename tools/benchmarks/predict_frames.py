"""Predictions of every frame: the fully convolutional form against excerpt by excerpt.

    python tools/benchmarks/predict_frames.py

Both take turns on a four-minute song (the slow way on a part of it). Then a recording of two hours,
and how much the process grew by it beyond the log-mel spectrogram itself.
"""

import os
import resource

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from measuring import Table, clock, parser, report, speed_table, take_turns

from svdam.core.config import FRONT_END
from svdam.models.classifier import build_svdnet
from svdam.models.fully_convolutional import FramePredictor

FAST, SLOW = "fully convolutional", "excerpt by excerpt"
SONG_SECS, PART_FRAMES, LONG_SECS = 4 * 60, 1600, 2 * 3600


def log_mel_of(frames):
    return np.random.default_rng(0).standard_normal((frames, 80), np.float32) * 2 - 5


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def long_recording(predictor):
    """One row: two hours, and what they take."""
    before = peak_mib()
    recording = log_mel_of(round(LONG_SECS * FRONT_END.frames_per_second))
    held = peak_mib()
    start = clock()
    predictor.predict(recording)
    secs = (clock() - start)[0]
    row = {"recording": "2 hours", "seconds": secs, "times real time": LONG_SECS / secs}
    return row | {
        "peak MiB with the song": before,
        "with the long log-mel": held,
        "after predicting it": peak_mib(),
    }


def main():
    options = parser(__doc__).parse_args()
    classifier = build_svdnet()
    predictors = {
        FAST: FramePredictor(classifier),
        SLOW: FramePredictor(classifier, excerpt_by_excerpt=True),
    }
    song = log_mel_of(round(SONG_SECS * FRONT_END.frames_per_second))
    inputs = {FAST: song, SLOW: song[:PART_FRAMES]}
    found = [predictor.predict(inputs[SLOW]) for predictor in predictors.values()]
    difference = np.abs(found[0] - found[1]).max()

    def predicting(name):
        return lambda: len(predictors[name].predict(inputs[name])) / FRONT_END.frames_per_second

    costs = take_turns({name: predicting(name) for name in predictors}, options.turns)
    tables = [
        speed_table(costs, "second of audio", FAST, title="A song of four minutes"),
        Table("Memory", [long_recording(predictors[FAST])]),
    ]
    notes = f"Largest difference of the logits: {difference:.1e}."
    report("predict_frames", "Predictions of every frame", tables, options.output, notes)


if __name__ == "__main__":
    main()
