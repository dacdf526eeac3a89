"""Small corpora of tones, for the tests of data preparation and of what reads records."""

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


EVENTS = {"dog": (300, 1.0, 2.5), "siren": (3000, 2.0, 3.0), "car": (1000, 0.25, 3.5)}
"""Pitch in Hz, start and end in seconds of what is heard in each song of `write_events`."""


def write_events(folder) -> Path:
    """Writes songs of 4 s with three events, which overlap, and labels in three forms of files."""
    folder = Path(folder)
    names = ["train/a.wav", "train/b.wav", "train/c.wav", "valid/d.wav", "test/e.wav"]
    lines = [(start, end, label) for label, (_, start, end) in EVENTS.items()]
    forms = {
        ".lab": "".join(f"{start} {end} {label}\n" for start, end, label in lines),
        ".txt": "".join(f"{start}\t{end}\t{label}\n\\\t1\t2\n" for start, end, label in lines),
        ".csv": "onset,duration,event_label\n"
        + "".join(f"{start},{end - start},{label}\n" for start, end, label in lines),
    }
    time_secs = np.arange(4 * RATE) / RATE
    for seed, name in enumerate(names):
        sound = 0.01 * np.random.RandomState(seed).normal(size=len(time_secs))
        for pitch_hz, start, end in EVENTS.values():
            on = (time_secs >= start) & (time_secs < end)
            sound += 0.2 * on * np.sin(2 * np.pi * pitch_hz * time_secs)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, sound, RATE)
        suffix = [*forms][seed % len(forms)]
        (folder / name).with_suffix(suffix).write_text(forms[suffix])
    return folder
