"""The named front ends against librosa and TensorFlow's signal module, and JSON files."""

import dataclasses
import json

import librosa
import numpy as np
import pytest
import tensorflow as tf

from svdam.audio.filterbanks import mel_filterbank
from svdam.audio.front_ends import (
    FRONT_ENDS,
    front_end_name,
    get_front_end,
    write_front_end,
)
from svdam.audio.inversion import log_mel_to_audio, round_trip_error_db
from svdam.audio.log_mel import (
    compress,
    decompress,
    log_mel_blocks,
    log_mel_spectrogram,
    magnitude_spectrogram,
)
from svdam.core.front_end import FrontEnd
from svdam.core.validation import InputError

ODD = FrontEnd(
    sample_rate=11025,
    window="periodic_hann",
    window_length=301,
    fft_length=450,
    hop_length=113,
    centered=True,
    num_mels=37,
    min_hz=40,
    max_hz=5000,
    excerpt_frames=50,
    compression="decibels",
)


def sound(front_end, secs=2.0):
    """A gliding harmonic tone in noise, with clicks, and silence at the end."""
    num_samples = round(secs * front_end.sample_rate)
    time_secs = np.arange(num_samples) / front_end.sample_rate
    phase = 2 * np.pi * (150 * time_secs + 100 * time_secs**2)
    samples = sum(np.sin(partial * phase) / partial for partial in range(1, 12))
    samples = 0.2 * samples + 0.01 * np.random.RandomState(0).normal(size=num_samples)
    samples[:: front_end.sample_rate // 3] += 0.5
    samples[-front_end.sample_rate // 10 :] = 0
    return samples.astype(np.float32)


def by_librosa(samples, front_end):
    return librosa.feature.melspectrogram(
        y=samples,
        sr=front_end.sample_rate,
        n_fft=front_end.fft_length,
        win_length=front_end.window_length,
        hop_length=front_end.hop_length,
        n_mels=front_end.num_mels,
        fmin=front_end.min_hz,
        fmax=front_end.max_hz,
        center=front_end.centered,
        power=front_end.power,
    ).T


def by_tensorflow(samples):
    """As YAMNet and VGGish do, before the logarithm."""
    spectra = tf.abs(tf.signal.stft(samples, 400, 160, 512))
    return spectra @ tf.signal.linear_to_mel_weight_matrix(64, 257, 16000, 125.0, 7500.0)


REFERENCES = {
    "musicnn": lambda samples, own: np.log10(1 + 10000 * by_librosa(samples, own)),
    "librosa": lambda samples, own: librosa.power_to_db(by_librosa(samples, own), top_db=None),
    "yamnet": lambda samples, own: np.log(by_tensorflow(samples) + 0.001),
    "vggish": lambda samples, own: np.log(by_tensorflow(samples) + 0.01),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_named_front_ends_equal_their_references(name):
    front_end = get_front_end(name)
    samples = sound(front_end)
    expected = REFERENCES[name](samples, front_end)
    found = log_mel_spectrogram(samples, front_end=front_end)
    assert found.dtype == np.float32 and found.shape == expected.shape
    assert np.abs(found - expected).max() <= 2e-5 * np.abs(expected).max()


@pytest.mark.parametrize("centered", [False, True])
def test_windows_shorter_than_the_fft_lie_as_in_librosa(centered):
    front_end = dataclasses.replace(
        FRONT_ENDS["librosa"], window_length=1200, hop_length=300, power=1, centered=centered
    )
    samples = sound(front_end)
    found = decompress(log_mel_spectrogram(samples, front_end), front_end)
    expected = by_librosa(samples, front_end)
    if not centered:  # librosa centres the window in the FFT, which is 848 samples longer.
        samples = np.concatenate([np.zeros(424, np.float32), samples, np.zeros(424, np.float32)])
        expected = by_librosa(samples, front_end)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_filterbanks_equal_their_references():
    slaney = FRONT_ENDS["musicnn"]
    expected = librosa.filters.mel(sr=16000, n_fft=512, n_mels=96, fmin=0, fmax=8000).T
    np.testing.assert_allclose(mel_filterbank(slaney), expected, atol=1e-7)
    htk = FRONT_ENDS["yamnet"]
    expected = tf.signal.linear_to_mel_weight_matrix(64, 257, 16000, 125.0, 7500.0, tf.float64)
    np.testing.assert_allclose(mel_filterbank(htk), expected, atol=1e-12)


@pytest.mark.parametrize("front_end", [*FRONT_ENDS.values(), ODD], ids=[*FRONT_ENDS, "odd"])
def test_samples_may_come_block_by_block(front_end):
    """Equal to the bit, whatever the blocks; over 1024 frames, where blocks meet."""
    samples = sound(front_end, secs=1100 / front_end.frames_per_second)
    whole = log_mel_spectrogram(samples, front_end)
    assert len(whole) == front_end.num_frames(len(samples)) > 1024
    blocks = [samples[:0], samples[:7], samples[7:20_000], samples[20_000:], samples[:0]]
    np.testing.assert_array_equal(np.concatenate(list(log_mel_blocks(blocks, front_end))), whole)


@pytest.mark.parametrize("front_end", [*FRONT_ENDS.values(), ODD], ids=[*FRONT_ENDS, "odd"])
def test_numbers_of_frames_and_of_samples_belong_together(front_end):
    for num_frames in (0, 1, 2, 3, 50):
        num_samples = front_end.num_samples(num_frames)
        assert front_end.num_frames(num_samples) == num_frames
        assert not num_samples or front_end.num_frames(num_samples - 1) == num_frames - 1
        found = log_mel_spectrogram(np.zeros(num_samples), front_end)
        assert found.shape == (num_frames, front_end.num_mels)
        np.testing.assert_allclose(found, front_end.silence, rtol=1e-6)


def test_odd_numbers_are_computed_as_they_say():
    """Frame 9 of the odd front end, written out."""
    samples = sound(ODD)
    padded = np.concatenate([np.zeros(150), samples, np.zeros(150)])
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(301) / 301)
    frame = np.zeros(450)
    frame[:301] = padded[9 * 113 : 9 * 113 + 301] * window
    mel = np.abs(np.exp(-2j * np.pi * np.outer(np.arange(226), np.arange(450)) / 450) @ frame)
    expected = 20 * np.log10(np.maximum(mel @ mel_filterbank(ODD), 1e-7))
    np.testing.assert_allclose(log_mel_spectrogram(samples, ODD)[9], expected, atol=1e-4)
    found = magnitude_spectrogram(samples, ODD)
    assert found.shape == (1 + (len(samples) - 1) // 113, 226)
    np.testing.assert_allclose(found[9], mel, atol=1e-5)


@pytest.mark.parametrize("front_end", [*FRONT_ENDS.values(), ODD], ids=[*FRONT_ENDS, "odd"])
def test_compression_can_be_undone(front_end):
    mel = np.geomspace(1e-3, 1e3, 50)
    np.testing.assert_allclose(decompress(compress(mel.copy(), front_end), front_end), mel)
    assert not decompress(np.full(3, front_end.silence), front_end).any()
    assert np.isfinite(decompress(np.full(3, 1e6), front_end)).all()


@pytest.mark.parametrize("front_end", [*FRONT_ENDS.values(), ODD], ids=[*FRONT_ENDS, "odd"])
def test_every_front_end_has_its_inverse(front_end):
    """Of noise that comes and goes; the way back in time is no such inverse."""
    num_samples = front_end.num_samples(60)
    envelope = np.geomspace(1, 0.03, num_samples)
    noise = np.random.RandomState(3).normal(size=num_samples)
    log_mel = log_mel_spectrogram(np.cumsum(noise - noise.mean()) * 0.02 * envelope, front_end)
    samples = log_mel_to_audio(log_mel, 60, front_end=front_end)
    assert samples.shape == (num_samples,) and np.abs(samples).max() == pytest.approx(1)
    assert log_mel_spectrogram(samples, front_end).shape == log_mel.shape
    assert round_trip_error_db(log_mel, samples, front_end) < 1.5
    assert round_trip_error_db(log_mel, samples[::-1], front_end) > 5


def test_the_papers_front_end_is_the_default():
    assert get_front_end("ismir2015") == FrontEnd()
    assert FrontEnd().silence == np.log(1e-7)


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_front_ends_know_their_names(name):
    longer = dataclasses.replace(FRONT_ENDS[name], excerpt_frames=210)
    assert front_end_name(FRONT_ENDS[name]) == front_end_name(longer) == name
    assert front_end_name(ODD) == "37 bands, 40 to 5000 Hz, 97.5664 frames per second, at 11025 Hz"


@pytest.mark.parametrize("front_end", [*FRONT_ENDS.values(), ODD], ids=[*FRONT_ENDS, "odd"])
def test_files_give_back_what_was_written(front_end, tmp_path):
    path = tmp_path / "own.json"
    write_front_end(path, front_end)
    assert get_front_end(path) == get_front_end(str(path)) == front_end
    assert FrontEnd(**json.loads(json.dumps(front_end.to_dict()))) == front_end


def test_records_of_the_first_version_hold_these_fields():
    """Their checksums, and the fingerprints of songs, are of exactly these."""
    assert list(FrontEnd().to_dict()) == ["sample_rate", "window_length", "hop_length", "num_mels",
                                          "min_hz", "max_hz", "magnitude_floor",
                                          "excerpt_frames"]  # fmt: skip


def test_a_file_may_build_on_a_named_front_end(tmp_path):
    path = tmp_path / "own.json"
    path.write_text('{"base": "musicnn", "window_length": 1024, "num_mels": 40, "min_hz": 20}')
    assert get_front_end(path) == dataclasses.replace(
        FRONT_ENDS["musicnn"], window_length=1024, fft_length=1024, num_mels=40, min_hz=20.0
    )


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"sample_rate": 0}, "sample_rate: found 0, expected a whole number from 1 to 1048576"),
        ({"num_mels": 64.0}, "num_mels: found 64.0, expected a whole number"),
        ({"hop_length": True}, "hop_length: found True, expected a whole number"),
        ({"min_hz": "low"}, "min_hz: found 'low', expected 0 or a larger number"),
        ({"log_offset": -1}, "log_offset: found -1, expected 0 or a larger number"),
        ({"min_hz": 7500}, "min_hz: found 7500.0, expected less than max_hz, 7500"),
        ({"max_hz": 9000}, "max_hz: found 9000.0, expected at most half the sample_rate, 8000"),
        ({"fft_length": 256}, "fft_length: found 256, expected at least the window_length, 400"),
        ({"window": "hann"}, "window: found 'hann', expected one of 'symmetric_hann', 'period"),
        ({"power": 3}, "power: found 3, expected one of 1, 2"),
        ({"centered": 1}, "centered: found 1, expected one of False, True"),
        ({"filterbank": "bark"}, "filterbank: found 'bark', expected one of 'ismir2015', 'slane"),
        ({"compression": "cube root"}, "compression: found 'cube root', expected one of 'log'"),
        ({"log_scale": 0}, "log_scale: found 0.0, expected more than 0"),
        ({"log_offset": 0}, "magnitude_floor: found 0.0, expected more than 0, as log_offset is 0"),
        ({"hop": 160}, "hop: is not a field of a front end; expected 'sample_rate', "),
        ({"base": "vggnet"}, "base: found 'vggnet', expected one of 'ismir2015', 'musicnn'"),
    ],
)
def test_errors_in_files_name_the_field(changes, message, tmp_path):
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"base": "yamnet", **changes}))
    with pytest.raises(InputError) as error:
        get_front_end(path)
    assert str(error.value).startswith(f"{path}: {message}") and "\n" not in str(error.value)


def test_without_a_base_every_field_is_needed(tmp_path):
    path = tmp_path / "own.json"
    fields = dataclasses.asdict(ODD)
    del fields["hop_length"], fields["power"]
    path.write_text(json.dumps(fields))
    with pytest.raises(InputError, match="hop_length: is missing; add 'hop_length', 'power', or"):
        get_front_end(path)


def test_what_is_no_front_end_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"found 'yamnett', expected 'ismir2015', .* or a .json"):
        get_front_end("yamnett")
    path = tmp_path / "own.json"
    with pytest.raises(InputError, match=r"own.json: cannot be read \(No such file"):
        get_front_end(path)
    for text, message in (("{", "is not JSON"), ("[1]", "expected a JSON object")):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            get_front_end(path)
