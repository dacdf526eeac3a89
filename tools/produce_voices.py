"""Treats the voices of a folder of stems as a recording studio would.

    python tools/produce_voices.py --data_dir=music/mir1k --output=music/mir1k_produced

Dry voices teach a classifier dry voices. Each ``NAME.voice.*`` below the folder is compressed and
equalised, and at random doubled, echoed and put into a room; backing and labels are copied. The
draws depend on the file's name alone. Files that are there already stay.
"""

import concurrent.futures
import hashlib
import shutil
from pathlib import Path

import numpy as np
import soundfile
from absl import app, flags
from scipy.signal import lfilter

from svdam.audio.decoding import load_audio
from svdam.core.config import FRONT_END
from svdam.core.files import atomic_path
from svdam.core.processors import available_processors
from svdam.core.progress import progress
from svdam.corpus import effects

RATE = FRONT_END.sample_rate

FLAGS = flags.FLAGS


def produced(voice: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A voice after a random production.

    Args:
        voice: (samples,) at 22,050 Hz.
        rng: Source of what is drawn.

    Returns:
        (samples,) with a peak of 0.7.
    """
    sound = _equalised(_compressed(voice, rng), rng)
    if rng.random() < 0.5:
        sound = _doubled(sound, rng)
    if rng.random() < 0.35:
        sound = _echoed(sound, rng)
    room = effects.room_response(rng.choice([0.3, 0.6, 1.0, 1.8, 2.5]), rng.random(), RATE, rng)
    amount = rng.choice([0.05, 0.15, 0.3, 0.5])
    sound = effects.reverberate(np.stack([sound, sound], axis=1), room, amount).mean(axis=1)
    return 0.7 * sound / (np.abs(sound).max() + 1e-9)


def _compressed(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Above the 30th percentile of its level (over 20 ms), the level grows more slowly."""
    decay = np.exp(-1 / (0.02 * RATE))
    level = np.sqrt(lfilter([1 - decay], [1, -decay], sound**2) + 1e-10)
    threshold = np.quantile(level, 0.3)
    return sound * (threshold / np.maximum(level, threshold)) ** rng.uniform(0.2, 0.7)


def _equalised(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Less mud, more presence and air, within limits."""
    mud = rng.uniform(150, 400), rng.uniform(-8, 3), 0.8
    presence = rng.uniform(1500, 4500), rng.uniform(-2, 8), 0.7
    sound = effects.equalise(sound, [mud, presence], RATE)
    return effects.shelve(sound, rng.uniform(3000, 6000), rng.uniform(-3, 8), RATE)


def _doubled(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One or two copies, late by 17 to 32 ms, whose pitch wavers."""
    samples, mixed = np.arange(len(sound)), sound
    for _ in range(rng.integers(1, 3)):
        wave = np.sin(2 * np.pi * rng.uniform(0.15, 0.8) * samples / RATE + rng.uniform(0, 6))
        delay = RATE * (0.018 + 0.012 * rng.random() + 0.0015 * wave)
        mixed = mixed + rng.uniform(0.3, 0.9) * np.interp(samples - delay, samples, sound)
    return mixed


def _echoed(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Three echoes, each fainter than the one before."""
    delay, gain, mixed = int(RATE * rng.uniform(0.09, 0.4)), rng.uniform(0.15, 0.35), sound.copy()
    for number in range(1, 4):
        if number * delay < len(sound):
            mixed[number * delay :] += sound[: len(sound) - number * delay] * gain**number
    return mixed


def produce(voice: Path, output: Path) -> None:
    """Writes ``output``, an Ogg Vorbis file, and copies what lies beside the voice."""
    output.parent.mkdir(parents=True, exist_ok=True)
    stem = voice.name.partition(".voice.")[0]
    for path in voice.parent.glob(f"{stem}.*"):
        if path != voice:
            shutil.copy(path, output.with_name(path.name))
    seed = int.from_bytes(hashlib.sha256(voice.name.encode()).digest()[:8], "big")
    sound = produced(load_audio(voice, RATE).astype(float), np.random.default_rng(seed))
    with atomic_path(output) as temporary:
        soundfile.write(temporary, sound, RATE, format="OGG", subtype="VORBIS")


def main(_: list[str]) -> None:
    """Reads the flags and treats all voices."""
    source, target = Path(FLAGS.data_dir), Path(FLAGS.output)
    pairs = [
        (path, (target / path.relative_to(source)).with_suffix(".ogg"))
        for path in sorted(source.rglob("*.voice.*"))
    ]
    missing = [(voice, output) for voice, output in pairs if not output.exists()]
    with concurrent.futures.ProcessPoolExecutor(available_processors()) as pool:
        done = pool.map(produce, *zip(*missing, strict=True)) if missing else ()
        for _ in progress(done, total=len(missing), description="producing", unit="voice"):
            pass


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", None, "Folder of stems.", required=True)
    flags.DEFINE_string("output", None, "Folder to write.", required=True)
    app.run(main)
