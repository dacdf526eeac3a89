"""Decoding, against librosa, and files that cannot be decoded."""

import numpy as np
import pytest
import soundfile

from svdam.audio.decoding import load_audio
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
        ("text.mp3", "is no audio file that can be read"),
        ("none.wav", "holds no samples"),
        ("nan.wav", "not finite"),
        ("cut.flac", "cut short or damaged|is no audio file"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            load_audio(tmp_path / name)
        assert "\n" not in str(caught.value)
