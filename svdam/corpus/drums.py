"""Drums of the built-in corpus: swept tones, filtered noise and clouds of metallic partials."""

from collections.abc import Sequence

import numpy as np
from scipy.signal import butter, sosfilt

from svdam.corpus.synthesis import decaying_partials


def drum_kit(rate: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One rendering of each drum, by name, mono samples of shape (samples,)."""
    u = rng.uniform

    def tone(high: float, low: float, sweep: float, decay: float, secs: float) -> np.ndarray:
        time = np.arange(round(secs * rate)) / rate
        cycles = np.cumsum(low + (high - low) * np.exp(-time / sweep)) / rate
        return np.sin(2 * np.pi * cycles) * np.exp(-time / decay)

    def noise(
        low: float, high: float, decay: float, secs: float, attack: float = 0.001
    ) -> np.ndarray:
        time = np.arange(round(secs * rate)) / rate
        band = butter(2, [low, min(high, 0.47 * rate)], "bandpass", fs=rate, output="sos")
        hiss = sosfilt(band, rng.standard_normal(len(time)))
        return hiss * np.exp(-time / decay) * np.minimum(time / attack, 1)

    def metal(low: float, decay: float, secs: float) -> np.ndarray:
        frequencies = rng.uniform(low, 0.45 * rate, 40)
        ring = decaying_partials(
            frequencies,
            u(0.3, 1, 40),
            np.full(40, decay) * u(0.3, 1.5, 40),
            round(secs * rate),
            rate,
            rng,
        )
        return 0.08 * ring + noise(low, 15000, decay * 0.6, secs)

    kick = tone(u(120, 400), u(42, 65), u(0.01, 0.04), u(0.08, 0.3), 0.5)
    kick[: round(0.02 * rate)] += u(0.05, 0.6) * noise(800, 6000, 0.004, 0.02)[: round(0.02 * rate)]
    body = tone(u(250, 400), u(150, 230), 0.02, u(0.05, 0.12), 0.3)
    snare = u(0.3, 0.8) * body + u(0.5, 1.2) * noise(u(800, 2000), 10000, u(0.05, 0.14), 0.3)
    clap = sum(
        np.roll(noise(900, 4000, 0.03, 0.2), round(shift * rate)) for shift in (0, 0.011, 0.02)
    )
    return {
        "kick": kick, "snare": snare,
        "hat": metal(u(5000, 7500), u(0.02, 0.05), 0.15),
        "open hat": metal(u(5000, 7000), u(0.12, 0.3), 0.6),
        "ride": metal(u(3000, 5000), u(0.25, 0.5), 1.0) * 0.7,
        "crash": metal(u(2000, 4000), u(0.5, 0.9), 1.8),
        "tom": tone(u(180, 260), u(80, 140), 0.03, u(0.1, 0.25), 0.5),
        "clap": clap,
        "shaker": noise(u(3500, 6000), 11000, 0.035, 0.15, attack=0.03) * 1.2,
        "rim": 0.6 * tone(1800, 1600, 0.01, 0.012, 0.06) + noise(1500, 6000, 0.01, 0.06),
    }  # fmt: skip


def play_drums(
    hits: Sequence[tuple[float, str, float]],
    kit: dict[str, np.ndarray],
    num_samples: int,
    rate: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Plays (seconds, drum, level) in stereo, shape (samples, 2); each drum has its place."""
    out = np.zeros((num_samples, 2))
    pans = {name: 0.0 if name in ("kick", "snare") else rng.uniform(-0.7, 0.7) for name in kit}
    for secs, name, level in hits:
        first = round(secs * rate)
        sound = kit[name][: max(num_samples - first, 0)] * (level * rng.uniform(0.85, 1.1))
        left, right = np.sqrt((1 - pans[name]) / 2), np.sqrt((1 + pans[name]) / 2)
        out[first : first + len(sound), 0] += left * sound
        out[first : first + len(sound), 1] += right * sound
    return out
