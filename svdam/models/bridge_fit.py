"""What a bridge between two front ends needs to know, from their definitions alone.

One front end's log-mel spectrogram says nearly everything about another's, but no formula gives one
from the other: windows of different lengths blur different things, filters overlap differently, and
a sum of magnitudes depends on how peaky a spectrum is, whereas a sum of powers does not. So the
relation is fitted, and no recording is needed for that: noise with the statistics of music is put
through both front ends, and each target band becomes the linear combination of the nearest source
bands, at three or more points in time, that comes closest in the mean square.

The combination is one of *levels*: logarithms of power, those of the source relative to its
response to white noise of variance 1. What is below the floor of the target's logarithm must not
count, so that floor is added to the source's power first. In these terms the relation is almost
linear at any loudness.

Least squares give expected values, and a spectrogram of expected values is smoother than any real
one, which a network with small filters notices at once. Therefore a fixed *texture* is added: a
share of what the combination misses of stationary noise.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.signal

from svdam.audio.decoding import resampled
from svdam.audio.filterbanks import mel_filterbank
from svdam.audio.log_mel import analysis_window, log_mel_blocks
from svdam.core.front_end import FrontEnd, hz_to_mel

NOISE_SECS = 24
TEXTURE = 0.5
"""Share of the texture of noise that is added: most sounds are less rough than noise."""

_MIN_BANDS = 5  # That a target band is combined of.
_RIDGE = 1e-3
_SCALES = 4  # Octaves and more apart, along time and along frequency.
_RATE = 44100  # Of most recordings, in Hz.
_RANGE_DB = 30.0  # By which the noise gets quieter.


class BridgeWeights(NamedTuple):
    """A fitted combination; see `fit_bridge`.

    Attributes:
        kernel: (taps, source bands, target bands) float32.
        bias: (target bands,) float32.
        texture: (target frames, target bands) float32, in levels.
    """

    kernel: np.ndarray
    bias: np.ndarray
    texture: np.ndarray


def num_target_frames(source: FrontEnd, target: FrontEnd, frames: int) -> int:
    """Frames that ``target`` has of the sound that ``frames`` frames of ``source`` span."""
    secs = source.num_samples(frames) / source.sample_rate
    return target.num_frames(round(secs * target.sample_rate))


def log_power(log_mel: np.ndarray | float, front_end: FrontEnd) -> np.ndarray:
    """Natural logarithm of the power of mel bands, the offset of the compression included."""
    return np.asarray(log_mel) * power_factor(front_end) - 2 / front_end.power * np.log(
        front_end.log_scale
    )


def power_factor(front_end: FrontEnd) -> float:
    """Ratio of `log_power` to the log-mel spectrogram."""
    return 2 / front_end.power / front_end.log_factor


def power_floor(front_end: FrontEnd) -> float:
    """`log_power` of silence."""
    return float(log_power(front_end.silence, front_end))


@functools.lru_cache(maxsize=32)
def noise_level(front_end: FrontEnd) -> np.ndarray:
    """(num_mels,) `log_power` of white noise of variance 1, without the compression's offset."""
    power = np.square(analysis_window(front_end).astype(np.float64)).sum()
    sums = np.maximum(mel_filterbank(front_end).sum(axis=0), 1e-30)
    if front_end.power == 2:
        return np.log(sums * power)
    return 2 * np.log(sums * np.sqrt(np.pi / 4 * power))  # Magnitudes have a Rayleigh distribution.


def source_floor(source: FrontEnd, target: FrontEnd) -> np.ndarray:
    """(source bands,) level of the floor of the target's logarithm."""
    own, other = (front_end.band_edges_hz()[1:-1] for front_end in (source, target))
    return np.interp(own, other, power_floor(target) - noise_level(target))


def tap_positions(source: FrontEnd, target: FrontEnd, num_frames: int) -> np.ndarray:
    """Where the target's frames are, counted in frames of the source, and what is around them.

    Returns:
        (taps, num_frames): the middle tap is at the centre of the target's frame, the others before
        and behind it are one frame of the source apart.
    """
    target_secs = (
        np.arange(num_frames) * target.hop_length + target.window_length / 2 - target.padding
    ) / target.sample_rate
    start_secs = (source.window_length / 2 - source.padding) / source.sample_rate
    positions = (target_secs - start_secs) * source.frames_per_second
    half_window_secs = target.window_length / 2 / target.sample_rate
    reach = max(1, round(half_window_secs * source.frames_per_second))
    return positions + np.arange(-reach, reach + 1)[:, np.newaxis]


def fit_bridge(source: FrontEnd, target: FrontEnd, num_frames: int) -> BridgeWeights:
    """Fits the levels of ``target`` to those of ``source``, on noise.

    Args:
        source: Front end of the excerpts.
        target: Front end that is wanted.
        num_frames: Frames of the texture.

    Returns:
        The combination. The same front ends always give the same.
    """
    kernel, bias = _combination(source, target)
    secs = int(np.ceil(num_frames / target.frames_per_second)) + 2
    taps, levels = _levels_of_both(_stationary_noise, source, target, secs)
    texture = levels - np.einsum("ntb,tbc->nc", taps, kernel, optimize=True) - bias
    skipped = round(target.frames_per_second / 2)  # What begins and ends is not stationary.
    texture = texture[skipped : skipped + num_frames]
    texture = TEXTURE * (texture - texture.mean(axis=0))
    return BridgeWeights(*(one.astype(np.float32) for one in (kernel, bias, texture)))


