"""Glottal pulses: the LF model, as wavetables without aliasing.

Source: Fant, Liljencrants, Lin, "A four-parameter model of glottal flow" (1985); the shape follows
from the one parameter Rd of Fant, "The LF-model revisited" (1995).
"""

import functools

import numpy as np
from scipy.optimize import brentq

TABLE_POINTS = 2048
RD_GRID = np.linspace(0.4, 2.7, 12)
HARMONICS = np.array([5, 7, 10, 14, 20, 28, 40, 56, 80, 112, 160])


def lf_pulse(rd: float, num_points: int) -> np.ndarray:
    """One period of the LF model's glottal flow derivative, shape (num_points,).

    Args:
        rd: Fant's shape parameter, from 0.3 (pressed, bright) to 2.7 (breathy, dark).
        num_points: Points of the period.
    """
    return_time = (-1 + 4.8 * rd) / 100
    skew = (22.4 + 11.8 * rd) / 100
    opening = 0.25 * skew / (0.11 * rd / (0.5 + 1.2 * skew) - return_time)
    peak = 1 / (2 * opening)
    closing = peak * (1 + skew)
    omega = np.pi / peak
    rest = 1 - closing
    epsilon = 1 / return_time
    for _ in range(60):
        epsilon = (1 - np.exp(-epsilon * rest)) / return_time
    tail = np.exp(-epsilon * rest)
    return_area = -((1 - tail) / epsilon - rest * tail) / (epsilon * return_time)

    def net_flow(alpha: float) -> float:
        sine, cosine = np.sin(omega * closing), np.cos(omega * closing)
        area = alpha * sine - omega * cosine + omega * np.exp(-alpha * closing)
        return -area / (sine * (alpha**2 + omega**2)) + return_area

    alpha = brentq(net_flow, -60.0, 120.0)
    time = np.arange(num_points) / num_points
    growth = np.exp(alpha * (np.minimum(time, closing) - closing))
    opened = -growth * np.sin(omega * time) / np.sin(omega * closing)
    closed = -(np.exp(-epsilon * (time - closing)) - tail) / (epsilon * return_time)
    return np.where(time <= closing, opened, closed)


@functools.lru_cache(maxsize=1)
def pulse_tables() -> np.ndarray:
    """Band-limited glottal pulses, shape (harmonic counts, Rd values, points)."""
    spectra = np.stack([np.fft.rfft(lf_pulse(rd, 8192)) for rd in RD_GRID]) / 4
    tables = np.zeros((len(HARMONICS), len(RD_GRID), TABLE_POINTS), np.float32)
    for index, count in enumerate(HARMONICS):
        tables[index] = np.fft.irfft(spectra[:, : count + 1], TABLE_POINTS, axis=1)
    return tables
