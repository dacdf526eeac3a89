"""Augmentation stage by stage, against scipy.ndimage and formulas written out."""

import numpy as np
import pytest
import scipy.ndimage

from svdam.audio.front_ends import FRONT_ENDS
from svdam.audio.log_mel import (
    log_mel_spectrogram,
    magnitude_spectrogram,
    mel_filterbank,
    spectrogram,
)
from svdam.core.config import FRONT_END
from svdam.core.validation import InputError
from svdam.data.augmentation import (
    SpectralAugmentation,
    amplified,
    draw_filters,
    filter_responses,
    log_mel_of,
    num_mel_bins,
    spline_coefficients,
    stretch_and_shift,
    stretched_log_mel,
)


def glissando(frames, seed=0):
    """Magnitudes (frames, 513) of a sliding tone with overtones, and noise."""
    random = np.random.RandomState(seed)
    samples = np.arange(FRONT_END.num_samples(frames))
    phase = 2 * np.pi * np.cumsum(200 + 0.01 * samples) / FRONT_END.sample_rate
    sound = sum(np.sin(k * phase) / k for k in range(1, 30)) + 0.01 * random.randn(len(samples))
    return magnitude_spectrogram(sound.astype(np.float32))


@pytest.fixture(scope="module")
def coefficients():
    song = spline_coefficients(glissando(400))
    return np.stack([song[start : start + 164] for start in (0, 60, 236)])


def affine_by_scipy(excerpt, stretch, shift, order, prefilter=False):
    """What ismir2015 calls, with its arguments."""
    return scipy.ndimage.affine_transform(
        excerpt,
        (1 / stretch, 1 / shift),
        offset=(0.5 * (len(excerpt) - 115 / stretch), 0),
        output_shape=(115, 372),
        output=excerpt.dtype,
        mode="constant",
        cval=0,
        order=order,
        prefilter=prefilter,
    )


# At 0.7 the kept frames reach beyond the excerpt, and the kept bins above the highest frequency.
FACTORS = [(1.0, 1.0), (0.7, 0.7), (1.3, 1.3), (0.7, 1.3), (1.02, 0.83), (0.95, 0.72)]


@pytest.mark.parametrize(("stretch", "shift"), FACTORS)
def test_stretch_and_shift_is_the_affine_transform(coefficients, stretch, shift):
    factors = np.full(3, stretch), np.full(3, shift)
    found = stretch_and_shift(coefficients, *factors, 115, 372)
    assert found.shape == (3, 115, 372)
    assert found.dtype == np.float32
    for excerpt, output in zip(coefficients, found, strict=True):
        expected = affine_by_scipy(excerpt, stretch, shift, order=2)
        np.testing.assert_allclose(output, expected, atol=1e-6 * excerpt.max())


@pytest.mark.parametrize("order", [1, 2, 3])
def test_other_orders_and_filtering(order):
    excerpt = glissando(164)
    filtered = excerpt if order == 1 else scipy.ndimage.spline_filter(excerpt, order)
    found = stretch_and_shift(filtered[None], [1.13], [0.91], 115, 372, order)[0]
    expected = affine_by_scipy(excerpt.astype(np.float64), 1.13, 0.91, order, prefilter=True)
    np.testing.assert_allclose(found, expected, atol=1e-6 * excerpt.max())


def test_every_excerpt_has_its_own_factors(coefficients):
    stretch, shift = np.array([0.8, 1.0, 1.2]), np.array([1.1, 0.9, 1.0])
    together = stretch_and_shift(coefficients, stretch, shift, 115, 372)
    for index in range(3):
        one = slice(index, index + 1)
        alone = stretch_and_shift(coefficients[one], stretch[one], shift[one], 115, 372)
        np.testing.assert_array_equal(together[index], alone[0])


def test_log_mel_is_that_of_the_front_end():
    sound = np.random.RandomState(1).randn(FRONT_END.num_samples(9)).astype(np.float32)
    sound[: 3 * 315] = 0
    found = log_mel_of(magnitude_spectrogram(sound)[None, :, :372])[0]
    np.testing.assert_allclose(found, log_mel_spectrogram(sound), atol=5e-6)


def test_one_product_equals_stage_by_stage(coefficients):
    stretch, shift = np.array([0.75, 1.0, 1.28]), np.array([1.2, 0.71, 0.97])
    staged = log_mel_of(stretch_and_shift(coefficients, stretch, shift, 115, 372))
    together = stretched_log_mel(coefficients, stretch, shift)
    assert together.shape == (3, 115, 80)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, staged, atol=1e-4)


def test_without_change_it_is_the_middle_of_the_excerpt():
    magnitudes = glissando(300)[50:214]
    coefficients = spline_coefficients(magnitudes)[None]
    found = stretched_log_mel(coefficients, [1.0], [1.0])[0]
    # 164 - 115 is odd: the kept frames lie between the excerpt's.
    between = spline_at_half(magnitudes)[24 : 24 + 115]
    expected = np.log(np.maximum(between @ mel_filterbank(), 1e-7))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def spline_at_half(magnitudes):
    places = np.arange(len(magnitudes) - 1) + 0.5
    columns = [
        scipy.ndimage.map_coordinates(column, places[None], order=2, mode="mirror")
        for column in magnitudes.T.astype(np.float64)
    ]
    return np.stack(columns, axis=1)


