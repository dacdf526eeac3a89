"""Convolution with kernels as wide as the spectrogram, as products in the frequency domain.

The critic's first kernels (Table 2) span the whole mel axis. On a CPU such a convolution is cheaper
when the mel axis is Fourier-transformed (the convolution theorem): each bin then needs one matrix
product over time taps and channels instead of one for every tap, a fourth to a sixth of the
multiplications, and the products, their gradients among them, run at the speed of matrix products,
which gradients of wide convolutions do not reach. Time stays as it is.

The transforms are small constant matrices, so this is plain algebra: automatic differentiation of
any order goes through, and results differ from `tf.nn.conv2d` by rounding only.

Shapes: stride 2 splits an axis into pairs, an even and an odd sample each, called ``parity``.
"""

import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

STRIDE = 2


class _Transforms(NamedTuple):
    """Constant matrices for an axis of ``size`` samples and a kernel of ``taps`` taps.

    Attributes:
        analysis: (bins * 2 * 2, size) from samples to (bin, real or imaginary part, parity).
        kernel: (bins * 2 * 2 * 2, taps) from taps to (bin, part, parity, part of the product):
            for each bin, the matrix that stands for multiplying with the conjugate spectrum.
        synthesis: (size / 2, bins * 2) from (bin, part) back to samples.
        num_bins: Bins of the transform.
    """

    analysis: np.ndarray
    kernel: np.ndarray
    synthesis: np.ndarray
    num_bins: int


def spectral_convolution(clips: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """``tf.nn.conv2d(clips, kernel, strides=2, padding="SAME")`` through the mel axis's spectrum.

    Args:
        clips: (batch, time, mels, channels), time and mels even; float32 or bfloat16.
        kernel: (time taps, mel taps, channels, filters), of the same type.

    Returns:
        (batch, time / 2, mels / 2, filters).
    """
    num_pairs = -(-kernel.shape[0] // STRIDE)  # Pairs of frames that a window of time taps spans.
    transforms = _transforms(clips.shape[2], kernel.shape[1])
    spectra = _clip_spectra(clips, kernel.shape[0], num_pairs, transforms)
    weights = _kernel_spectra(kernel, num_pairs, transforms)
    bins, batch, pairs, features = spectra.shape
    frames = pairs - num_pairs + 1
    products = []
    for pair in range(num_pairs):
        # tf.slice, not indexing: the gradient of a strided slice is many times slower.
        window = tf.slice(spectra, (0, 0, pair, 0), (bins, batch, frames, features))
        products.append(tf.matmul(tf.reshape(window, (bins, batch * frames, -1)), weights[pair]))
    product = tf.reshape(tf.add_n(products), (bins, batch * frames, -1))
    product = tf.reshape(tf.transpose(product, (1, 0, 2)), (batch * frames, 2 * bins, -1))
    result = tf.matmul(tf.constant(transforms.synthesis, clips.dtype), product)
    return tf.reshape(result, (batch, frames, -1, kernel.shape[-1]))


def _clip_spectra(
    clips: tf.Tensor, time_taps: int, num_pairs: int, transforms: _Transforms
) -> tf.Tensor:
    """(bins, batch, pairs of frames, frame of the pair * part * parity * channels)."""
    batch, time, mels, channels = clips.shape
    pairs = time // STRIDE + num_pairs - 1
    before = _padding_before(time, time_taps)
    clips = tf.pad(clips, ((0, 0), (before, STRIDE * pairs - time - before), (0, 0), (0, 0)))
    analysis = tf.constant(transforms.analysis, clips.dtype)
    spectra = tf.matmul(analysis, tf.reshape(clips, (-1, mels, channels)))
    spectra = tf.reshape(spectra, (batch * pairs * STRIDE, transforms.num_bins, -1))
    return tf.reshape(
        tf.transpose(spectra, (1, 0, 2)), (transforms.num_bins, batch, pairs, 8 * channels)
    )


def _kernel_spectra(kernel: tf.Tensor, num_pairs: int, transforms: _Transforms) -> list[tf.Tensor]:
    """For each pair of time taps, (bins, frame * part * parity * channels, part * filters)."""
    time_taps, mel_taps, channels, filters = kernel.shape
    kernel = tf.pad(kernel, ((0, num_pairs * STRIDE - time_taps), (0, 0), (0, 0), (0, 0)))
    matrices = tf.constant(transforms.kernel, kernel.dtype)
    bins = transforms.num_bins
    spectra = tf.einsum(
        "brpqm,tfmco->tbfrpcqo",
        tf.reshape(matrices, (bins, 2, STRIDE, 2, mel_taps)),
        tf.reshape(kernel, (num_pairs, STRIDE, mel_taps, channels, filters)),
    )
    return tf.unstack(tf.reshape(spectra, (num_pairs, bins, 8 * channels, 2 * filters)))


def _padding_before(size: int, taps: int) -> int:
    """Zeros that "SAME" puts before an axis of even size."""
    return max(taps - STRIDE, 0) // 2


@functools.lru_cache(maxsize=16)
def _transforms(size: int, taps: int) -> _Transforms:
    half = size // STRIDE
    sample_parity, sample = np.arange(size) % STRIDE, np.arange(size) // STRIDE
    # Tap t meets sample 2 j + t - before for output j: parity and distance from j.
    tap = np.arange(taps) - _padding_before(size, taps)
    tap_parity, distance = tap % STRIDE, tap // STRIDE
    # Long enough that what wraps around falls on outputs that "SAME" does not want.
    period = half + int(np.abs(distance).max())
    bins = np.arange(period // 2 + 1)

    def spectrum(places: np.ndarray, parity: np.ndarray) -> np.ndarray:
        """(bins, part, parity, places): real and imaginary parts of exp(-2 pi i bin place / N)."""
        angle = 2 * np.pi * np.outer(bins, places) / period
        parts = np.stack([np.cos(angle), -np.sin(angle)], axis=1)[:, :, None]
        return parts * (np.arange(STRIDE)[:, None] == parity)

    real, imaginary = np.moveaxis(spectrum(distance, tap_parity), 1, 0)
    # (x + iy)(u - iv) = (xu + yv) + i(yu - xv), as a matrix from (x, y).
    kernel = np.stack(
        [np.stack([real, -imaginary], axis=2), np.stack([imaginary, real], axis=2)], axis=1
    )
    weight = np.where((bins == 0) | (2 * bins == period), 1, 2)[:, None] / period
    angle = 2 * np.pi * np.outer(bins, np.arange(half)) / period
    synthesis = np.stack([weight * np.cos(angle), -weight * np.sin(angle)], axis=1)
    return _Transforms(
        analysis=spectrum(sample, sample_parity).reshape(-1, size),
        kernel=kernel.reshape(-1, taps),
        synthesis=synthesis.reshape(-1, half).T.copy(),
        num_bins=len(bins),
    )
