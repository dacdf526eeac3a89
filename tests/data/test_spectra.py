"""Spectra of the songs of records: computed once, from the right audio, and read like records."""

import shutil

import numpy as np
import pytest
import scipy.ndimage
import soundfile

from svdam.audio.decoding import load_audio
from svdam.audio.log_mel import magnitude_spectrogram
from svdam.core.validation import InputError
from svdam.data import spectra as spectra_module
from svdam.data.augmentation import SpectralAugmentation
from svdam.data.excerpts import labelled_batches
from svdam.data.records import open_records
from svdam.data.spectra import open_spectra


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SVDAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "spectra"


def test_frames_are_spline_coefficients_of_the_whole_song(records, corpus, monkeypatch):
    monkeypatch.setattr(spectra_module, "_BLOCK_FRAMES", 50)  # Several blocks a song.
    spectra = open_spectra(records)
    assert [song.id for song in spectra.songs("train")] == [s.id for s in records.songs("train")]
    for song in spectra.songs():
        magnitudes = magnitude_spectrogram(load_audio(corpus / song.source))
        expected = scipy.ndimage.spline_filter(magnitudes, 2)
        found = spectra.frames(song, 0, song.num_frames)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-6 * magnitudes.max())
        np.testing.assert_array_equal(spectra.frames(song, 17, 31), found[17:48])
        assert [spectra.label(song, frame) for frame in (0, 34, 35)] == [False, False, True]


def test_frames_of_a_centred_front_end_of_powers(odd_records_folder, corpus, odd, monkeypatch):
    monkeypatch.setattr(spectra_module, "_BLOCK_FRAMES", 50)
    records = open_records(odd_records_folder)
    spectra = open_spectra(records)
    song = spectra.songs()[0]
    powers = magnitude_spectrogram(load_audio(corpus / song.source, 11025), odd) ** 2
    found = spectra.frames(song, 0, song.num_frames)
    expected = scipy.ndimage.spline_filter(powers, 2)
    np.testing.assert_allclose(found, expected, atol=1e-6 * powers.max())


def test_augmented_batches(records):
    spectra = open_spectra(records)
    options = dict(batch_size=6, seed=4, augmentation=SpectralAugmentation())
    batches = list(labelled_batches(spectra, **options).take(3))
    excerpts, labels = batches[2]
    assert excerpts.shape == (6, 115, 80, 1)
    assert np.isfinite(excerpts).all()
    assert set(np.unique(labels)) <= {0, 1}
    later, _ = next(iter(labelled_batches(spectra, **options, start=2)))
    np.testing.assert_array_equal(later, excerpts)


def test_computed_once(records, cache, monkeypatch):
    open_spectra(records)
    assert len(list(cache.glob("*.npy"))) == len(records.songs("train"))

    def fail(*_):
        raise AssertionError("audio was read again")

    monkeypatch.setattr(spectra_module, "load_song", fail)
    open_spectra(records)
    damaged = next(cache.glob("*.npy"))
    damaged.write_bytes(damaged.read_bytes()[:1000])
    with pytest.raises(AssertionError, match="read again"):
        open_spectra(records)


def test_other_splits_are_not_mixed_in(records):
    with pytest.raises(InputError, match="of split 'valid', but 'train' is asked for"):
        open_spectra(records, split="valid").songs("train")


def test_missing_audio(records, tmp_path, cache):
    with pytest.raises(InputError, match=r"a song.wav: no such file.*--audio.*--noaugment"):
        open_spectra(records, audio=str(tmp_path))
    assert not list(cache.iterdir())


@pytest.mark.parametrize("change", ["length", "content"])
def test_audio_of_another_recording(records, corpus, tmp_path, cache, change):
    shutil.copytree(corpus, tmp_path / "other")
    path = tmp_path / "other" / "audio" / "a song.wav"
    samples, rate = soundfile.read(path)
    samples = samples[:-2000] if change == "length" else samples[::-1]
    soundfile.write(path, samples, rate)
    with pytest.raises(InputError, match=r"a song.wav: is not the recording"):
        open_spectra(records, audio=str(tmp_path / "other"))
    assert not list(cache.iterdir())


def test_no_room(records, cache, monkeypatch):
    usage = shutil.disk_usage(".")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match="GB are free; free some space"):
        open_spectra(records)