def test_filters_are_gaussians_in_decibels():
    centre_hz, width, strength_db = np.array([400.0, 3000.0]), np.array([5.0, -1.5]), [7.0, -10.0]
    found = filter_responses(centre_hz, width, strength_db)
    filterbank = mel_filterbank()[:372]
    for index in range(2):
        gain_db = []
        upper_hz = centre_hz[index] * 2 ** (width[index] / 12)
        for number in range(372):
            hz = number * 8000 / 372
            deviations = (hz - centre_hz[index]) / (upper_hz - centre_hz[index])
            gain_db.append(strength_db[index] * np.exp(-(deviations**2) / 2))
        expected = np.log(10 ** (np.array(gain_db) / 20) @ filterbank)
        np.testing.assert_allclose(found[index], expected, atol=1e-6)
    assert found.shape == (2, 80)
    assert np.abs(found[0]).max() <= 7 * np.log(10) / 20


def test_drawn_filters_have_the_originals_distribution():
    centre_hz, width, strength_db = draw_filters(np.random.default_rng(0), 200_000, 10.0)
    pitch = np.log2(centre_hz / 150) / np.log2(8000 / 150)
    for uniform in (pitch, (strength_db + 10) / 20):
        assert uniform.min() >= 0
        assert uniform.max() <= 1
        assert np.mean(uniform) == pytest.approx(0.5, abs=0.003)
        assert np.std(uniform) == pytest.approx(12**-0.5, abs=0.003)
    assert np.mean(width) == pytest.approx(5, abs=0.03)
    assert np.std(width) == pytest.approx(2, abs=0.03)
    assert (width < 0).any()


def test_a_batch_is_a_pure_function_of_its_generator(coefficients):
    augmentation = SpectralAugmentation()
    assert augmentation.num_frames == 164
    first = augmentation(coefficients, np.random.default_rng((3, 7)))
    again = augmentation(coefficients, np.random.default_rng((3, 7)))
    other = augmentation(coefficients, np.random.default_rng((3, 8)))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (3, 115, 80)
    assert first.dtype == np.float32
    assert np.abs(first - other).max() > 0.1


def test_a_batch_is_stretched_shifted_and_filtered_within_bounds(coefficients):
    class Extreme:
        """Draws the upper bound of everything uniform."""

        def uniform(self, low, high, size):
            return np.full(size, high)

        def standard_normal(self, size):
            return np.zeros(size)

    found = SpectralAugmentation()(coefficients, Extreme())
    ones = np.ones(3)
    expected = log_mel_of(stretch_and_shift(coefficients, 1.3 * ones, 1.3 * ones, 115, 372))
    expected += filter_responses(8000 * ones, 5 * ones, 10 * ones)[:, None]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_stages_can_be_left_out(coefficients):
    augmentation = SpectralAugmentation(max_stretch=0, max_shift=0, max_filter_db=0)
    assert augmentation.num_frames == 115
    found = augmentation(coefficients[:, :115], np.random.default_rng(0))
    expected = stretched_log_mel(coefficients[:, :115], np.ones(3), np.ones(3))
    np.testing.assert_array_equal(found, expected)


def test_the_mel_filterbank_ends_below_the_bins_that_are_kept():
    assert num_mel_bins() == 372
    assert not mel_filterbank()[372:].any()


@pytest.mark.parametrize(
    "options",
    [dict(max_stretch=1), dict(max_shift=-0.1), dict(max_filter_db=-1), dict(max_shift=np.nan)],
)
def test_refuses(options):
    with pytest.raises(InputError, match="expected"):
        SpectralAugmentation(**options)


@pytest.mark.parametrize("name", ["musicnn", "yamnet", "librosa", "odd"])
def test_other_front_ends(name, odd):
    """Nothing drawn changes nothing; a gain is that of louder sound; all of it stays finite."""
    front_end = odd if name == "odd" else FRONT_ENDS[name]
    time_secs = np.arange(6 * front_end.sample_rate) / front_end.sample_rate
    tones = sum(np.sin(2 * np.pi * hz * time_secs) for hz in (220, 700, 1900, 4000))
    noise = np.random.RandomState(0).randn(len(time_secs))
    sound = (0.05 * tones * (1 + np.sin(7 * time_secs)) + 0.01 * noise).astype(np.float32)
    expected = log_mel_spectrogram(sound, front_end)
    spectra = spectrogram(sound, front_end)
    np.testing.assert_allclose(log_mel_of(spectra, front_end), expected, atol=2e-5)
    coefficients = spline_coefficients(spectra)
    still = SpectralAugmentation(front_end, max_stretch=0, max_shift=0, max_filter_db=0)
    cut = coefficients[20 : 20 + still.num_frames]
    found = still(cut[np.newaxis], np.random.default_rng(0))[0]
    inside = slice(8, -8)  # At the ends, the spline knows no frames beyond.
    np.testing.assert_allclose(
        found[inside], expected[20 : 20 + still.num_frames][inside], atol=1e-3
    )
    gain = filter_responses([1000], [1e4], [6], front_end)
    np.testing.assert_allclose(gain, front_end.power * 6 * np.log(10) / 20, rtol=1e-5)
    louder = log_mel_spectrogram(sound * np.float32(10 ** (6 / 20)), front_end)
    found = amplified(expected[np.newaxis].copy(), gain[:, np.newaxis], front_end)[0]
    np.testing.assert_allclose(found, louder, atol=2e-5)
    augment = SpectralAugmentation(front_end)
    cuts = np.stack([coefficients[start : start + augment.num_frames] for start in (0, 9)])
    excerpts = augment(cuts, np.random.default_rng(0))
    assert excerpts.shape == (2, front_end.excerpt_frames, front_end.num_mels)
    assert np.isfinite(excerpts).all() and excerpts.dtype == np.float32
