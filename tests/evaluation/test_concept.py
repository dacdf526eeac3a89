"""The three measures on sounds whose answer is known: tones, clicks, bass; effects by SciPy."""

import math

import numpy as np
import pytest
import scipy.stats

from svdam.audio.log_mel import log_mel_spectrogram, mel_filterbank
from svdam.core.config import FRONT_END
from svdam.core.validation import InputError
from svdam.evaluation.concept import band_centers_hz, compare_sets, measure_excerpts

SECONDS = np.arange(FRONT_END.num_samples(FRONT_END.excerpt_frames)) / FRONT_END.sample_rate


def tone(hz):
    """A sustained harmonic sound."""
    return sum(np.sin(2 * np.pi * hz * k * SECONDS) / k for k in range(1, 8))


def clicks(per_second):
    """Short bursts of noise: drum hits."""
    noise = np.random.default_rng(0).normal(size=SECONDS.shape)
    return noise * np.exp(-60 * ((SECONDS + 0.1) % (1 / per_second)))


def measures_of(*sounds):
    return measure_excerpts(np.stack([log_mel_spectrogram(sound) for sound in sounds]))


def test_a_tone_is_harmonic_and_drums_are_not():
    tone_share, mixed_share, drum_share = measures_of(
        tone(300), 0.1 * tone(300) + clicks(5), clicks(5)
    )["harmonic_energy"]
    assert tone_share > 0.85
    assert drum_share < 0.4
    assert drum_share < mixed_share < tone_share


def test_drum_hits_are_transients_and_the_more_the_more():
    found = measures_of(tone(300), clicks(2), clicks(5))["transients"]
    assert found[0] < 5
    assert found[1] > 20 + found[0]
    assert found[2] > 1.5 * found[1]


def test_transients_of_a_step_by_hand():
    # All bands rise by 20 dB once within the excerpt.
    excerpt = np.zeros((1, 115, 80))
    excerpt[:, 50:] = 20 / (20 / math.log(10))
    seconds = (115 - 2) / 70
    assert measure_excerpts(excerpt)["transients"] == pytest.approx(20 / seconds)


def test_low_band_energy():
    bass, both, voice = measures_of(
        np.sin(2 * np.pi * 60 * SECONDS),
        np.sin(2 * np.pi * 60 * SECONDS) + np.sin(2 * np.pi * 400 * SECONDS),
        np.sin(2 * np.pi * 400 * SECONDS),
    )["low_band_energy"]
    assert bass > -1
    assert voice < -40
    assert voice < both < bass


def test_low_band_energy_by_hand():
    # Equal energy everywhere: the share of bands below 100 Hz, counted from the filterbank itself.
    peak_bins = mel_filterbank().argmax(axis=0)
    low = np.sum(band_centers_hz() < 100)
    assert low == np.sum(peak_bins * 22050 / 1024 < 100 + 22050 / 1024 / 2)
    found = measure_excerpts(np.full((1, 115, 80), -3.0))["low_band_energy"]
    assert found == pytest.approx(10 * math.log10(low / 80))


def test_band_centers_are_where_the_filters_peak():
    peaks_hz = mel_filterbank().argmax(axis=0) * 22050 / 1024
    assert np.abs(band_centers_hz() - peaks_hz).max() <= 22050 / 1024


def test_level_does_not_matter():
    excerpts = np.float64([log_mel_spectrogram(tone(250) + clicks(3))])
    quiet, loud = measure_excerpts(excerpts), measure_excerpts(excerpts[..., np.newaxis] + 2.5)
    for name in quiet:
        np.testing.assert_allclose(quiet[name], loud[name], rtol=1e-9)


def test_silence_is_legal():
    found = measure_excerpts(np.full((2, 115, 80), FRONT_END.silence))
    assert all(np.isfinite(values).all() for values in found.values())
    assert (found["transients"] == 0).all()


def fake_measures(rng, shift, size):
    base = {"harmonic_energy": 0.5, "low_band_energy": -20.0, "transients": 30.0}
    return {name: rng.normal(mean + shift, 2, size) for name, mean in base.items()}


def test_effect_size_by_hand_and_interval_by_student():
    rng = np.random.default_rng(1)
    before, after = fake_measures(rng, 0, 60), fake_measures(rng, 1.5, 40)
    for effect in compare_sets(before, after, paired=False, num_resamples=4000):
        a, b = before[effect.measure], after[effect.measure]
        pooled = math.sqrt((59 * a.var(ddof=1) + 39 * b.var(ddof=1)) / 98)
        hedges = (b.mean() - a.mean()) / pooled * (1 - 3 / (4 * 98 - 1))
        assert effect.effect_size == pytest.approx(hedges)
        assert effect.difference == pytest.approx(b.mean() - a.mean())
        student = scipy.stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
        width = student.high - student.low
        assert effect.difference_low == pytest.approx(student.low, abs=0.06 * width)
        assert effect.difference_high == pytest.approx(student.high, abs=0.06 * width)
        assert effect.effect_low < effect.effect_size < effect.effect_high
        assert effect.is_clear


def test_pairs_are_resampled_together():
    before = fake_measures(np.random.default_rng(2), 0, 30)
    after = {name: values + 0.1 for name, values in before.items()}
    for effect in compare_sets(before, after, paired=True):
        assert effect.difference_low == pytest.approx(0.1)
        assert effect.difference_high == pytest.approx(0.1)
    assert not any(effect.is_clear for effect in compare_sets(before, after, paired=False))


def test_sets_that_do_not_vary_have_no_effect_size():
    still = {name: np.ones(5) for name in ("harmonic_energy", "low_band_energy", "transients")}
    for effect in compare_sets(still, still, paired=True):
        assert effect.difference == 0 and math.isnan(effect.effect_size)


@pytest.mark.parametrize("sizes, paired", [((1, 5), False), ((5, 4), True)])
def test_bad_sets(sizes, paired):
    rng = np.random.default_rng(3)
    with pytest.raises(InputError, match="expected at least two"):
        compare_sets(*(fake_measures(rng, 0, size) for size in sizes), paired=paired)


@pytest.mark.parametrize("shape", [(2, 115, 81), (115, 80), (2, 2, 80), (0, 115, 80)])
def test_bad_excerpts(shape):
    with pytest.raises(InputError, match="found shape"):
        measure_excerpts(np.zeros(shape))


def test_excerpts_that_are_not_finite():
    with pytest.raises(InputError, match="not finite"):
        measure_excerpts(np.full((1, 115, 80), np.nan))
