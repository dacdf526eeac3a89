"""Images and sounds, read back by other libraries."""

import numpy as np
import pytest
import soundfile
from PIL import Image

from svdam.core.validation import InputError
from svdam.report.assets import Synthesis, save_figure, save_sounds, save_spectrogram, save_wav
from svdam.report.charts import ranking_figure


def test_wav_is_16_bit_mono_at_full_peak(tmp_path):
    samples = 0.01 * np.sin(np.arange(5000) / 10)
    level = save_wav(tmp_path / "a.wav", samples, 22050)
    info = soundfile.info(tmp_path / "a.wav")
    assert (info.samplerate, info.channels, info.subtype) == (22050, 1, "PCM_16")
    found, _ = soundfile.read(tmp_path / "a.wav")
    np.testing.assert_allclose(found, samples / np.abs(samples).max(), atol=1e-4)
    assert level == pytest.approx(np.sqrt(np.mean(found**2)), rel=1e-3)


def test_silence_stays_silent(tmp_path):
    assert save_wav(tmp_path / "a.wav", np.zeros(100), 22050) == 0
    assert not soundfile.read(tmp_path / "a.wav")[0].any()


def test_sound_that_is_not_finite(tmp_path):
    with pytest.raises(InputError, match="not finite"):
        save_wav(tmp_path / "a.wav", np.array([0.0, np.nan]), 22050)
    assert not list(tmp_path.iterdir())


def test_sounds_are_made_in_batches_of_what_was_asked_for(tmp_path, content):
    asked = []

    def synthesise(log_mels, front_end):
        asked.append(len(log_mels))
        assert front_end == content.start.front_end
        return log_mels.mean(axis=2)

    found = save_sounds(tmp_path, content.start, Synthesis(synthesise), batch_size=2)
    assert asked == [2, 2, 1]
    assert sorted(found) == [0, 1, 2, 3, 4] and found[0].error_db is None
    first, _ = soundfile.read(tmp_path / "start-0000.wav")
    expected = content.start.log_mels[0].mean(axis=1)
    np.testing.assert_allclose(first, expected / np.abs(expected).max(), atol=1e-4)


def test_spectrogram_has_low_bands_below_and_red_where_it_is_loud(tmp_path):
    log_mel = np.zeros((6, 4))
    log_mel[5, 0] = 1  # The last frame's lowest band: the lower right corner.
    save_spectrogram(tmp_path / "a.png", log_mel, (0, 1))
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int)
    assert pixels.shape == (4, 6, 3)
    red, green, blue = pixels[3, 5]
    assert red > 100 and green < 30 and blue < 30
    pixels[3, 5] = pixels[0, 0]
    assert (pixels == pixels[0, 0]).all()
    red, green, blue = pixels[0, 0]
    assert blue > 100 and red < 30 and green < 30


def test_values_beyond_the_common_scale_take_its_last_colours(tmp_path):
    save_spectrogram(tmp_path / "a.png", np.array([[-9.0, 0.0], [1.0, 99.0]]), (0, 1))
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    assert (pixels[1, 0] == pixels[0, 0]).all() and (pixels[1, 1] == pixels[0, 1]).all()


def test_figure_is_written_as_png_and_pdf(tmp_path, content):
    save_figure(ranking_figure(content.ranking), tmp_path, "ranking")
    assert Image.open(tmp_path / "ranking.png").width > 600
    assert (tmp_path / "ranking.pdf").read_bytes().startswith(b"%PDF")
    assert len(list(tmp_path.iterdir())) == 2
