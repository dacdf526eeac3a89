"""Mean and standard deviation of each mel band over many songs, gathered song by song.

Chan, Golub and LeVeque's update (the parallel form of Welford's) keeps mean and sum of squared
deviations, never a sum of squares, so that songs can be gathered in parts, in any number, without
losing digits. The result equals the plain two-pass statistics over all frames.
"""

import dataclasses

import numpy as np

_BLOCK_FRAMES = 1024  # In double precision these stay in a core's cache.


@dataclasses.dataclass(frozen=True)
class BandStatistics:
    """Statistics of a set of frames.

    Attributes:
        num_frames: Number of frames.
        mean: (mels,) float64.
        squares: (mels,) float64, sum of squared deviations from ``mean``.
    """

    num_frames: int
    mean: np.ndarray
    squares: np.ndarray

    def merge(self, other: "BandStatistics") -> "BandStatistics":
        """The statistics of both sets together."""
        total = self.num_frames + other.num_frames
        if not total:
            return self
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.num_frames / total)
        weight = self.num_frames * (other.num_frames / total)
        return BandStatistics(total, mean, self.squares + other.squares + delta**2 * weight)

    @property
    def std(self) -> np.ndarray:
        """(mels,) float64 standard deviation with ddof 1; zeros for fewer than two frames."""
        return np.sqrt(self.squares / max(self.num_frames - 1, 1))


def no_frames(num_mels: int) -> BandStatistics:
    """The statistics of no frames, to start from."""
    return BandStatistics(0, np.zeros(num_mels), np.zeros(num_mels))


def band_statistics(log_mel: np.ndarray) -> BandStatistics:
    """Statistics of the frames of one song.

    Args:
        log_mel: (frames, mels), any float type; computed in float64, block by block.
    """
    gathered = no_frames(log_mel.shape[1])
    for start in range(0, len(log_mel), _BLOCK_FRAMES):
        block = log_mel[start : start + _BLOCK_FRAMES].astype(np.float64)
        mean = block.mean(axis=0)
        block -= mean
        block *= block
        gathered = gathered.merge(BandStatistics(len(block), mean, block.sum(axis=0)))
    return gathered
