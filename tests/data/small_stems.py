"""Generated stems: a tone that is switched on and off as the voice, noise as the backing."""

from pathlib import Path

import numpy as np
import soundfile

RATE = 22050


def voice(secs: float, sung: list[tuple[float, float]], amplitude: float = 0.2) -> np.ndarray:
    """A tone of 440 Hz that sounds from start to end of each of ``sung``, in seconds."""
    time_secs = np.arange(round(secs * RATE)) / RATE
    on = np.zeros(len(time_secs), bool)
    for start, end in sung:
        on |= (start <= time_secs) & (time_secs < end)
    return (amplitude * on * np.sin(2 * np.pi * 440 * time_secs)).astype(np.float32)


def noise(secs: float, seed: int, amplitude: float = 0.1) -> np.ndarray:
    """White noise."""
    rng = np.random.RandomState(seed)
    return (amplitude * rng.normal(size=round(secs * RATE))).astype(np.float32)


def write(path: str | Path, samples: np.ndarray) -> None:
    """Writes samples without rounding them."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE, subtype="FLOAT")


def write_stems(folder: str | Path) -> Path:
    """Three singers with two songs each, and two instrumentals; of different lengths.

    Songs are sung from 1.0 to 2.0 s; those of ``carl`` have a label file that says 0.5 to 1.5 s.
    """
    folder = Path(folder)
    for number, singer in enumerate(("anna", "bert", "carl")):
        for song in (1, 2):
            secs, name = 3 + number + song / 4, folder / f"singers/{singer}/song{song}"
            write(f"{name}.voice.wav", voice(secs, [(1.0, 2.0)]))
            write(f"{name}.backing.wav", noise(secs, seed=2 * number + song))
            if singer == "carl":
                Path(f"{name}.lab").write_text("0.5 1.5 sing\n")
    for number in (1, 2):
        write(folder / f"instrumental/piece{number}.wav", noise(9, seed=10 + number))
    return folder