@functools.lru_cache(maxsize=8)
def _combination(source: FrontEnd, target: FrontEnd) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias, by ridge regression."""
    taps, levels = _levels_of_both(_musical_noise, source, target, NOISE_SECS)
    bands, middle = _nearest_bands(source, target), taps.shape[1] // 2
    kernel = np.zeros((taps.shape[1], source.num_mels, target.num_mels))
    bias = np.empty(target.num_mels)
    for band, used in enumerate(bands):
        # Relative to the nearest band at the centre, so that weights sum to 1, as levels must.
        nearest = taps[:, middle, used[0]]
        inputs = (taps[:, :, used] - nearest[:, np.newaxis, np.newaxis]).reshape(len(taps), -1)
        wanted = levels[:, band] - nearest
        means, mean = inputs.mean(axis=0), wanted.mean()
        inputs = inputs - means
        gram = inputs.T @ inputs / len(inputs)
        weights = np.linalg.solve(
            gram + _RIDGE * np.eye(len(gram)), inputs.T @ (wanted - mean) / len(inputs)
        )
        kernel[:, used, band] = weights.reshape(taps.shape[1], -1)
        kernel[middle, used[0], band] += 1 - weights.sum()
        bias[band] = mean - means @ weights
    return kernel, bias


def _nearest_bands(source: FrontEnd, target: FrontEnd) -> list[np.ndarray]:
    """For each target band, the source bands within it, and some around, nearest first."""
    own = hz_to_mel(source.band_edges_hz()[1:-1])
    corners = hz_to_mel(target.band_edges_hz())
    found = []
    for band in range(target.num_mels):
        low, centre, high = corners[band : band + 3]
        nearest = np.argsort(np.abs(own - centre), kind="stable")
        inside = np.count_nonzero((own > low) & (own < high))
        found.append(nearest[: max(_MIN_BANDS, inside)])
    return found


def _levels_of_both(
    noise: Callable[[int, int], np.ndarray], source: FrontEnd, target: FrontEnd, secs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Puts noise through both front ends.

    Returns:
        Levels of the source at the taps, (target frames, taps, source bands), and those of the
        target, (target frames, target bands).
    """
    # Resampled as recordings are, with what that takes away below half the sample rate.
    rate = max(_RATE, source.sample_rate, target.sample_rate)
    samples = noise(secs, rate).astype(np.float32)
    own, other = (
        np.concatenate(
            list(log_mel_blocks(resampled([samples], rate, front_end.sample_rate), front_end))
        ).astype(np.float64)
        for front_end in (source, target)
    )
    levels = np.logaddexp(
        log_power(own, source) - noise_level(source), source_floor(source, target)
    )
    positions = np.clip(tap_positions(source, target, len(other)), 0, len(own) - 1).T
    before = np.minimum(positions.astype(int), len(own) - 2)
    share = (positions - before)[..., np.newaxis]
    taps = (1 - share) * levels[before] + share * levels[before + 1]
    return taps, log_power(other, target)


def _stationary_noise(secs: int, rate: int) -> np.ndarray:
    return 10 * np.random.RandomState(1).normal(size=secs * rate)


def _musical_noise(secs: int, rate: int) -> np.ndarray:
    """Noise that is as uneven as music, and gets quieter.

    Two parts: one changes fast and has a smooth spectrum, like drums and consonants, the other
    changes slowly and has narrow peaks, like notes. Levels vary on all scales of time and pitch.
    """
    fast = _uneven_noise(secs, rate, 256, 3.0, (0.05, 2.0), (50.0, 1000.0), seed=2)
    slow = _uneven_noise(secs, rate, 4096, 4.0, (0.2, 2.0), (10.0, 300.0), seed=3)
    fading = 10 ** np.linspace(0.5, 0.5 - _RANGE_DB / 20, secs * rate)
    return fading * (fast + slow)


def _uneven_noise(
    secs: int,
    rate: int,
    window_length: int,
    deviation: float,
    scales_secs: tuple[float, float],
    scales_mel: tuple[float, float],
    seed: int,
) -> np.ndarray:
    """Noise of variance 1 whose log power is a random field over time and mel."""
    rng = np.random.RandomState(seed)
    overlap = window_length - window_length // 4
    frequencies, times, spectra = scipy.signal.stft(
        rng.normal(size=secs * rate), rate, nperseg=window_length, noverlap=overlap
    )
    mels = hz_to_mel(frequencies)
    field = np.zeros(spectra.shape)
    along_time = [_linear(times, scale) for scale in np.geomspace(*scales_secs, _SCALES)]
    for scale in np.geomspace(*scales_mel, _SCALES):
        along_mel = _linear(mels, scale)
        for weights in along_time:
            values = rng.normal(size=(along_mel.shape[1], weights.shape[1]))
            field += along_mel @ values @ weights.T
    field *= deviation / field.std()
    field -= 1.8 * np.log1p(frequencies / 100)[:, np.newaxis]  # As music falls with frequency,
    field[frequencies < 40] -= 6  # and has little below its lowest notes.
    _, samples = scipy.signal.istft(
        spectra * np.exp(field / 2), rate, nperseg=window_length, noverlap=overlap
    )
    samples = np.pad(samples, (0, max(0, secs * rate - len(samples))))[: secs * rate]
    return samples / samples.std()


def _linear(positions: np.ndarray, scale: float) -> np.ndarray:
    """(positions, knots) weights of linear interpolation, with a knot at each multiple of scale."""
    knots = np.arange(int(positions[-1] / scale) + 2)
    return np.maximum(1 - np.abs(positions[:, np.newaxis] / scale - knots), 0)
