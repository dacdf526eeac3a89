"""Measures the fully convolutional predictions: speed against excerpt by excerpt, and memory.

    python tools/benchmarks/predict_frames.py

Both ways take turns on one four-minute song (the slow way on a part of it, scaled up), so that
whatever else the machine does hits both. Then a recording of two hours, and how much the process
grew by it beyond the spectrogram itself.
"""

import os
import resource
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from svdam.models.classifier import build_svdnet
from svdam.models.fully_convolutional import FramePredictor

SONG_FRAMES = 4 * 60 * 70
PART_FRAMES = 1600
LONG_FRAMES = 2 * 3600 * 70
TURNS = 5


def log_mel_of(frames):
    return np.random.default_rng(0).standard_normal((frames, 80), np.float32) * 2 - 5


def seconds(predictor, log_mel):
    start = time.perf_counter()
    predictor.predict(log_mel)
    return time.perf_counter() - start


def peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    classifier = build_svdnet()
    fast, slow = FramePredictor(classifier), FramePredictor(classifier, excerpt_by_excerpt=True)
    song = log_mel_of(SONG_FRAMES)
    part = song[:PART_FRAMES]
    difference = np.abs(fast.predict(part) - slow.predict(part)).max()
    print(f"largest difference of the logits: {difference:.1e}")
    ratios = []
    for turn in range(1, TURNS + 1):
        fast_secs = seconds(fast, song)
        slow_secs = seconds(slow, part) * SONG_FRAMES / PART_FRAMES
        ratios.append(slow_secs / fast_secs)
        print(
            f"turn {turn}: four minutes take {fast_secs:.2f} s, excerpt by excerpt "
            f"{slow_secs:.1f} s: {ratios[-1]:.1f} times as long"
        )
    print(f"median: {np.median(ratios):.1f} times as long")
    before = peak_megabytes()
    recording = log_mel_of(LONG_FRAMES)
    with_recording = peak_megabytes()
    long_secs = seconds(fast, recording)
    print(
        f"two hours take {long_secs:.1f} s; peak memory {before:.0f} MB with the song, "
        f"{with_recording:.0f} MB with two hours of log-mel ({recording.nbytes / 1e6:.0f} MB), "
        f"{peak_megabytes():.0f} MB after predicting them"
    )


if __name__ == "__main__":
    main()
