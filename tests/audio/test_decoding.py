"""Decoding, against librosa, and files that cannot be decoded."""

import numpy as np
import pytest
import soundfile
import soxr

from svdam.audio.decoding import audio_blocks, load_audio, mono, resampled
from svdam.core.validation import InputError


@pytest.fixture(scope="module")
def tone():
    """Two seconds of two different tones, left and right."""
    time_secs = np.arange(88200) / 44100
    return np.stack([np.sin(440 * 6.283 * time_secs), np.sin(660 * 6.283 * time_secs)], 1) * 0.4


@pytest.mark.parametrize(
    ("suffix", "rate"),
    [("wav", 22050), ("wav", 48000), ("flac", 44100), ("ogg", 44100), ("mp3", 44100)],
)
def test_equals_librosa(tmp_path, tone, suffix, rate):
    import librosa

    path = tmp_path / f"ein Stück.v2.{suffix}"
    soundfile.write(path, tone, rate)
    found = load_audio(path)
    expected, _ = librosa.load(path, sr=22050)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def _long_sound(secs=20, rate=44100):
    time_secs = np.arange(secs * rate) / rate
    sweep = 0.3 * np.sin(2 * np.pi * (100 + 200 * time_secs) * time_secs)
    return np.stack([sweep, 0.1 * np.random.RandomState(0).normal(size=len(sweep))], 1)


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "flac"])
def test_blocks_join_without_a_seam(tmp_path, suffix):
    """Several blocks, where a decoder that seeks between them errs by up to 0.2 in an MP3."""
    path = tmp_path / f"long.{suffix}"
    soundfile.write(path, _long_sound(), 44100)
    whole, _ = soundfile.read(path, dtype="float32")
    blocks = list(audio_blocks(path, 44100))
    assert len(blocks) > 4
    np.testing.assert_allclose(np.concatenate(blocks), whole.mean(axis=1), atol=3e-7)


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_resampling_in_blocks_is_that_of_the_whole(rate):
    samples = _long_sound(2, rate)[:, 1].astype(np.float32)
    expected = soxr.resample(samples, rate, 22050, quality="HQ")
    for size in (1000, 30_001):
        blocks = [samples[start : start + size] for start in range(0, len(samples), size)]
        found = np.concatenate(list(resampled(blocks, rate, 22050)))
        np.testing.assert_array_equal(found, expected)


def test_any_number_of_channels_is_averaged():
    samples = np.random.RandomState(0).normal(size=(100, 7)).astype(np.float32)
    for channels in (1, 2, 7):
        expected = samples[:, :channels].astype(float).mean(axis=1)
        np.testing.assert_allclose(mono(samples[:, :channels]), expected, atol=1e-6)


def test_own_rate_is_not_resampled(tmp_path):
    samples = np.random.RandomState(0).randint(-9000, 9000, 5000) / 32768
    soundfile.write(tmp_path / "a.wav", samples, 22050, subtype="PCM_16")
    np.testing.assert_array_equal(load_audio(tmp_path / "a.wav"), samples.astype(np.float32))


def test_bad_files_are_refused(tmp_path, tone):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.mp3").write_text("no sound\n" * 99)
    soundfile.write(tmp_path / "none.wav", np.zeros((0, 1)), 44100)
    soundfile.write(tmp_path / "nan.wav", np.full(99, np.nan), 44100, subtype="FLOAT")
    soundfile.write(tmp_path / "whole.flac", tone, 44100)
    content = (tmp_path / "whole.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(content[: len(content) // 2])
    for name, message in (
        ("missing.wav", "no such file"),
        (".", "is a folder"),
        ("empty.wav", r"is empty \(0 bytes\)"),
        ("text.mp3", "is not a readable audio file"),
        ("none.wav", "holds no samples"),
        ("nan.wav", "not finite"),
        ("cut.flac", "truncated or damaged|is not a readable audio file"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            load_audio(tmp_path / name)
        assert "\n" not in str(caught.value)
