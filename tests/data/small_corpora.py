"""Small corpora of tones, in Jamendo's layout, for the tests of data preparation."""

import os
from pathlib import Path

import numpy as np
import soundfile

RATE = 22050


def write_tone(path, secs: float = 2.5, seed: int = 0, rate: int = RATE) -> None:
    """Writes a noisy tone; the seed chooses its pitch."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.RandomState(seed)
    time_secs = np.arange(round(secs * rate)) / rate
    sound = 0.3 * np.sin(2 * np.pi * (150 + 90 * seed) * time_secs) * (1 + np.sin(5 * time_secs))
    soundfile.write(path, sound + 0.01 * rng.normal(size=len(sound)), rate)


def write_jamendo(folder, splits: dict[str, list[str]]) -> Path:
    """Writes a corpus in Jamendo's layout: songs of different lengths, each sung from 0.5 s on."""
    folder = Path(folder)
    for name in ("audio", "labels", "filelists"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    seed = 0
    for split, names in splits.items():
        (folder / "filelists" / split).write_text("".join(f"{name}\n" for name in names), "utf-8")
        for name in names:
            seed += 1
            add_song(folder, name, 2 + seed / 4, seed)
    return folder


def add_song(folder, name: str, secs: float, seed: int) -> None:
    """Adds a song and its labels to a corpus, but to none of its lists."""
    write_tone(Path(folder, "audio", name), secs, seed)
    label = Path(folder, "labels", os.path.splitext(name)[0] + ".lab")
    label.write_text(f"0 0.5 nosing\n0.5 {secs} sing\n", "utf-8")


SPLITS = {
    "train": ["a song.wav", "b. with.dots.wav", "č accent.wav", "d.flac"],
    "valid": ["e.wav"],
    "test": ["f.wav"],
}
