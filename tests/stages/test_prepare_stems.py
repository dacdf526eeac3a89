"""Records of songs that are mixed from stems."""

import shutil

import numpy as np
import pytest

from svdam.audio.log_mel import log_mel_spectrogram
from svdam.core.validation import InputError
from svdam.data import pipeline
from svdam.data.mixing import load_song
from svdam.data.records import open_records
from svdam.data.spectra import open_spectra
from svdam.stages import prepare_data as preparation
from svdam.stages.prepare_data import PrepareSettings, prepare_data
from tests.data.small_stems import noise, write, write_stems


@pytest.fixture(scope="module")
def stems(tmp_path_factory):
    return write_stems(tmp_path_factory.mktemp("stems"))


def _settings(stems, output, **options):
    return PrepareSettings(
        output=str(output),
        dataset="stems",
        data_dir=str(stems),
        split_ratios=(1, 0, 0),
        remix=2,
        **options,
    )


@pytest.fixture(scope="module")
def mixed(stems, tmp_path_factory):
    output = tmp_path_factory.mktemp("records")
    prepare_data(_settings(stems, output))
    return open_records(output)


@pytest.fixture
def made(monkeypatch):
    """Collects the names of the songs whose records are made."""
    names = []
    run_songs = pipeline.run_songs

    def spy(tasks, *arguments):
        names.extend(task.id for task in tasks)
        run_songs(tasks, *arguments)

    monkeypatch.setattr(preparation, "run_songs", spy)
    return names


def test_records_hold_mixes_that_can_be_made_again(stems, mixed):
    assert mixed.manifest["counts"]["train"]["labelled_songs"] == 6 * 3 + 2
    for song in mixed.songs():
        samples = load_song(song, str(stems))
        rms_db = 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)))
        assert rms_db == pytest.approx(song.mix.loudness_db, abs=0.01)
        assert song.duration_secs == pytest.approx(len(samples) / 22050, abs=1e-5)
        np.testing.assert_allclose(mixed.log_mel(song), log_mel_spectrogram(samples), atol=1e-5)


def test_labels_are_those_of_the_voice_or_of_the_label_file(mixed):
    for song in mixed.songs():
        times_secs = np.flatnonzero(mixed.labels(song)) / 70
        if "instrumental" in song.id:
            assert not len(times_secs)
            continue
        limits = (0.5, 1.5) if "carl" in song.id else (1.0, 2.0)
        # Backings of remixes are longer, or start together with the voice: it is cut at a position.
        voice_secs = {"anna": 3, "bert": 4, "carl": 5}[song.id.split("/")[1]] + int(
            song.id.split("song")[1][0]
        ) / 4
        start = song.mix.position * (voice_secs - song.duration_secs)
        if limits[0] - start > 0.1 and limits[1] - start < song.duration_secs:
            assert times_secs[0] == pytest.approx(limits[0] - start, abs=0.04)
            assert times_secs[-1] == pytest.approx(limits[1] - start, abs=0.04)


def test_running_again_makes_nothing_and_a_changed_backing_its_mixes(stems, mixed, tmp_path, made):
    folder = shutil.copytree(stems, tmp_path / "stems")
    output = tmp_path / "records"
    prepare_data(_settings(folder, output))
    assert (output / "manifest.json").read_bytes() == (mixed.folder / "manifest.json").read_bytes()
    made.clear()
    prepare_data(_settings(folder, output))
    assert made == []
    changed = "singers/bert/song1.backing.wav"
    write(folder / changed, noise(4.25, seed=99))
    prepare_data(_settings(folder, output))
    expected = {song.id for song in mixed.songs() if changed in song.mix.others}
    assert set(made) == expected and "singers/bert/song1" in expected


def test_augmentation_reads_the_same_mixes(stems, mixed, tmp_path, monkeypatch):
    monkeypatch.setenv("SVDAM_CACHE", str(tmp_path / "cache"))
    spectra = open_spectra(mixed)
    assert len(spectra.songs("train")) == len(mixed.songs("train"))
    shutil.rmtree(tmp_path / "cache")
    other = shutil.copytree(stems, tmp_path / "other")
    song = next(song for song in mixed.songs() if "remix" in song.id)
    (other / song.mix.others[0]).unlink()
    with pytest.raises(InputError, match=r"backing.wav|piece.*: no such file.*--noaugment"):
        open_spectra(mixed, audio=str(other))


def test_a_stem_that_cannot_be_read_is_named(stems, tmp_path):
    folder = shutil.copytree(stems, tmp_path / "stems")
    damaged = folder / "singers/anna/song1.backing.wav"
    damaged.write_bytes(b"nothing")
    manifest = prepare_data(_settings(folder, tmp_path / "records"))
    reasons = {song["id"]: song["reason"] for song in manifest["skipped"]}
    assert f"{damaged}: is not a readable audio file" in reasons["singers/anna/song1"]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"dataset": "folder", "remix": 1}, "--remix: is for --dataset=stems, not folder"),
        ({"dataset": "fma", "split_by": "ratios"}, "--split_by: is for --dataset=folder or stems"),
        ({"dataset": "stems", "level_db": (3.0, -3.0)}, "--level_db: found 3,-3, expected the"),
        ({"dataset": "stems", "loudness_db": (-20.0,)}, "--loudness_db: found -20, expected the"),
    ],
)
def test_flags_that_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        PrepareSettings(data_dir="x", **options)
