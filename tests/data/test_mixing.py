"""Mixes of voice and backing: levels, loudness, lengths, and where the voice sings."""

import numpy as np
import pytest

from svdam.data.mixing import mix_voice, sung_segments, voice_activity
from svdam.datasets.sources import Mix
from tests.data.small_stems import RATE, noise, voice


def _db(samples: np.ndarray) -> float:
    return 20 * np.log10(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


@pytest.mark.parametrize("level_db", [-6.0, 0.0, 9.0])
@pytest.mark.parametrize("silence_secs", [0.0, 30.0])
def test_level_is_that_of_the_active_voice_over_the_backing(level_db, silence_secs):
    singing = voice(4 + silence_secs, [(1, 3)], amplitude=0.05)
    backing = noise(4 + silence_secs, seed=1)
    song = mix_voice(singing, backing, Mix((), level_db, -20.0)).samples
    assert _db(song) == pytest.approx(-20, abs=0.01)
    # The mix is a sum of both: least squares find the share of each.
    parts = np.stack([singing, backing], axis=1).astype(np.float64)
    shares, residual, *_ = np.linalg.lstsq(parts, song.astype(np.float64), rcond=None)
    assert residual[0] < 1e-6
    active = singing[RATE : 3 * RATE] * shares[0]
    assert _db(active) - _db(backing * shares[1]) == pytest.approx(level_db, abs=0.1)


@pytest.mark.parametrize("position", [0.0, 0.25, 1.0])
def test_the_longer_one_is_cut(position):
    singing, backing = voice(2, [(0.5, 1.5)]), noise(10, seed=2)
    song = mix_voice(singing, backing, Mix((), 0.0, -20.0, position))
    start = round(position * 8 * RATE)
    parts = np.stack([singing, backing[start : start + 2 * RATE]], axis=1).astype(np.float64)
    residual = np.linalg.lstsq(parts, song.samples.astype(np.float64), rcond=None)[1]
    assert len(song.samples) == 2 * RATE and residual[0] < 1e-6 and song.start_secs == 0


def test_the_singing_moves_with_a_voice_that_is_cut():
    song = mix_voice(voice(10, [(4, 6)]), noise(4, seed=3), Mix((), 0.0, -20.0, 0.5))
    assert song.start_secs == 3 and len(song.samples) == 4 * RATE
    (segment,) = song.sung
    assert segment.start_secs == pytest.approx(1, abs=0.03)
    assert segment.end_secs == pytest.approx(3, abs=0.03)


def test_short_gaps_are_closed_and_short_bursts_left_out():
    sung = [(0.5, 1.5), (1.7, 2.5), (3.0, 3.03), (4.0, 5.0)]
    found = sung_segments(voice(6, sung), RATE)
    expected = [(0.5, 2.5), (4.0, 5.0)]
    np.testing.assert_allclose([segment[:2] for segment in found], expected, atol=0.03)


def test_what_is_30_db_below_the_loudest_is_silence():
    quiet = [voice(3, [(2, 3)], 0.2 * 10 ** (db / 20)) for db in (-27, -33)]
    heard = [voice_activity(voice(3, [(0, 1)]) + tone, RATE)[-50:] for tone in quiet]
    assert heard[0].all() and not heard[1].any()


@pytest.mark.parametrize("silent", ["voice", "backing", "both"])
def test_silent_stems(silent):
    singing = voice(2, [] if silent != "backing" else [(0, 2)])
    backing = noise(2, seed=4, amplitude=0.1 if silent == "voice" else 0)
    song = mix_voice(singing, backing, Mix((), 3.0, -20.0))
    assert np.isfinite(song.samples).all()
    assert bool(song.sung) == (silent == "backing")
    assert silent == "both" or _db(song.samples) == pytest.approx(-20, abs=0.01)
